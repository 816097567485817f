"""How triggers and rules of a table are kept from acting while kept values are written back."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from alembic_safe.operations.living import LivingTable

# Partitions hold clones of their parent's triggers, each with a state of its own.
_ACTIVE = """
WITH tables AS (SELECT CAST(:oid AS oid) AS oid UNION SELECT relid FROM pg_partition_tree(CAST(:oid AS oid)::regclass))
SELECT n.nspname AS schema, c.relname AS table, 'TRIGGER' AS kind, t.tgname AS name, t.tgenabled::text AS state
FROM tables o JOIN pg_class c ON c.oid = o.oid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
UNION ALL
SELECT n.nspname, c.relname, 'RULE', r.rulename, r.ev_enabled::text
FROM tables o JOIN pg_class c ON c.oid = o.oid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_rewrite r ON r.ev_class = c.oid WHERE r.ev_enabled <> 'D' AND c.relkind IN ('r', 'p')
"""
_ENABLE = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


@contextmanager
def triggers_off(connection: Connection, table: LivingTable) -> Iterator[None]:
    """Disable every trigger and rule inside, and give each its own state back.

    A restore is no write of the application: no ``updated_at`` moves, no audit row is written. The table is locked.
    """
    # a table whose deferred constraints are still to be checked cannot be altered
    run(connection, "SET CONSTRAINTS ALL IMMEDIATE")
    active = run(connection, _ACTIVE, {"oid": table.oid})
    for row in active:
        run(connection, _alter(row["schema"], row["table"], "DISABLE", row["kind"], row["name"]))
    yield
    for row in active:
        run(connection, _alter(row["schema"], row["table"], _ENABLE[row["state"]], row["kind"], row["name"]))


def _alter(schema: str, table: str, how: str, kind: str, name: str) -> str:
    return f"ALTER TABLE ONLY {quoted(schema, table)} {how} {kind} {quoted(name)}"
