"""Recipe: a foreign key, a unique constraint or a check goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import ops
from sqlalchemy import ForeignKeyConstraint

from alembic_safe.authoring.recipes.records import Phased, Words, settle
from alembic_safe.authoring.recipes.standing_on import table_of
from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.authoring.recipes.records import Facts


def drop_constraint(op: ops.MigrateOperation, every: Sequence[ops.MigrateOperation], facts: Facts) -> Phased | None:
    """Drop it in the contract: the old application may count on it, in an ON CONFLICT for one."""
    del every
    id_ = table_of(op, facts)
    if not isinstance(op, ops.DropConstraintOp) or id_ not in facts.tables:
        return None
    name = str(op.constraint_name)
    found = next((one for one in facts.tables[id_].constraints if one.name == name), None)
    guarded = None
    if isinstance(found, ForeignKeyConstraint):
        does = f"ON DELETE {found.ondelete}" if found.ondelete else "it stops a DELETE of a row that is referred to"
        guarded = f"{', '.join(found.column_keys)} refers to a row ({does})"
    part = ObjectId("constraint", id_.schema, name, id_.name)
    return Phased(
        f"{name} goes", settles=(settle("drop_constraint", part, type=op.constraint_type, guarded=guarded),),
        words=Words(
            expand=(f"{name} goes in the contract; until then every application keeps to it.",),
        ),
    )  # fmt: skip
