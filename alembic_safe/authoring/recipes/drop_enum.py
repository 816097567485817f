"""Recipe: an enum goes, as nothing needs it any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.authoring.recipes.change_type import moves_of
from alembic_safe.authoring.recipes.records import Phased, Words, settle
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.operations.enum_types import DropEnumTypeOp
from alembic_safe.operations.retire_column import RetireColumnOp
from alembic_safe.operations.retire_table import RetireTableOp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.operations.ops import MigrateOperation

    from alembic_safe.authoring.recipes.records import Facts


def drop_enum(op: MigrateOperation, every: Sequence[MigrateOperation], facts: Facts) -> Phased | None:
    """Take it away at the end of the contract; where there is nothing for one to end, at once."""
    if not isinstance(op, DropEnumTypeOp):
        return None
    goes = any(isinstance(one, (RetireColumnOp, RetireTableOp)) for one in every)
    if not goes and moves_of(every, facts).last is None:
        return None
    id_ = ObjectId("enum", op.schema or facts.default_schema, op.type_name)
    shown = facts.shown(op.type_name, op.schema)
    line = settle("drop_type", id_, labels=list(op.labels), if_unused=op.if_unused or None)
    return Phased(
        f"{shown} goes", settles=(line,),
        words=Words(expand=(f"The enum {shown} goes in the contract, where nothing else needs it by then.",)),
    )  # fmt: skip
