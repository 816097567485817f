"""What is seen of a statement by asking the transaction that it ran in?"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from alembic_safe.inspecting.trace import Change, Column, Constraint, Index, Lock, Relation, Trace, Write
from alembic_safe.inspecting.trace_changes import other_changes, relation_changes
from alembic_safe.inspecting.trace_state import CHECKSUM, OTHERS, OtherState, read_others, read_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alembic.runtime.migration import MigrationContext

    from alembic_safe.inspecting.trace_state import RelationState

_NOW = "SELECT * FROM alembic_safe_watch.look()"
_WROTE, _LOCKS, _COUNTERS, _SEEN, _CHECKSUM, _SIGNATURES, _CLASSES, _TIMEOUT, _ADVISORY = range(9)
# where nobody can have a session report its statistics at the end of a transaction
_COUNTED_BEFORE = """
SELECT string_agg(concat_ws(' ', relid::bigint, seq_scan, n_tup_ins, n_tup_upd, n_tup_del), ',')
FROM pg_stat_xact_user_tables WHERE seq_scan + n_tup_ins + n_tup_upd + n_tup_del > 0
"""
_PATH = "SELECT current_setting('search_path')"
_SET_PATH = "SELECT set_config('search_path', %s, true)"


@dataclass(frozen=True)
class Look:
    """What one look found new."""

    locks: tuple[Lock, ...] = ()
    scans: tuple[Relation, ...] = ()
    rewrites: tuple[Relation, ...] = ()
    builds: tuple[tuple[Relation, str], ...] = ()
    changes: tuple[Change, ...] = ()
    writes: tuple[Write, ...] = ()
    lock_timeout: int = 0
    advisory: bool = False


@dataclass
class _Held:
    """What a transaction had at the last look."""

    locks: set[tuple[int, str]] = field(default_factory=set)
    counters: dict[int, tuple[int, ...]] = field(default_factory=dict)
    advisory: bool = False


class Looking:
    """Looks at a shadow through the connection that its revisions run on, and remembers what it was before."""

    def __init__(self, connection: Any, context: MigrationContext) -> None:
        self.connection = connection
        self.has_unwatched = True
        self._version_table = (context.version_table_schema, context.version_table)
        self._relations: dict[int, RelationState] = {}
        self._others = OtherState({})
        self._checksum = ""
        self._names: dict[int, Relation] = {}
        self._held = _Held()
        self._flushes = False
        self._signatures: dict[str, str] = {}
        self._classes = ""
        self._path = ""
        self.version = 0

    def start(self) -> None:
        """Look at everything; from here on a table that comes is new."""
        self._path = self._ask(_PATH)[0][0]
        self._ask("SELECT set_config('alembic_safe_watch.seen', '', false)")
        self._relations = self._states(None)
        self._others = read_others(self._read(OTHERS)[0][0])
        self._checksum = self._ask(f"SELECT ({CHECKSUM})")[0][0]
        self.version = int(self._ask("SELECT current_setting('server_version_num')")[0][0])
        self._flushes = self.version >= 150000
        self._classes = str(self._ask(_NOW)[0][_CLASSES])
        self.nothing_is_new()
        self.end()

    def nothing_is_new(self) -> None:
        """Count what is there now as what the target has."""
        self._names = {oid: state.as_relation(new=False) for oid, state in self._relations.items()}

    def ground(self) -> Trace:
        """Return what the target has, before the first revision."""
        columns: dict[Relation, tuple[Column, ...]] = {}
        indexes: dict[Relation, tuple[Index, ...]] = {}
        constraints: dict[Relation, tuple[Constraint, ...]] = {}
        for oid, state in self._relations.items():
            relation = self._names[oid]
            columns[relation] = tuple(state.columns.values())
            indexes[relation] = tuple(state.indexes.values())
            constraints[relation] = tuple(self._resolved(one) for one in state.constraints.values())
        return Trace((), self.version, columns, indexes, constraints)

    def begin(self) -> None:
        """Begin to look at a transaction: what it counts must not be what the one before it has counted."""
        self._signatures.clear()
        self._held = _Held() if self._flushes else _Held(counters=_counters(self._ask(_COUNTED_BEFORE)[0][0]))

    def resume(self) -> None:
        """Look again behind a rollback to a savepoint: what came since is no longer there."""
        now = self._ask(_NOW)[0]
        self._refresh(None, set())
        if now[_WROTE] and now[_CHECKSUM] != self._checksum:
            self._refresh_others(now[_CHECKSUM])
        self._signatures.clear()
        self._held = _Held(_locks(now[_LOCKS]), _counters(now[_COUNTERS]), self._held.advisory)

    def after(self, *, keep: bool = True) -> Look:
        """Look behind a statement, in its transaction.

        :param keep: whether what was found is the state from now on; not for what is rolled back at once.
        """
        now = self._ask(_NOW)[0]
        wrote, _, _, seen, checksum, _, _, timeout, advisory = now
        locks, counters_text = _locks(now[_LOCKS]), now[_COUNTERS]
        self._classes = now[_CLASSES]
        new_locks = locks - self._held.locks
        counters = _counters(counters_text)
        changes: list[Change] = []
        rewrites: list[Relation] = []
        builds: list[tuple[Relation, str]] = []
        truncated = {int(one.split()[1]) for one in _parts(seen, ";") if one.startswith("TRUNCATE")}
        before, others = dict(self._relations), self._others
        was = self._checksum
        if wrote:
            signed = dict(one.split(" ", 1) for one in _parts(now[_SIGNATURES], ","))
            changed = {int(oid) for oid, text in signed.items() if self._signatures.get(oid) != text}
            gone = {oid for oid, mode in locks if mode == "AccessExclusiveLock" and str(oid) not in signed}
            changes, rewrites, builds = self._refresh(changed | (gone & self._relations.keys()), truncated)
            self._signatures = signed
            if checksum != self._checksum:
                changes += self._refresh_others(checksum)
        scans = [
            oid for oid, (scanned, *_) in counters.items() if scanned > self._held.counters.get(oid, (0,))[0]
            and oid not in truncated
        ]  # fmt: skip
        look = Look(
            tuple(sorted({Lock(self._named(oid), mode) for oid, mode in new_locks if self._is_known(oid)})),
            tuple(self._named(oid) for oid in scans if self._is_known(oid)),
            tuple(rewrites), tuple(builds), tuple(changes), self._writes(seen, counters), timeout,
            advisory and not self._held.advisory,
        )  # fmt: skip
        if keep:
            self._held = _Held(locks, counters, advisory)
        else:
            self._relations, self._others, self._checksum = before, others, was
        return look

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Look at what is going to be rolled back: behind it everything is what it was before."""
        held = self._relations, self._others, self._checksum, self._classes, self._held, self.has_unwatched
        self._relations = dict(self._relations)
        try:
            yield
        finally:
            self._relations, self._others, self._checksum, self._classes, self._held, self.has_unwatched = held
            self._signatures.clear()

    def afresh(self) -> Look:
        """Look at everything again: behind a statement that is committed already, its locks are gone."""
        changes, rewrites, builds = self._refresh(None, set())
        now = self._ask(_NOW)[0]
        self._classes, timeout, advisory = now[_CLASSES], now[_TIMEOUT], now[_ADVISORY]
        checksum = self._ask(f"SELECT ({CHECKSUM})")[0][0]
        if checksum != self._checksum:
            changes += self._refresh_others(checksum)
        return Look(
            rewrites=tuple(rewrites),
            builds=tuple(builds),
            changes=tuple(changes),
            lock_timeout=timeout,
            advisory=advisory,
        )

    def leftover(self) -> tuple[Change, ...]:
        """Return what has changed since the last look, on another connection, when anything has."""
        if self._ask(_NOW)[0][_CLASSES] == self._classes:
            return ()
        return self.afresh().changes

    def worth_a_line(self, look: Look, tag: str) -> bool:
        """Whether a statement did anything that a person has to know of: no question, none of Alembic's own rows."""
        schema, name = self._version_table
        touched = [write.relation for write in look.writes] + [lock.relation for lock in look.locks]
        if any(one.name == name and schema in (None, one.schema) for one in touched):
            return bool(look.changes)
        return replace(look, lock_timeout=0) != Look() or not tag.startswith(
            ("SELECT", "SHOW", "SET", "BEGIN", "RESET")
        )

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _refresh(
        self, oids: set[int] | None, truncated: set[int]
    ) -> tuple[list[Change], list[Relation], list[tuple[Relation, str]]]:
        if oids is not None and not oids:
            return [], [], []
        now = self._states(oids)
        known = {oid for oid in self._relations if oids is None or oid in oids}
        changes: list[Change] = []
        rewrites: list[Relation] = []
        builds: list[tuple[Relation, str]] = []
        for oid in sorted(known | now.keys()):
            before, after = self._relations.get(oid), now.get(oid)
            if after is not None and oid not in self._names:
                self._names[oid] = after.as_relation(new=True)
                self.has_unwatched = True
            relation = self._names[oid]
            found = [self._whole(change) for change in relation_changes(before, after, relation)]
            changes += found
            rewritten = before is not None and after is not None and before.filenode != after.filenode
            if rewritten and oid not in truncated:
                rewrites.append(relation)
            if before is not None and after is not None:
                builds += [
                    (relation, change.after.name) for change in found
                    if change.kind == "index" and (change.action == "added" or change.what == "built")
                    and oid not in truncated
                ]  # fmt: skip
            if after is None:
                self._relations.pop(oid, None)
            else:
                self._relations[oid] = after
        # an index whose storage is new because its table was written anew is part of that
        changes = [c for c in changes if not (c.kind == "index" and c.what == "built")]
        return changes, rewrites, builds

    def _refresh_others(self, checksum: str) -> list[Change]:
        found = read_others(self._read(OTHERS)[0][0])
        changes = list(other_changes(self._others, found))
        self._others, self._checksum = found, checksum
        return changes

    def _whole(self, change: Change) -> Change:
        """Return a change in which a foreign key says which table it refers to."""
        if change.kind != "constraint":
            return change
        return replace(
            change,
            before=change.before and self._resolved(change.before),
            after=change.after and self._resolved(change.after),
        )

    def _resolved(self, constraint: Constraint) -> Constraint:
        if constraint.references is None or constraint.references.kind != "oid":
            return constraint
        return replace(constraint, references=self._named(int(constraint.references.name)))

    def _writes(self, seen: str | None, counters: dict[int, tuple[int, ...]]) -> tuple[Write, ...]:
        found = []
        for one in _parts(seen, ";"):
            kind, _, oid = one.partition(" ")
            number = {"INSERT": 1, "UPDATE": 2, "DELETE": 3}.get(kind, 0)
            now, before = counters.get(int(oid), ()), self._held.counters.get(int(oid), ())
            rows = (now[number] if now else 0) - (before[number] if before else 0) if number else 0
            found.append(Write(self._named(int(oid)), kind, max(rows, 0)))
        return tuple(found)

    def _is_known(self, oid: int) -> bool:
        return oid in self._names

    def _named(self, oid: int) -> Relation:
        return self._names.get(oid) or Relation("", str(oid), "unknown", new=True)

    def _states(self, oids: set[int] | None) -> dict[int, RelationState]:
        wanted = "NULL" if oids is None else f"'{{{','.join(map(str, sorted(oids)))}}}'"
        states = (read_state(row[0]) for row in self._read(f"SELECT * FROM alembic_safe_watch.states({wanted})"))
        return {state.oid: state for state in states}

    def _read(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask for definitions under the search path of the beginning: PostgreSQL writes names as that one wants them."""
        now = self._ask(_PATH)[0][0]
        if now == self._path:
            return self._ask(sql)
        with self.connection.connection.driver_connection.cursor() as cursor:
            # in autocommit the setting would be over before the question
            alone = self.connection.connection.driver_connection.info.transaction_status == 0
            if alone:
                cursor.execute("BEGIN")
            cursor.execute(_SET_PATH, (self._path,))
            cursor.execute(sql)
            found = list(cursor.fetchall())
            cursor.execute(_SET_PATH, (now,))
            if alone:
                cursor.execute("COMMIT")
            return found

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask on the driver's own cursor: SQLAlchemy's events are for the revision's statements."""
        with self.connection.connection.driver_connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def end(self) -> None:
        """End the transaction that only our own reading began; Alembic makes its version table in one that is still open."""
        if not self.connection.in_transaction():
            self.connection.connection.driver_connection.rollback()


def committed_alone(look: Look) -> Look:
    """Return what a statement that runs in no transaction is known to lock (documentation: CREATE INDEX, DROP INDEX ...).

    What it left tells what it was: an index that came, went or was built anew did so CONCURRENTLY, as the plain forms
    run in a transaction; a partition was detached CONCURRENTLY; a table in a new file was VACUUM FULL.
    """
    touched: list[Relation | None] = [relation for relation, _ in look.builds]
    touched += [c.relation for c in look.changes if c.kind == "index" or c.what == "partition"]
    locks = [Lock(relation, "ShareUpdateExclusiveLock") for relation in touched if relation is not None]
    locks += [Lock(relation, "AccessExclusiveLock") for relation in look.rewrites]
    return replace(look, locks=tuple(sorted(set(locks))))


def _locks(text: str | None) -> set[tuple[int, str]]:
    return {(int(oid), mode) for oid, _, mode in (one.partition(" ") for one in _parts(text, ","))}


def _parts(text: str | None, separator: str) -> Iterable[str]:
    return [part for part in (text or "").split(separator) if part]


def _counters(text: str | None) -> dict[int, tuple[int, ...]]:
    rows = [[int(number) for number in part.split()] for part in _parts(text, ",")]
    return {oid: tuple(numbers) for oid, *numbers in rows}
