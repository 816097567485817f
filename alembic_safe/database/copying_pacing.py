"""How large is the next batch of a copy, and is there a reason to wait before it?"""

from __future__ import annotations

import statistics
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    from alembic_safe.database.copying_ranges import Leaf
    from alembic_safe.database.steps import CopyOptions

LOOK_EVERY = 1.0
"""Seconds between two looks for a reason to wait."""
LONGEST_FOR_VACUUM = 600.0
"""Seconds that one autovacuum is waited for: on a large table, throttled, it may run for hours."""
LONGEST_FOR_LOCKS = 30.0
"""Seconds that sessions in the queue for a lock on the table are let through before the copy goes on."""

_LAG = """
SELECT coalesce(max(extract(epoch FROM replay_lag)), 0)::float AS seconds, max(application_name) AS name
FROM pg_stat_replication WHERE replay_lag IS NOT NULL
"""
_SLOTS = """
SELECT slot_name AS name, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
  ELSE pg_current_wal_lsn() END, restart_lsn)::bigint AS bytes
FROM pg_replication_slots WHERE restart_lsn IS NOT NULL
ORDER BY 2 DESC LIMIT 1
"""
_AUTOVACUUM = """
SELECT v.pid FROM pg_stat_progress_vacuum v JOIN pg_stat_activity a ON a.pid = v.pid
WHERE v.relid = ANY(CAST(:oids AS oid[])) AND a.backend_type = 'autovacuum worker' ORDER BY 1
"""
_QUEUE = """
SELECT l.mode FROM pg_locks l WHERE NOT l.granted AND l.locktype = 'relation' AND l.relation = ANY(CAST(:oids AS oid[]))
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1
"""


@dataclass
class BatchSize:
    """Rows (or blocks) of the next batch, so that one takes about ``target`` seconds.

    What counts is the middle one of the last few batches: one that waited for the disk says nothing of the next, and a
    load that stays is heeded within three. It grows to twice its size at most, and slowly once it has been in somebody's
    way. Never fewer than ``least``: what each batch costs beside its rows (a commit, a cursor) would be most of it, and on
    a busy machine nothing would be gained by fewer rows.
    """

    target: float
    size: int = 500
    least: int = 200
    most: int = 20_000
    fixed: bool = False
    _paces: deque[float] = field(default_factory=lambda: deque(maxlen=5), repr=False)
    _has_collided: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        self._least_of_all = self.least

    def took(self, seconds: float) -> None:
        """Learn how long a batch of this size took."""
        if self.fixed:
            return
        if self.size >= self._least_of_all:
            self.least = self._least_of_all
        self._paces.append(max(seconds, 1e-6) / self.size)
        wanted = int(self.target / statistics.median(self._paces))
        largest = self.size + max(1, self.size // 10) if self._has_collided else self.size * 2
        self.size = max(self.least, min(wanted, largest, self.most))

    def collided(self) -> None:
        """Learn that a row was held by somebody else: fewer rows, fewer collisions."""
        self._has_collided = True
        self._paces.clear()
        self.size = max(1, self.size // 4)
        self.least = 1


class Pauses:
    """Reasons to wait before the next batch; any of them is enough.

    :param paused: what a person wrote into the journal.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        leaves: Sequence[Leaf],
        options: CopyOptions,
        paused: Callable[[], str],
    ) -> None:
        self._connection = connection
        self._oids = [leaf.table.oid for leaf in leaves]
        self._options = options
        self._paused = paused
        self._since: dict[str, float] = {}
        self._looked = 0.0

    def reason(self) -> str:
        """Return why to wait, or an empty string; asked more often than once a second, it says what it said."""
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY:
            return ""
        self._looked = now
        return self.look()

    def look(self) -> str:
        """Look, and return why to wait."""
        for ask in (
            self._paused, self._outside_window, self._lagging, self._held_back, self._vacuumed, self._queued_for,
            self._condition,
        ):  # fmt: skip
            found = ask()
            if found:
                return found
        return ""

    def _outside_window(self) -> str:
        window = self._options.window
        if window is None or in_window(window, datetime.now(timezone.utc)):
            return ""
        return f"it may run between {window[0]} and {window[1]} UTC"

    def _lagging(self) -> str:
        row = run(self._connection, _LAG)[0]
        if row["seconds"] <= self._options.longest_lag:
            return ""
        return f"standby {row['name']} is {row['seconds']:.0f} s behind"

    def _held_back(self) -> str:
        for row in run(self._connection, _SLOTS):
            if row["bytes"] is not None and row["bytes"] > self._options.most_slot_bytes:
                return f"replication slot {row['name']} holds back {row['bytes'] // 1_000_000} MB of WAL"
        return ""

    def _vacuumed(self) -> str:
        rows = run(self._connection, _AUTOVACUUM, {"oids": self._oids})
        return self._for_a_while("autovacuum works on the table", rows[0]["pid"] if rows else None, LONGEST_FOR_VACUUM)

    def _queued_for(self) -> str:
        rows = run(self._connection, _QUEUE, {"oids": self._oids})
        word = "another session waits for a lock on the table"
        return self._for_a_while(word, rows[0]["mode"] if rows else None, LONGEST_FOR_LOCKS)

    def _for_a_while(self, reason: str, what: object, longest: float) -> str:
        """Return the reason, unless it has been one for too long already."""
        name = f"{reason} {what}"
        for other in [known for known in self._since if known.startswith(reason) and known != name]:
            del self._since[other]
        if what is None:
            return ""
        since = self._since.setdefault(name, time.monotonic())
        return reason if time.monotonic() - since < longest else ""

    def _condition(self) -> str:
        sql = self._options.condition
        if not sql:
            return ""
        rows = run(self._connection, f"SELECT ({verbatim(sql)}) AS it")
        return f"your condition is true: {sql}" if rows[0]["it"] else ""


def in_window(window: tuple[str, str], now: datetime) -> bool:
    """Whether a time of the day lies in a window, which may go over midnight."""
    begin, end = window
    at = now.strftime("%H:%M")
    return begin <= at < end if begin <= end else at >= begin or at < end
