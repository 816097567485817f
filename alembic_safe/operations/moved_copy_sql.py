"""Which statements give the rows of a batch the values that their partners in the other table have?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.syncs import ROW
from alembic_safe.operations.table_pair import is_noted, matching, not_copied, wanting

if TYPE_CHECKING:
    from alembic_safe.operations.table_pair import Pair

_OWN = quoted(ROW)


def lock_free_rows(pair: Pair, table: str, condition: str) -> str:
    """Return what locks the rows that want a value, and their partners, where nobody else holds either.

    It waits for nobody, so that it can lock them in any order. It returns ``tids``: where those of the target are, as text,
    or NULL.

    :param table: the target, or what stands for it in FROM.
    :param condition: which rows are of the batch; its columns are the target's, and not said of which table.
    """
    batch = f"SELECT ctid FROM {table} WHERE {condition}"
    both = (
        f"SELECT {_OWN}.ctid FROM {table} AS {_OWN} JOIN {pair.source} AS s ON {matching(pair, 's', _OWN)}"
        f" WHERE {_OWN}.ctid = ANY (ARRAY({batch})) AND ({wanting(pair, _OWN)}) FOR NO KEY UPDATE OF {_OWN}, s SKIP LOCKED"
    )
    return f"SELECT CAST(pg_catalog.array_agg(free.ctid) AS text) AS tids FROM ({both}) AS free"


def fill_locked_rows(pair: Pair, table: str) -> str:
    """Return what fills the rows that were locked before, in a statement of its own: see :func:`lock_free_rows`.

    So it sees every note of those who held a row until then; a row that has one is left.
    """
    set_ = ", ".join(f"{quoted(d)} = COALESCE({_OWN}.{quoted(d)}, s.{quoted(c)})" for c, d in pair.columns)
    return (
        f"UPDATE {table} AS {_OWN} SET {set_} FROM {pair.source} AS s"
        f" WHERE {_OWN}.ctid = ANY (CAST(CAST(:tids AS text) AS tid[])) AND {matching(pair, 's', _OWN)}"
        f" AND NOT {is_noted(pair, _OWN)}"
    )


def fill_one_by_one(pair: Pair, table: str, condition: str) -> str:
    """Return what fills the others: it changes nothing, and the trigger fills what has no value yet."""
    set_ = ", ".join(f"{quoted(d)} = {_OWN}.{quoted(d)}" for _, d in pair.columns)
    return f"UPDATE {table} AS {_OWN} SET {set_} WHERE {condition} AND {not_copied(pair, _OWN)}"
