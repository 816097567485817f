"""Recipe: a column takes no NULL any more, or takes it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import ops

from alembic_safe.authoring.change_operations import FillOp
from alembic_safe.authoring.recipes.naming import quoted_if_needed
from alembic_safe.authoring.recipes.records import Phased, Step, Words, settle
from alembic_safe.operations.backfill import BackfillOp
from alembic_safe.operations.not_null import SetNotNullOp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.authoring.recipes.records import Facts


def set_not_null(op: ops.MigrateOperation, every: Sequence[ops.MigrateOperation], facts: Facts) -> Phased | None:
    """Fill the rows that hold NULL, where a person said with what; prove it and set it in the contract.

    The old application may write NULL until it is gone, so that nothing stands against that before the contract.
    """
    if not isinstance(op, ops.AlterColumnOp) or op.modify_nullable is None:
        return None
    id_ = facts.column(op.table_name, op.schema, op.column_name)
    shown = facts.shown(op.table_name, op.schema, op.column_name)
    if op.modify_nullable:
        undo = SetNotNullOp(op.table_name, op.column_name, schema=op.schema)
        return Phased(
            f"{shown} may be NULL", expand=(Step(f"{op.column_name} may be NULL", (op,), undo=(undo,)),),
            words=Words(expand=(f"Lets {shown} be NULL: the application of today must be able to read that.",)),
        )  # fmt: skip
    filled = [one for one in every if isinstance(one, FillOp) and one.column == id_]
    fill = filled[0].expression if filled else facts.said.get(id_, {}).get("fill")
    # what triggers keep equal nobody else fills: the rows wait for the contract, behind that of the change they serve
    early = None if id_ in facts.synced else fill
    return Phased(
        f"{shown} is never NULL", copy=fill_steps(op, early), consumed=tuple(filled),
        settles=(settle("set_not_null", id_, fill=fill, prove=True),),
        words=Words(
            expand=(f"{shown} takes no NULL any more from the contract on: new code writes a value always.",),
            copy=(f"Fills {shown} where it is NULL, in batches.",) if early else (),
        ),
    )  # fmt: skip


def fill_steps(op: ops.AlterColumnOp, fill: str | None) -> tuple[Step, ...]:
    """Return what gives the rows without a value one."""
    if not fill:
        return ()
    name = op.column_name
    where = f"{quoted_if_needed(name)} IS NULL"
    filled = BackfillOp(op.table_name, set_={name: fill}, where=where, schema=op.schema)
    return (Step(f"fill {name}", (filled,)),)
