"""How does a primary key go from one column to another, and what refers to it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.reads import rows_of
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run, run_at_once
from alembic_safe.errors import NextStep, Refused
from alembic_safe.operations.dependants import depending_on
from alembic_safe.operations.kept import comment_on, fixed_text, set_comment
from alembic_safe.operations.swap_names import beside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sqlalchemy import Connection

    from alembic_safe.database.reads import Reads
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


@dataclass(frozen=True)
class Key:
    """A primary key that can stand on the index that was built beside it.

    :param said: the statements that say of it again what was said of it before.
    """

    name: str
    when: str
    said: tuple[str, ...]


def free_key(reads: Reads, table: LivingTable, name: str, subject: str) -> Key:
    """Return a primary key that can change its index.

    :raises Refused: naming what refers to it, or what is wrong with the index that is to take its place.
    """
    key = _key(reads, table, name, subject)
    index = beside(name)
    rows = reads.rows(_READY, {"oid": table.oid, "name": index})
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
    refers = reads.rows(_REFERRING, {"oid": table.oid, "index": key["index"]})
    if refers:
        found = [f"foreign key {one['name']} of {one['schema']}.{one['table']}" for one in refers]
        raise _others_depend(subject, name, found)
    return Key(name, _when(key), tuple(_saying_of_it(table, name, key)))


def move_key(connection: Connection, table: LivingTable, key: Key, subject: str) -> None:
    """Let a primary key stand on the index that was built beside it, without reading a row.

    :raises Refused: naming what depends on it; its transaction has to be rolled back then.
    """
    made = f"ADD CONSTRAINT {quoted(key.name)} PRIMARY KEY USING INDEX {quoted(beside(key.name))}{key.when}"
    change = f"ALTER TABLE {table.quoted} DROP CONSTRAINT {quoted(key.name)} RESTRICT, {made}"
    try:
        run_at_once(connection, [change, *key.said])
    except DBAPIError as error:
        found = depending_on(error)
        if not found:
            raise
        raise _others_depend(subject, key.name, found) from error


def _others_depend(subject: str, name: str, found: Sequence[str]) -> Refused:
    return Refused(
        f"{subject}: others depend on the primary key {name}, and none of them is dropped in passing.", detail=found,
        next_steps=[NextStep("drop or change them in an earlier line of the same revision, then", "alembic upgrade head")],
    )  # fmt: skip


def _when(key: Mapping[str, Any]) -> str:
    return f"{' DEFERRABLE' if key['deferrable'] else ''}{' INITIALLY DEFERRED' if key['deferred'] else ''}"


def move_key_back(connection: Connection, table: LivingTable, name: str, pairs: Mapping[str, str]) -> None:
    """Let a primary key stand on the old columns again, which have their names again, and a unique index on the new ones.

    The old columns have no index any more, and the new one's goes with the constraint: both are built here, under the lock.

    :param pairs: the old columns, each with the new one.
    """
    key = _key(connection, table, name, "op.swap_columns_back")
    old = {new: old for old, new in pairs.items()}
    with fixed_text(connection, search_path=""):
        refers = run(connection, _REFERRING, {"oid": table.oid, "index": key["index"]})
    for one in refers:
        where = quoted(one["schema"], one["table"])
        run(connection, f"ALTER TABLE {where} DROP CONSTRAINT {quoted(one['name'])} RESTRICT")
    run(connection, f"ALTER TABLE {table.quoted} DROP CONSTRAINT {quoted(name)} RESTRICT")
    new_columns = ", ".join(quoted(column) for column in key["columns"])
    run(connection, f"CREATE UNIQUE INDEX {quoted(beside(name))} ON {table.quoted} ({new_columns})")
    columns = ", ".join(quoted(old.get(column, column)) for column in key["columns"])
    made = f"ALTER TABLE {table.quoted} ADD CONSTRAINT {quoted(name)} PRIMARY KEY ({columns}){_when(key)}"
    run_at_once(connection, [made, *_saying_of_it(table, name, key)])
    for one in refers:
        where, definition = quoted(one["schema"], one["table"]), verbatim(one["definition"])
        run(connection, f"ALTER TABLE {where} ADD CONSTRAINT {quoted(one['name'])} {definition}")
        if one["comment"] is not None:
            set_comment(connection, f"CONSTRAINT {quoted(one['name'])} ON {where}", one["comment"])


def _key(source: Connection | Reads, table: LivingTable, name: str, subject: str) -> Mapping[str, Any]:
    rows = rows_of(source, _KEY, {"oid": table.oid, "name": name})
    if not rows:
        raise Refused(f"{subject}: {table.shown} has no primary key {name}.")
    return rows[0]


def _saying_of_it(table: LivingTable, name: str, key: Mapping[str, Any]) -> list[str]:
    """Return the statements that say of the constraint what was said of it before."""
    comment = (
        [comment_on(f"CONSTRAINT {quoted(name)} ON {table.quoted}", key["comment"])]
        if key["comment"] is not None
        else []
    )
    return comment + ([f"ALTER TABLE {table.quoted} CLUSTER ON {quoted(name)}"] if key["clustered"] else [])
