"""How to wait for the holders of a lock without standing in its queue, where everybody would queue behind us."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from alembic_safe.database.blockers import AUTOVACUUM, CONNECTION_LOST, Blocker, Lookout, Wait, holders_of

if TYPE_CHECKING:
    from collections.abc import Callable

POLL = 0.05
"""Seconds between two looks at the holders."""

OLD = 0.05
"""Seconds: a transaction that is older will not be over within a short attempt; younger ones pass by themselves."""

RELAY = 1.0
"""Seconds after which holders that take turns are no longer waited for, but queued behind for longer."""

ABOVE_DEADLOCK_TIMEOUT = 0.25
"""Seconds above ``deadlock_timeout``, after which PostgreSQL itself cancels an autovacuum that is in the way."""


class Waited(enum.Enum):
    """How a wait ended."""

    NOT_AT_ALL = "no old holder stood in the way"
    UNTIL_GONE = "the old holders are gone"
    RELAYED = "the old holders are gone, but others took over"
    TOO_LONG = "the time is up"


@dataclass(frozen=True)
class WaitingForHolders:
    """Old transactions hold locks that the revision needs; nobody queues behind us meanwhile."""

    seconds: float
    """How long this wait has lasted."""
    remaining: float
    """Seconds of the budget that are left."""
    holders: tuple[Blocker, ...]


class Queue:
    """What earlier attempts have learned about the locks of one revision, and the waiting for them.

    :param lookout: watches the session that runs the revision; its connection is ours to use between attempts.
    :param deadlock_timeout: the server's, in seconds.
    """

    def __init__(self, lookout: Lookout, deadlock_timeout: float) -> None:
        self._lookout = lookout
        self._patience = deadlock_timeout + ABOVE_DEADLOCK_TIMEOUT
        self._wanted: dict[int, frozenset[str]] = {}
        self._transactions: frozenset[tuple[int, str]] = frozenset()
        self._first_seen: dict[tuple[int, str], float] = {}
        self.last_holders: tuple[Blocker, ...] = ()
        """Who was still there when the last wait ended."""

    def learn(self, waits: tuple[Wait, ...]) -> None:
        """Note which locks the revision asks for."""
        self._transactions = frozenset(b.identity for w in waits if w.kind != "relation" for b in w.blockers)
        for wait in waits:
            if wait.kind == "relation":
                self._wanted[wait.relation_oid] = self._wanted.get(wait.relation_oid, frozenset()) | {wait.mode}

    def wait(self, until: float, older_than: float, on_wait: Callable[[WaitingForHolders], None] | None) -> Waited:
        """Wait until no transaction holds what the revision needs and is older than ``older_than`` seconds.

        :param until: by ``time.monotonic()``.
        :param on_wait: called about once a second.
        """
        began = told = time.monotonic()
        first: frozenset[tuple[int, str]] | None = None
        relay_since: float | None = None
        while True:
            now = time.monotonic()
            holders = self.last_holders = self.old_holders(older_than)
            if not holders:
                return Waited.NOT_AT_ALL if first is None else Waited.UNTIL_GONE
            if now >= until:
                return Waited.TOO_LONG
            present = frozenset(b.identity for b in holders)
            if first is None:
                first = present
            if first & present:
                relay_since = None
            elif relay_since is None:
                relay_since = now
            elif now - relay_since > RELAY:
                return Waited.RELAYED
            if on_wait is not None and now - told >= 1:
                told = now
                on_wait(WaitingForHolders(now - began, until - now, holders))
            time.sleep(min(POLL, max(0.0, until - now)))

    def old_holders(self, older_than: float) -> tuple[Blocker, ...]:
        """Return the holders that are older than this; an autovacuum that PostgreSQL would cancel for us is none."""
        if not self._wanted and not self._transactions:
            return ()
        try:
            holders = holders_of(self._lookout.connection, self._lookout.pid, self._wanted, self._transactions)
        except CONNECTION_LOST:
            return ()  # blind, attempts still find their way, with backoff
        now = time.monotonic()
        # the age of other users' transactions is hidden from a role that is no pg_monitor: our own clock then
        self._first_seen = {b.identity: self._first_seen.get(b.identity, now) for b in holders}
        return tuple(
            b
            for b in holders
            if b.kind != AUTOVACUUM and max(b.transaction_age or 0.0, now - self._first_seen[b.identity]) > older_than
        )

    def has_autovacuum_cancelled(self, waits: tuple[Wait, ...]) -> bool:
        """Let PostgreSQL cancel the autovacuum that blocked an attempt, without stopping any reader or writer.

        The server cancels a worker for whoever waited ``deadlock_timeout`` for its lock. SHARE UPDATE EXCLUSIVE
        conflicts with the worker's own lock and with nothing that a SELECT, INSERT, UPDATE or DELETE takes, so we
        wait with that one, in a transaction of its own.

        :returns: False when there was none, or when it could not be done; only a long attempt helps then.
        """
        tables = {(w.schema, w.name) for w in waits if w.name and any(b.kind == AUTOVACUUM for b in w.blockers)}
        connection = self._lookout.connection
        try:
            for schema, name in sorted(tables):
                with connection.transaction():
                    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(round(self._patience * 1000)))
                    table = sql.Identifier(schema, name)
                    connection.execute(sql.SQL("LOCK TABLE ONLY {} IN SHARE UPDATE EXCLUSIVE MODE").format(table))
        except psycopg.Error:
            return False
        return bool(tables)
