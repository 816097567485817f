"""Along what is a table walked: which key, from where to where, or block by block?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from alembic_safe.database.statements import quoted, run
from alembic_safe.operations.living import LivingTable, find_table, key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from sqlalchemy import Connection

    AnyConnection = Connection | psycopg.Connection[Any]

_LEAVES = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_partition_tree(CAST(:oid AS oid)::regclass) t
JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.isleaf AND c.relkind = 'r'
ORDER BY 1, 2
"""
_SIZE = """
SELECT c.reltuples::bigint AS rows,
  (pg_relation_size(c.oid) / current_setting('block_size')::bigint)::bigint AS blocks,
  greatest(c.relpages, 0)::bigint AS known_blocks FROM pg_class c WHERE c.oid = CAST(:oid AS oid)
"""
_ROWS_IN_A_BLOCK = 60
"""What is assumed of a table that was never analyzed."""
_SAMPLED = 2000
"""Rows looked at to cut a table into parts that are about equal."""


@dataclass(frozen=True)
class Leaf:
    """A table that holds rows: a plain one, or a partition.

    :param key: the columns it is walked along, each with its type; empty: its blocks.
    :param rows: about how many it has.
    """

    table: LivingTable
    key: tuple[tuple[str, str], ...]
    rows: int
    blocks: int

    @property
    def columns(self) -> str:
        """The key's columns, quoted."""
        return ", ".join(quoted(name) for name, _ in self.key)


@dataclass(frozen=True)
class Range:
    """A part of a table, walked by one worker from its beginning to its end.

    :param leaf: which table that holds rows, by its oid: partitions come and go between two runs.
    :param after: the key behind which it begins, as text; ``None``: with the first row.
    :param last: the last key that belongs to it.
    :param first_block: the first block, where there is no key; ``end_block``: the one behind the last.
    """

    leaf: int
    after: tuple[str, ...] | None = None
    last: tuple[str, ...] = ()
    first_block: int = 0
    end_block: int = 0


def leaves_of(connection: Connection, table: LivingTable, key: Sequence[str] | None) -> tuple[Leaf, ...]:
    """Return the tables that hold the rows.

    :param key: the columns that the revision file names; ``None``: the primary key, or another one.
    :raises Refused: when the columns that are named are no key.
    """
    tables = [table]
    if table.kind == "p":
        rows = run(connection, _LEAVES, {"oid": table.oid})
        found = (find_table(connection, row["name"], row["schema"]) for row in rows)
        tables = [leaf for leaf in found if leaf is not None]
    return tuple(_leaf(connection, leaf, key) for leaf in tables)


def _leaf(connection: Connection, table: LivingTable, key: Sequence[str] | None) -> Leaf:
    size = run(connection, _SIZE, {"oid": table.oid})[0]
    rows = size["blocks"] * _ROWS_IN_A_BLOCK
    if size["rows"] >= 0 and size["known_blocks"] > 0:
        # as the planner does: the density of the last look, the size of now
        rows = round(size["rows"] / size["known_blocks"] * size["blocks"])
    return Leaf(table, key_of(connection, table, key, without=""), max(rows, 0), size["blocks"])


def ranges_of(connection: AnyConnection, leaves: Sequence[Leaf], parts: int) -> tuple[Range, ...]:
    """Cut what there is now into ranges; rows that come later are not in them.

    :param parts: into how many each table is cut, where it is large enough.
    """
    found: list[Range] = []
    for leaf in leaves:
        wanted = parts if leaf.rows >= parts * _SAMPLED else 1
        found.extend(_by_key(connection, leaf, wanted) if leaf.key else _by_block(leaf, wanted))
    return tuple(found)


def _by_key(connection: AnyConnection, leaf: Leaf, parts: int) -> list[Range]:
    order = ", ".join(f"{quoted(name)} DESC" for name, _ in leaf.key)
    rows = run(connection, f"SELECT {key_text(leaf)} FROM ONLY {leaf.table.quoted} ORDER BY {order} LIMIT 1")
    if not rows:
        return []
    last = key_in(leaf, rows[0])
    cuts = _cuts(connection, leaf, parts) if parts > 1 else []
    cuts = [cut for cut in cuts if cut != last]
    return [
        Range(leaf.table.oid, after, upto)
        for after, upto in zip([None, *cuts], [*cuts, last], strict=True)
    ]  # fmt: skip


def _cuts(connection: AnyConnection, leaf: Leaf, parts: int) -> list[tuple[str, ...]]:
    percent = min(100.0, 100.0 * _SAMPLED / max(leaf.rows, 1))
    sample = "TABLESAMPLE SYSTEM (CAST(:percent AS double precision))"
    sql = f"SELECT {key_text(leaf)} FROM ONLY {leaf.table.quoted} {sample} ORDER BY {leaf.columns}"
    rows = run(connection, sql, {"percent": percent})
    keys = [key_in(leaf, row) for row in rows]
    return list(dict.fromkeys(keys[len(keys) * part // parts] for part in range(1, parts) if len(keys) > parts))


def _by_block(leaf: Leaf, parts: int) -> list[Range]:
    edges = [leaf.blocks * part // parts for part in range(parts + 1)]
    return [
        Range(leaf.table.oid, first_block=first, end_block=end)
        for first, end in pairwise(edges)
        if first < end
    ]  # fmt: skip


def key_text(leaf: Leaf) -> str:
    """Return what selects the key's values as text, by their types' own output functions."""
    return ", ".join(
        f"pg_catalog.format('%s', {quoted(name)}) AS key_{n}" for n, (name, _) in enumerate(leaf.key)
    )  # fmt: skip


def key_in(leaf: Leaf, row: Any) -> tuple[str, ...]:
    """Return the key out of a row that :func:`key_text` selected."""
    return tuple(row[f"key_{n}"] for n in range(len(leaf.key)))


def between(leaf: Leaf, *, is_first: bool) -> str:
    """Return the condition on a key's columns: behind the parameters ``after``, up to and with those of ``upto``.

    :param is_first: nothing is before it, and ``after`` no parameter.

    It is a row comparison: the index is entered once. Spelled out with OR, it would be walked from its beginning.
    """
    upto = f"({leaf.columns}) <= ({_values(leaf, 'upto')})"
    return upto if is_first else f"({leaf.columns}) > ({_values(leaf, 'after')}) AND {upto}"


def parameters(name: str, key: tuple[str, ...] | None) -> dict[str, object]:
    """Return the parameters of a key: ``after_0``, ``after_1``, ..."""
    return {} if key is None else {f"{name}_{n}": value for n, value in enumerate(key)}


def _values(leaf: Leaf, name: str) -> str:
    return ", ".join(f"CAST(CAST(:{name}_{n} AS text) AS {type_})" for n, (_, type_) in enumerate(leaf.key))
