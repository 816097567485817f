"""Under which timeouts a revision's transactions run, and whether any of them was committed."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, final

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import ReleaseSavepointClause, RollbackToSavepointClause, SavepointClause

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection

    from alembic_safe.database.blockers import Lookout

FLOOR_AFTER_WRITES = 1.25
"""Seconds: the least lock_timeout of a transaction in which a revision has written rows, since to repeat it costs more."""

_SAVEPOINTS = (ReleaseSavepointClause, RollbackToSavepointClause, SavepointClause)
_WRITING_TAGS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"})


class Outcome(enum.Enum):
    """What a failed attempt left in the database."""

    ROLLED_BACK = "nothing was committed"
    PARTLY_COMMITTED = "a part was committed"
    UNKNOWN = "the connection was lost during a commit"


@final
class Timeouts:
    """Sets ``lock_timeout`` in every transaction of one SQLAlchemy connection, and watches its commits.

    A context manager. Everything is said with ``SET LOCAL``, so nothing outlives its transaction: a pooled
    connection goes back as it came. In autocommit there is no timeout, because a CREATE INDEX CONCURRENTLY that
    gives up leaves an INVALID index behind.

    :param connection: not in a transaction; any driver, SQLAlchemy's events are the same for all.
    :param lookout: sees the connection's session from outside: what commits through raw SQL, past SQLAlchemy's
        events, shows there and not here.
    :param floor: seconds; see FLOOR_AFTER_WRITES.
    """

    def __init__(self, connection: Connection, lookout: Lookout, *, floor: float = FLOOR_AFTER_WRITES) -> None:
        self._connection = connection
        self._lookout = lookout
        self._floor = floor
        self._initial = self._idle = "0"
        self._lifted = False
        self._speaking = False
        self.in_batches = False
        """Whether each transaction says its own timeouts, runs no SQL of a revision's, and is a part when it is committed:
        to watch it would cost more than it does."""
        self._is_batch = self._wrote = False
        self._is_ours = True
        """Whether every statement of the transaction was one that ends none."""
        self._listeners: dict[str, Callable[..., Any]] = {
            "begin": self._on_begin,
            "commit": self._on_commit,
            "before_cursor_execute": self._before_statement,
            "after_cursor_execute": self._after_statement,
        }
        self.start_attempt(0.1)

    def __enter__(self) -> Timeouts:
        self._initial, self._idle = self._session_settings()
        for name, listener in self._listeners.items():
            event.listen(self._connection, name, listener)
        return self

    def __exit__(self, *_: object) -> None:
        for name, listener in self._listeners.items():
            event.remove(self._connection, name, listener)
        if self._lifted and not self._connection.closed:
            self._put_back()

    def start_attempt(self, lock_timeout: float) -> None:
        """Forget the last attempt; ``lock_timeout`` (seconds) holds for every transaction of the next one."""
        self.lock_timeout = lock_timeout
        self.witnessed = True
        """Whether each of the attempt's transactions could be seen from outside."""
        self._transactions = 0
        self._committed = False
        self._commit_sent = False
        self._raised = False
        self._start: object = None

    def outcome(self, error: BaseException) -> Outcome:
        """Return what an attempt left that ended with ``error``."""
        if self._committed or (not self._is_batch and self._lookout.transaction_start not in (None, self._start)):
            return Outcome.PARTLY_COMMITTED
        if not self._commit_sent:
            return Outcome.ROLLED_BACK
        if isinstance(error, DBAPIError) and error.statement is None and not error.connection_invalidated:
            return Outcome.ROLLED_BACK  # the server itself refused the COMMIT: a deferred constraint, a serialization
        return Outcome.UNKNOWN

    def _on_begin(self, connection: Connection) -> None:
        self._settle_commit()
        self._transactions += 1
        self._is_batch, self._wrote, self._is_ours = self.in_batches, False, True
        if self._is_batch:
            return
        if _in_autocommit(connection):
            if self._initial != "0" and self._ask("SHOW lock_timeout") == self._initial:
                self._lifted = True
                self._say("SET lock_timeout = 0")
            return
        self._raised = False
        # A session-wide SET of the revision's own, in an earlier transaction, is its author's wish.
        if self._transactions == 1 or self._ask("SHOW lock_timeout") in self._untouched():
            self._say(f"SET LOCAL lock_timeout = {_milliseconds(self.lock_timeout)}")
        if self._idle != "0":
            # Python between two statements is no idle session, and this one may hold locks worth keeping.
            self._say("SET LOCAL idle_in_transaction_session_timeout = 0")
        seen = self._lookout.glance()
        self._start = seen.transaction_start if seen is not None else None
        self._lookout.transaction_start = None
        self.witnessed = self.witnessed and self._start is not None

    def _on_commit(self, connection: Connection) -> None:
        if _in_autocommit(connection):
            return
        if self._is_batch:
            # one that wrote nothing set parameters of the session: however that ended, nothing in the database is in doubt
            self._commit_sent = self._wrote
            return
        if self._is_ours and self._wrote:
            self._commit_sent = True  # as a look would say, for which everybody waits who waits for its locks
            return
        seen = self._lookout.glance()
        if seen is None:
            self._commit_sent = True
        elif seen.transaction_start != self._start:
            self._committed = True
        else:
            self._commit_sent = seen.has_written

    def _before_statement(
        self, connection: Connection, cursor: Any, statement: str, parameters: object, context: Any, executemany: bool
    ) -> None:  # fmt: skip
        del cursor, statement, parameters, executemany
        if self._speaking:
            return
        self._settle_commit()
        self._is_ours = self._is_ours and _is_ours(context)
        # In autocommit even a statement that fails may leave something: an INVALID index.
        self._committed = self._committed or _in_autocommit(connection)

    def _after_statement(
        self, connection: Connection, cursor: Any, statement: str, parameters: object, context: Any, executemany: bool
    ) -> None:  # fmt: skip
        del statement, parameters, executemany
        if self._speaking:
            return
        self._wrote = self._wrote or cursor.description is None
        if self._is_batch or _in_autocommit(connection):
            return
        if cursor.description is None and not (cursor.rowcount or 0) > 0 and not _is_ours(context):
            self._look_for_raw_commit()
        # what is ours is a row of the journal, or of what we remember of a table
        if self._raised or _is_ours(context) or not _wrote_rows(cursor):
            return
        self._raised = True
        if self.lock_timeout < self._floor:
            before, after = _milliseconds(self.lock_timeout), _milliseconds(self._floor)
            # only where it still is what we set: a SET of the revision's own is its author's wish
            self._say(
                f"SELECT pg_catalog.set_config('lock_timeout', '{after}', true) "
                f"WHERE pg_catalog.current_setting('lock_timeout')::interval = interval '{before} ms'"
            )

    def _look_for_raw_commit(self) -> None:
        """Notice ``op.execute("COMMIT")``, as old revisions do: no event, but another transaction than ours."""
        seen = self._lookout.glance()
        if seen is None or self._start is None:
            self.witnessed = False
        elif seen.transaction_start != self._start:
            self._committed = True

    def _settle_commit(self) -> None:
        self._committed = self._committed or self._commit_sent
        self._commit_sent = False

    def _untouched(self) -> tuple[str, ...]:
        """Return what the session's own lock_timeout reads as long as the revision has not set it."""
        return (self._initial, "0") if self._lifted else (self._initial,)

    def _session_settings(self) -> tuple[str, str]:
        values = self._ask("SHOW lock_timeout"), self._ask("SHOW idle_in_transaction_session_timeout")
        self._connection.rollback()
        return values

    def _put_back(self) -> None:
        self._connection.rollback()
        if self._connection.invalidated:
            return  # the session is gone, and its settings with it
        if self._ask("SHOW lock_timeout") == "0":
            self._say("SET lock_timeout = '" + self._initial.replace("'", "''") + "'")
        self._connection.commit()

    def _say(self, statement: str) -> None:
        self._speaking = True
        try:
            self._connection.exec_driver_sql(statement)
        finally:
            self._speaking = False

    def _ask(self, statement: str) -> str:
        self._speaking = True
        try:
            return str(self._connection.exec_driver_sql(statement).scalar_one())
        finally:
            self._speaking = False


def _in_autocommit(connection: Connection) -> bool:
    """Ask the driver: psycopg, psycopg2, pg8000 and SQLAlchemy's face of asyncpg all say it by this name."""
    return bool(getattr(connection.connection.dbapi_connection, "autocommit", False))


def _wrote_rows(cursor: Any) -> bool:
    """Read the server's command tag; drivers that hide it still count the rows of what returns none."""
    if cursor.rowcount is None or cursor.rowcount <= 0:
        return False
    tag = str(getattr(cursor, "statusmessage", None) or "").split(" ")[0]
    return tag in _WRITING_TAGS or cursor.description is None


def _is_ours(context: Any) -> bool:
    """Whether a statement is one that ends no transaction: who waits for a lock of ours waits for every look, too."""
    if context is None:
        return False
    compiled = getattr(context, "compiled", None)
    return bool(
        context.execution_options.get("alembic_safe_ours")
        or isinstance(getattr(compiled, "statement", None), _SAVEPOINTS)
    )


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
