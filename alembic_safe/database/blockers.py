"""Who keeps a session waiting for a lock, and who holds the locks it will need."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOOK_EVERY = 0.025
"""Seconds between two looks: an attempt waits 100 ms, and must be seen waiting."""

CONNECTION_LOST = (psycopg.OperationalError, psycopg.InterfaceError)

_LONGEST_QUERY = 160

# https://www.postgresql.org/docs/current/explicit-locking.html, table 13.2
_MODES = (
    "AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock",
    "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
)  # fmt: skip
_CONFLICTING = ("00000001", "00000011", "00001111", "00011111", "00110111", "00111111", "01111111", "11111111")
CONFLICTS: Mapping[str, frozenset[str]] = {
    mode: frozenset(other for other, bit in zip(_MODES, bits, strict=True) if bit == "1")
    for mode, bits in zip(_MODES, _CONFLICTING, strict=True)
}
"""For each mode of a table lock the modes it conflicts with."""

SESSION = "session"
AUTOVACUUM = "autovacuum"
WRAPAROUND = "autovacuum (to prevent wraparound)"
PREPARED = "prepared transaction"


@dataclass(frozen=True)
class Blocker:
    """One holder of a lock that somebody else waits for."""

    pid: int
    """The server process; 0 for a prepared transaction, which has none."""
    transaction: str
    """PostgreSQL's virtual transaction id: with the pid it names this very transaction."""
    kind: str
    """SESSION, AUTOVACUUM, WRAPAROUND or PREPARED."""
    application: str
    user: str
    client: str
    state: str
    query: str
    """One line, shortened; a prepared transaction's name."""
    transaction_age: float | None
    """Seconds; None where the server does not show it to this role."""
    mode: str
    relation: str
    """Schema-qualified and quoted where needed; empty when the lock is not on a relation."""
    relation_oid: int
    gid: str = ""
    """A prepared transaction's name, as SQL: ``'transfer 7'``; empty where it is not to be shown."""

    @property
    def identity(self) -> tuple[int, str]:
        """What tells this transaction from the same session's next one."""
        return self.pid, self.transaction

    @property
    def shown(self) -> str:
        """How a line calls it."""
        if self.kind == PREPARED:
            return f"a prepared transaction {self.gid}".rstrip()
        return f"pid {self.pid} {self.application or self.user}".rstrip()


@dataclass(frozen=True)
class Wait:
    """A lock that our session asked for and has not got, and who stands in the way."""

    kind: str
    """PostgreSQL's lock type: ``relation``, ``transactionid`` (a row), ``advisory``, ..."""
    mode: str
    relation: str
    relation_oid: int
    schema: str
    name: str
    blockers: tuple[Blocker, ...]


@dataclass(frozen=True)
class Glance:
    """Where a session's transaction stands, as seen from another session."""

    transaction_start: object
    """None outside a transaction."""
    has_written: bool
    """Whether the transaction was given a transaction id: without one, a commit leaves nothing behind."""
    waits_for_lock: bool


_GLANCE = """
SELECT xact_start, backend_xid IS NOT NULL, coalesce(wait_event_type = 'Lock', false)
FROM pg_stat_get_activity(%s)
"""

# A session that the role may not see shows no backend_type; an autovacuum worker is the one kind of process that
# is in a database without being a user.
_HOLDER = """
    coalesce(h.pid, 0), h.virtualtransaction,
    CASE WHEN h.pid IS NULL THEN 'prepared'
         WHEN a.backend_type = 'autovacuum worker' THEN 'autovacuum'
         WHEN a.backend_type IS NULL AND a.usesysid IS NULL AND a.datid IS NOT NULL THEN 'autovacuum'
         ELSE 'session' END,
    coalesce(a.application_name, ''), coalesce(a.usename, p.owner, ''), coalesce(host(a.client_addr), ''),
    coalesce(a.state, ''), coalesce(a.query, p.gid, ''),
    extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8,
    coalesce(h.mode, ''), coalesce(h.relation, 0)::bigint,
    coalesce(quote_ident(n.nspname) || '.' || quote_ident(c.relname), '')
"""
_JOINS = """
LEFT JOIN pg_stat_activity a ON a.pid = h.pid
LEFT JOIN LATERAL (
    SELECT x.gid, x.owner, x.prepared FROM pg_locks t JOIN pg_prepared_xacts x ON x.transaction = t.transactionid
    WHERE h.pid IS NULL AND t.pid IS NULL AND t.virtualtransaction = h.virtualtransaction LIMIT 1
) p ON true
LEFT JOIN pg_class c ON c.oid = h.relation
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
"""

