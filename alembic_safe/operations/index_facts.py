"""Which index has a name, and do two indexes say the same?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted, run
from alembic_safe.inspecting.one_form import one_form

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from alembic_safe.operations.living import LivingTable

_INDEX = """
SELECT i.oid::bigint AS oid, n.nspname AS schema, i.relname AS name, i.relkind::text AS kind,
  x.indrelid::bigint AS table, x.indisvalid AS is_valid, pg_get_indexdef(i.oid) AS definition,
  coalesce((SELECT c.conname FROM pg_constraint c WHERE c.conindid = i.oid AND c.contype IN ('p', 'u', 'x')), '') AS constraint
FROM pg_class i JOIN pg_namespace n ON n.oid = i.relnamespace JOIN pg_index x ON x.indexrelid = i.oid
"""
_NAMED = _INDEX + "WHERE n.nspname = :schema AND i.relname = :name"
_OF_TABLE = _INDEX + "WHERE x.indrelid = CAST(:table AS oid) ORDER BY i.relname"
# Everything that makes an index what it is, its name and its table aside; columns by name, as numbers differ.
_SAYS = """
SELECT ARRAY(SELECT pg_get_indexdef(x.indexrelid, n, false) FROM generate_series(1, x.indnatts) n)::text[] AS columns,
  x.indnkeyatts AS keys, x.indisunique AS is_unique, x.indnullsnotdistinct AS nulls_not_distinct,
  x.indclass::text AS classes, x.indcollation::text AS collations, x.indoption::text AS options,
  pg_get_expr(x.indpred, x.indrelid) AS predicate, a.amname AS method, coalesce(i.reloptions::text, '') AS storage
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_am a ON a.oid = i.relam WHERE x.indexrelid = CAST(:oid AS oid)
"""
_PART = """
SELECT EXISTS (SELECT FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
  WHERE x.indrelid = CAST(:table AS oid) AND i.relname = :name)
OR EXISTS (SELECT FROM pg_constraint WHERE conrelid = CAST(:table AS oid) AND conname = :name) AS it
"""
_CLONE = "alembic_safe_clone"


@dataclass(frozen=True)
class Index:
    """An index as the catalog has it.

    :param kind: ``i``; ``I`` where it is a partitioned table's.
    :param is_valid: a partitioned table's is valid when every partition has its own.
    :param constraint: the constraint that it belongs to; empty where it stands alone.
    """

    oid: int
    schema: str
    name: str
    kind: str
    table: int
    is_valid: bool
    definition: str
    constraint: str


def find_index(connection: Connection, schema: str, name: str) -> Index | None:
    """Return the index of that name, or ``None``."""
    rows = run(connection, _NAMED, {"schema": schema, "name": name})
    return Index(**rows[0]) if rows else None


def has_part(connection: Connection, table: int, name: str) -> bool:
    """Tell whether a table has an index or a constraint of that name."""
    return bool(run(connection, _PART, {"table": table, "name": name})[0]["it"])


def indexes_of(connection: Connection, table: int) -> list[Index]:
    """Return the indexes of a table."""
    return [Index(**row) for row in run(connection, _OF_TABLE, {"table": table})]


def what_it_says(connection: Connection, index: int) -> dict[str, object]:
    """Return what makes an index what it is, its name and its table aside."""
    found = dict(run(connection, _SAYS, {"oid": index})[0])
    # one made from the text of the other is the same
    found["columns"] = [one_form(column) for column in found["columns"]]
    found["predicate"] = one_form(found["predicate"] or "")
    return found


def says_the_same(
    connection: Connection, found: Index, table: LivingTable, statement: Callable[[str, str], str]
) -> bool:
    """Whether an index is what a statement would make: the statement is run on an empty table of the same columns.

    :param statement: makes the index of that name on the temporary table of that name.
    """
    savepoint = connection.begin_nested()
    run(connection, f"CREATE TEMPORARY TABLE {quoted(_CLONE)} (LIKE {table.quoted})")
    run(connection, statement("alembic_safe_index", _CLONE))
    oid = run(connection, "SELECT CAST(:name AS regclass)::oid::bigint AS it", {"name": "pg_temp.alembic_safe_index"})[
        0
    ]
    wanted = what_it_says(connection, int(oid["it"]))
    savepoint.rollback()
    return wanted == what_it_says(connection, found.oid)
