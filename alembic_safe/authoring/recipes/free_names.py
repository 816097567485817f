"""What is a new column, or a new enum, called until it has the name of the one whose place it takes?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import Column

from alembic_safe.authoring.change_operations import RenameColumnOp
from alembic_safe.authoring.enum_changes import enum_of
from alembic_safe.authoring.recipes.standing_on import table_of
from alembic_safe.operations.enum_types import CreateEnumTypeOp
from alembic_safe.operations.swap_names import free_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.catalog_records import ObjectId

    Operations = Sequence[ops.MigrateOperation]


def columns_beside(table: ObjectId, columns: Sequence[str], every: Operations, facts: Facts) -> dict[str, str]:
    """Return columns of a table, each with the name that nobody else's column there has, nor gets in this revision."""
    taken = {*facts.tables[table].columns.keys()}
    for op in every:
        if isinstance(op, ops.AddColumnOp) and table_of(op, facts) == table:
            taken.add(str(op.column.name))
        elif isinstance(op, RenameColumnOp) and table_of(op, facts) == table:
            taken.add(op.new)
    made: dict[str, str] = {}
    for name in columns:
        made[name] = free_name(name, {*taken, *made.values()})
    return made


def enum_beside(type_: ObjectId, every: Operations, facts: Facts) -> str:
    """Return a name for a second enum that no type has, nor gets in this revision; every table is a type, too."""
    there = {id_.name for id_ in facts.catalog.objects if id_.schema == type_.schema and not id_.parent}
    return free_name(type_.name, there | {name for schema, name in _coming(every, facts) if schema == type_.schema})


def _coming(every: Operations, facts: Facts) -> Iterator[tuple[str, str]]:
    for op in every:
        columns: Collection[Any] = ()
        if isinstance(op, CreateEnumTypeOp):
            yield op.schema or facts.default_schema, op.type_name
        elif isinstance(op, ops.CreateTableOp):
            yield op.schema or facts.default_schema, op.table_name
            columns = op.columns
        elif isinstance(op, ops.AddColumnOp):
            columns = [op.column]
        types: list[Any] = [one.type for one in columns if isinstance(one, Column)]
        types += [op.modify_type] if isinstance(op, ops.AlterColumnOp) else []
        for enum in map(enum_of, types):
            if enum is not None:
                yield str(enum.schema or facts.default_schema), str(enum.name)