# For a row, the relation is that of the tuple lock which a waiter holds while it waits for the other transaction. The locks
# are read once: between two looks a wait may end, and its row would belong to no table.
_WAITS = f"""
WITH locks AS (
    SELECT * FROM pg_locks
), waiting AS (
    SELECT l.*, pg_blocking_pids(l.pid) AS blocking FROM locks l WHERE l.pid = %s AND NOT l.granted
), named AS (
    SELECT w.*, wc.relname AS wanted_name, wn.nspname AS wanted_schema, wc.oid AS wanted_oid
    FROM waiting w
    LEFT JOIN pg_class wc ON wc.oid = coalesce(w.relation, (
        SELECT t.relation FROM locks t WHERE t.pid = w.pid AND t.locktype = 'tuple' AND t.granted LIMIT 1))
    LEFT JOIN pg_namespace wn ON wn.oid = wc.relnamespace
)
SELECT w.locktype, w.mode, coalesce(w.wanted_oid, w.relation, 0)::bigint, coalesce(w.wanted_schema, ''),
    coalesce(w.wanted_name, ''), coalesce(quote_ident(w.wanted_schema) || '.' || quote_ident(w.wanted_name), ''),
    {_HOLDER}
FROM named w
JOIN locks h ON coalesce(h.pid, 0) = ANY (w.blocking)
    AND (h.locktype, h.database, h.relation, h.page, h.tuple) IS NOT DISTINCT FROM
        (w.locktype, w.database, w.relation, w.page, w.tuple)
    AND (h.virtualxid, h.transactionid, h.classid, h.objid, h.objsubid) IS NOT DISTINCT FROM
        (w.virtualxid, w.transactionid, w.classid, w.objid, w.objsubid)
{_JOINS}
"""

# Every transaction holds a lock on its own virtual id, or, once prepared, on its transaction id.
_HOLDERS = f"""
SELECT {_HOLDER}
FROM pg_locks h
{_JOINS}
WHERE h.granted AND h.pid IS DISTINCT FROM %(pid)s AND h.pid IS DISTINCT FROM pg_backend_pid()
    AND (h.locktype = 'relation' AND h.relation = ANY (%(relations)s::oid[])
            AND h.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        OR h.locktype IN ('virtualxid', 'transactionid') AND h.virtualtransaction = ANY (%(transactions)s))
"""


def glance(connection: psycopg.Connection[Any], pid: int) -> Glance | None:
    """Return where the transaction of session ``pid`` stands, None when there is no such session."""
    row = connection.execute(_GLANCE, [pid]).fetchone()
    return Glance(*row) if row else None


def waits_of(connection: psycopg.Connection[Any], pid: int) -> tuple[Wait, ...]:
    """Return the locks that session ``pid`` waits for at this moment, with their holders."""
    blockers: dict[tuple[Any, ...], dict[tuple[int, str], Blocker]] = {}
    for row in connection.execute(_WAITS, [pid]).fetchall():
        blocker = _blocker(row[6:])
        found = blockers.setdefault(tuple(row[:6]), {})
        known = found.get(blocker.identity)
        # one session holds several modes on one table: the strongest is the one worth showing
        if known is None or _rank(blocker.mode) > _rank(known.mode):
            found[blocker.identity] = blocker
    return tuple(
        Wait(kind, mode, shown, oid, schema, name, tuple(found.values()))
        for (kind, mode, oid, schema, name, shown), found in blockers.items()
    )


