"""What may be done with a column while an earlier change of it is open, and what has to wait for that one's contract?"""

# Two syncs of one column would not know which of them is right, and what is built on a column that another one is about
# to replace would go with it. Both are refused before a file is written. What needs no sync and holds for the column
# whatever it is called becomes a change of its own, whose contract stands behind the earlier one's.
from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import ForeignKeyConstraint

from alembic_safe.authoring.change_operations import AddLabelOp, SqlOp
from alembic_safe.authoring.enum_operations import ChangeLabelsOp
from alembic_safe.authoring.recipes.naming import named_in
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.changes import open_changes
from alembic_safe.inspecting.models import models_of, tables_of
from alembic_safe.inspecting.open_differences import belongs_to, require_no_contradiction
from alembic_safe.inspecting.operation_table import table_of_operation
from alembic_safe.operations.retire_column import RetireColumnOp

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alembic.runtime.migration import MigrationContext

    from alembic_safe.inspecting.changes import Change
    from alembic_safe.inspecting.settles import Settle

_BUILT = (ops.CreateIndexOp, ops.DropIndexOp, ops.AddConstraintOp, ops.DropConstraintOp)


@dataclass(frozen=True)
class _Table:
    """What the open change says of one table.

    :param columns: every column that it is about, with the line that says so.
    :param moving: those of which another one takes the place; what stands on them would go with them.
    :param staying: those that a sync fills and that stay, under the name that they have or are about to get.
    :param parts: indexes and constraints that get another name, or go.
    :param not_null: the columns that take no NULL behind its contract.
    """

    columns: dict[str, Settle]
    moving: frozenset[str]
    staying: frozenset[str]
    parts: dict[str, Settle]
    not_null: frozenset[str]


def require_no_overlap(context: MigrationContext, operations: Sequence[ops.MigrateOperation]) -> None:
    """Stop where something is to be done that an open change stands against.

    :raises Refused: naming the object and the change.
    :raises Findings: where the models have what an open change is about to take away.
    """
    if context.script is None or context.connection is None:
        return
    default = context.dialect.default_schema_name or "public"
    found = open_changes(context.script)
    if operations:
        require_no_contradiction(found, tables_of(models_of(context), default))
    enums = {(op.type_.schema, op.type_.name) for op in operations if isinstance(op, (AddLabelOp, ChangeLabelsOp))}
    for change in found:
        for line in change.settles:
            if line.verb == "swap_enum" and (line.schema, line.table) in enums:
                raise belongs_to(line.table, change, line)
        lines = _on_both_sides(change.settles)
        for place in dict.fromkeys((line.schema, line.table) for line in lines):
            said = _said([line for line in lines if (line.schema, line.table) == place])
            for op in operations:
                _require(op, place, said, change, default)


def synced_columns(context: MigrationContext) -> frozenset[ObjectId]:
    """Return the columns that stay, and that triggers of open changes keep equal to others until then."""
    found = open_changes(context.script) if context.script is not None else ()
    lines = [line for change in found for line in _on_both_sides(change.settles)]
    return frozenset(
        ObjectId("column", line.schema, name, line.table) for line in lines for name in _said([line]).staying
    )


def settled_before(wanted: Change, found: Iterable[Change]) -> tuple[Change, ...]:
    """Return the open changes whose contract has to run before one's: they are of the same columns, and older.

    :param found: every open change, in the order of their expands.
    """
    older = takewhile(lambda change: change.id != wanted.id, found)
    of, gone = _named(wanted), {(line.schema, line.table) for line in wanted.settles if line.verb == "retire_table"}
    return tuple(
        change for change in older if any(one in of or one[:2] in gone for one in _named(change))
    )  # fmt: skip


def _named(change: Change) -> set[tuple[str, str, str]]:
    return {(line.schema, line.table, name) for line in _on_both_sides(change.settles) for name in _names(line)}


def _on_both_sides(lines: Iterable[Settle]) -> list[Settle]:
    """Return lines, and for each column that moves to another table one about the column there, which stays."""
    found = []
    for line in lines:
        found.append(line)
        moved = line.facts.get("moved")
        if moved:
            new = moved["columns"][line.name]
            said = json.dumps({"replaced_by": new})
            found.append(replace(line, schema=moved["schema"], table=moved["table"], name=new, rest=said))
    return found


def _names(line: Settle) -> set[str]:
    """Return the columns that a line is about."""
    rest = line.facts
    if line.verb.endswith(("_index", "_constraint", "_table", "_enum", "_type")):
        return set()
    reshaped = rest.get("reshaped", {})
    named = {line.name, rest.get("replaced_by"), rest.get("new"), *reshaped.get("old", ()), *reshaped.get("new", ())}
    return {str(name) for name in named if name}


