"""What safe-backup and safe-restore work on: the databases of ``env.py``, their journals, and the older files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from alembic_safe.database import journal, journal_backups
from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.envpy import script_of
from alembic_safe.deploying.backup import BackupRequest, remove_older, take_backup
from alembic_safe.deploying.backup_for_upgrade import named_tables
from alembic_safe.deploying.declare import read_targets
from alembic_safe.errors import Missing, NextStep, SafeError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from alembic.config import Config

    from alembic_safe.deploying.backup import Backup
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class BackedUp:
    """One database's backup, and what was done about it.

    :param removed: older backups that ``--keep`` deleted.
    :param not_removed: why older backups could not be deleted; empty when they were.
    :param not_journalled: why the journal does not know of it; empty when it does, or when there is no journal.
    """

    target: Target
    backup: Backup
    removed: tuple[Path, ...]
    not_journalled: str = ""
    not_removed: str = ""


def distinct_targets(config: Config, settings: Settings) -> list[Target]:
    """Return every database that ``env.py`` configures, each once, with the heads of all its version tables."""
    found: dict[tuple[str, int, str], Target] = {}
    for target in read_targets(config, settings):
        place = target.endpoint
        key = (place.host, place.port, place.database)
        known = found.get(key)
        found[key] = target if known is None else replace(known, heads=(*known.heads, *target.heads))
    return list(found.values())


def back_up(
    config: Config,
    settings: Settings,
    target: Target,
    folder: Path,
    *,
    keep: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> BackedUp:
    """Back one database up, note it in its journal, and delete what is older than the newest ``keep``.

    :param folder: where the file goes.
    :raises BackupFailed: when there is no backup; nothing older is deleted then.
    """
    if keep is not None and settings.backup_command:
        raise WrongUsage("--keep deletes files that alembic-safe wrote; with backup_command there are none.")
    tables = _pending_tables(config, target) if settings.backup_scope == "affected" else ()
    backup = take_backup(
        BackupRequest(
            endpoint=target.endpoint,
            folder=folder,
            heads=target.heads,
            scope="affected" if tables else "database",
            tables=tables,
            role=target.identity.place.role,
            pg_bin=settings.pg_bin,
            command=settings.backup_command,
            lock_wait=settings.lock_budget,
            on_progress=on_progress,
        )
    )
    problem = _note(target, backup)
    if keep is None:
        return BackedUp(target, backup, (), problem)
    try:
        removed = remove_older(folder, target.endpoint, backup, keep)
    except OSError as error:
        return BackedUp(target, backup, (), problem, not_removed=f"{error.filename}: {error.strerror}")
    return BackedUp(target, backup, tuple(removed), problem)


def _pending_tables(config: Config, target: Target) -> tuple[tuple[str, str], ...]:
    """Return the tables that the pending revisions name; none pending, or none named: the whole database."""
    pending = script_of(config).iterate_revisions("heads", target.heads or "base")
    with target.connect() as opened:
        connection: Any = opened  # it runs on SQLAlchemy's connections and on our own alike
        return named_tables(connection, [revision.path for revision in pending])


def _note(target: Target, backup: Backup) -> str:
    """Write the backup into the journal, if there is one that can be written; a backup is good without it."""
    if target.journals is None or target.identity.place.in_recovery:
        return ""
    try:
        with target.connect() as connection:
            journal_backups.record_backup(
                connection, target.journals, location=backup.location, scope=backup.scope, size=backup.size or None,
                sha256=backup.sha256 or None, seconds=backup.seconds, heads=backup.heads,
                writer=journal.Writer.this_process(),
            )  # fmt: skip
    except (SafeError, psycopg.Error) as error:
        return str(error).splitlines()[0]
    return ""


def place_to_restore(
    config: Config, settings: Settings, backup: Backup | None, url: str | None
) -> tuple[Endpoint, str | None, Target | None]:
    """Return where to restore, as which role, and the target when it is one of ``env.py``'s.

    :param backup: what is known of the file; of several databases its own is chosen.
    :param url: an SQLAlchemy URL of any database of the server, for when the project's own is lost.
    :raises WrongUsage: when several databases fit, or the URL is none.
    """
    if url is not None:
        try:
            return Endpoint.from_url(make_url(url)), None, None
        except ArgumentError as error:
            raise WrongUsage("--url is no SQLAlchemy URL such as postgresql://deploy@db.internal/postgres.") from error
    try:
        targets = distinct_targets(config, settings)
    except Missing as error:
        lost = NextStep(
            "when the database itself is lost", "alembic safe-restore FILE --url postgresql://USER@HOST/postgres"
        )
        raise Missing(
            error.summary, detail=error.detail, next_steps=[*error.next_steps, lost], state=error.state
        ) from error
    fitting = [target for target in targets if backup is not None and target.endpoint.database == backup.database]
    chosen = fitting or targets
    if len(chosen) != 1:
        names = ", ".join(target.endpoint.shown for target in chosen)
        raise WrongUsage(f"env.py configures several databases ({names}); name the server with --url.")
    return chosen[0].endpoint, chosen[0].identity.place.role, chosen[0]
