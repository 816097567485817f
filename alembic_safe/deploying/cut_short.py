"""What is said when a person, a signal or the server ends a run between two revisions or before the first."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from alembic_safe.database.journal import STOPPED
from alembic_safe.deploying.events import Event, Finished, RevisionApplied
from alembic_safe.errors import NOTHING_CHANGED, CopyUnfinished, Interrupted, Missing, NextStep, SafeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.deploying.events import Tell

# The session is gone: https://www.postgresql.org/docs/current/errcodes-appendix.html, classes 08 and 57P, and the
# two timeouts that end a session rather than a statement.
_GONE = ("08", "57P", "25P03", "25P04")


class Progress:
    """Passes a deployment's events on, and remembers what is certainly done.

    :param tell: where the events go.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._applied: list[str] = []
        self._finished: list[str] = []

    def __call__(self, event: Event) -> None:
        """Take one event in."""
        if isinstance(event, RevisionApplied):
            self._applied.append(event.planned.revision)
        elif isinstance(event, Finished):
            if event.changed:
                self._finished.append(event.state)
            self._applied.clear()
        self._tell(event)

    @contextmanager
    def one_database(self) -> Iterator[None]:
        """Give every end of one database's run its words, and say what other databases already got.

        :raises Interrupted: for Ctrl-C and SIGTERM.
        :raises Missing: when the connection to the server was lost.
        """
        self._applied.clear()
        try:
            try:
                yield
            except KeyboardInterrupt as error:
                raise Interrupted(
                    "Interrupted.", next_steps=[NextStep("go on", "alembic safe-upgrade")], state=self._state()
                ) from error
            except Exception as error:
                if isinstance(error, SafeError) or not connection_is_lost(error):
                    raise
                words = " ".join(str(getattr(error, "orig", None) or error).split())
                raise Missing(
                    f"The connection to the server was lost: {words}",
                    next_steps=[NextStep("when it is back", "alembic safe-upgrade")],
                    state=self._state(),
                ) from error
        except SafeError as error:
            if error.state == NOTHING_CHANGED and self._applied:
                error.state = self._state()
            if self._finished:
                error.state = f"{error.state} Done before, and not taken back: {' '.join(self._finished)}".strip()
            raise

    def _state(self) -> str:
        if not self._applied:
            return NOTHING_CHANGED if not self._finished else "No revision was applied here."
        return f"Applied and committed: {', '.join(self._applied)}. Safe to run again."


def outcome_of(error: SafeError) -> str:
    """Return how the journal calls a run that an error of ours ended: a time that is over is no failure."""
    if isinstance(error, CopyUnfinished):
        return STOPPED
    return "interrupted" if isinstance(error.__cause__, KeyboardInterrupt) else "failed"


def connection_is_lost(error: BaseException) -> bool:
    """Whether an error of a driver means that the session has ended, rather than that a statement failed."""
    import psycopg
    from sqlalchemy.exc import DBAPIError

    from alembic_safe.database.failures import sqlstate_of

    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = sqlstate_of(error)
    if isinstance(error, psycopg.Error):
        return state.startswith(_GONE) or (not state and isinstance(error, psycopg.OperationalError))
    return isinstance(error, DBAPIError) and state.startswith(_GONE)
