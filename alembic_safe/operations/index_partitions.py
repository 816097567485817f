"""How a partitioned table gets an index partition by partition, none of them locked against its writers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import NextStep, Refused
from alembic_safe.operations.index_facts import indexes_of, what_it_says

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sqlalchemy import Connection

    from alembic_safe.operations.index_facts import Index
    from alembic_safe.operations.living import LivingTable

# The partitions right below a table, each with the index that is attached to the parent's already.
_PARTITIONS = """
SELECT p.oid::bigint AS oid, n.nspname AS schema, p.relname AS name, p.relkind::text AS kind,
  (SELECT c.oid::bigint FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_inherits ii ON ii.inhrelid = c.oid
    WHERE x.indrelid = p.oid AND ii.inhparent = CAST(:index AS oid)) AS attached
FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid JOIN pg_namespace n ON n.oid = p.relnamespace
WHERE i.inhparent = CAST(:table AS oid) ORDER BY 2, 3
"""
# What stands behind the table's name: method, columns, predicate. pg_get_indexdef() says ON ONLY for a partitioned one.
_TAIL = """
SELECT substr(pg_get_indexdef(i.oid), 1 + length(format('CREATE %sINDEX %I ON ONLY %I.%I ',
  CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END, i.relname, n.nspname, c.relname))) AS tail, x.indisunique AS is_unique
FROM pg_class i JOIN pg_index x ON x.indexrelid = i.oid JOIN pg_class c ON c.oid = x.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.oid = CAST(:oid AS oid)
"""


_FOREIGN = """
SELECT n.nspname || '.' || c.relname AS name FROM pg_partition_tree(CAST(:table AS oid)::regclass) t
JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f' ORDER BY 1
"""


def refuse_foreign_partitions(connection: Connection, table: LivingTable, subject: str) -> None:
    """Stop where a partition is a foreign table, which has no index of ours: without its part, the parent's is never valid.

    :raises Refused: naming it. A plain CREATE INDEX on the parent passes it by.
    """
    foreign = run(connection, _FOREIGN, {"table": table.oid})
    if foreign:
        raise Refused(
            f"{subject}: partition {foreign[0]['name']} is a foreign table, which takes no index, so that the one of"
            f" {table.shown} would never be valid.",
            next_steps=[
                NextStep(
                    "where writers may wait for the whole build: it passes foreign tables by", "op.create_index(...)"
                )
            ],
        )


def build_on_partitions(connection: Connection, parent: Index, *, concurrently: bool) -> None:
    """Give every partition its index and attach it, until the parent's is valid.

    What a run that was killed left behind is used where it is valid, and taken away where it is not.

    :param connection: in AUTOCOMMIT where ``concurrently``.
    """
    tail = run(connection, _TAIL, {"oid": parent.oid})[0]
    for partition in run(connection, _PARTITIONS, {"table": parent.table, "index": parent.oid}):
        if partition["attached"] is None:
            _build_one(connection, parent, partition, tail, concurrently=concurrently)
        elif partition["kind"] == "p":
            inner = next(i for i in indexes_of(connection, partition["oid"]) if i.oid == partition["attached"])
            build_on_partitions(connection, inner, concurrently=concurrently)


def _build_one(
    connection: Connection, parent: Index, partition: Mapping[str, Any], tail: Mapping[str, Any], *, concurrently: bool
) -> None:
    child = _usable(connection, parent, partition, concurrently=concurrently)
    if child is None:
        before = {index.oid for index in indexes_of(connection, partition["oid"])}
        is_nested = partition["kind"] == "p"
        unique = "UNIQUE " if tail["is_unique"] else ""
        how = "CONCURRENTLY " if concurrently and not is_nested else ""
        only = "ONLY " if is_nested else ""
        table = quoted(partition["schema"], partition["name"])
        # without a name: PostgreSQL chooses the one that a plain CREATE INDEX on the parent gives it
        run(connection, f"CREATE {unique}INDEX {how}ON {only}{table} {verbatim(tail['tail'])}")
        child = next(index for index in indexes_of(connection, partition["oid"]) if index.oid not in before)
    if child.kind == "I":
        build_on_partitions(connection, child, concurrently=concurrently)
    attach = f"ALTER INDEX {quoted(parent.schema, parent.name)} ATTACH PARTITION {quoted(child.schema, child.name)}"
    run(connection, attach)


def _usable(connection: Connection, parent: Index, partition: Mapping[str, Any], *, concurrently: bool) -> Index | None:
    wanted = what_it_says(connection, parent.oid)
    for index in indexes_of(connection, partition["oid"]):
        if index.constraint or what_it_says(connection, index.oid) != wanted or _is_attached(connection, index):
            continue
        if index.is_valid or index.kind == "I":
            return index
        how = "CONCURRENTLY " if concurrently else ""
        run(connection, f"DROP INDEX {how}IF EXISTS {quoted(index.schema, index.name)}")
    return None


def _is_attached(connection: Connection, index: Index) -> bool:
    sql = "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = CAST(:oid AS oid)) AS it"
    return bool(run(connection, sql, {"oid": index.oid})[0]["it"])
