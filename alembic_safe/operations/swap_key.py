"""How does a primary key go from one column to another, and what refers to it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import NextStep, Refused
from alembic_safe.operations.dependants import refused_by_restrict
from alembic_safe.operations.kept import fixed_text, set_comment
from alembic_safe.operations.swap_names import beside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sqlalchemy import Connection

    from alembic_safe.operations.living import LivingTable

_KEY = """
SELECT k.condeferrable AS deferrable, k.condeferred AS deferred, obj_description(k.oid, 'pg_constraint') AS comment,
  k.conindid::bigint AS index, x.indisclustered AS clustered,
  ARRAY(SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY c(n, place) JOIN pg_attribute a ON a.attrelid = k.conrelid
    AND a.attnum = c.n ORDER BY c.place)::text[] AS columns
FROM pg_constraint k JOIN pg_index x ON x.indexrelid = k.conindid
WHERE k.conrelid = CAST(:oid AS oid) AND k.conname = :name AND k.contype = 'p'
"""
_READY = """
SELECT x.indisvalid AND x.indisunique AND x.indpred IS NULL AND x.indexprs IS NULL AS is_usable,
  ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = x.indrelid AND a.attnum = ANY(x.indkey::int2[])
    AND NOT a.attnotnull ORDER BY a.attname)::text[] AS nullable
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = CAST(:oid AS oid) AND i.relname = :name
"""
# those of partitions go and come with their parent's
_REFERRING = """
SELECT n.nspname AS schema, c.relname AS table, k.conname AS name, pg_get_constraintdef(k.oid) AS definition,
  obj_description(k.oid, 'pg_constraint') AS comment
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.confrelid = CAST(:oid AS oid) AND k.conindid = CAST(:index AS oid) AND k.conparentid = 0
ORDER BY 1, 2, 3
"""


def require_free_key(connection: Connection, table: LivingTable, name: str, subject: str) -> None:
    """Stop where a primary key cannot change its index, before anything is changed.

    :raises Refused: naming what depends on it, or what is wrong with the index that is to take its place.
    """
    key = _key(connection, table, name, subject)
    index = beside(name)
    rows = run(connection, _READY, {"oid": table.oid, "name": index})
    if not rows or not rows[0]["is_usable"]:
        raise Refused(
            f"{subject}: there is no unique and valid index {index} that the primary key {name} could stand on.",
            next_steps=[NextStep("in the copy of the change", "op.create_index_concurrently(..., unique=True)")],
        )
    if rows[0]["nullable"]:
        raise Refused(
            f"{subject}: {', '.join(rows[0]['nullable'])} may be NULL, and becomes part of the primary key {name}.",
            next_steps=[NextStep("in a step before the swap", "op.set_not_null(...)")],
        )
    refers = _referring(connection, table, key)
    depends: Sequence[str] = [f"foreign key {one['name']} of {one['schema']}.{one['table']}" for one in refers]
    depends = depends or refused_by_restrict(connection, _drop(table, name))
    if depends:
        raise Refused(
            f"{subject}: others depend on the primary key {name}, and none of them is dropped in passing.", detail=depends,
            next_steps=[NextStep("drop or change them in an earlier line of the same revision, then", "alembic upgrade head")],
        )  # fmt: skip


def move_key(connection: Connection, table: LivingTable, name: str, subject: str) -> None:
    """Let a primary key stand on the index that was built beside it, without reading a row."""
    key = _key(connection, table, name, subject)
    when = " DEFERRABLE" if key["deferrable"] else ""
    when += " INITIALLY DEFERRED" if key["deferred"] else ""
    made = f"ADD CONSTRAINT {quoted(name)} PRIMARY KEY USING INDEX {quoted(beside(name))}{when}"
    run(connection, f"ALTER TABLE {table.quoted} DROP CONSTRAINT {quoted(name)} RESTRICT, {made}")
    _say_of_it(connection, table, name, key)


def move_key_back(connection: Connection, table: LivingTable, name: str, pairs: Mapping[str, str]) -> None:
    """Let a primary key stand on the old columns again, which have their names again, and a unique index on the new ones.

    The old columns have no index any more, and the new one's goes with the constraint: both are built here, under the lock.

    :param pairs: the old columns, each with the new one.
    """
    key = _key(connection, table, name, "op.swap_columns_back")
    old = {new: old for old, new in pairs.items()}
    with fixed_text(connection, search_path=""):
        refers = _referring(connection, table, key)
    for one in refers:
        where = quoted(one["schema"], one["table"])
        run(connection, f"ALTER TABLE {where} DROP CONSTRAINT {quoted(one['name'])} RESTRICT")
    run(connection, _drop(table, name))
    new_columns = ", ".join(quoted(column) for column in key["columns"])
    run(connection, f"CREATE UNIQUE INDEX {quoted(beside(name))} ON {table.quoted} ({new_columns})")
    columns = ", ".join(quoted(old.get(column, column)) for column in key["columns"])
    when = " DEFERRABLE" if key["deferrable"] else ""
    when += " INITIALLY DEFERRED" if key["deferred"] else ""
    run(connection, f"ALTER TABLE {table.quoted} ADD CONSTRAINT {quoted(name)} PRIMARY KEY ({columns}){when}")
    _say_of_it(connection, table, name, key)
    for one in refers:
        where, definition = quoted(one["schema"], one["table"]), verbatim(one["definition"])
        run(connection, f"ALTER TABLE {where} ADD CONSTRAINT {quoted(one['name'])} {definition}")
        if one["comment"] is not None:
            set_comment(connection, f"CONSTRAINT {quoted(one['name'])} ON {where}", one["comment"])


def _key(connection: Connection, table: LivingTable, name: str, subject: str) -> Mapping[str, Any]:
    rows = run(connection, _KEY, {"oid": table.oid, "name": name})
    if not rows:
        raise Refused(f"{subject}: {table.shown} has no primary key {name}.")
    return rows[0]


def _referring(connection: Connection, table: LivingTable, key: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return run(connection, _REFERRING, {"oid": table.oid, "index": key["index"]})


def _drop(table: LivingTable, name: str) -> str:
    return f"ALTER TABLE {table.quoted} DROP CONSTRAINT {quoted(name)} RESTRICT"


def _say_of_it(connection: Connection, table: LivingTable, name: str, key: Mapping[str, Any]) -> None:
    """Say of the constraint what was said of it before."""
    if key["comment"] is not None:
        set_comment(connection, f"CONSTRAINT {quoted(name)} ON {table.quoted}", key["comment"])
    if key["clustered"]:
        run(connection, f"ALTER TABLE {table.quoted} CLUSTER ON {quoted(name)}")
