"""What a database was when a command of ours had last changed it: the catalogs in its journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.statements import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg
    from sqlalchemy import Connection

    from alembic_safe.database.environment import Journals

    AnyConnection = Connection | psycopg.Connection[Any]

KEPT = 3
"""How many catalogs of one version table stay in the journal: the last one is compared with, the others are history."""

_LAST = """
SELECT heads, at, command, catalog FROM {table} WHERE version_table = :version_table ORDER BY id DESC LIMIT 1
"""


@dataclass(frozen=True)
class JournalledCatalog:
    """What a database should be since a command of ours changed it.

    :param heads: the rows of the version table then.
    :param command: which command that was, such as ``safe-upgrade``.
    :param catalog: as :meth:`alembic_safe.inspecting.catalog_records.Catalog.to_json` returned it.
    """

    heads: tuple[str, ...]
    at: datetime
    command: str
    catalog: str


def has_catalogs(connection: AnyConnection, journals: Journals) -> bool:
    """Whether this journal has the table (an older one has not), and this role may read it."""
    # CASE, because has_table_privilege() fails for a table that is not there
    rows = run(
        connection,
        "SELECT CASE WHEN has_schema_privilege(:schema, 'USAGE') AND to_regclass(:table) IS NOT NULL"
        " THEN has_table_privilege(:table, 'SELECT') ELSE false END AS it",
        {"schema": journals.schema, "table": journals.table("catalogs")},
    )
    return bool(rows[0]["it"])


def last_catalog(connection: AnyConnection, journals: Journals, version_table: str) -> JournalledCatalog | None:
    """Return the newest catalog; ``None`` where there is none, or this role may not read it."""
    if not has_catalogs(connection, journals):
        return None
    rows = run(connection, _LAST.format(table=journals.table("catalogs")), {"version_table": version_table})
    return JournalledCatalog(**{**rows[0], "heads": tuple(rows[0]["heads"])}) if rows else None


def record_catalog(
    connection: AnyConnection,
    journals: Journals,
    *,
    version_table: str,
    heads: Sequence[str],
    catalog: str,
    fingerprint: str,
    command: str,
    tool: str,
) -> None:
    """Write what the database should be from now on, and let the oldest catalogs go.

    :param command: what changed it, such as ``safe-upgrade``.
    """
    table = journals.table("catalogs")
    run(
        connection,
        f"INSERT INTO {table} (version_table, heads, fingerprint, catalog, command, tool)"
        " VALUES (:version_table, CAST(:heads AS text[]), :fingerprint, :catalog, :command, :tool)",
        {"version_table": version_table, "heads": list(heads), "fingerprint": fingerprint, "catalog": catalog,
         "command": command, "tool": tool},
    )  # fmt: skip
    run(
        connection,
        f"DELETE FROM {table} WHERE version_table = :version_table AND id NOT IN (SELECT id FROM {table}"
        " WHERE version_table = :version_table ORDER BY id DESC LIMIT :kept)",
        {"version_table": version_table, "kept": KEPT},
    )
