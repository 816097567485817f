"""How a backup is restored: checked first, into a database of its own, and compared afterwards."""

from __future__ import annotations

import contextlib
import re
import shlex
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from alembic_safe.database.environment import journals_in
from alembic_safe.database.journal_backups import close_restored
from alembic_safe.database.programs import Program, find_program
from alembic_safe.database.running import run_program, sigterm_as_an_error
from alembic_safe.deploying.backup_contents import DatabaseFacts, as_role, connect_as, read_facts
from alembic_safe.deploying.backup_files import Backup, read_sidecar, restored_name, sha256_of, sidecar_of
from alembic_safe.deploying.restore_comparison import Comparison, compare
from alembic_safe.deploying.restore_target import any_database, new_database
from alembic_safe.errors import BackupFailed, Missing, NextStep, Refused, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic_safe.database.endpoint import Endpoint

_KNOWS_TRANSACTION_TIMEOUT = 17
_NAME_BYTES = 63


@dataclass(frozen=True)
class RestoreRequest:
    """Which file to restore, and into what.

    :param endpoint: the server; its database is the one that the backup is compared with.
    :param name: the new database; None: ``<database>_restored_<time>``.
    :param sha256: what the file must have where no file beside it says so.
    :param unverified: restore it although nothing says what it must be.
    :param owners: give every object its owner and grants; their roles must exist on the server.
    :param role: the role to create and to compare as, where ``env.py`` sets one after it has logged in.
    :param on_step: called with a few words when a part of the work begins.
    """

    endpoint: Endpoint
    path: Path
    name: str | None = None
    sha256: str | None = None
    unverified: bool = False
    owners: bool = True
    role: str | None = None
    pg_bin: str | None = None
    on_step: Callable[[str], None] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Restored:
    """A restored database, and how it differs from the one that the backup was taken of.

    :param source: the database that the dump names.
    :param backup: what the file beside the dump says; None without one.
    :param verified: whether the file had the sha256 that was noted when the backup was taken, or given.
    :param comparison: with the source as it is now, as far as that could be made.
    :param rename_lines: SQL that would put it in the source's place, when nobody is connected to either.
    :param settings_lines: SQL for what belongs to the database itself (its owner, settings and grants), to run after that.
    """

    database: str
    source: str
    backup: Backup | None
    verified: bool
    comparison: Comparison
    rename_lines: tuple[str, ...]
    settings_lines: tuple[str, ...]
    seconds: float

    @property
    def is_partial(self) -> bool:
        """Whether the backup held the rows of some tables only: nothing that could stand in the source's place."""
        return self.backup is not None and self.backup.scope == "affected"


def restore(request: RestoreRequest) -> Restored:
    """Restore a backup into a new database; no existing database is written to.

    :raises BackupFailed: the file is not what it was, or does not restore; the new database is removed again.
    :raises Refused: nothing says what the file must be, or the database exists already.
    :raises Missing: file, program or right.
    """
    started = time.monotonic()
    backup = checked(request)
    maintenance = any_database(request.endpoint)
    with maintenance.connect() as connection:
        server, tls = read_facts(connection), bool(connection.pgconn.ssl_in_use)
    wrote = re.search(r"pg_dump (\d+)", backup.program) if backup else None
    newest = max(server.server_major, int(wrote[1]) if wrote else 0)
    program = find_program("pg_restore", newest, pg_bin=request.pg_bin, tls=tls)
    pg_dump = find_program("pg_dump", server.server_major, pg_bin=request.pg_bin, tls=tls)
    contents = _contents(program, request.path)
    source = backup.database if backup else _source_of(contents) or request.endpoint.database
    now = datetime.now(timezone.utc)
    name = request.name or restored_name(source, f"restored_{now:%Y%m%d_%H%M%S}")
    if len(name.encode()) > _NAME_BYTES:
        raise WrongUsage(f"The name {name!r} is longer than the {_NAME_BYTES} bytes that PostgreSQL keeps.")
    restored = request.endpoint.with_database(name)
    made = new_database(maintenance, request.role, name, backup.facts if backup else None)
    with sigterm_as_an_error(), made:
        _say(request, f"restore into {name}")
        _pour(program, server, request, name)
        _analyze(restored, request.role)
        _close_deployment(restored, request.role)
        settings = _settings(program, request)
    _say(request, "compare")
    here = backup is None or backup.facts.system == server.system
    part = backup.tables if backup is not None and backup.scope == "affected" else None
    renames = () if part is not None else _renames(source, name, now)
    settings = () if part is not None else settings
    comparison = compare(
        restored, request.endpoint.with_database(source) if here else None, pg_dump, role=request.role, only=part
    )
    return Restored(
        name, source, backup, verified=backup is not None or request.sha256 is not None, comparison=comparison,
        rename_lines=renames, settings_lines=settings, seconds=round(time.monotonic() - started, 3),
    )  # fmt: skip


def _say(request: RestoreRequest, words: str) -> None:
    if request.on_step is not None:
        request.on_step(words)


