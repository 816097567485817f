"""What is known of a database, when tables of it are renamed first?"""

# Operations behind a renaming call the table by its new name; whoever looks it up would find nothing there.
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from alembic.operations.ops import AlterColumnOp, RenameTableOp
from sqlalchemy import MetaData

from alembic_safe.authoring.change_operations import RenamedPartOp
from alembic_safe.authoring.recipes.standing_on import referring_to
from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from alembic.operations.ops import MigrateOperation
    from sqlalchemy import Table

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
    """Return the facts in the words of the operations behind the renamings: of tables, and of what stands on new types.

    :param operations: in the order in which they run.
    """
    operations = tuple(operations)
    names = {old: new for new, old in former_names(operations, facts.default_schema).items()}
    parts = _parts(operations, names, _typed(operations, facts.default_schema), facts.default_schema)
    if not names and not parts:
        return facts
    tables = {
        names.get(id_, id_): _renamed(table, names, parts, facts.default_schema) for id_, table in facts.tables.items()
    }
    objects = {
        parts.get(id_, id_): referring_to(said, names) if said.get("sort") == "f" else said
        for id_, said in _called(facts.catalog.objects, names).items()
    }
    catalog = replace(facts.catalog, objects=objects)
    leaning, pinned = _called(facts.leaning, names), _called(facts.pinned, names)
    holding = _called(facts.holding, names)
    unfit = frozenset(_called(dict.fromkeys(facts.unfit, True), names))
    return replace(facts, catalog=catalog, tables=tables, leaning=leaning, pinned=pinned, holding=holding, unfit=unfit)


def _typed(operations: Iterable[MigrateOperation], default_schema: str) -> frozenset[ObjectId]:
    """Return the tables of which columns get other types, and none another name: what is named after that goes with it."""
    altered = [
        (ObjectId("table", op.schema or default_schema, str(op.table_name)), op)
        for op in operations if isinstance(op, AlterColumnOp)
    ]  # fmt: skip
    typed = {table for table, op in altered if op.modify_type is not None}
    return frozenset(typed - {table for table, op in altered if op.modify_name is not None})


def _parts(
    operations: Iterable[MigrateOperation], names: Mapping[ObjectId, ObjectId], typed: Collection[ObjectId],
    default_schema: str,
) -> dict[ObjectId, ObjectId]:  # fmt: skip
    """Return the indexes and constraints of these tables that get other names first, by their former names.

    :param names: the tables that are renamed; ``typed``: further ones.
    """
    found = {}
    for op in operations:
        if isinstance(op, RenamedPartOp):
            schema = op.part.schema or default_schema
            table = ObjectId("table", schema, op.part.parent)
            if table in names or table in names.values() or table in typed:
                was = op.part._replace(schema=schema, parent=names.get(table, table).name)
                found[was] = was._replace(name=op.new)
    return found


def _renamed(
    table: Table, names: Mapping[ObjectId, ObjectId], parts: Mapping[ObjectId, ObjectId], default_schema: str
) -> Table:
    """Return a reflected table as it is called then, with foreign keys that refer to tables as those are called then."""
    every = MetaData()
    copies = [one.to_metadata(every) for one in table.metadata.tables.values()]
    for one in copies:
        for column in one.columns:
            # the copy of an enum would move into the table's schema
            column.type = table.metadata.tables[one.key].columns[column.key].type
        for key in one.foreign_keys:
            key.column  # noqa: B018 - it is found by the name of before, and keeps what it has found
    for one in copies:
        schema = one.schema or default_schema
        to = names.get(ObjectId("table", schema, one.name))
        if to is not None:
            one.name = to.name
        for kind, several in (("index", one.indexes), ("constraint", one.constraints)):
            for part in several:
                new = parts.get(ObjectId(kind, schema, str(part.name), one.name))
                part.name = part.name if new is None else new.name
    return every.tables[table.key]


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
