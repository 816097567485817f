"""How long does a command of ours wait for a lock while it reads the target, and what is told meanwhile?"""

# Whoever holds ACCESS EXCLUSIVE on one table keeps pg_get_indexdef(), pg_relation_size() and the version table from
# being read: an ALTER TABLE in another session is enough. A lock_timeout would cost a statement in every transaction,
# so a second connection looks from outside, and is opened only for a run that takes long enough to be waiting.
from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

import psycopg
from sqlalchemy import event

from alembic_safe.database.blockers import Wait, waits_of
from alembic_safe.database.failures import blocker_table, sqlstate_of, ways_past
from alembic_safe.errors import NOTHING_CHANGED, LockNotObtained, NextStep, SafeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection

log = logging.getLogger("alembic.safe.lock")

FOR_A_LOOK = 10.0
"""Seconds that a command which only looks waits for one lock; one that writes has the setting ``lock_budget``."""

_BEFORE = 2.0
"""Seconds after which a run is worth a second connection: most have ended by then."""
_EVERY = 0.25
_TELL_EVERY = 10.0
_CANCELLED = "57014"


@final
class Reading:
    """Watches what a run of ours waits for while it reads, says so, and ends a wait that takes too long.

    It begins with :meth:`follow` and ends with :meth:`close`; a wait that it has ended is :class:`LockNotObtained`.
    """

    def __init__(self, *, to_write: bool = False) -> None:
        self.to_write = to_write
        self.state = NOTHING_CHANGED
        """The closing sentence when a wait is ended."""
        self._connection: Connection | None = None
        self._engine: Any = None
        self._connect: Callable[[], psycopg.Connection[Any]] | None = None
        self._session = 0
        self._budget = FOR_A_LOOK
        self._waited = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._pauses = 0
        self._ended: tuple[Wait, ...] = ()

    def follow(
        self, connection: Connection, session: int, connect: Callable[[], psycopg.Connection[Any]], *, budget: float
    ) -> None:
        """Watch a session from now on; called again where its transaction may be in another one.

        :param session: its server process.
        :param connect: opens a second connection to the same database.
        :param budget: seconds for one lock, where the run is one that writes.
        """
        self._session, self._connect = session, connect
        self._budget = budget if self.to_write else FOR_A_LOOK
        if self._connection is not None:
            return
        self._connection, self._engine = connection, connection.engine
        event.listen(self._engine, "handle_error", self._on_error)
        self._thread = threading.Thread(target=self._look, name="alembic-safe-reading", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no longer."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            event.remove(self._engine, "handle_error", self._on_error)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the session alone while revisions run: they have timeouts of their own."""
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1

    def _look(self) -> None:
        if self._stop.wait(_BEFORE):
            return
        assert self._connect is not None  # noqa: S101 - follow() has begun this thread
        try:
            with self._connect() as connection:
                self._watch(connection)
        except (psycopg.Error, SafeError):  # who is waited for is news, never a condition
            return

    def _watch(self, connection: psycopg.Connection[Any]) -> None:
        began = told = 0.0
        waited: tuple[str, ...] = ()
        while not self._stop.wait(_EVERY):
            waits = () if self._pauses else waits_of(connection, self._session)
            now = time.monotonic()
            wanted = tuple(wait.relation or wait.kind for wait in waits)
            if not waits or wanted != waited:
                began, told, waited = now, 0.0, wanted
                continue
            left = began + self._budget - now
            if left <= 0:
                self._waited = now - began
                self._end(connection, waits)
                self._budget = min(self._budget, 1.0)  # a run that goes on without the answer has waited enough
                began = now
            elif now - told >= _TELL_EVERY and now - began >= _EVERY:
                told = now
                log.warning("%s", _told(waits, now - began, left))

    def _end(self, connection: psycopg.Connection[Any], waits: tuple[Wait, ...]) -> None:
        self._ended = waits
        driver: Any = self._connection.connection.driver_connection if self._connection is not None else None
        if isinstance(driver, psycopg.Connection):
            driver.cancel()  # libpq's own way: through a pooler, too, it reaches no other session than ours
        else:
            connection.execute("SELECT pg_cancel_backend(%s)", [self._session])

    def _on_error(self, context: Any) -> LockNotObtained | None:
        """Turn the end of a wait into an error that says who was waited for."""
        if not self._ended or context.connection is not self._connection:
            return None
        if sqlstate_of(context.original_exception) != _CANCELLED:
            return None
        waits = self._ended
        blockers = tuple({b.identity: b for wait in waits for b in wait.blockers}.values())
        on = ", ".join(dict.fromkeys(wait.relation for wait in waits if wait.relation)) or "what it reads"
        return LockNotObtained(
            f"The database could not be looked at: {on} was locked by somebody else for {self._waited:.0f} s.",
            detail=blocker_table(blockers),
            next_steps=[*ways_past(blockers), NextStep("when they are done, run the same command again")],
            state=self.state,
        )


def _told(waits: tuple[Wait, ...], seconds: float, left: float) -> str:
    on = ", ".join(dict.fromkeys(wait.relation or "a row" for wait in waits))
    blockers = {b.identity: b for wait in waits for b in wait.blockers}.values()
    who = ", ".join(b.shown for b in blockers) or "somebody"
    return f"{on} cannot be read: {who} has locked it, for {max(seconds, 1):.0f} s by now; gives up in {left:.0f} s"