def checked(request: RestoreRequest) -> Backup | None:
    """Hold the file against what was noted of it, before anything else is done with it.

    :raises BackupFailed: when it is not the file that was written.
    """
    path = request.path
    if not path.is_file():
        raise Missing(f"There is no backup {path}.")
    backup = read_sidecar(path)
    expected = request.sha256 or (backup.sha256 if backup else None)
    if expected is None:
        if request.unverified:
            return None
        raise Refused(
            f"Nothing says whether {path} is whole: {sidecar_of(path).name} does not stand beside it.",
            next_steps=[
                NextStep("when its sha256 is known", f"alembic safe-restore {shlex.quote(str(path))} --sha256 HASH"),
                NextStep("as it is, unchecked", f"alembic safe-restore {shlex.quote(str(path))} --unverified"),
            ],
        )
    _say(request, "check")
    try:
        found = sha256_of(path)
    except OSError as error:
        raise Missing(f"{path} cannot be read: {error.strerror or error}.") from error
    if found != expected.lower():
        raise BackupFailed(
            f"{path} is not the file that was written: its sha256 is {found}, and was {expected.lower()}.",
            next_steps=[NextStep("take another copy of it, or an older backup")],
        )
    return backup


def pour(request: RestoreRequest, name: str) -> None:
    """Restore a file into an empty database that is there already.

    :raises BackupFailed: when pg_restore stops.
    """
    database = request.endpoint.with_database(name)
    with database.connect() as connection:
        server, tls = read_facts(connection), bool(connection.pgconn.ssl_in_use)
    program = find_program("pg_restore", server.server_major, pg_bin=request.pg_bin, tls=tls)
    _pour(program, server, request, name)


def _pour(program: Program, server: DatabaseFacts, request: RestoreRequest, name: str) -> None:
    arguments = [*as_role(request.endpoint, request.role)]
    arguments += [*([] if request.owners else ["--no-owner", "--no-privileges"]), str(request.path)]
    # pg_restore 17 and newer set transaction_timeout, which older servers do not know: that one error is no error
    foreign = program.major >= _KNOWS_TRANSACTION_TIMEOUT > server.server_major
    strict = [] if foreign else ["--exit-on-error"]
    outcome = run_program(program, [*strict, *arguments], request.endpoint.with_database(name))
    if outcome.succeeded:
        return
    failed = re.findall(r"^Command was: (.*)$", outcome.stderr, re.MULTILINE)
    errors = outcome.stderr.count("pg_restore: error:")
    if foreign and failed == ["SET transaction_timeout = 0;"] and errors == 1:
        return
    words = [line for line in outcome.stderr.splitlines() if line.strip()][:20]
    steps = []
    if request.owners and re.search(r"role .* does not exist|must be (able to SET ROLE|owner|member)", outcome.stderr):
        file = shlex.quote(str(request.path))
        steps.append(NextStep("without owners and grants", f"alembic safe-restore {file} --no-owner"))
    raise BackupFailed("The backup could not be restored: pg_restore stopped.", detail=words, next_steps=steps)


def _analyze(database: Endpoint, role: str | None) -> None:
    """Collect statistics: without them the first queries after a rename would be planned blindly."""
    # without the right to, autovacuum does it a little later
    with contextlib.suppress(psycopg.Error), connect_as(database, role) as connection:
        connection.execute("ANALYZE")


def _close_deployment(database: Endpoint, role: str | None) -> None:
    """Close the journal's row of the deployment that took the backup: nothing runs here, and nothing died."""
    # who may not write, or has a journal of before: the row stays open, as every other restore leaves it
    with contextlib.suppress(psycopg.Error), connect_as(database, role) as connection:
        for journals in journals_in(connection):
            close_restored(connection, journals)


def _contents(program: Program, path: Path) -> str:
    outcome = run_program(program, ["--list", str(path)])
    if not outcome.succeeded:
        raise BackupFailed(f"{path} is no backup that pg_restore can read.", detail=outcome.stderr.splitlines())
    return outcome.stdout


def _source_of(contents: str) -> str:
    found = re.search(r"^;\s+dbname: (.*)$", contents, re.MULTILINE)
    return found[1] if found else ""


def _settings(program: Program, request: RestoreRequest) -> tuple[str, ...]:
    """Return the SQL for the database's own owner, settings and grants.

    pg_restore gives them to a database of the old name only, together with CREATE DATABASE.
    """
    listed = run_program(program, ["--create", "--list", str(request.path)]).stdout
    entries = re.findall(
        r"^\d+; .* (?:DATABASE PROPERTIES - |ACL - DATABASE |COMMENT - DATABASE ).*$", listed, re.MULTILINE
    )
    with tempfile.NamedTemporaryFile("w", suffix=".list", encoding="utf-8", delete=False) as file:
        file.write("".join(f"{entry}\n" for entry in entries))
    try:
        shown = ["--create", f"--use-list={file.name}", "--file=-", str(request.path)]
        text = run_program(program, [*shown, *([] if request.owners else ["--no-owner", "--no-privileges"])]).stdout
    finally:
        Path(file.name).unlink()
    preamble = ("--", "\\", "SET ", "SELECT pg_catalog.set_config", "CREATE DATABASE ")
    return tuple(line for line in text.splitlines() if line.strip() and not line.startswith(preamble))


def _renames(source: str, name: str, now: datetime) -> tuple[str, ...]:
    aside = restored_name(source, f"before_{now:%Y%m%d_%H%M%S}")
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {};")
    pairs = ((source, aside), (name, source))
    return tuple(rename.format(sql.Identifier(old), sql.Identifier(new)).as_string(None) for old, new in pairs)
