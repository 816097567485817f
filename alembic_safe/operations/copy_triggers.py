"""Which triggers of other people does a copy fire, and how is it kept from that?"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Missing, NextStep, Refused
from alembic_safe.inspecting.syncs import SYNC_SCHEMA
from alembic_safe.inspecting.trace_watch import SCHEMA as WATCH_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from alembic_safe.operations.living import LivingTable

log = logging.getLogger("alembic.safe.copy")

# UPDATE is bit 4 (16) of tgtype, in PostgreSQL's trigger.h. Constraint triggers of foreign keys are internal.
_FIRED = """
SELECT DISTINCT g.tgname AS name FROM pg_trigger g WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A')
  AND g.tgtype & 16 = 16 AND g.tgfoid NOT IN (SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname IN (:own, :watch))
  AND (g.tgrelid = CAST(:oid AS oid) OR g.tgrelid IN (SELECT relid FROM pg_partition_tree(CAST(:oid AS oid)::regclass)))
  AND (g.tgattr::text = '' OR EXISTS (SELECT FROM unnest(g.tgattr::int2[]) n JOIN pg_attribute a ON a.attrelid = g.tgrelid
    AND a.attnum = n WHERE a.attname = ANY(CAST(:columns AS text[]))))
ORDER BY 1
"""
_TIED = """
SELECT DISTINCT k.conname AS name FROM pg_constraint k JOIN pg_attribute a ON a.attname = ANY(CAST(:columns AS text[]))
WHERE k.contype = 'f' AND (k.conrelid = CAST(:oid AS oid) AND a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)
  OR k.confrelid = CAST(:oid AS oid) AND a.attrelid = k.confrelid AND a.attnum = ANY(k.confkey)) ORDER BY 1
"""
_MAY = """
SELECT rolsuper OR CASE WHEN current_setting('server_version_num')::int >= 150000
  THEN has_parameter_privilege(current_user, 'session_replication_role', 'SET') ELSE false END AS it, rolname AS role
FROM pg_roles WHERE rolname = current_user
"""


def fired_by_copy(connection: Connection, table: LivingTable, columns: Sequence[str]) -> list[str]:
    """Return the triggers of other people that fire when these columns are written."""
    asked = {"oid": table.oid, "columns": list(columns), "own": SYNC_SCHEMA, "watch": WATCH_SCHEMA}
    rows = run(connection, _FIRED, asked)
    return [row["name"] for row in rows]


def say_what_is_fired(connection: Connection, table: LivingTable, columns: Sequence[str]) -> tuple[str, ...]:
    """Log each trigger that the copy fires for every row that it writes, and return their names."""
    fired = tuple(fired_by_copy(connection, table, columns))
    for name in fired:
        log.warning(
            "The copy fires trigger %s of %s for every row that it writes; quiet=True keeps it from that",
            name, table.shown,
        )  # fmt: skip
    return fired


def quiet_settings(
    connection: Connection, table: LivingTable, columns: Sequence[str], subject: str
) -> Mapping[str, str]:
    """Return the parameters under which nothing fires but what is ENABLE ALWAYS, as our syncs are.

    :raises Refused: where a foreign key would not be checked either.
    :raises Missing: where the role may not set it.
    """
    tied = run(connection, _TIED, {"oid": table.oid, "columns": list(columns)})
    if tied:
        raise Refused(
            f"{subject}: quiet=True would also switch off the check of foreign key {tied[0]['name']}.",
            next_steps=[NextStep("copy first, then add the foreign key", "op.create_foreign_key_not_valid(...)")],
        )
    row = run(connection, _MAY)[0]
    if not row["it"]:
        raise Missing(
            f"{subject}: quiet=True needs the right to set session_replication_role, which role {row['role']} lacks.",
            next_steps=[
                NextStep(
                    "a superuser grants it",
                    f"GRANT SET ON PARAMETER session_replication_role TO {quoted(row['role'])};",
                )
            ],
        )
    return {"session_replication_role": "replica"}
