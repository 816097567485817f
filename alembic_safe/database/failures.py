"""What a failed attempt was: who blocked it, what it left behind, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.blockers import PREPARED, SESSION, Blocker, Wait
from alembic_safe.database.statements import run
from alembic_safe.errors import LockNotObtained, NextStep, SafeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from alembic_safe.database.timeouts import Outcome

LOCK_FAILURES = {
    "55P03": "lock_timeout (or NOWAIT)",
    "40P01": "deadlock",
    "40001": "serialization failure",
}
"""SQLSTATEs after which the same transaction may succeed: https://www.postgresql.org/docs/current/errcodes-appendix.html."""

_PERCENT_DRIVERS = ("psycopg", "pg8000")


@dataclass(frozen=True)
class FailedAttempt:
    """One attempt that did not get its locks, was rolled back, and may be repeated."""

    number: int
    """Counted from 1."""
    sqlstate: str
    lock_timeout: float
    """Seconds; at its begin: one in which a revision wrote rows had at least ``floor_after_writes`` from then on."""
    seconds: float
    """How long the attempt ran."""
    spent: float
    """Seconds of the budget that are gone."""
    waits: tuple[Wait, ...]
    """What was waited for; empty when it was too short to be seen."""

    @property
    def blockers(self) -> tuple[Blocker, ...]:
        """Who stood in the way."""
        return tuple({b.identity: b for w in self.waits for b in w.blockers}.values())

    @property
    def relations(self) -> tuple[str, ...]:
        """What was waited for, by name."""
        return tuple(dict.fromkeys(w.relation for w in self.waits if w.relation))

    @property
    def reason(self) -> str:
        """What the server said, in words."""
        return LOCK_FAILURES[self.sqlstate]


class AttemptFailed(Exception):
    """A revision's body failed and is not repeated; the cause is the original error.

    :param error: what the body raised.
    :param outcome: what it left in the database.
    :param attempt: set when it was a lock failure: the record of that attempt.
    """

    def __init__(self, error: Exception, outcome: Outcome, attempt: FailedAttempt | None = None) -> None:
        super().__init__(f"{error} ({outcome.value})")
        self.error = error
        self.outcome = outcome
        self.attempt = attempt


class AttemptInterrupted(KeyboardInterrupt):
    """A person or a signal ended the body; the cause is the original KeyboardInterrupt or SystemExit.

    :param error: what came.
    :param outcome: what the attempt left in the database.
    """

    def __init__(self, error: BaseException, outcome: Outcome) -> None:
        super().__init__(f"{type(error).__name__} ({outcome.value})")
        self.error = error
        self.outcome = outcome


def not_obtained(subject: str, failed: FailedAttempt, budget: float, blockers: tuple[Blocker, ...]) -> LockNotObtained:
    """Return the error that ends a run whose attempts all failed.

    :param subject: the revision, as messages call it.
    :param failed: the last attempt.
    :param budget: seconds that were to be had.
    :param blockers: who was last seen in the way.
    """
    on = ", ".join(failed.relations) or "what it needs"
    attempts = "1 attempt" if failed.number == 1 else f"{failed.number} attempts"
    return LockNotObtained(
        f"{subject} did not get its lock on {on} within {budget:.0f} s"
        f" ({attempts}, the last one ended by: {failed.reason}).",
        detail=blocker_table(blockers),
        next_steps=[*ways_past(blockers), NextStep("when they are done, run the same command again")],
        state="Rolled back: the database stands where it stood before this revision.",
    )


