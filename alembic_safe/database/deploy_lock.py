"""How one deployment at a time gets to change a database, and how the others wait for it."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from alembic_safe.database.pooler import looks_shared, refuse_pooler
from alembic_safe.errors import LockNotObtained, NextStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

log = logging.getLogger("alembic.safe.lock")

FIRST_POLL = 0.1
LONGEST_POLL = 1.0
"""Seconds between two tries for the lock; they grow from the first to the longest."""

_JOIN = 5.0

# A lock belongs to its session, and the session to its socket: the server must notice when the machine is gone.
_SESSION_SETTINGS = {
    "tcp_keepalives_idle": "10s",
    "tcp_keepalives_interval": "5s",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "10s",  # PostgreSQL 14
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",  # PostgreSQL 14
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",  # PostgreSQL 17
}
_SET = """
SELECT set_config(wanted.name, wanted.value, false)
FROM unnest(%s::text[], %s::text[]) AS wanted (name, value) JOIN pg_settings s USING (name)
"""

_TRY = "SELECT pg_try_advisory_lock(%s), pg_backend_pid()"
_RELEASE = "SELECT pg_advisory_unlock(%s) WHERE pg_backend_pid() = %s"

# pg_locks shows a 64-bit key as two 32-bit halves, with objsubid 1
_GRANTED = """
pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
    AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND (l.classid::bigint << 32 | l.objid::bigint) = %s
"""
_HELD = f"SELECT pg_backend_pid(), EXISTS (SELECT FROM {_GRANTED} AND l.pid = %s)"
_HOLDER = f"""
SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''), coalesce(host(a.client_addr), ''),
    a.backend_start
FROM pg_stat_activity a WHERE a.pid IN (SELECT l.pid FROM {_GRANTED})
"""


@dataclass(frozen=True)
class Waiting:
    """Who holds the deploy lock while we wait for it."""

    pid: int
    user: str
    application: str
    client: str
    """The address it comes from; empty for a socket."""
    since: datetime | None
    """When its session began; None where the server does not show it to this role."""
    seconds: float
    """How long we have waited."""
    remaining: float | None
    """Seconds until we give up; None while the holder shows that it is alive."""


def lock_key(version_table: str) -> int:
    """Return the key of the advisory lock for a version table; the server keeps keys of different databases apart.

    :param version_table: ``schema.table``, as the server names them.
    :returns: 64 bits, signed.
    """
    digest = hashlib.sha256(f"alembic-safe\0{version_table}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class HeldLock:
    """The deploy lock, as long as it is ours.

    :param connection: the lock's own session, in autocommit. Single statements of other work may use it; a
        transaction on it would keep others' CREATE INDEX CONCURRENTLY waiting.
    :param pid: that session's server process.
    """

    def __init__(self, connection: psycopg.Connection[Any], key: int, pid: int) -> None:
        self.connection = connection
        self.key = key
        self.pid = pid
        self._in_use = threading.RLock()
        self._lost = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def lost(self) -> bool:
        """Whether the lock is known to be no longer ours."""
        return self._lost.is_set()

    @contextmanager
    def using(self) -> Iterator[psycopg.Connection[Any]]:
        """Keep the heartbeat off the connection for as long as several statements belong together."""
        with self._in_use:
            yield self.connection

    def check(self) -> None:
        """Ask the server whether the lock is still ours.

        :raises LockNotObtained: when it is not.
        """
        if not self.lost:
            self._ask()
        if self.lost:
            raise LockNotObtained(
                f"The deploy lock is lost: its session (process {self.pid}) has ended, so another deployment may run.",
                next_steps=[
                    NextStep("see where the database stands", "alembic safe-status"),
                    NextStep("go on from there", "alembic safe-upgrade"),
                ],
                state="Stopped before the next change; what was finished before it stays.",
            )

    def beat_every(self, seconds: float, beat: Callable[[psycopg.Connection[Any]], object]) -> None:
        """Call ``beat`` with the lock's connection every ``seconds``, in a thread, until the lock is released.

        A beat that fails is logged once for each kind of failure, and tried again: it is no reason to stop a
        deployment. A lost session sets :attr:`lost`.
        """
        self.stop_beating()
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._beat, args=(seconds, beat), name="alembic-safe-heartbeat", daemon=True
        )
        self._thread.start()

    def stop_beating(self) -> None:
        """End the heartbeat; a beat under way is waited for, a few seconds at most."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_JOIN)

    def _beat(self, seconds: float, beat: Callable[[psycopg.Connection[Any]], object]) -> None:
        told: set[str] = set()
        while not self._stop.wait(seconds):
            try:
                with self.using() as connection:
                    self._ask()
                    if self.lost:
                        return
                    beat(connection)
            except Exception as error:  # noqa: BLE001, PERF203 - the caller's function may raise anything, at any beat
                if self.connection.broken or self.connection.closed:
                    self._lost.set()
                    return
                if type(error).__name__ not in told:
                    told.add(type(error).__name__)
                    log.warning("The heartbeat of this deployment could not be written: %s", error)

    def _ask(self) -> None:
        try:
            with self.using() as connection:
                pid, held = connection.execute(_HELD, [self.key, self.pid]).fetchone() or (0, False)
        except psycopg.Error:
            # Whatever keeps the answer from us: going on without the lock would be the greater harm.
            pid, held = 0, False
        if pid != self.pid or not held:
            self._lost.set()


