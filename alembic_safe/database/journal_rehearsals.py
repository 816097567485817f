"""Which plans have been rehearsed for a database: the receipts in its journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.statements import run

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg
    from sqlalchemy import Connection

    from alembic_safe.database.environment import Journals
    from alembic_safe.database.journal import Writer

    AnyConnection = Connection | psycopg.Connection[Any]

_LAST = """
SELECT at, plan, catalog, stand_in, outcome, seconds, extract(epoch FROM now() - at)::float8 AS age FROM {table}
WHERE version_table = :version_table AND files = :files AND (catalog = :catalog OR :catalog = '') AND outcome = 'passed'
ORDER BY id DESC LIMIT 1
"""


@dataclass(frozen=True)
class Receipt:
    """A rehearsal as the journal remembers it.

    :param plan: the hash of the plan; :param catalog: of the target's catalog then.
    :param stand_in: what the revisions ran on.
    :param outcome: ``passed``, ``failed`` or ``not rehearsed``.
    :param age: seconds ago.
    """

    at: datetime
    plan: str
    catalog: str
    stand_in: str
    outcome: str
    seconds: float
    age: float


def has_rehearsals(connection: AnyConnection, journals: Journals) -> bool:
    """Whether this journal has the table (an older one has not), and this role may read and write it."""
    rows = run(
        connection,
        "SELECT CASE WHEN has_schema_privilege(:schema, 'USAGE') AND to_regclass(:table) IS NOT NULL"
        " THEN has_table_privilege(:table, 'SELECT') AND has_table_privilege(:table, 'INSERT') ELSE false END AS it",
        {"schema": journals.schema, "table": journals.table("rehearsals")},
    )
    return bool(rows[0]["it"])


def last_rehearsal(
    connection: AnyConnection, journals: Journals, version_table: str, *, files: str, catalog: str
) -> Receipt | None:
    """Return the newest receipt of these revisions on this catalog; ``None`` where there is none, or nobody can look.

    :param files: the hash of the pending files; :param catalog: of the target's catalog, empty where it is not known.
    """
    if not has_rehearsals(connection, journals):
        return None
    values = {"version_table": version_table, "files": files, "catalog": catalog}
    rows = run(connection, _LAST.format(table=journals.table("rehearsals")), values)
    return Receipt(**rows[0]) if rows else None


def record_rehearsal(
    connection: AnyConnection,
    journals: Journals,
    *,
    version_table: str,
    plan: str,
    files: str,
    catalog: str,
    stand_in: str,
    outcome: str,
    detail: str,
    seconds: float,
    writer: Writer,
    tool: str,
) -> None:
    """Write a receipt.

    :param detail: how long each revision took, or why it was not rehearsed.
    """
    run(
        connection,
        f"INSERT INTO {journals.table('rehearsals')} (version_table, plan, files, catalog, stand_in, outcome, detail,"
        " seconds, person,"
        " machine, tool) VALUES (:version_table, :plan, :files, :catalog, :stand_in, :outcome, :detail, :seconds, :person,"
        " :machine,"
        " :tool)",
        {"version_table": version_table, "plan": plan, "files": files,
         "catalog": catalog, "stand_in": stand_in, "outcome": outcome,
         "detail": detail, "seconds": seconds, "person": writer.person, "machine": writer.machine, "tool": tool},
    )  # fmt: skip
