"""What do open changes explain of what autogenerate finds, and where do the models contradict them?"""

# Exactly what `settles` names is taken out: everything else that differs is still found.
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import Column

from alembic_safe.errors import Findings, NextStep, Refused
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.changes import open_changes
from alembic_safe.inspecting.comparison import EXISTS
from alembic_safe.inspecting.created_names import name_of_created
from alembic_safe.inspecting.models import models_of, tables_of
from alembic_safe.inspecting.operation_table import table_of_operation
from alembic_safe.operations.not_null import proof_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from alembic.autogenerate.api import AutogenContext
    from sqlalchemy import Table

    from alembic_safe.inspecting.changes import Change
    from alembic_safe.inspecting.comparison import Difference
    from alembic_safe.inspecting.settles import Settle

WHOLE = "alembic_safe_whole_difference"
"""A comparison whose options say this wants everything that differs, open changes or not."""

_PROOFS = "alembic_safe_"
"""What the name of a constraint of ours begins with, which lives between two steps only."""


def subtract_open_changes(autogen_context: AutogenContext, upgrade_ops: ops.UpgradeOps) -> None:
    """Take out of one comparison what open changes will settle, in place.

    :raises Findings: where the models map again what an open change is about to take away.
    """
    context, connection = autogen_context.migration_context, autogen_context.connection
    if connection is None or connection.dialect.name != "postgresql" or autogen_context.opts.get(WHOLE):
        return
    script = context.script
    if script is None:
        return
    default = connection.dialect.default_schema_name or "public"
    found = open_changes(script)
    tables = tables_of(models_of(autogen_context), default)
    require_no_contradiction(found, tables)
    lines = [line for change in found for line in change.settles]
    if lines:
        _subtract(upgrade_ops, _Explained(lines, default, tables, autogen_context))


def require_no_contradiction(found: Iterable[Change], tables: Mapping[ObjectId, Table]) -> None:
    """Stop where models have what an open change takes away.

    :param tables: those of the models.
    :raises Findings: naming both.
    """
    for change in found:
        for line in change.settles:
            table = tables.get(ObjectId("table", line.schema, line.table))
            what = None if table is None else _contradicted(line, table)
            if what is not None:
                raise Findings(
                    f"The models {what}, and the open change {change.id!r} will do the opposite: {line}.",
                    detail=[f"It began with {change.expand}: {change.message}"],
                    next_steps=[
                        NextStep("let the change have its way: take it out of the models"),
                        NextStep("or give the change up", f"alembic safe-contract --abandon {change.id}"),
                    ],
                )


def belongs_to(shown: str, change: Change, line: Settle, *detail: str) -> Refused:
    """Return the refusal to do something to an object that an open change is about.

    :param shown: the object, as a person calls it.
    """
    return Refused(
        f"{shown} belongs to the open change {change.id!r}, whose contract is still to come: {line}.",
        detail=detail,
        next_steps=[
            NextStep("ship its contract first, where no old application runs", f"alembic safe-contract {change.id}"),
            NextStep("or give that change up", f"alembic safe-contract --abandon {change.id}"),
        ],
    )


def _contradicted(line: Settle, table: Table) -> str | None:
    column = next((one for one in table.columns if one.name == line.name), None)
    if line.verb == "retire_table":
        return f"have the table {table.fullname}"
    if line.verb in {"retire_column", "drop_column"} and column is not None:
        return f"have the column {table.fullname}.{line.name}"
    if line.verb == "set_not_null" and column is not None and column.nullable:
        return f"let {table.fullname}.{line.name} be NULL"
    return None


def is_settled(difference: Difference, lines: Iterable[Settle]) -> bool:
    """Tell whether a difference between two catalogs is one that open changes leave between before and after."""
    id_ = difference.object
    for line in lines:
        if line.verb == "swap_enum" and id_.kind == "enum" and id_.schema == line.schema:
            if id_.name in {line.table, line.facts["new"]}:
                return True
            continue
        if line.verb == "drop_type" and id_ == ObjectId("enum", line.schema, line.table):
            if difference.what == EXISTS:
                return True
            continue
        rest = line.facts
        moved = rest.get("moved", {})
        there = id_._replace(kind="column", schema=moved.get("schema", ""), parent=moved.get("table", ""))
        if id_ == there and id_.name in moved["columns"].values():
            return True
        if (line.schema, line.table) != (id_.schema, id_.parent or id_.name):
            continue
        names = {line.name, rest.get("new"), rest.get("to"), rest.get("replaced_by")} - {None}
        names |= {*rest.get("reshaped", {}).get("new", ())}
        if line.verb == "retire_table" or id_.name in names or id_.name in {proof_name(str(name)) for name in names}:
            return True
    return False


