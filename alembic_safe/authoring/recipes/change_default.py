"""Recipe: a column's default changes or goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import ops
from sqlalchemy import Computed, Identity

from alembic_safe.authoring.change_operations import DefaultOp
from alembic_safe.authoring.recipes.defaults import defaults_of
from alembic_safe.authoring.recipes.records import Phased, Words, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.settles import Settle


def change_default(op: ops.MigrateOperation, every: Sequence[ops.MigrateOperation], facts: Facts) -> Phased | None:
    """Set a default at once; take one away in the contract, as the old application leaves the column out."""
    if isinstance(op, DefaultOp):
        # a type that changes in place has the default out of its way meanwhile
        if op.to is not None or defaults_of(op.column, every, facts)[-1].to is not None:
            return None
        shown = facts.shown(op.column.parent, None if op.column.schema == facts.default_schema else op.column.schema)
        return _dropped(f"{shown}.{op.column.name}", settle("drop_default", op.column, was=op.was))
    if not isinstance(op, ops.AlterColumnOp) or op.modify_server_default is False:
        return None
    if isinstance(op.modify_server_default, (Computed, Identity)):
        return None
    if isinstance(op.existing_server_default, (Computed, Identity)) or op.modify_server_default is not None:
        return None
    id_ = facts.column(op.table_name, op.schema, op.column_name)
    was = facts.catalog.objects.get(id_, {}).get("default")
    shown = facts.shown(op.table_name, op.schema, op.column_name)
    return _dropped(shown, settle("drop_default", id_, was=was))


def _dropped(shown: str, line: Settle) -> Phased:
    return Phased(
        f"{shown} has no default", settles=(line,),
        words=Words(expand=(f"{shown} loses its default in the contract: new code says the value.",)),
    )  # fmt: skip
