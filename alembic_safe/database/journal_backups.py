"""Which backups of a database does its journal know?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.journal import RESTORED
from alembic_safe.database.statements import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg
    from sqlalchemy import Connection

    from alembic_safe.database.environment import Journals
    from alembic_safe.database.journal import Writer

    AnyConnection = Connection | psycopg.Connection[Any]


@dataclass(frozen=True)
class BackupRow:
    """A backup as the journal remembers it."""

    taken_at: datetime
    location: str
    scope: str
    bytes: int | None
    sha256: str | None
    seconds: float
    heads: tuple[str, ...]


def record_backup(
    connection: AnyConnection,
    journals: Journals,
    *,
    location: str,
    scope: str,
    size: int | None,
    sha256: str | None,
    seconds: float,
    heads: Sequence[str],
    writer: Writer,
    deployment: int | None = None,
) -> None:
    """Write that a backup was taken.

    :param size: in bytes.
    :param seconds: how long it took, reading it back included.
    """
    run(
        connection,
        f"INSERT INTO {journals.table('backups')} (deployment, location, scope, bytes, sha256, seconds, heads, person,"
        " machine) VALUES (:deployment, :location, :scope, :size, :sha256, :seconds, CAST(:heads AS text[]), :person,"
        " :machine)",
        {
            "deployment": deployment, "location": location, "scope": scope, "size": size, "sha256": sha256,
            "seconds": seconds, "heads": list(heads), "person": writer.person, "machine": writer.machine,
        },
    )  # fmt: skip


TAKING = "its backup is taken"
"""What a deployment's row says while its backup is taken: the dump holds the row as it is then."""


def say_that_a_backup_is_taken(connection: AnyConnection, journals: Journals, deployment: int, *, now: bool) -> None:
    """Write into a deployment's row that its backup is taken now, or not any more."""
    run(
        connection, f"UPDATE {journals.table('deployments')} SET message = :message WHERE id = :id",
        {"message": TAKING if now else None, "id": deployment},
    )  # fmt: skip


def close_restored(connection: AnyConnection, journals: Journals) -> None:
    """Write into a restored database that the deployment which took its backup goes on elsewhere, and never died here.

    A deployment's dump holds its own row, still open. One that had applied something by then is half there, and stays.
    """
    run(
        connection,
        f"UPDATE {journals.table('deployments')} d SET outcome = '{RESTORED}', finished_at = heartbeat_at,"
        " to_heads = from_heads, message = 'its backup was taken here, and this database was restored from it'"
        f" WHERE outcome = 'running' AND message = '{TAKING}'"
        f" AND NOT EXISTS (SELECT FROM {journals.table('revisions')} r WHERE r.deployment = d.id)"
        f" AND NOT EXISTS (SELECT FROM {journals.table('steps')} s WHERE s.deployment = d.id)",
    )


def last_backups(connection: AnyConnection, journals: Journals, limit: int = 3) -> list[BackupRow]:
    """Return the newest backups, the newest first."""
    rows = run(
        connection,
        f"SELECT taken_at, location, scope, bytes, sha256, seconds, heads FROM {journals.table('backups')}"
        " ORDER BY id DESC LIMIT :limit",
        {"limit": limit},
    )
    return [BackupRow(**{**row, "heads": tuple(row["heads"])}) for row in rows]
