"""What is said of a revision that failed or was interrupted: where, what is committed of it, and the ways on."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from alembic_safe.database.failures import as_written, notes_on, reason_of, statement_of
from alembic_safe.database.journal_steps import half_done
from alembic_safe.database.timeouts import Outcome
from alembic_safe.errors import Interrupted, NextStep, RevisionFailed, RevisionHalfDone, SafeError
from alembic_safe.inspecting.history import version_table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alembic.runtime.migration import MigrationContext

    from alembic_safe.database.environment import Journals
    from alembic_safe.database.failures import AttemptFailed, AttemptInterrupted
    from alembic_safe.deploying.plan import PlannedRevision

_SHOWN_STATEMENTS = 5
_LONGEST_STATEMENT = 300
WAYS_ON = (
    NextStep("go on with it", "alembic safe-upgrade"),
    NextStep("or take back what is done of it", "alembic safe-upgrade --back-out"),
)
"""What leads on from a revision that stopped between two steps."""


@dataclass
class Committed:
    """The statements of the running revision: those committed, and those that a rollback would take back."""

    done: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


class Recorded:
    """Listens to one connection while a revision runs."""

    def __init__(self, context: MigrationContext, committed: Committed) -> None:
        self.connection: Any = context.connection
        self.committed = committed
        self.listeners: dict[str, Callable[..., Any]] = {
            "after_cursor_execute": self._ran,
            "commit": self._kept,
            "rollback": self._gone,
        }

    def __enter__(self) -> None:
        for name, listener in self.listeners.items():
            event.listen(self.connection, name, listener)

    def __exit__(self, *_: object) -> None:
        for name, listener in self.listeners.items():
            event.remove(self.connection, name, listener)

    def _ran(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        del cursor
        statement = as_written(statement, connection.dialect.driver)
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            self.committed.done.append(statement)
        else:
            self.committed.open.append(statement)

    def _kept(self, _: Any) -> None:
        self.committed.done.extend(self.committed.open)
        self.committed.open.clear()

    def _gone(self, _: Any) -> None:
        self.committed.open.clear()


@dataclass(frozen=True)
class Failing:
    """A revision that did not come to its end.

    :param committed: the statements of it that were seen to be committed.
    :param in_steps: whether it stopped behind a part that is committed for good, in this run or an earlier one.
    """

    context: MigrationContext
    planned: PlannedRevision
    committed: Committed
    journals: Journals
    in_steps: bool

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.planned.revision} ({self.planned.message})"

    def explain(self, failed: AttemptFailed) -> RevisionFailed | RevisionHalfDone:
        """Say what failed, where, and how the database stands; what one of ours says, in its own words."""
        error = failed.error
        own = error if isinstance(error, SafeError) else None
        summary = f"{self.name}: {own.summary}" if own is not None else f"{self.name} failed: {reason_of(error)}"
        detail = [_line_of(error, self.planned.file), *(own.detail if own is not None else _statement(error))]
        if self.in_steps:
            return self._between_steps(summary, detail, failed.outcome)
        if failed.outcome is Outcome.ROLLED_BACK:
            return RevisionFailed(
                summary,
                detail=detail,
                next_steps=[NextStep("mend the cause, then the same command", "alembic safe-upgrade")],
                state=f"The revision was rolled back; {stands(self.context)}. Safe to run again.",
            )
        # what is no error of the server's cannot have come from the COMMIT: that one went through before
        if failed.outcome is Outcome.UNKNOWN and isinstance(error, DBAPIError):
            return RevisionHalfDone(
                summary,
                detail=[*detail, "The connection was lost while the revision was being committed."],
                next_steps=[NextStep("see whether it arrived", "alembic safe-status")],
                state=f"The version table says whether this revision was committed: {stands(self.context)}.",
            )
        return RevisionHalfDone(
            summary,
            detail=[*detail, "Committed before the failure, and not taken back:", *_shown(self.committed.done)],
            next_steps=[
                *(own.next_steps if own is not None else ()),
                NextStep("make the rest of the revision skip what is there already, or undo those statements by hand"),
                NextStep("then go on", "alembic safe-upgrade"),
            ],
            state=f"The revision is half done; {stands(self.context)}.",
        )

    def explain_refusal(self, error: SafeError, outcome: Outcome) -> RevisionHalfDone:
        """Say the same of an operation of ours that refused, or did not get its lock, behind a committed step."""
        found = self._between_steps(f"{self.name}: {error.summary}", list(error.detail), outcome)
        own = [step for step in error.next_steps if step not in WAYS_ON]
        found.next_steps = (*own, *WAYS_ON)
        return found

    def explain_interruption(self, interrupted: AttemptInterrupted) -> Interrupted | RevisionHalfDone:
        """Say how the database stands after Ctrl-C or SIGTERM."""
        go_on = NextStep("go on", "alembic safe-upgrade")
        if self.in_steps:
            # nothing failed, and what is committed of it is found again: the same command goes on
            detail = self._found_again([], interrupted.outcome)
            return Interrupted(f"Interrupted in {self.name}.", detail=detail, next_steps=WAYS_ON, state=self.state())
        if interrupted.outcome is Outcome.ROLLED_BACK:
            state = f"{self.name} was rolled back; {stands(self.context)}. Safe to run again."
            return Interrupted("Interrupted.", next_steps=[go_on], state=state)
        return RevisionHalfDone(
            f"Interrupted in {self.name}.",
            detail=["Committed before that, and not taken back:", *_shown(self.committed.done)],
            next_steps=[go_on],
            state=f"The revision is half done; {stands(self.context)}.",
        )

    def state(self) -> str:
        """Return the closing sentence on a revision that stopped between two steps."""
        return f"The revision is half done ({self._what()}); {stands(self.context)}. Safe to run again."

    def _between_steps(self, summary: str, detail: list[str], outcome: Outcome) -> RevisionHalfDone:
        found = self._found_again(detail, outcome)
        return RevisionHalfDone(summary, detail=found, next_steps=WAYS_ON, state=self.state())

    @staticmethod
    def _found_again(detail: list[str], outcome: Outcome) -> list[str]:
        if outcome is Outcome.ROLLED_BACK:
            return detail
        return [*detail, "The step that it stopped in has committed a part of its own, and finds it there again."]

    def _what(self) -> str:
        connection: Any = self.context.connection
        try:
            connection.rollback()
            found = half_done(connection, self.journals, version_table_of(self.context))
            connection.rollback()
        except DBAPIError:
            return "what is done of it could not be asked"
        return next((one.what for one in found if one.revision == self.planned.revision), "no step of it is done")


def interruption_behind(error: BaseException | None) -> BaseException | None:
    """Return the Ctrl-C or SIGTERM that an error has covered up.

    It ends the connection, and the way out of an autocommit block then fails on that.
    """
    seen = error
    for _ in range(20):
        if seen is None or isinstance(seen, (KeyboardInterrupt, SystemExit)):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _shown(statements: Sequence[str]) -> Iterator[str]:
    # Alembic's and our own reading and bookkeeping is not what a person has to know about
    real = [s for s in statements if not s.lstrip().upper().startswith(("SELECT", "SET ", "SHOW"))]
    for statement in real[-_SHOWN_STATEMENTS:]:
        yield "  " + _short(statement)


def _short(statement: str) -> str:
    text = " ".join(statement.split())
    return text if len(text) <= _LONGEST_STATEMENT else text[: _LONGEST_STATEMENT - 3] + "..."


def _statement(error: BaseException) -> Iterator[str]:
    if isinstance(error, DBAPIError) and error.statement:
        yield "  " + _short(statement_of(error))
    yield from notes_on(error)


def _line_of(error: BaseException, file: str) -> str:
    line = 0
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename) == Path(file):
            line = frame.lineno or 0
    path = Path(file)
    try:
        path = path.relative_to(Path.cwd())
    except ValueError:
        path = Path(file)
    return f"{path}:{line}" if line else str(path)


def stands(context: MigrationContext) -> str:
    """Say where the database is; the version table is asked anew where the connection still answers."""
    connection: Any = context.connection
    try:
        # also where none is active: a transaction whose connection is gone must be ended, too
        connection.rollback()
        heads = ", ".join(context.get_current_heads()) or "no revision"
        connection.rollback()
    except DBAPIError:
        return "where the database stands could not be asked: the connection is gone"
    return f"the database stands at {heads}"
