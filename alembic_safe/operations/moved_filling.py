"""How do the rows of a batch get the values that their partners in the other table have, whoever holds them?"""

# A transaction of an application that holds one row may want another one, and waits for whoever holds that. So a copy that
# ends its transactions waits for a row only while it holds nothing but that row's partner.
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from alembic_safe.database.statements import quoted, run, run_counting
from alembic_safe.inspecting.syncs import ROW
from alembic_safe.operations.table_pair import is_noted, matching, not_copied, of_target, wanting

if TYPE_CHECKING:
    from alembic_safe.database.copying_ranges import Leaf
    from alembic_safe.database.copying_session import Session
    from alembic_safe.operations.table_pair import Pair

MOST_PASSES = 3
"""How often a batch is looked through for rows that somebody has written, and given way, since they were found."""
_OWN = quoted(ROW)


@dataclass(frozen=True)
class Filling:
    """Gives the rows of each batch what they have no value of.

    :param committed: of each session, the rows that attempts have written before they met a lock.
    """

    copy: str
    pair: Pair
    committed: dict[Session, int] = field(default_factory=dict)

    def on_batch(self, session: Session, leaf: Leaf, condition: str, params: dict[str, Any]) -> int:
        """Write the rows of a batch that want it: those that nobody holds together, the others pair by pair."""
        table = f"ONLY {leaf.table.quoted}"
        if not session.lets_go:
            # whatever is locked stays so, and is locked in the order in which most applications do it
            return run_counting(session.connection, fill_by_trigger(self.pair, table, condition), params)
        for _ in range(MOST_PASSES):
            found = run(session.connection, lock_free_rows(self.pair, table, condition), params)[0]
            self._fill(session, table, found["free"])
            # who writes a row moves it, and fills it, unless he gives way
            have_moved = [not self._fill_held(session, table, tid) for tid in found["held"] or ()]
            if not any(have_moved):
                break
        return self.committed.pop(session, 0)

    def _fill_held(self, session: Session, table: str, tid: str) -> bool:
        """Wait for a row and its partner, and fill it; return whether it was where it was."""
        found = run(session.connection, lock_pair(self.pair, table), {"tid": tid})
        if found and found[0]["got"] < 0:
            # raised here, so that the batch lets go of the row and is tried again, as where a lock takes too long
            raise psycopg.errors.LockNotAvailable("a transaction that holds a row of one table waits for the other's")
        self._fill(session, table, f'{{"{tid}"}}' if found else None)
        return bool(found)

    def _fill(self, session: Session, table: str, tids: str | None) -> None:
        """Fill rows that are locked, and let go of all that is."""
        written = run_counting(session.connection, fill_locked_rows(self.pair, table), {"tids": tids}) if tids else 0
        session.commit()
        self.committed[session] = self.committed.get(session, 0) + written


def lock_free_rows(pair: Pair, table: str, condition: str) -> str:
    """Return what locks the rows that want a value, and their partners, where nobody else holds either.

    It waits for nobody, so it may lock them in any order. It returns ``free``, where those of the target are, as an array's
    text, or NULL; and ``held``, where the others are. A row that has a note waits for who settles that.

    :param table: the target, or what stands for it in FROM.
    :param condition: which rows are of the batch; its columns are the target's, and not said of which table.
    """

    def pairs(tids: str) -> str:
        # of an array that is read the planner takes it that it is short, and looks every partner up
        return (
            f"SELECT {_OWN}.ctid AS tid FROM {table} AS {_OWN} JOIN {pair.source} AS s ON {matching(pair, 's', _OWN)}"
            f" WHERE {_OWN}.ctid = ANY (ARRAY({tids})) AND ({wanting(pair, _OWN)}) AND NOT {is_noted(pair, _OWN)}"
        )

    batch = pairs(f"SELECT ctid FROM {table} WHERE {condition}")
    free = f"{pairs('SELECT tid FROM batch')} FOR NO KEY UPDATE OF {_OWN}, s SKIP LOCKED"
    return (
        f"WITH batch AS MATERIALIZED ({batch}), free AS MATERIALIZED ({free})"
        " SELECT (SELECT CAST(pg_catalog.array_agg(tid) AS text) FROM free) AS free,"
        " (SELECT pg_catalog.array_agg(CAST(tid AS text)) FROM (TABLE batch EXCEPT TABLE free) AS held) AS held"
    )


def lock_pair(pair: Pair, table: str) -> str:
    """Return what waits for a row (``:tid``) and then for its partner: ``got``, as ``table_locks_sql.lock`` has it."""
    keys = ", ".join(of_target(pair, _OWN))
    row = f"SELECT {keys} FROM {table} AS {_OWN} WHERE {_OWN}.ctid = CAST(CAST(:tid AS text) AS tid) FOR NO KEY UPDATE"
    return f"SELECT {pair.function('_source')}({keys}) AS got FROM ({row}) AS {_OWN}"


def fill_locked_rows(pair: Pair, table: str) -> str:
    """Return what fills rows (``:tids``) that are locked together with their partners, in a statement of its own.

    So it sees every note of those who held a row before; a row that has one is left.
    """
    set_ = ", ".join(f"{quoted(d)} = COALESCE({_OWN}.{quoted(d)}, s.{quoted(c)})" for c, d in pair.columns)
    # not as it is given: for a long one the planner would read the whole source
    tids = "ARRAY(SELECT pg_catalog.unnest(CAST(CAST(:tids AS text) AS tid[])))"
    return (
        f"UPDATE {table} AS {_OWN} SET {set_} FROM {pair.source} AS s"
        f" WHERE {_OWN}.ctid = ANY ({tids}) AND {matching(pair, 's', _OWN)} AND NOT {is_noted(pair, _OWN)}"
    )


def fill_by_trigger(pair: Pair, table: str, condition: str) -> str:
    """Return what fills row after row: it changes nothing, and the trigger fills what has no value yet."""
    set_ = ", ".join(f"{quoted(d)} = {_OWN}.{quoted(d)}" for _, d in pair.columns)
    return f"UPDATE {table} AS {_OWN} SET {set_} WHERE {condition} AND {not_copied(pair, _OWN)}"
