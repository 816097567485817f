"""The backup before a deployment: what it must hold, and whether it is small enough to be taken unasked."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.database.statements import run
from alembic_safe.deploying.backup import BackupRequest, take_backup
from alembic_safe.errors import ConsentMissing, Interrupted, NextStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Connection

    from alembic_safe.deploying.backup import Backup
    from alembic_safe.deploying.plan import Plan
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings

_DUMP_RATE = 100_000_000
"""Bytes of tables that pg_dump with light compression reads in a second here; says only how an estimate is made."""


def back_up_first(
    connection: Connection,
    target: Target,
    settings: Settings,
    plan: Plan,
    folder: Path,
    *,
    ask: Callable[[str], bool] | None,
    on_progress: Callable[[int, int], None],
) -> Backup:
    """Take the backup that a deployment needs; the connection is only read from, and left outside a transaction.

    :param folder: where relative paths of the settings begin.
    :param ask: puts a question to a person; ``None`` where nobody can answer.
    :raises ConsentMissing: for a database above ``backup_warn_size`` that nobody has decided about.
    """
    scope = settings.backup_scope
    tables: tuple[tuple[str, str], ...] = ()
    if scope == "affected":
        tables = named_tables(connection, (revision.file for revision in plan.revisions))
        if not tables:
            scope = "database"
    if settings.backup_command is None and scope == "database":
        _decide_about_size(connection, target, settings, ask)
    connection.rollback()
    return take_backup(
        BackupRequest(
            endpoint=target.endpoint,
            folder=folder / settings.backup_dir,
            heads=target.heads,
            scope=scope,
            tables=tables,
            role=target.identity.place.role,
            lock_wait=float(settings.lock_budget),
            pg_bin=settings.pg_bin,
            command=settings.backup_command,
            on_progress=on_progress,
        )
    )


def named_tables(connection: Connection, files: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return the database's tables whose names occur in any text of the revision files.

    More than needed rather than less: a word in raw SQL counts as much as an argument. A file that puts a name
    together piece by piece is not understood; the whole database is the default for that reason.
    """
    words: set[str] = set()
    for file in files:
        for text in _texts(Path(file)):
            words.add(text)
            words.update(re.findall(r"[^\s\"'.,;:()=<>\[\]+*/|-]+", text))
    rows = run(
        connection,
        "SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
        " AND (c.relname = ANY(CAST(:words AS text[])) OR lower(c.relname) = ANY(CAST(:lower AS text[]))) ORDER BY 1, 2",
        {"words": sorted(words), "lower": sorted(word.lower() for word in words)},
    )
    return tuple((row["schema"], row["name"]) for row in rows)


def _texts(path: Path) -> Iterable[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _decide_about_size(
    connection: Connection, target: Target, settings: Settings, ask: Callable[[str], bool] | None
) -> None:
    limit = settings.backup_warn_size
    if limit is None or settings.backup_large == "dump":
        return
    size = int(run(connection, "SELECT pg_database_size(current_database()) AS it")[0]["it"])
    if size <= limit:
        return
    minutes = max(1, round(size / _DUMP_RATE / 60))
    what = (
        f"{target.identity.place.database} has {size / 1e9:,.0f} GB; a dump takes about {minutes} min and up to"
        f" that much room (an estimate, at {_DUMP_RATE // 10**6} MB/s)"
    )
    if ask is None:
        raise ConsentMissing(
            f"{what}. Above backup_warn_size ({limit / 1e9:,.0f} GB) somebody decides how it is backed up.",
            next_steps=[
                NextStep("dump it all the same", "export ALEMBIC_SAFE_BACKUP_LARGE=dump"),
                NextStep("only what the revisions name", "alembic safe-upgrade --backup-scope affected"),
                NextStep("a snapshot of yours instead", "export ALEMBIC_SAFE_BACKUP_COMMAND='...'"),
            ],
        )
    if not ask(f"{what}. Dump it?"):
        raise Interrupted(
            "Declined.",
            next_steps=[
                NextStep("only what the revisions name", "alembic safe-upgrade --backup-scope affected"),
                NextStep("a snapshot of yours instead: the setting backup_command"),
            ],
        )