def holders_of(
    connection: psycopg.Connection[Any],
    pid: int,
    wanted: Mapping[int, frozenset[str]],
    transactions: Iterable[tuple[int, str]],
) -> tuple[Blocker, ...]:
    """Return who would make session ``pid`` wait, without making anybody wait.

    :param wanted: for each relation (oid) the lock modes that will be asked for.
    :param transactions: identities of transactions whose rows will be asked for.
    """
    transactions = frozenset(transactions)
    rows = connection.execute(
        _HOLDERS, {"pid": pid, "relations": list(wanted), "transactions": [t for _, t in transactions]}
    ).fetchall()
    found: dict[tuple[int, str], Blocker] = {}
    for blocker in map(_blocker, rows):
        stands = blocker.relation_oid == 0 and blocker.identity in transactions
        stands = stands or any(blocker.mode in CONFLICTS[mode] for mode in wanted.get(blocker.relation_oid, ()))
        known = found.get(blocker.identity)
        if stands and (known is None or _rank(blocker.mode) > _rank(known.mode)):
            found[blocker.identity] = blocker
    return tuple(found.values())


class Lookout:
    """Watches one session from another one, and remembers what it last waited for.

    :param connection: an autocommit connection of ours, used by nobody else but through this object's owner.
    :param pid: the watched session's server process.
    """

    def __init__(self, connection: psycopg.Connection[Any], pid: int) -> None:
        self.connection = connection
        self.pid = pid
        self.transaction_start: object = None
        """Of the transaction that was last seen waiting; an aborted one no longer shows it."""
        self._seen: tuple[Wait, ...] = ()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def glance(self) -> Glance | None:
        """Return where the watched transaction stands; None when it cannot be seen."""
        try:
            return glance(self.connection, self.pid)
        except CONNECTION_LOST:
            return None

    def start(self) -> None:
        """Start to look, in a thread."""
        self._seen, self.transaction_start = (), None
        self._stop.clear()
        self._thread = threading.Thread(target=self._look, name="alembic-safe-lookout", daemon=True)
        self._thread.start()

    def stop(self) -> tuple[Wait, ...]:
        """Stop to look, and return the last wait that was seen."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        return self._seen

    def _look(self) -> None:
        try:
            while not self._stop.wait(LOOK_EVERY):
                seen = glance(self.connection, self.pid)
                if seen is not None and seen.waits_for_lock:
                    self.transaction_start = seen.transaction_start
                    self._seen = waits_of(self.connection, self.pid) or self._seen
        except CONNECTION_LOST:
            # The attempt goes on without: who blocks it is news, never a condition.
            return


def _blocker(row: tuple[Any, ...]) -> Blocker:
    pid, transaction, kind, application, user, client, state, query, age, mode, oid, relation = row
    kinds = {"prepared": PREPARED, "autovacuum": AUTOVACUUM, "session": SESSION}
    shown = kinds[kind]
    # autovacuum.c writes these words into pg_stat_activity untranslated; such a worker is never cancelled for a lock
    if shown == AUTOVACUUM and "(to prevent wraparound)" in query:
        shown = WRAPAROUND
    gid = _gid(query) if shown == PREPARED else ""
    return Blocker(
        pid,
        transaction,
        shown,
        _line(application),
        _line(user),
        client,
        state,
        _line(query),
        age,
        mode,
        relation,
        oid,
        gid,
    )


def _rank(mode: str) -> int:
    return _MODES.index(mode) if mode in _MODES else -1


def _gid(name: str) -> str:
    """Return the name of a prepared transaction as SQL that can be pasted, whatever is in it."""
    if not name or "password" in name.lower():
        return ""
    doubled = name.replace("'", "''")
    if name.isprintable() and "\\" not in name:
        return f"'{doubled}'"
    doubled = doubled.replace("\\", "\\\\")
    return "E'" + "".join(ch if ch.isprintable() else f"\\U{ord(ch):08X}" for ch in doubled) + "'"


def _line(text: str) -> str:
    """Return foreign text as one printable line: what a session calls itself must not steer a terminal."""
    if "password" in text.lower():
        return "(not shown: it speaks of a password)"
    line = " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())
    return line if len(line) <= _LONGEST_QUERY else line[: _LONGEST_QUERY - 3] + "..."
