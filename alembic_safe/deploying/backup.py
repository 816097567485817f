"""How a backup is taken with pg_dump, and proven whole before anybody relies on it."""

from __future__ import annotations

import os
import re
import shlex
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import alembic_safe
from alembic_safe.database.programs import Program, beside, find_program
from alembic_safe.database.running import Outcome, run_program, run_to_end, sigterm_as_an_error
from alembic_safe.deploying.backup_contents import as_role, connect_as, quoted, read_tables, unreadable
from alembic_safe.deploying.backup_files import (
    Backup,
    hold_partial,
    new_path,
    remove_abandoned,
    remove_older,
    sha256_of,
    write_sidecar,
)
from alembic_safe.deploying.backup_plan import STATE, BackupPlan, BackupRequest, check_room, no_folder, plan_backup
from alembic_safe.errors import BackupFailed, Interrupted, NextStep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["STATE", "Backup", "BackupPlan", "BackupRequest", "plan_backup", "remove_older", "take_backup"]

COMPRESSIONS = ("zstd:1", "1")
"""What pg_dump is asked for, in this order: a build without zstd says so before it connects."""

_ZSTD_SINCE = 16


def take_backup(request: BackupRequest) -> Backup:
    """Take a backup, read it back, and give it its name only then.

    :raises BackupFailed: no room, no right, or no proof; what was written is removed.
    :raises Missing: the database or a fitting pg_dump is missing.
    :raises Interrupted: a person or a signal ended it; what was written is removed.
    """
    started = time.monotonic()
    plan = plan_backup(request)
    taken_at = datetime.now(timezone.utc)
    if request.command:
        return _by_command(request, plan, taken_at, started)
    pg_dump = find_program("pg_dump", plan.facts.server_major, pg_bin=request.pg_bin, tls=plan.tls)
    pg_restore = beside(pg_dump, "pg_restore") or find_program("pg_restore", pg_dump.major, pg_bin=request.pg_bin)
    remove_abandoned(request.folder, request.endpoint)
    check_room(request, plan)
    path = new_path(request.folder, request.endpoint, request.heads, taken_at)
    with sigterm_as_an_error(), _partial_of(path) as partial:
        compression = _dump(pg_dump, request, plan, partial)
        entries = _listed(pg_restore, request, plan, partial)
        size = partial.stat().st_size
        digest = sha256_of(partial)
        backup = Backup(
            location=str(path), database=request.endpoint.database, host=request.endpoint.host,
            port=request.endpoint.port, user=request.endpoint.user, scope=request.scope, heads=request.heads,
            tables=tuple((table.schema, table.name) for table in plan.tables if table.holds_rows), size=size,
            sha256=digest, entries=entries, compression=compression, program=f"pg_dump {pg_dump.version}",
            taken_at=taken_at.isoformat(timespec="milliseconds"), seconds=round(time.monotonic() - started, 3),
            tool=f"alembic-safe {alembic_safe.__version__}", facts=plan.facts,
        )  # fmt: skip
        write_sidecar(backup, path)
        partial.rename(path)  # the name promises that all of the above was seen
    return backup


@contextmanager
def _partial_of(path: Path) -> Iterator[Path]:
    """Make a file that only its owner can read, and remove it unless it gets its final name."""
    partial = path.with_name(path.name + ".partial")
    try:
        held = hold_partial(partial)
    except OSError as error:
        raise no_folder(path.parent, error) from error
    try:
        yield partial
    except KeyboardInterrupt as error:
        raise Interrupted("The backup was interrupted; the unfinished file was removed.", state=STATE) from error
    except OSError as error:
        raise no_folder(path.parent, error) from error
    finally:
        os.close(held)
        if partial.exists():
            partial.unlink()
            path.with_name(path.name + ".json").unlink(missing_ok=True)


def _dump(program: Program, request: BackupRequest, plan: BackupPlan, partial: Path) -> str:
    """Run pg_dump into the file, with the best compression that it can do, and return that."""

    def tick() -> None:
        if request.on_progress is not None:
            request.on_progress(partial.stat().st_size, plan.estimate)

    arguments = as_role(request.endpoint, request.role)
    arguments += [
        f"--file={partial}",
        "--format=custom",
        f"--lock-wait-timeout={max(1, int(request.lock_wait * 1000))}",
    ]
    if request.scope == "affected":
        arguments.append("--no-blobs")
        arguments += [f"--exclude-table-data={quoted(t.schema, t.name)}" for t in plan.left_out if t.holds_rows]
    offers = COMPRESSIONS if program.major >= _ZSTD_SINCE else COMPRESSIONS[1:]
    for compression in offers:
        outcome = run_program(program, [*arguments, f"--compress={compression}"], request.endpoint, tick=tick)
        if outcome.succeeded:
            tick()
            return compression if ":" in compression else f"gzip:{compression}"
        if "does not support compression" not in outcome.stderr:
            break
    raise _dump_failed(request, outcome)


