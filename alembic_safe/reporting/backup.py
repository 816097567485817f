"""How backups and restores look: lines for people, one line for cron, one JSON object for machines."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from alembic_safe.deploying.events import BackupProgressed, BackupTaken
from alembic_safe.errors import SafeError
from alembic_safe.reporting.deployment import DeploymentText
from alembic_safe.reporting.deployment_json import FORMAT, identity_as_json
from alembic_safe.reporting.text import LABEL, count, duration, say, shown_path, target, volume

if TYPE_CHECKING:
    from alembic_safe.deploying.backup_run import BackedUp
    from alembic_safe.deploying.restore import Restored
    from alembic_safe.inspecting.target import Target

_SHOWN_DIFFERENCES = 20


class BackupText:
    """Prints backups: with a live line on a terminal, one line for each elsewhere."""

    def __init__(self) -> None:
        self.lines = DeploymentText()

    def begins(self, found: Target) -> None:
        """Name the target, where somebody watches."""
        if self.lines.live:
            say("Target", target(found.identity, found.heads))

    def progress(self, size: int, expected: int) -> None:
        """Show how far it is, where somebody watches."""
        if self.lines.live:
            self.lines(BackupProgressed(size, expected))

    def taken(self, done: BackedUp) -> None:
        """Say where the backup is and what it is worth."""
        backup = done.backup
        if self.lines.live:
            self.lines(BackupTaken(backup))
        else:
            size = f", {volume(backup.size)}" if backup.size else ""
            what = f"{done.target.identity.place.shown}: {backup.location}{size}, {duration(backup.seconds)}"
            sys.stdout.write(f"{'Backup':<{LABEL}}{what}\n")  # not wrapped: a log is searched line by line
        for path in done.removed:
            say("Removed", f"{shown_path(str(path))}, older than the newest that are kept")
        if done.not_journalled:
            say("Note", f"not in the journal: {done.not_journalled}")
        if done.not_removed:
            say("Note", f"older backups could not be deleted: {done.not_removed}")

    def failed(self, error: BaseException) -> None:
        """Make room for the error, which is printed by whoever caught it."""
        self.lines.failed(error)

    def end(self) -> None:
        """Leave the terminal clean."""
        self.lines.end()


class AsJson:
    """Collects what happened, and prints one object at the end, however it ends."""

    def __init__(self) -> None:
        self.result: dict[str, Any] = {"format": FORMAT, "outcome": "done", "exit_code": 0}

    def begins(self, found: Target) -> None:
        """Nothing is said before the end."""

    def progress(self, size: int, expected: int) -> None:
        """Nothing is said before the end."""

    def taken(self, done: BackedUp) -> None:
        """Take one backup in."""
        self.result.setdefault("backups", []).append(
            {
                "target": identity_as_json(done.target.identity),
                **asdict(done.backup),
                "removed": [str(path) for path in done.removed],
                "restore": list(done.backup.restore_lines),
                "not_journalled": done.not_journalled,
                "not_removed": done.not_removed,
            }
        )

    def restored(self, done: Restored) -> None:
        """Take a restore in."""
        self.result["restored"] = {**asdict(done), "equal": done.comparison.equal}

    def failed(self, error: BaseException) -> None:
        """Take in how the run ended, if it did not end well."""
        if isinstance(error, SafeError):
            self.result |= {
                "outcome": error.label.lower(), "exit_code": error.exit_code, "error": error.summary,
                "detail": list(error.detail), "state": error.state,
                "next": [{"why": step.why, "command": step.command} for step in error.next_steps],
            }  # fmt: skip
        else:
            code = 130 if isinstance(error, KeyboardInterrupt) else 1
            self.result |= {"outcome": "failed", "exit_code": code, "error": f"{type(error).__name__}: {error}"}
        self.end()

    def end(self) -> None:
        """Print the object."""
        json.dump(self.result, sys.stdout, indent=2, ensure_ascii=False, default=str)
        sys.stdout.write("\n")
        sys.stdout.flush()


class RestoreText:
    """Prints a restore: each part of the work when it begins, then what came of it."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def step(self, words: str) -> None:
        """Say what is being done now."""
        say("Now", words)

    def restored(self, done: Restored) -> None:
        """Say what was restored, how it differs, and how it would be put in place."""
        found = done.comparison
        say(
            "Restored",
            f"{done.database}: {count(found.tables, 'table')}, {count(found.rows, 'row')}, {duration(done.seconds)}",
        )
        if not done.verified:
            say("Note", "nothing said what the file must be; it was restored unchecked")
        if found.problem:
            say("Note", f"not compared with {done.source}: {found.problem}")
        elif found.equal:
            say("Equal", f"definitions and rows are those of {done.source} now, but for what is alembic-safe's own")
        else:
            say("Differs", f"from {done.source} as it is now, so since the backup:")
            _print_differences(done)
        if done.is_partial:
            say("Partial", "only the rows of the tables that the revisions named are in it; every other table is empty")
            say("", f"Take from it what is needed; it cannot stand in the place of {done.source}.")
        else:
            say("Next", f"to put it in the place of {done.source}, when nobody is connected to either:")
            for line in (*done.rename_lines, *done.settings_lines):
                sys.stdout.write(f"{'':<{LABEL}}{line}\n")
            say("", "then say in it what it is, since a copy is nobody's:  alembic safe-guard set production")
        say("Done", f"{done.source} was not changed. {done.database} is a database of its own.")

    def failed(self, error: BaseException) -> None:
        """Whoever caught the error prints it."""

    def end(self) -> None:
        """Nothing is left open."""


def _print_differences(done: Restored) -> None:
    rows = done.comparison.row_differences
    for row in rows[:_SHOWN_DIFFERENCES]:
        here = "no such table" if row.restored is None else count(row.restored, "row")
        there = "no such table" if row.source is None else count(row.source, "row")
        say("", f"{row.schema}.{row.name}: {here} restored, {there} in {done.source}")
    lines = done.comparison.schema
    for line in lines[:_SHOWN_DIFFERENCES]:
        sys.stdout.write(f"{'':<{LABEL}}{line}\n")
    left = max(0, len(rows) - _SHOWN_DIFFERENCES) + max(0, len(lines) - _SHOWN_DIFFERENCES)
    if left:
        say("", f"and {left:,} more; --json has them all")
