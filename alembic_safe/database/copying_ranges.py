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
_SCATTERED = """
SELECT abs(s.correlation) < :least AS it FROM pg_catalog.pg_stats s, pg_catalog.pg_settings g
WHERE s.schemaname = :schema AND s.tablename = :name AND s.attname = :column AND NOT s.inherited
  AND g.name = 'shared_buffers' AND CAST(:blocks AS bigint) > g.setting::bigint * CAST(:share AS double precision)
"""
_LEAST_CORRELATION = 0.5
_SHARE_OF_BUFFERS = 0.25
"""Of shared_buffers: what one table may take without driving out what others need."""
_SAMPLED = 2000
"""Rows looked at to cut a table into parts that are about equal."""


@dataclass(frozen=True)
class Leaf:
    """A table that holds rows: a plain one, or a partition.

    :param key: the columns that tell its rows apart, each with its type; empty: it has none.
    :param rows: about how many it has.
    :param by_block: it is to be cut into blocks, not along its key.
    """

    table: LivingTable
    key: tuple[tuple[str, str], ...]
    rows: int
    blocks: int
    by_block: bool = False

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
    :param first_block: the first block, where it is walked block by block; ``end_block``: the one behind the last.
    """

    leaf: int
    after: tuple[str, ...] | None = None
    last: tuple[str, ...] = ()
    first_block: int = 0
    end_block: int = 0

    @property
    def is_by_block(self) -> bool:
        """Whether it is walked block by block, as the run decided that cut it."""
        return self.end_block > 0


def leaves_of(
    connection: Connection, table: LivingTable, key: Sequence[str] | None, *, in_any_order: bool = False
) -> tuple[Leaf, ...]:
    """Return the tables that hold the rows.

    :param key: the columns that the revision file names; ``None``: the primary key, or another one.
    :param in_any_order: rows may be met twice or behind the walk; then a large table whose rows do not lie in the order of
        its key is walked block by block: along a random key every row of a batch is on another block.
    :raises Refused: when the columns that are named are no key.
    """
    tables = [table]
    if table.kind == "p":
        rows = run(connection, _LEAVES, {"oid": table.oid})
        found = (find_table(connection, row["name"], row["schema"]) for row in rows)
        tables = [leaf for leaf in found if leaf is not None]
    return tuple(_leaf(connection, leaf, key, in_any_order=in_any_order and key is None) for leaf in tables)


def _leaf(connection: Connection, table: LivingTable, key: Sequence[str] | None, *, in_any_order: bool) -> Leaf:
    size = run(connection, _SIZE, {"oid": table.oid})[0]
    rows = size["blocks"] * _ROWS_IN_A_BLOCK
    if size["rows"] >= 0 and size["known_blocks"] > 0:
        # as the planner does: the density of the last look, the size of now
        rows = round(size["rows"] / size["known_blocks"] * size["blocks"])
    found = key_of(connection, table, key, without="")
    by_block = not found or (in_any_order and _is_scattered(connection, table, found[0][0], size["blocks"]))
    return Leaf(table, found, max(rows, 0), size["blocks"], by_block)


def _is_scattered(connection: Connection, table: LivingTable, column: str, blocks: int) -> bool:
    """Whether rows that follow each other in a key lie all over a table that is too large to be kept in memory."""
    asked = {
        "schema": table.schema, "name": table.name, "column": column, "blocks": blocks, "least": _LEAST_CORRELATION,
        "share": _SHARE_OF_BUFFERS,
    }  # fmt: skip
    return any(row["it"] for row in run(connection, _SCATTERED, asked))


def ranges_of(connection: AnyConnection, leaves: Sequence[Leaf], parts: int) -> tuple[Range, ...]:
    """Cut what there is now into ranges; rows that come later are not in them.

    :param parts: into how many each table is cut, where it is large enough.
    """
    found: list[Range] = []
    for leaf in leaves:
        wanted = parts if leaf.rows >= parts * _SAMPLED else 1
        found.extend(ranges_in_blocks(leaf, wanted) if leaf.by_block else _by_key(connection, leaf, wanted))
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


def ranges_in_blocks(leaf: Leaf, parts: int) -> list[Range]:
    """Cut a table into ranges of blocks."""
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


def between(leaf: Leaf, after: tuple[str, ...] | None, upto: tuple[str, ...]) -> tuple[str, dict[str, object]]:
    """Return the condition on the columns of a key for the rows behind one value, up to and with another; and its parameters.

    :param after: ``None``: nothing is before it.

    It is a row comparison: the index is entered once. Spelled out with OR, it would be walked from its beginning. The planner
    judges each row comparison by its first column and takes the two for independent, so that in the middle of a table it
    expects a quarter of all rows, and may rather read the whole table for each batch. Single columns between two values it
    knows from its statistics, so they are compared alone, too, where that changes nothing.
    """
    same = 0
    while after is not None and same < len(upto) - 1 and after[same] == upto[same]:
        same += 1
    names = [quoted(name) for name, _ in leaf.key]
    lowest, highest = ([f"CAST(CAST(:{word}_{n} AS text) AS {type_})" for n, (_, type_) in enumerate(leaf.key)]
                       for word in ("after", "upto"))  # fmt: skip
    conditions = [f"{names[n]} = {highest[n]}" for n in range(same)]
    parameters: dict[str, object] = {f"upto_{n}": value for n, value in enumerate(upto)}
    sides = [("<=", "<=", highest)]
    if after is not None:
        sides.append((">", ">=", lowest))
        parameters |= {f"after_{n}": after[n] for n in range(same, len(after))}
    for whole, alone, values in sides:
        conditions.append(f"({', '.join(names[same:])}) {whole} ({', '.join(values[same:])})")
        if same < len(names) - 1:
            conditions.append(f"{names[same]} {alone} {values[same]}")
    return " AND ".join(conditions), parameters