def _said(lines: Sequence[Settle]) -> _Table:
    columns: dict[str, Settle] = {}
    parts: dict[str, Settle] = {}
    moving: set[str] = set()
    staying: set[str] = set()
    for line in lines:
        rest = line.facts
        columns |= dict.fromkeys(_names(line), line)
        if line.verb == "swap_columns":
            moving |= {line.name, rest["new"]}
            staying.add(line.name)
        staying |= {*rest.get("reshaped", {}).get("new", ()), rest.get("replaced_by") or ""} - {""}
        if line.verb.endswith(("_index", "_constraint")):
            parts |= {str(name): line for name in (line.name, rest.get("new"), rest.get("to")) if name}
    not_null = frozenset(line.name for line in lines if line.verb == "set_not_null")
    beside = {line.facts["new"]: line.name for line in lines if line.verb == "swap_columns"}
    return _Table(
        columns, frozenset(moving), frozenset(staying), parts, not_null | {beside.get(name, name) for name in not_null}
    )


def _require(op: ops.MigrateOperation, place: tuple[str, str], said: _Table, change: Change, default: str) -> None:
    here = _place(op, default) == place
    line = next(iter(said.columns.values()), None)
    if here and isinstance(op, ops.RenameTableOp) and line is not None:
        raise belongs_to(f"{place[1]}, which gets another name,", change, line)
    name = _column(op) if here else None
    if name in said.columns and not _goes_beside(op, str(name), said):
        raise belongs_to(f"{place[1]}.{name}", change, said.columns[str(name)])
    built = _part(op) if here else ""
    if built in said.parts:
        raise belongs_to(f"{place[1]}: {built}", change, said.parts[built])
    for moved in sorted(said.moving):
        if here and _stands_on(op, moved):
            on = f"on which {built or 'something new'} stands"
            raise belongs_to(f"{place[1]}.{moved}, {on},", change, said.columns[moved])
        if _refers_to(op, place, moved, default):
            raise belongs_to(f"{place[1]}.{moved}, to which a new foreign key refers,", change, said.columns[moved])


def _goes_beside(op: ops.MigrateOperation, name: str, said: _Table) -> bool:
    """Tell whether this holds for the column that stays, and neither the sync nor the earlier contract minds it."""
    if type(op) is not ops.AlterColumnOp or op.modify_name is not None or op.modify_type is not None:
        return False
    if op.modify_server_default is not False or any(key.startswith("modify_") for key in op.kw):
        return False
    if op.modify_nullable is None:
        return op.modify_comment is not False
    return op.modify_nullable is False and name in said.staying and name not in said.not_null


def _place(op: ops.MigrateOperation, default: str) -> tuple[str, str]:
    for part in (getattr(op, "column", None), getattr(op, "part", None), getattr(op, "about", None)):
        if isinstance(part, ObjectId):
            return part.schema, part.parent or part.name
    return table_of_operation(op, default)


def _column(op: ops.MigrateOperation) -> str | None:
    """Return the column that an operation changes or takes away."""
    column = getattr(op, "column", None)
    if isinstance(op, RetireColumnOp) or isinstance(column, ObjectId):
        return str(column.name)  # type: ignore[union-attr]
    name = getattr(op, "column_name", None)
    return None if name is None else str(name)


def _part(op: ops.MigrateOperation) -> str:
    """Return the index or constraint that an operation makes or takes away."""
    part = getattr(op, "part", None)
    if isinstance(part, ObjectId):
        return part.name
    if isinstance(op, _BUILT):
        return str(getattr(op, "index_name", None) or getattr(op, "constraint_name", None) or "")
    return ""


def _stands_on(op: ops.MigrateOperation, column: str) -> bool:
    """Tell whether an operation builds, or takes away, something on a column."""
    if isinstance(op, (ops.DropIndexOp, ops.DropConstraintOp)):
        made = op._reverse  # noqa: SLF001 - what autogenerate keeps of what it drops
        return made is not None and _stands_on(made, column)
    if isinstance(op, SqlOp):
        return isinstance(getattr(op, "part", None), ObjectId) and named_in(op.sql, column)
    if not isinstance(op, _BUILT):
        return False
    columns: tuple[Any, ...] = (*getattr(op, "columns", ()), *getattr(op, "local_cols", ()))
    if any(str(getattr(one, "name", one)) == column for one in columns):
        return True
    texts = [one for one in columns if not isinstance(one, str) and not hasattr(one, "name")]
    texts += [getattr(op, "condition", None), (getattr(op, "kw", None) or {}).get("postgresql_where")]
    return any(one is not None and named_in(str(one), column) for one in texts)


def _refers_to(op: ops.MigrateOperation, place: tuple[str, str], column: str, default: str) -> bool:
    """Tell whether an operation makes a foreign key to a column."""
    if isinstance(op, ops.CreateForeignKeyOp):
        schema = op.kw.get("referent_schema") or default
        return (schema, op.referent_table) == place and column in op.remote_cols
    if isinstance(op, ops.CreateTableOp):
        keys = [key for one in op.columns if isinstance(one, ForeignKeyConstraint) for key in one.elements]
        found = {(key.column.table.schema or default, key.column.table.name, key.column.name) for key in keys}
        return (*place, column) in found
    return False
