"""Does every write reach both sides of a sync: do its triggers fire in every session, and nothing behind them?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.database.reads import rows_of
from alembic_safe.database.statements import quoted
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.syncs import later_triggers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from alembic_safe.database.reads import Reads
    from alembic_safe.inspecting.syncs import Sync

# The table's own first. A partition has clones, which somebody can disable there alone.
_TRIGGERS = """
SELECT g.tgname AS name, g.tgenabled = 'A' AS is_always, c.oid = CAST(:oid AS oid) AS is_own, n.nspname AS schema,
  c.relname AS table
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE g.tgfoid = CAST(:function AS oid)
  AND (c.oid = CAST(:oid AS oid) OR c.oid IN (SELECT relid FROM pg_partition_tree(CAST(:oid AS oid)::regclass)))
ORDER BY 3 DESC, 4, 5, 1
"""
_OWN = 2
"""How many triggers the table of a sync has: one for INSERT, one for UPDATE."""


def triggers_of(source: Connection | Reads, sync: Sync) -> list[str]:
    """Return the triggers of a sync, those of its table's partitions left out."""
    return [row["name"] for row in _own(_triggers(source, sync))]


def is_whole(connection: Connection, sync: Sync) -> bool:
    """Whether every write reaches both sides."""
    rows = _triggers(connection, sync)
    return len(_own(rows)) == _OWN and all(row["is_always"] for row in rows) and not later_triggers(connection, sync)


def refuse_later_triggers(connection: Connection, sync: Sync) -> None:
    """Stop where somebody made a trigger that fires behind the sync's.

    :raises Refused: naming it.
    """
    later = later_triggers(connection, sync)
    if later:
        raise Refused(
            f"{sync.shown}: trigger {later[0]} fires behind the sync, and could make the columns differ unseen.",
            next_steps=[NextStep("let op.sync_columns put its own behind it", "op.sync_columns(...)")],
        )


def refuse_idle_triggers(source: Connection | Reads, sync: Sync) -> None:
    """Stop where a trigger of the sync is gone, or does not fire in every session.

    ``DISABLE TRIGGER ALL`` and ``ENABLE TRIGGER ALL``, as pg_restore --disable-triggers sends them, leave it at ENABLE: then
    it does not see what replication applies.

    :raises Refused: naming table and trigger.
    """
    rows = _triggers(source, sync)
    own = _own(rows)
    if len(own) != _OWN:
        raise Refused(
            f"{sync.shown}: one of the two triggers of the sync is gone, so that what was written meanwhile may stand in one"
            " of the columns alone.",
            next_steps=[
                NextStep("let op.sync_columns make it again, in a revision of its own", "op.sync_columns(...)"),
                _COMPARED,
            ],
        )
    idle = next((row for row in rows if not row["is_always"]), None)
    if idle is not None:
        # what is said of the table's triggers reaches those of its partitions
        always = ", ".join(f"ENABLE ALWAYS TRIGGER {quoted(row['name'])}" for row in own)
        raise Refused(
            f"{sync.shown}: trigger {idle['name']} of {idle['schema']}.{idle['table']} does not fire in every session, as it is"
            " not ENABLE ALWAYS. What was written meanwhile may stand in one of the columns alone.",
            next_steps=[
                NextStep("let them fire in every session", f"ALTER TABLE {quoted(sync.schema, sync.table)} {always};"),
                _COMPARED,
            ],
        )


_COMPARED = NextStep(
    "then have the columns compared once more: safe-upgrade does so before a contract, op.verify_copied(...) in a revision"
)


def _triggers(source: Connection | Reads, sync: Sync) -> Sequence[Mapping[str, Any]]:
    return rows_of(source, _TRIGGERS, {"oid": sync.oid, "function": sync.function})


def _own(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["is_own"]]
