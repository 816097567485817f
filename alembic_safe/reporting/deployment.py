"""How a deployment looks while it runs: a live line on a terminal, plain lines in a log."""

from __future__ import annotations

import functools
import sys
import time
from typing import TYPE_CHECKING, TextIO

from alembic_safe.deploying import events
from alembic_safe.errors import NextStep
from alembic_safe.reporting.drift import print_drift
from alembic_safe.reporting.gate import held_line
from alembic_safe.reporting.plan_text import warning_lines
from alembic_safe.reporting.rehearsal import rehearsal_lines
from alembic_safe.reporting.text import (
    LABEL,
    count,
    duration,
    labelled,
    print_next,
    say_in_one_line,
    shown_path,
    silence_standard_output,
    target,
    volume,
    width,
)

if TYPE_CHECKING:
    from alembic_safe.deploying.plan import Plan, PlannedRevision

LOG_EVERY = 30.0
"""Seconds between two lines about the same wait, where lines cannot be rewritten."""


class DeploymentText:
    """Prints a deployment's events; results to ``out``, progress to ``err``.

    :param out: where lines stay.
    :param err: where a live line may be rewritten; on a log only a line now and then.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.live = self.err.isatty() and self.out.isatty()
        self._live_shown = False
        self._last_line: dict[str, float] = {}
        self._tenth = -1

    def __call__(self, event: events.Event) -> None:
        """Show one event; a reader that has gone away (``| head``) or a full log disk ends the telling, not the deploy."""
        try:
            self._show(event)
        except OSError:
            self.out = self.err = silence_standard_output()
            self.live = self._live_shown = False

    @functools.singledispatchmethod
    def _show(self, event: events.Event) -> None:
        raise TypeError(f"no line is known for {type(event).__name__}")

    def end(self) -> None:
        """Leave the terminal clean."""
        self._clear()

    def failed(self, error: BaseException) -> None:
        """Make room for the error, which is printed by whoever caught it."""
        del error
        self._clear()

    def _say(self, label: str, text: str) -> None:
        self._clear()
        self.out.write(labelled(label, text, columns=width(self.out)) + "\n")
        self.out.flush()

    def _row(self, label: str, text: str, right: str) -> None:
        """Print a line whose end stands at the right edge, as far as it fits."""
        self._clear()
        columns = min(width(self.out), 88)
        room = columns - LABEL - len(right) - 1
        if len(text) > room:
            text = text[: room - 3] + "..."
        self.out.write(f"{label:<{LABEL}}{text:<{room}} {right}\n")
        self.out.flush()

    def _now(self, label: str, text: str, *, key: str) -> None:
        """Show what is going on: rewritten in place on a terminal, now and then in a log."""
        if self.live:
            columns = width(self.err)
            line = f"{label:<{LABEL}}{text}"[: columns - 1]
            self.err.write(f"\r{line:<{columns - 1}}")
            self.err.flush()
            self._live_shown = True
            return
        if time.monotonic() - self._last_line.get(key, float("-inf")) >= LOG_EVERY:
            self._last_line[key] = time.monotonic()
            self.err.write(f"{label:<{LABEL}}{text}\n")
            self.err.flush()

    def _clear(self) -> None:
        if self._live_shown:
            self.err.write("\r" + " " * (width(self.err) - 1) + "\r")
            self.err.flush()
            self._live_shown = False

    @_show.register
    def _target(self, event: events.TargetSeen) -> None:
        pending = f"{event.pending} pending" if event.pending else "nothing pending"
        self._say("Target", target(event.identity, event.heads, extra=pending))

    @_show.register
    def _noted(self, event: events.Noted) -> None:
        self._say(event.label, event.text)

    @_show.register
    def _unused(self, event: events.ConsentUnused) -> None:
        self._clear()
        say_in_one_line("Note", event.text, stream=self.err)

    @_show.register
    def _drift(self, event: events.DriftFound) -> None:
        self._clear()
        print_drift(event.drift, stream=self.out)

    @_show.register
    def _lock_awaited(self, event: events.LockAwaited) -> None:
        waiting = event.waiting
        who = f"pid {waiting.pid}" + (f", {waiting.application}" if waiting.application else "")
        who += f", {waiting.user}" if waiting.user else ""
        since = f" since {waiting.since:%H:%M:%S}" if waiting.since is not None else ""
        at = ", ".join(event.heads) or "no revision"
        self._now("Waiting", f"{duration(waiting.seconds)}: {who} deploys{since}, the database is at {at}", key="lock")

    @_show.register
    def _plan(self, event: events.PlanMade) -> None:
        plan: Plan = event.plan
        seen = "" if event.safe.trace is not None else f"; not observed: {event.safe.why_not}"
        self._say("Plan", f"{event.safe.hash}: {count(len(plan.revisions), 'revision')}{seen}")
        self._list(plan)
        for line in warning_lines(event.safe, width(self.out)):
            self.out.write(line + "\n")
        self.out.flush()

    def _list(self, plan: Plan) -> None:
        widest = max(len(revision.revision) for revision in plan.revisions)
        for number, revision in enumerate(plan.revisions, 1):
            self._say(f"{number:>3}", f"{revision.revision:<{widest}}  {revision.message}".rstrip())

    @_show.register
    def _rehearsed(self, event: events.RehearsalDone) -> None:
        for line in rehearsal_lines(event.rehearsal, width(self.out)):
            self.out.write(line + "\n")
        self.out.flush()

    @_show.register
    def _backup_progress(self, event: events.BackupProgressed) -> None:
        share = f" of about {volume(event.expected)}" if event.expected else ""
        self._now("Backup", f"{volume(event.size)}{share}", key="backup")

    @_show.register
    def _backup(self, event: events.BackupTaken) -> None:
        backup = event.backup
        what = shown_path(backup.location) + (f", {volume(backup.size)}" if backup.size else "")
        self._row("Backup", what, f"ok {duration(backup.seconds):>9}")
        # commands are not wrapped: they are there to be pasted
        self.out.writelines(f"{'':<{LABEL}}{line}\n" for line in backup.restore_lines)
        self.out.flush()

    @_show.register
    def _no_backup(self, event: events.BackupSkipped) -> None:
        self._say("Backup", event.why)

    @staticmethod
    def _number(number: int, of: int) -> str:
        return f"{number}/{of}"

    @staticmethod
    def _name(planned: PlannedRevision) -> str:
        return f"{planned.revision}  {planned.message}".rstrip()

    @_show.register
    def _revision_started(self, event: events.RevisionStarted) -> None:
        if self.live:
            self._now(self._number(event.number, event.of), f"{self._name(event.planned)}  running", key="revision")

    @_show.register
    def _step(self, event: events.StepStarted) -> None:
        self._now("", f"{event.planned.revision}  step {event.number}: {event.name}", key=f"step {event.name}")

    @_show.register
    def _copy(self, event: events.CopyProgressed) -> None:
        copy = event.copy
        text = f"{event.planned.revision}  {copy.doing} {copy.table}: {copy.rows:,}"
        if copy.total > copy.rows:
            text += f" of about {copy.total:,}"
        text += " rows"
        if copy.rate:
            text += f", {copy.rate:,.0f}/s"
        if copy.remaining is not None and copy.doing != "done":
            text += f", {duration(copy.remaining)} left"
        if copy.reason:
            text += f" ({copy.reason})"
        self._now("Copy", text, key=f"copy {copy.table} {copy.doing}")

    @_show.register
    def _lock_missed(self, event: events.LockMissed) -> None:
        attempt = event.attempt
        relations = ", ".join(attempt.relations)
        on = f" on {relations}" if relations else ""
        self._say(
            self._number(event.number, event.of),
            f"{event.planned.revision}  attempt {attempt.number}: no lock{on} within"
            f" {duration(attempt.lock_timeout)} ({attempt.reason}); rolled back, will be repeated",
        )
        self._clear()
        from alembic_safe.database.failures import blocker_table

        for line in blocker_table(attempt.blockers):
            self.out.write(" " * LABEL + line[: max(width(self.out), WIDEST_TABLE) - LABEL] + "\n")
        self.out.flush()

    @_show.register
    def _holders(self, event: events.HoldersAwaited) -> None:
        holders = event.wait.holders[:3]
        who = ", ".join(b.shown for b in holders)
        # it waits for no session: where its manager has forgotten it, only a person ends it
        ends = "".join(f"; COMMIT PREPARED {b.gid} or ROLLBACK PREPARED {b.gid} ends it" for b in holders if b.gid)
        self._now(
            self._number(event.number, event.of),
            f"{event.planned.revision}  waits for {who} to finish, {duration(event.wait.seconds)}; nobody is held up{ends}",
            key=f"holders {event.number}",
        )

    @_show.register
    def _applied(self, event: events.RevisionApplied) -> None:
        tries = f"  (attempt {event.attempts})" if event.attempts > 1 else ""
        self._row(
            self._number(event.number, event.of), self._name(event.planned) + tries, f"ok {duration(event.seconds):>9}"
        )

    @_show.register
    def _waits(self, event: events.ContractWaits) -> None:
        self._say("Waits", held_line(event.held))

    @_show.register
    def _finished(self, event: events.Finished) -> None:
        self._say("Done", f"in {duration(event.seconds)}. {event.state}" if event.changed else event.state)
        if event.changed:
            print_next([NextStep("see where it stands", "alembic safe-status")], stream=self.out)


WIDEST_TABLE = 160
"""Columns that a table of blockers may have in a log: a query cut short is a query not found."""
