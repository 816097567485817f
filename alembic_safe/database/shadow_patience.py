"""How long may one statement take on a shadow, and who ends it?"""

# A revision that sleeps, or waits for a lock that its own other connection holds, would wait for ever, and whoever
# asked for a plan with it. A statement_timeout would not do: a careful revision sets it to 0. So a second connection
# looks from outside, now and then, and cancels what has taken too long.
from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import psycopg

from alembic_safe.database.statements import run
from alembic_safe.errors import SafeError

if TYPE_CHECKING:
    from alembic_safe.database.shadow import Shadow

SELDOM = 1.0
"""Seconds between two looks, at the most; a shorter limit is looked after more often."""

# Client: the server waits for rows of a COPY, which come from Python. waitstart: PostgreSQL 14.
_TOO_LONG = """
SELECT a.pid, coalesce(a.wait_event_type, '') AS kind, coalesce(a.wait_event, '') AS event
FROM pg_stat_activity a
WHERE a.datname = ANY (:databases) AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend' AND a.state = 'active'
  AND a.wait_event_type IS DISTINCT FROM 'Client'
  AND clock_timestamp() - CASE WHEN :only_waits THEN
    (SELECT min(l.waitstart) FROM pg_locks l WHERE l.pid = a.pid AND NOT l.granted) ELSE a.query_start END
    > make_interval(secs => :limit)
"""
_CANCEL = "SELECT pg_cancel_backend(:pid) AS it"


@dataclass(frozen=True)
class Cut:
    """A statement that took too long and was cancelled.

    :param limit: seconds that it had.
    :param doing: what it was doing, as the end of a sentence: ``it waited for a lock``.
    """

    limit: float
    doing: str


@final
class Patience:
    """Cancels statements on a shadow that take longer than the setting ``shadow_patience``; a context manager.

    Where the shadow holds rows of the target, what a statement takes is what it takes there: only waiting for a lock is
    limited then, as nobody else is at work on a shadow who could let it go.

    :param shadow: its databases are looked after, those that it gets meanwhile, too.
    """

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow
        self._limit = shadow.patience
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.cut: Cut | None = None
        """The first statement that was cancelled."""

    def __enter__(self) -> Patience:
        if self._limit > 0:
            self._thread = threading.Thread(target=self._look_after, name="alembic-safe-patience", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _look_after(self) -> None:
        every = min(SELDOM, self._limit / 4)
        if self._stop.wait(self._limit):  # before that nothing can have taken too long: most replays need no connection
            return
        try:
            with self._shadow.server.endpoint.connect() as connection:
                while not self._stop.wait(every):
                    self._look(connection)
        except (psycopg.Error, SafeError):  # the server is gone: whoever waits for it learns that by itself
            return

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        databases = [endpoint.database for endpoint in self._shadow.databases.values()]
        asked = {"databases": databases, "only_waits": self._shadow.holds_rows, "limit": self._limit}
        for row in run(connection, _TOO_LONG, asked):
            self.cut = self.cut or Cut(self._limit, _doing(row["kind"], row["event"]))
            run(connection, _CANCEL, {"pid": row["pid"]})


def _doing(kind: str, event: str) -> str:
    if kind == "Lock":
        return "it waited for a lock that nobody lets go"
    return "it slept" if event == "PgSleep" else "it was at work"
