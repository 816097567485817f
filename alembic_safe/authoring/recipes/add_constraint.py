"""Recipe: a foreign key, a unique constraint, a check or a primary key comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations import ops

from alembic_safe.authoring.change_operations import CheckOp, DropPartOp
from alembic_safe.authoring.enum_operations import ChangeLabelsOp
from alembic_safe.authoring.recipes.building import check_steps, foreign_key_steps, unique_steps
from alembic_safe.authoring.recipes.change_type import is_replaced
from alembic_safe.authoring.recipes.records import Phased, Step, Words, settle
from alembic_safe.authoring.recipes.standing_on import dropped_name, table_of
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.created_names import name_of_created
from alembic_safe.operations.constraints_not_valid import CreateForeignKeyNotValidOp
from alembic_safe.operations.swap_names import beside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.settles import Settle

_KINDS = (ops.CreateForeignKeyOp, ops.CreateUniqueConstraintOp, ops.CreateCheckConstraintOp)


def add_constraint(op: ops.MigrateOperation, every: Sequence[ops.MigrateOperation], facts: Facts) -> Phased | None:
    """Add it for new rows first and for the others beside them, or on an index that was built beside them."""
    table = table_of(op, facts)
    if not isinstance(op, (CheckOp, *_KINDS)) or table not in facts.tables:
        return None
    name = op.part.name if isinstance(op, CheckOp) else name_of_created(op, table.name)
    schema = None if table.schema == facts.default_schema else table.schema
    is_taken = _is_taken(name, table, every, facts)
    made = beside(name) if is_taken else name
    settles: tuple[Settle, ...] = ()
    if is_taken:
        id_ = ObjectId("constraint", table.schema, made, table.name)
        settles = (settle("rename_constraint", id_, to=name),)
    shown = facts.shown(table.name, schema)
    return Phased(
        f"{name} comes", expand=_steps(op, table.name, schema, made), settles=settles,
        words=Words(expand=(f"Adds {name} to {shown}; {_rule(op)}",)),
    )  # fmt: skip


def _is_taken(name: str, table: ObjectId, every: Sequence[ops.MigrateOperation], facts: Facts) -> bool:
    """Tell whether something that goes in the contract has a name until then: also with a column that another replaces."""
    drops = [one for one in every if dropped_name(one) == name and table_of(one, facts) == table]
    replaced = any(
        (isinstance(one, ChangeLabelsOp) and table in one.tables)
        or (isinstance(one, ops.AlterColumnOp) and table_of(one, facts) == table
            and (is_replaced(one, facts) or one.modify_name is not None))
        for one in every
    )  # fmt: skip
    return any(replaced or not isinstance(one, DropPartOp) for one in drops)


def _steps(op: Any, table: str, schema: str | None, name: str) -> tuple[Step, ...]:
    if isinstance(op, ops.CreateForeignKeyOp):
        kw = {key: value for key, value in op.kw.items() if value is not None}
        made = CreateForeignKeyNotValidOp(
            name, op.source_table, op.referent_table, list(op.local_cols), list(op.remote_cols), **kw
        )
        return foreign_key_steps(made)
    if isinstance(op, CheckOp):
        return check_steps(name, table, op.condition, schema)
    if isinstance(op, ops.CreateCheckConstraintOp):
        return check_steps(name, table, _condition(op.condition), schema)
    kw = {key: value for key, value in op.kw.items() if value}
    return unique_steps(name, table, [str(getattr(column, "name", column)) for column in op.columns], schema, **kw)


def _condition(condition: Any) -> str:
    from sqlalchemy.dialects import postgresql

    if isinstance(condition, str):
        return condition
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call,unused-ignore]
    return str(condition.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _rule(op: ops.MigrateOperation) -> str:
    if isinstance(op, ops.CreateUniqueConstraintOp):
        return "the application of today must not write duplicates, and rows that are duplicates stop it."
    return "the application of today must keep to it already, and rows that violate it stop it."