def blocker_table(blockers: Iterable[Blocker]) -> list[str]:
    """Return the blockers as aligned lines of text, headings first; no lines when there are none."""
    rows = [("pid", "application", "user", "for", "state", "lock", "on", "query")]
    for b in blockers:
        age = "?" if b.transaction_age is None else f"{b.transaction_age:.1f} s"
        state = b.state if b.kind == SESSION and b.state else b.kind
        rows.append(
            (str(b.pid or "-"), b.application or "-", b.user or "-", age, state, b.mode, b.relation or "a row", b.query)
        )
    if len(rows) == 1:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def reason_of(error: BaseException) -> str:
    """Return why something failed, in one line: an error of ours in its own sentence, any other with its class.

    What else an error of ours says is for whoever shows it: a message inside of another one has two ends.
    """
    if isinstance(error, SafeError):
        return error.summary
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    # the server's own DETAIL and HINT lines stand in str() of every driver's error
    text = " ".join(str(origin).split())
    return f"{type(origin).__name__}: {text}" if text else type(origin).__name__


def note_on(error: BaseException, note: str) -> None:
    """Add a line to what is said of an error, whoever shows it: Python itself does since 3.11 (PEP 678)."""
    error.__notes__ = [*notes_on(error), note]


def notes_on(error: BaseException) -> tuple[str, ...]:
    """Return the lines that were added to an error."""
    return tuple(getattr(error, "__notes__", ()))


def statement_of(error: DBAPIError) -> str:
    """Return the statement that failed, on one line, as it was written."""
    return as_written(" ".join((error.statement or "").split()), type(error.orig).__module__)


def as_written(statement: str, driver: str) -> str:
    """Return a statement without what was done to it for its driver: those with % parameters get every % doubled."""
    return statement.replace("%%", "%") if driver.startswith(_PERCENT_DRIVERS) else statement


def sqlstate_of(error: BaseException) -> str:
    """Return the SQLSTATE behind an exception of SQLAlchemy's, a driver's, or one raised from these; else ``""``."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            break
        orig = getattr(seen, "orig", None)
        for candidate in (orig, seen):
            # psycopg and asyncpg; psycopg2; pg8000, which has the server's fields in a dict
            state = getattr(candidate, "sqlstate", None) or getattr(candidate, "pgcode", None)
            first = candidate.args[0] if isinstance(candidate, BaseException) and candidate.args else None
            state = state or (first.get("C") if isinstance(first, dict) else None)
            if isinstance(state, str):
                return state
        seen = seen.__cause__
    return ""


def sqlstate_when_run(connection: Connection, sql: str) -> str:
    """Run a query under a savepoint, and return the SQLSTATE with which it fails; empty where it runs."""
    error = error_when_run(connection, sql)
    return "" if error is None else sqlstate_of(error) or "unknown"


def error_when_run(connection: Connection, sql: str) -> DBAPIError | None:
    """Run a statement under a savepoint, and return what it fails with; where it runs, what it did stays."""
    try:
        with connection.begin_nested():
            run(connection, sql)
    except DBAPIError as error:
        return error
    return None


def ways_past(blockers: tuple[Blocker, ...]) -> list[NextStep]:
    """Return what a person can do about those who stand in the way."""
    steps = []
    for blocker in blockers:
        if blocker.kind == PREPARED:
            steps += _ways_past_prepared(blocker)
        if blocker.kind != SESSION:
            continue
        if blocker.state == "active":
            command = f"SELECT pg_cancel_backend({blocker.pid});"
            steps.append(
                NextStep(f"if the owner of session {blocker.pid} agrees to end its statement, in psql", command)
            )
        else:
            steps.append(NextStep(f"ask the owner of session {blocker.pid} to end its transaction"))
    return steps


def _ways_past_prepared(blocker: Blocker) -> list[NextStep]:
    """Return what a person can do about a transaction that lives on without a session: nothing but this ends it."""
    whose = f"if {blocker.user} agrees that" if blocker.user else "if"
    if not blocker.gid:
        return [NextStep("find the prepared transaction, in psql", "SELECT * FROM pg_prepared_xacts;")]
    return [
        NextStep(f"{whose} prepared transaction {blocker.gid} is to hold, in psql", f"COMMIT PREPARED {blocker.gid};"),
        NextStep("or, if it is to be undone", f"ROLLBACK PREPARED {blocker.gid};"),
    ]
