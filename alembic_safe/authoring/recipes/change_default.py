"""Recipe: a column's default changes or goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import ops

from alembic_safe.authoring.change_operations import DefaultOp
from alembic_safe.authoring.recipes.defaults import defaults_of
from alembic_safe.authoring.recipes.records import Phased, Words, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.authoring.recipes.records import Facts


def change_default(op: ops.MigrateOperation, every: Sequence[ops.MigrateOperation], facts: Facts) -> Phased | None:
    """Set a default at once; take one away in the contract, as the old application leaves the column out."""
    if isinstance(op, DefaultOp):
        id_ = op.column
    elif isinstance(op, ops.AlterColumnOp):
        id_ = facts.column(op.table_name, op.schema, op.column_name)
    else:
        return None
    said = defaults_of(id_, every, facts)
    mine = next((one for one in said if one.op is op), None)
    # a type that changes in place has the default out of its way meanwhile
    if mine is None or mine.to is not None or said[-1].to is not None:
        return None
    shown = facts.shown(id_.parent, id_.schema, id_.name)
    return Phased(
        f"{shown} has no default", settles=(settle("drop_default", id_, was=mine.was),),
        words=Words(expand=(f"{shown} loses its default in the contract: new code says the value.",)),
    )  # fmt: skip
