"""Recipe: a table goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.authoring.recipes.records import Phased, Words, settle
from alembic_safe.authoring.recipes.standing_on import dropped_name, table_of
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.operations.retire_table import RetireTableOp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.operations.ops import MigrateOperation

    from alembic_safe.authoring.recipes.records import Facts


def drop_table(op: MigrateOperation, every: Sequence[MigrateOperation], facts: Facts) -> Phased | None:
    """Retire a table in the contract, with everything that stands on it."""
    if not isinstance(op, RetireTableOp):
        return None
    id_ = facts.id_of(op.table_name, op.schema)
    if id_ not in facts.tables:
        return None
    shown = facts.shown(op.table_name, op.schema)
    with_it = [one for one in every if dropped_name(one) and table_of(one, facts) == id_]
    gone = []
    for one in with_it:
        kind = "index" if hasattr(one, "index_name") else "constraint"
        part = ObjectId(kind, id_.schema, str(dropped_name(one)), id_.name)
        gone.append(settle(f"drop_{kind}", part, goes_with=""))
    return Phased(
        f"{shown} goes", settles=(*gone, settle("retire_table", id_)), consumed=tuple(with_it),
        words=Words(
            expand=(f"{shown} goes in the contract.",),
        ),
    )  # fmt: skip
