"""What a backup is going to hold, how large it gets, and whether there is room for it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from alembic_safe.deploying.backup_contents import (
    DatabaseFacts,
    Table,
    connect_as,
    large_objects_size,
    read_facts,
    read_tables,
    select_affected,
)
from alembic_safe.deploying.backup_files import backups_in, make_folder
from alembic_safe.errors import BackupFailed, NextStep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from alembic_safe.database.endpoint import Endpoint

STATE = "The database was not touched."

_SPARE = 16 * 1024 * 1024


@dataclass(frozen=True)
class BackupRequest:
    """What to back up, and where to.

    :param heads: the revisions the database stands at.
    :param scope: ``database``, or ``affected``: all definitions, but only the rows of ``tables``, of the tables they
        refer to by foreign keys (transitively) and of their partitions; no large objects.
    :param tables: schema and name of each affected table.
    :param role: the role to read as, where ``env.py`` sets one after it has logged in.
    :param command: a command of the user's own that takes the backup instead.
    :param lock_wait: seconds to wait for a table that somebody holds exclusively.
    :param on_progress: called with the bytes written so far and the estimate (0: none).
    """

    endpoint: Endpoint
    folder: Path
    heads: tuple[str, ...] = ()
    scope: str = "database"
    tables: tuple[tuple[str, str], ...] = ()
    role: str | None = None
    pg_bin: str | None = None
    command: str | None = None
    lock_wait: float = 600.0
    on_progress: Callable[[int, int], None] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class BackupPlan:
    """What a backup is going to hold and to take, before it starts.

    :param estimate: bytes that the file is expected to have at most.
    :param tls: whether the way to the server is encrypted.
    """

    facts: DatabaseFacts
    tables: tuple[Table, ...]
    left_out: tuple[Table, ...]
    estimate: int
    tls: bool


def plan_backup(request: BackupRequest) -> BackupPlan:
    """Look at the database and say what its backup will hold; writes nothing.

    :raises BackupFailed: when an affected table does not exist, or a table stays locked.
    :raises Missing: when the database cannot be reached.
    """
    with connect_as(request.endpoint, request.role) as connection:
        connection.execute("SELECT pg_catalog.set_config('lock_timeout', %s, false)", (f"{request.lock_wait:.0f}s",))
        try:
            facts, every = read_facts(connection), read_tables(connection)
            chosen, large = every, 0
            if request.scope == "affected":
                chosen = select_affected(connection, every, request.tables)
            else:
                large = large_objects_size(connection)
        except psycopg.errors.LockNotAvailable as error:
            raise BackupFailed(f"No backup: a table stayed locked for {request.lock_wait:g} s.", state=STATE) from error
        except psycopg.Error as error:
            words = str(error).splitlines()
            raise BackupFailed("No backup: the tables could not be listed.", detail=words, state=STATE) from error
        tls = bool(connection.pgconn.ssl_in_use)
    size = sum(table.bytes for table in chosen) + large
    held = {table.oid for table in chosen}
    left_out = tuple(table for table in every if table.oid not in held)
    return BackupPlan(facts, chosen, left_out, _estimated(request, facts, size), tls)


def _estimated(request: BackupRequest, facts: DatabaseFacts, size: int) -> int:
    """Return what the file takes at most: as the last one did, else as much as the tables themselves."""
    for backup in backups_in(request.folder):
        same = backup.is_of(request.endpoint, facts.system) and backup.scope == request.scope == "database"
        if same:
            # half as much again: what was written since may compress less well
            return min(size, backup.size + backup.size // 2) + _SPARE
    return size + _SPARE


def check_room(request: BackupRequest, plan: BackupPlan) -> None:
    """Make the folder, and see that the file will fit into it.

    :raises BackupFailed: with the figures, or with the system's words.
    """
    folder = request.folder
    try:
        make_folder(folder)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise no_folder(folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise no_folder(folder, PermissionError("it is not writable for this user"))
    if free < plan.estimate:
        raise BackupFailed(
            f"No backup: {folder} has {_mb(free)} free, and the backup of {request.endpoint.database} may need"
            f" {_mb(plan.estimate)}.",
            next_steps=[NextStep("write it where there is room", "export ALEMBIC_SAFE_BACKUP_DIR=/path/with/room")],
            state=STATE,
        )


def no_folder(folder: Path, error: OSError) -> BackupFailed:
    """Return the failure to write to a folder, in the system's words."""
    return BackupFailed(
        f"No backup: nothing can be written to {folder}: {error.strerror or error}.",
        next_steps=[NextStep("write it elsewhere", "export ALEMBIC_SAFE_BACKUP_DIR=/path/that/is/writable")],
        state=STATE,
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