def _dump_failed(request: BackupRequest, outcome: Outcome) -> BackupFailed:
    """Say what pg_dump said; where rights are missing, say all of them, not the first."""
    words = [line for line in outcome.stderr.splitlines() if line.strip()] or [f"exit code {outcome.returncode}"]
    role = request.role or request.endpoint.user
    with connect_as(request.endpoint, request.role) as connection:
        hidden, grants = unreadable(connection, role)
    steps: list[NextStep] = []
    if hidden:
        words += [f"What {role} may not read:", *(f"  {line}" for line in hidden)]
        steps = [NextStep("their owner or a superuser runs", line) for line in grants]
    return BackupFailed("No backup: pg_dump stopped.", detail=words, next_steps=steps, state=STATE)


def _listed(program: Program, request: BackupRequest, plan: BackupPlan, partial: Path) -> int:
    """Read the table of contents back and hold it against the database; return how many entries it has."""
    outcome = run_program(program, ["--list", str(partial)])
    header = re.search(r"^;\s+TOC Entries: (\d+)$", outcome.stdout, re.MULTILINE)
    if not outcome.succeeded or header is None:
        words = outcome.stderr.splitlines()
        raise BackupFailed("The backup cannot be read back: pg_restore does not list it.", detail=words, state=STATE)
    # by number, not by name: "3364; 0 16385 TABLE DATA public users deploy" could be read in several ways
    defined = {int(oid) for oid in re.findall(r"^\d+; 1259 (\d+) ", outcome.stdout, re.MULTILINE)}
    filled = {int(oid) for oid in re.findall(r"^\d+; 0 (\d+) TABLE DATA ", outcome.stdout, re.MULTILINE)}
    missing = [t for t in (*plan.tables, *plan.left_out) if t.oid not in defined]
    missing += [t for t in plan.tables if t.holds_rows and t.oid not in filled and t not in missing]
    if missing:
        with connect_as(request.endpoint, request.role) as connection:
            present = {table.oid for table in read_tables(connection)}
        gone = [quoted(t.schema, t.name) for t in missing if t.oid in present]  # the others were dropped meanwhile
        if gone:
            raise BackupFailed(
                f"The backup is not complete: it lacks {', '.join(gone)}.",
                next_steps=[NextStep("see which rights this role lacks", "alembic safe-status")], state=STATE,
            )  # fmt: skip
    return int(header[1])


def _by_command(request: BackupRequest, plan: BackupPlan, taken_at: datetime, started: float) -> Backup:
    """Run the user's own command; its exit code is the proof, its last line the place."""
    place = request.endpoint
    said = {
        "DATABASE": place.database, "HOST": place.host, "PORT": str(place.port), "USER": place.user,
        "REVISION": "+".join(request.heads), "SCOPE": request.scope, "DIR": str(request.folder),
    }  # fmt: skip
    variables = {**os.environ, **{f"ALEMBIC_SAFE_BACKUP_{key}": value for key, value in said.items()}}
    command = shlex.split(str(request.command))
    try:
        outcome = run_to_end(command, variables)
    except (OSError, IndexError) as error:
        raise BackupFailed(f"No backup: backup_command cannot be run: {error}.", state=STATE) from error
    except (KeyboardInterrupt, Interrupted) as error:
        raise Interrupted("backup_command was interrupted.", state=STATE) from error
    lines = [line.strip() for line in outcome.stdout.splitlines() if line.strip()]
    if not outcome.succeeded:
        words = outcome.stderr.splitlines()[-20:]
        raise BackupFailed(f"No backup: backup_command ended with {outcome.returncode}.", detail=words, state=STATE)
    return Backup(
        location=lines[-1] if lines else command[0], database=place.database, host=place.host, port=place.port,
        user=place.user, scope=request.scope, heads=request.heads,
        tables=tuple((table.schema, table.name) for table in plan.tables if table.holds_rows), size=0, sha256="",
        entries=0, compression="", program=command[0], taken_at=taken_at.isoformat(timespec="milliseconds"),
        seconds=round(time.monotonic() - started, 3), tool=f"alembic-safe {alembic_safe.__version__}", facts=plan.facts,
    )  # fmt: skip
