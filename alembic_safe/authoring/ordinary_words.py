"""What does the revision in front of a change's phases do, and may both applications run beside it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import ops

from alembic_safe.authoring.change_operations import (
    AddLabelOp,
    CheckOp,
    DefaultOp,
    ExcludeOp,
    FillOp,
    GeneratedOp,
    KeyOp,
    NotNullNamedOp,
    RenamedPartOp,
    is_known,
)
from alembic_safe.authoring.phase_words import what_is_done
from alembic_safe.authoring.recipes.standing_on import dropped_name, table_of
from alembic_safe.operations.enum_types import CreateEnumTypeOp

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.catalog_records import ObjectId

_ADDING = (ops.CreateTableOp, ops.AddColumnOp, CreateEnumTypeOp, ops.CreateTableCommentOp, ops.DropTableCommentOp)
_FOLLOWING = (RenamedPartOp, NotNullNamedOp)
"""What gets another name because its table or column did."""
_AS_SQL = ("Runs", "SQL that stands here as it is")


def what_they_do(operations: Sequence[ops.MigrateOperation], facts: Facts) -> tuple[str, ...]:
    """Return a sentence for each kind of thing that operations do."""
    made = _made(operations, facts)
    done = [one for op in operations if (one := _done(op, made, facts)) is not None]
    added = {name for verb, name in done if verb == "Adds"}
    return what_is_done((verb, name) for verb, name in done if verb != "Changes" or name not in added)


def only_add(operations: Sequence[ops.MigrateOperation], facts: Facts) -> bool:
    """Tell whether operations make nothing but what an application can leave alone that does not know of it."""
    made = _made(operations, facts)
    return all(isinstance(op, _ADDING) or table_of(op, facts) in made for op in operations)


def _made(operations: Sequence[ops.MigrateOperation], facts: Facts) -> frozenset[ObjectId]:
    return frozenset(facts.id_of(op.table_name, op.schema) for op in operations if isinstance(op, ops.CreateTableOp))


def _done(op: ops.MigrateOperation, made: Collection[ObjectId], facts: Facts) -> tuple[str, str] | None:
    """Return what an operation does, and to what; ``None`` for a part of something else, and for what nobody knows."""
    if isinstance(op, CreateEnumTypeOp):
        return "Adds", facts.shown(op.type_name, op.schema)
    if isinstance(op, AddLabelOp):
        return "Changes", facts.shown(op.type_.name, op.type_.schema)
    table = table_of(op, facts)
    shown = facts.shown(table.name, table.schema)
    if isinstance(op, ops.CreateTableOp):
        return "Adds", shown
    if table in made or isinstance(op, _FOLLOWING) or not is_known(op):
        return None
    return _done_to(op, shown) if table.name else _AS_SQL


def _done_to(op: ops.MigrateOperation, shown: str) -> tuple[str, str]:
    """Return what an operation does to a table that is there, or to a part of it."""
    dropped = dropped_name(op)
    if dropped is not None:
        return "Drops", dropped
    match op:
        case ops.RenameTableOp():
            return "Renames", f"{shown} to {op.new_table_name}"
        case ops.AlterColumnOp() if op.modify_name is not None:
            return "Renames", f"{shown}.{op.column_name} to {op.modify_name}"
        case ops.AlterColumnOp():
            return "Changes", f"{shown}.{op.column_name}"
        case ops.AddColumnOp() | GeneratedOp():
            return "Adds", f"{shown}.{op.column.name}"
        case DefaultOp() | FillOp():
            return "Changes", f"{shown}.{op.column.name}"
        case CheckOp() | ExcludeOp() | KeyOp():
            return "Adds", op.part.name
        case ops.CreateIndexOp():
            return "Adds", str(op.index_name)
    return "Changes", shown
