"""Recipe: an index comes, goes, or becomes another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import ops

from alembic_safe.authoring.recipes.building import index_steps
from alembic_safe.authoring.recipes.records import Phased, Words, settle
from alembic_safe.authoring.recipes.standing_on import dropped_name, table_of
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.operations.swap_names import beside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.settles import Settle


def create_index(op: ops.MigrateOperation, every: Sequence[ops.MigrateOperation], facts: Facts) -> Phased | None:
    """Build an index beside readers and writers; under another name for now, where it replaces one."""
    table = table_of(op, facts)
    if not isinstance(op, ops.CreateIndexOp) or table not in facts.tables:
        return None
    name = str(op.index_name)
    replaces = any(dropped_name(one) == name for one in every)
    made = op
    settles: tuple[Settle, ...] = ()
    if replaces:
        made = ops.CreateIndexOp(
            beside(name), op.table_name, op.columns, schema=op.schema, unique=op.unique, **op.kw
        )  # fmt: skip
        settles = (settle("rename_index", ObjectId("index", table.schema, beside(name), table.name), to=name),)
    shown = facts.shown(table.name, op.schema)
    unique = " Rows that are duplicates stop it." if op.unique else ""
    return Phased(
        f"{name} comes", expand=index_steps(made), settles=settles,
        words=Words(expand=(f"Builds {name} on {shown} beside its readers and writers.{unique}",)),
    )  # fmt: skip


def drop_index(op: ops.MigrateOperation, every: Sequence[ops.MigrateOperation], facts: Facts) -> Phased | None:
    """Drop an index in the contract: the old application may need it."""
    del every
    table = table_of(op, facts)
    if not isinstance(op, ops.DropIndexOp) or table not in facts.tables:
        return None
    name = str(op.index_name)
    return Phased(
        f"{name} goes", settles=(settle("drop_index", ObjectId("index", table.schema, name, table.name)),),
        words=Words(
            expand=(f"{name} goes in the contract, when no application needs it any more.",),
        ),
    )  # fmt: skip