@contextmanager
def deploy_lock(
    connect: Callable[[], psycopg.Connection[Any]],
    key: int,
    *,
    wait: float,
    no_wait: bool,
    holder_alive: Callable[[psycopg.Connection[Any], int], bool | None],
    on_wait: Callable[[Waiting], None],
) -> Iterator[HeldLock]:
    """Hold the deploy lock while the block runs; it is released however the block ends.

    :param connect: opens a connection to the database itself, not to a pooler in transaction mode; closed here.
    :param key: see :func:`lock_key`.
    :param wait: seconds to wait for a holder that does not show life.
    :param no_wait: give up at once when somebody holds it.
    :param holder_alive: whether the holder (its process) shows life; None when nobody knows. Waiting for one that
        does costs nothing of ``wait``.
    :param on_wait: called at every try while somebody else holds the lock.
    :raises LockNotObtained: when somebody else keeps it.
    :raises Missing: behind a pooler in transaction mode, where a session's lock is nobody's.
    """
    with closing(connect()) as connection:
        connection.autocommit = True
        connection.prepare_threshold = (
            None  # a pooler may not know our prepared statements, and must first be found out
        )
        refuse_pooler(connection, connect)
        connection.execute(_SET, [list(_SESSION_SETTINGS), list(_SESSION_SETTINGS.values())])
        held = _acquire(connection, key, 0.0 if no_wait else wait, holder_alive, on_wait, no_wait=no_wait)
        try:
            _must_be_ours(connection, key, held.pid)
            yield held
        finally:
            held.stop_beating()
            with suppress(psycopg.Error):
                connection.execute(_RELEASE, [key, held.pid])


def _acquire(
    connection: psycopg.Connection[Any],
    key: int,
    budget: float,
    holder_alive: Callable[[psycopg.Connection[Any], int], bool | None],
    on_wait: Callable[[Waiting], None],
    *,
    no_wait: bool,
) -> HeldLock:
    """Try until the lock is ours, one statement at a time.

    A blocking pg_advisory_lock would hold a snapshot while it waits, and a holder that builds an index concurrently
    waits for every snapshot: a deadlock. Between our tries the session holds nothing.
    """
    began = silent_since = time.monotonic()
    pause, last_pid = FIRST_POLL, 0
    while True:
        got, pid = connection.execute(_TRY, [key]).fetchone() or (False, 0)
        if got:
            return HeldLock(connection, key, pid)
        row = connection.execute(_HOLDER, [key]).fetchone()
        if row is not None:
            now = time.monotonic()
            alive = not no_wait and bool(holder_alive(connection, row[0]))
            if alive or row[0] != last_pid:
                silent_since, last_pid = now, row[0]
            remaining = None if alive else max(0.0, budget - (now - silent_since))
            pid, user, application, client, since = row
            waiting = Waiting(pid, user, application, client, since, now - began, remaining)
            if remaining == 0.0:
                raise _kept_by(waiting, no_wait=no_wait)
            on_wait(waiting)
        # Ten pods that start together do not ask together.
        time.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - no secret
        pause = min(LONGEST_POLL, pause * 1.3)


def _must_be_ours(connection: psycopg.Connection[Any], key: int, pid: int) -> None:
    """Look from another statement whether the session that took the lock is the one that we talk to."""
    seen = [connection.execute(_HELD, [key, pid]).fetchone() for _ in range(3)]
    if all(row == (pid, True) for row in seen):
        return
    # The lock sits in one of the pooler's sessions: it goes when a statement of ours happens to meet that one.
    for _ in range(200):
        if connection.execute(_RELEASE, [key, pid]).fetchone():
            break
    raise looks_shared()


def _kept_by(holder: Waiting, *, no_wait: bool) -> LockNotObtained:
    who = f"process {holder.pid}, user {holder.user or '?'}, application {holder.application or '?'}"
    where = f", from {holder.client}" if holder.client else ""
    since = f", connected since {holder.since:%Y-%m-%d %H:%M:%S %Z}" if holder.since else ""
    how_long = "" if no_wait else f" We waited {holder.seconds:.0f} s; it shows no life."
    return LockNotObtained(
        f"Another deployment holds the deploy lock: {who}{where}{since}.{how_long}",
        next_steps=[
            NextStep("see what it is doing", "alembic safe-status"),
            NextStep("wait longer for it", "alembic safe-upgrade --lock-wait 10m"),
        ],
    )