class _Explained:
    """What lines of ``settles`` say, to be asked of one operation at a time."""

    def __init__(
        self, lines: Iterable[Settle], default: str, tables: Mapping[ObjectId, Table], autogen_context: AutogenContext
    ) -> None:
        self.default = default
        self.tables = tables
        self.autogen_context = autogen_context
        self.news: dict[tuple[str, str, str], str] = {}
        self.said: set[tuple[str, str, str, str]] = set()
        for line in lines:
            self.said.add((line.verb, line.schema, line.table, line.name))
            rest = line.facts
            if line.verb == "swap_columns":
                self.said.add(("set_type", line.schema, line.table, line.name))
                if "enum" not in rest:
                    self.news[(line.schema, line.table, line.name)] = rest.get("new", "")
                self.said.add(("drop_column", line.schema, line.table, rest.get("new", "")))
            elif line.verb == "drop_constraint" and rest.get("new"):
                self.said.add(("drop_constraint", line.schema, line.table, rest["new"]))
            elif line.verb in {"rename_index", "rename_constraint"}:
                kind = line.verb.removeprefix("rename_")
                self.said.add((f"drop_{kind}", line.schema, line.table, line.name))
                self.said.add((f"create_{kind}", line.schema, line.table, rest.get("to", "")))

    def says(self, verbs: str | tuple[str, ...], op: Any, name: str = "") -> bool:
        schema, table = table_of_operation(op, self.default)
        verbs = (verbs,) if isinstance(verbs, str) else verbs
        return any((verb, schema, table, str(name)) in self.said for verb in verbs)

    def leads_to(self, op: ops.AlterColumnOp) -> bool:
        """Tell whether a column's new type is the one that the open change gives it."""
        schema = str(op.schema or self.default)
        new = self.news.get((schema, op.table_name, op.column_name))
        if new is None:
            return self.says("set_type", op, op.column_name)
        table = self.tables.get(ObjectId("table", schema, op.table_name))
        there = [one for one in (() if table is None else table.columns) if one.name == op.column_name]
        made = [
            one for one in self.autogen_context.inspector.get_columns(op.table_name, schema=op.schema)
            if one["name"] == new
        ]  # fmt: skip
        context = self.autogen_context.migration_context
        return bool(there and made) and not context.impl.compare_type(Column(new, made[0]["type"]), there[0])


def _subtract(container: ops.OpContainer, explained: _Explained) -> None:
    kept: list[ops.MigrateOperation] = []
    for op in container.ops:
        if isinstance(op, ops.OpContainer):
            _subtract(op, explained)
            if op.ops:
                kept.append(op)
        elif type(op) is ops.AlterColumnOp:
            _subtract_from_column(op, explained)
            if op.has_changes():
                kept.append(op)
        elif not _is_explained(op, explained):
            kept.append(op)
    container.ops[:] = kept


def _is_explained(op: ops.MigrateOperation, explained: _Explained) -> bool:
    asked: tuple[tuple[type[Any], str | tuple[str, ...], Callable[[Any], Any]], ...] = (
        (ops.DropColumnOp, ("retire_column", "drop_column"), lambda one: one.column_name),
        (ops.DropTableOp, "retire_table", lambda one: ""),  # noqa: ARG005 - each row asks for the name in its way
        (ops.DropIndexOp, "drop_index", lambda one: one.index_name),
        (ops.DropConstraintOp, "drop_constraint", lambda one: one.constraint_name),
        (ops.CreateIndexOp, "create_index", lambda one: one.index_name),
        (ops.AddConstraintOp, "create_constraint", _name_of_constraint),
    )
    if isinstance(op, ops.DropConstraintOp) and str(op.constraint_name).startswith(_PROOFS):
        return True
    return any(isinstance(op, kind) and explained.says(verbs, op, name(op)) for kind, verbs, name in asked)


def _name_of_constraint(op: Any) -> str:
    if isinstance(op, (ops.CreateForeignKeyOp, ops.CreateUniqueConstraintOp)):
        return name_of_created(op, table_of_operation(op, "")[1])
    return str(op.to_constraint().name)


def _subtract_from_column(op: ops.AlterColumnOp, explained: _Explained) -> None:
    if op.modify_nullable is False and explained.says("set_not_null", op, op.column_name):
        op.modify_nullable = None
    if op.modify_server_default is not False and explained.says(("set_default", "drop_default"), op, op.column_name):
        op.modify_server_default = False
    if op.modify_type is not None and explained.leads_to(op):
        op.modify_type = None
