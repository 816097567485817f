"""What is known of a database, when tables of it are renamed first?"""

# Operations behind a renaming call the table by its new name; whoever looks it up would find nothing there.
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from alembic.operations.ops import RenameTableOp
from sqlalchemy import MetaData

from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alembic.operations.ops import MigrateOperation

    from alembic_safe.authoring.recipes.records import Facts

Found = TypeVar("Found")
_WITH_PARTS = frozenset({"table", "column", "constraint", "index", "trigger", "rule", "policy", "statistics"})


def former_names(operations: Iterable[MigrateOperation], default_schema: str) -> dict[ObjectId, ObjectId]:
    """Return the tables that are renamed, by the name that they get; of a chain the first and the last."""
    found: dict[ObjectId, ObjectId] = {}
    for op in operations:
        if isinstance(op, RenameTableOp):
            schema = op.schema or default_schema
            old = ObjectId("table", schema, str(op.table_name))
            found[ObjectId("table", schema, str(op.new_table_name))] = found.pop(old, old)
    return found


def after_renames(facts: Facts, operations: Iterable[MigrateOperation]) -> Facts:
    """Return the facts in the words of the operations behind the renamings.

    :param operations: in the order in which they run.
    """
    names = {old: new for new, old in former_names(operations, facts.default_schema).items()}
    if not names:
        return facts
    tables = {
        names.get(id_, id_): table.to_metadata(MetaData(), name=names[id_].name) if id_ in names else table
        for id_, table in facts.tables.items()
    }
    catalog = replace(facts.catalog, objects=_called(facts.catalog.objects, names))
    return replace(facts, catalog=catalog, tables=tables, leaning=_called(facts.leaning, names))


def _called(objects: Mapping[ObjectId, Found], names: Mapping[ObjectId, ObjectId]) -> dict[ObjectId, Found]:
    def called(id_: ObjectId) -> ObjectId:
        if id_.kind not in _WITH_PARTS:
            return id_
        table = ObjectId("table", id_.schema, id_.parent or id_.name)
        new = names.get(table)
        if new is None:
            return id_
        return id_._replace(parent=new.name) if id_.parent else id_._replace(name=new.name)

    return {called(id_): said for id_, said in objects.items()}
