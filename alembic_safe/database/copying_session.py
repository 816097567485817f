"""In whose transactions does a copy run: the caller's, those of a step, or those of a worker of its own?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from alembic_safe.database.statements import current_settings, run, set_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import psycopg
    from sqlalchemy import Connection

    from alembic_safe.database.steps import AnyConnection, CopyState, StepRunner

BATCH_SETTINGS = {
    # the key's values differ from batch to batch, and so does the best plan on a skewed table
    "plan_cache_mode": "force_custom_plan",
    # also for a row that somebody holds: whoever waits for one of ours would wait as long
    "lock_timeout": "100ms",
    # Python between two statements is no idle session
    "idle_in_transaction_session_timeout": "0",
    # whoever waits for a row need not wait for the disk, too. A crash of the server takes the last batches together with
    # their cursors, and the next run copies them; what says that the copy is done is committed behind all of them, and
    # waits for the disk: https://www.postgresql.org/docs/current/wal-async-commit.html
    "synchronous_commit": "off",
}

# What else than operations/kept.py fixes decides what SQL of the user's means, and whose tables a name is of.
_SEEN = (
    "search_path", "default_text_search_config", "lc_time", "lc_numeric", "xmloption", "array_nulls",
    "standard_conforming_strings", "backslash_quote", "transform_null_equals",
)  # fmt: skip
# A vacuum takes its time, and so does a pause. idle_session_timeout is of PostgreSQL 14, transaction_timeout of 17.
_PATIENT = """
SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings
WHERE name IN ('statement_timeout', 'idle_session_timeout', 'transaction_timeout')
"""
# In blocks of 8 kB, as PostgreSQL's own background writer has it; where a system cannot, 0 is the most.
_FLUSHED = (
    "SELECT least(64, max_val::integer)::text AS it FROM pg_catalog.pg_settings WHERE name = 'backend_flush_after'"
)


def opened(runner: StepRunner) -> psycopg.Connection[Any]:
    """Return a connection of a copy, in autocommit; the caller closes it.

    No timeout of the role ends it, and what it writes goes to the disk at once.
    """
    connection = runner.open()
    run(connection, _PATIENT)
    set_session(connection, written_at_once(connection))
    return connection


def written_at_once(connection: AnyConnection) -> dict[str, str]:
    """Return the setting under which what a session writes goes to the disk at once.

    Else the operating system collects it for half a minute and writes all of it together, and whoever commits meanwhile waits:
    https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-BACKEND-FLUSH-AFTER.
    """
    return {"backend_flush_after": run(connection, _FLUSHED)[0]["it"]}


def seen_by(connection: Connection) -> dict[str, str]:
    """Return the settings under which SQL means in another session what it means in this one, its role included."""
    role = run(connection, "SELECT current_user AS it")[0]["it"]
    return {"role": role, **current_settings(connection, _SEEN)}


class Session(Protocol):
    """A connection, and what ends its transactions."""

    @property
    def lets_go(self) -> bool:
        """Whether :meth:`commit` lets go of what is locked."""

    @property
    def connection(self) -> AnyConnection:
        """What the next statement runs on."""

    def take_back(self) -> None:
        """Take back what the batch did so far, and let go of its locks."""

    def commit(self) -> None:
        """End the transaction of a batch."""

    def require_run(self) -> None:
        """Raise where the run may not go on; between two batches."""

    def load(self, copy: str) -> str | None:
        """Return a cursor as it was saved."""

    def save(self, state: CopyState) -> None:
        """Save a cursor together with the batch."""


class InCallersTransaction:
    """Under stock Alembic: no commit, no cursor, and a failure takes everything back."""

    lets_go = False

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def take_back(self) -> NoReturn:
        """Let the error go up to the caller, whose transaction is of no use any more."""
        raise  # noqa: PLE0704 - the one that is being handled

    def commit(self) -> None:
        """Do nothing: the caller commits."""

    def require_run(self) -> None:
        """Do nothing: there is no run but the caller's."""

    def load(self, copy: str) -> None:
        """Return nothing: what was not committed is not there."""

    def save(self, state: CopyState) -> None:
        """Save nothing."""


class InSteps:
    """Under ``safe-upgrade``: every batch is a transaction of the step."""

    lets_go = True

    def __init__(self, runner: StepRunner, get_bind: Callable[[], Connection], *, keeps_cursor: bool) -> None:
        self._keeps_cursor = keeps_cursor
        self._runner = runner
        self._get_bind = get_bind

    @property
    def connection(self) -> Connection:
        """The one of the migration context, whichever it is at the moment."""
        return self._get_bind()

    def take_back(self) -> None:
        """Roll the batch back."""
        self._runner.take_back()

    def commit(self) -> None:
        """Commit the batch."""
        self._runner.commit()

    def require_run(self) -> None:
        """Commit nothing: every commit of the runner sees to it that the run may go on."""
        self._runner.commit()

    def load(self, copy: str) -> str | None:
        """Ask the journal."""
        return self._runner.load_copy(self.connection, copy) if self._keeps_cursor else None

    def save(self, state: CopyState) -> None:
        """Write into the journal, in the batch's transaction."""
        if self._keeps_cursor:
            self._runner.save_copy(self.connection, state)


class OfWorker:
    """One of several workers under ``safe-upgrade``: a connection of its own."""

    lets_go = True

    def __init__(self, runner: StepRunner, settings: Mapping[str, str], *, keeps_cursor: bool) -> None:
        self._keeps_cursor = keeps_cursor
        self._runner = runner
        self.connection: psycopg.Connection[Any] = opened(runner)
        set_session(self.connection, settings)
        self.connection.autocommit = False

    def take_back(self) -> None:
        """Roll the batch back."""
        self.connection.rollback()

    def commit(self) -> None:
        """Commit the batch."""
        self.connection.commit()

    def require_run(self) -> None:
        """Do nothing: the thread of the step asks for all workers, and stops them."""

    def load(self, copy: str) -> str | None:
        """Ask the journal."""
        return self._runner.load_copy(self.connection, copy) if self._keeps_cursor else None

    def save(self, state: CopyState) -> None:
        """Write into the journal, in the batch's transaction."""
        if self._keeps_cursor:
            self._runner.save_copy(self.connection, state)

    def close(self) -> None:
        """Close the connection; what was not committed is taken back."""
        self.connection.close()
