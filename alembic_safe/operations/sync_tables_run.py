"""What happens when a revision says ``op.sync_tables`` or ``op.drop_table_sync``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.names import cut
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.syncs import SYNC_SCHEMA
from alembic_safe.inspecting.table_syncs import comment_of, read_table_syncs
from alembic_safe.operations.kept import rights_named, set_comment
from alembic_safe.operations.living import refuse_inheritance
from alembic_safe.operations.lock_together import lock_together
from alembic_safe.operations.speaking import table_of
from alembic_safe.operations.sync_refused import HAS_DEFAULT
from alembic_safe.operations.sync_run import FIRINGS, make_sync_schema
from alembic_safe.operations.table_pair import Pair
from alembic_safe.operations.table_sync_sql import (
    TRIGGERS,
    create_functions,
    create_notes,
    create_triggers,
    drop_statements,
    signatures,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.operations.base import Operations
    from sqlalchemy import Connection

    from alembic_safe.inspecting.table_syncs import TableSync
    from alembic_safe.operations.living import LivingTable
    from alembic_safe.operations.sync_tables import DropTableSyncOp, SyncTablesOp, _MovedOp

_COLUMNS = f"""
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
  format_type(a.atttypid, -1) AS base, a.attgenerated <> '' AS is_generated,
  {HAS_DEFAULT} AS has_default, a.attcollation::bigint AS collation,
  NOT EXISTS (SELECT FROM pg_operator o WHERE o.oprname = '=' AND o.oprnamespace = 'pg_catalog'::regnamespace
    AND o.oprleft = o.oprright AND o.oprleft = CASE WHEN t.typtype = 'e' THEN 'anyenum'::regtype::oid
      WHEN 'varchar'::regtype IN (t.oid, t.typbasetype) THEN 'text'::regtype::oid
      ELSE coalesce(nullif(t.typbasetype, 0), t.oid) END) AS compares_elsewhere
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = CAST(:oid AS oid) AND a.attname = ANY(CAST(:names AS text[])) AND a.attnum > 0 AND NOT a.attisdropped
"""
# A foreign key that is checked at once: the row that is referred to is there, and locked, before the other one comes.
_FOREIGN_KEYS = """
SELECT f.conname AS name FROM pg_constraint f WHERE f.contype = 'f' AND NOT f.condeferrable
  AND f.conrelid = CAST(:own AS oid) AND f.confrelid = CAST(:other AS oid)
  AND (SELECT array_agg(ROW(a.attname::text, b.attname::text)::text ORDER BY a.attname::text COLLATE "C")
      FROM unnest(f.conkey, f.confkey) k(one, two)
      JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.one
      JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = k.two)
    = (SELECT array_agg(ROW(o.one, o.two)::text ORDER BY o.one COLLATE "C")
      FROM unnest(CAST(:mine AS text[]), CAST(:theirs AS text[])) o(one, two))
"""
_UNIQUE = """
SELECT 1 AS it FROM pg_index x WHERE x.indrelid = CAST(:oid AS oid) AND x.indisunique AND x.indisvalid AND x.indimmediate
  AND x.indpred IS NULL AND x.indexprs IS NULL AND ARRAY(SELECT a.attname::text FROM pg_attribute a
    WHERE a.attrelid = x.indrelid AND a.attnum = ANY((x.indkey::int2[])[0:x.indnkeyatts - 1])) <@ CAST(:names AS text[])
"""
_FORCED = """
SELECT c.relforcerowsecurity AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS it
FROM pg_class c WHERE c.oid = CAST(:oid AS oid)
"""
_READERS = """
SELECT r.rolname AS name FROM pg_roles r WHERE r.oid IN (SELECT a.grantee FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.oid = CAST(:source AS oid) AND a.privilege_type = 'SELECT')
  AND r.oid IN (SELECT a.grantee FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.oid = CAST(:target AS oid) AND a.privilege_type = 'SELECT') AND r.rolname <> current_user ORDER BY 1
"""
_PUBLISHED = "SELECT pubname AS name FROM pg_publication WHERE puballtables ORDER BY 1"
_TRIGGERS = """
SELECT g.tgname AS name, n.nspname AS schema, c.relname AS table, g.tgenabled = 'A' AS is_always FROM pg_trigger g
JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_namespace own ON own.oid = p.pronamespace AND own.nspname = :own
JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.proname = ANY(CAST(:functions AS text[])) ORDER BY 1
"""


@dataclass(frozen=True)
class Tables:
    """The two tables that an operation is about."""

    source: LivingTable
    target: LivingTable


def tables_of(operations: Operations, op: _MovedOp) -> tuple[Connection, Tables]:
    """Return the connection and the tables.

    :raises Refused: where one of them is not there.
    """
    connection, target = table_of(operations, op.verb, op.table_name, op.schema)
    _, source = table_of(operations, op.verb, op.source_name, op.source_schema)
    return connection, Tables(source, target)


def sync_tables(operations: Operations, op: SyncTablesOp) -> None:
    """Run ``op.sync_tables``."""
    connection, tables = tables_of(operations, op)
    subject = f"op.{op.verb} from {tables.source.shown} to {tables.target.shown}"
    there = find_table_sync(connection, tables, op)
    if there is not None and _is_in_place(connection, there):
        return
    pair = pair_of(connection, tables, op, subject)
    _refuse(connection, tables, op, subject)
    with rights_named(connection, subject, _owner_steps(connection, tables)):
        make_sync_schema(connection)
        # behind it the rows that are there are looked at by no trigger, and everything later by all of them
        lock_together(connection, [tables.source, tables.target], "SHARE ROW EXCLUSIVE")
        for statement in (*create_notes(pair), *create_functions(pair)):
            run(connection, statement)
        for signature in signatures(pair):
            run(connection, f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        _let_readers_read(connection, tables, pair)
        set_comment(connection, f"FUNCTION {pair.function('_s')}()", comment_of(op.columns, op.on))
        for statement in create_triggers(pair, cut(FIRINGS[0], 40) + pair.name[-10:]):
            run(connection, statement)


def _let_readers_read(connection: Connection, tables: Tables, pair: Pair) -> None:
    """Let whoever reads both tables read the notes about them: a role that makes backups would fail on them."""
    for row in run(connection, _READERS, {"source": tables.source.oid, "target": tables.target.oid}):
        role = quoted(row["name"])
        run(connection, f"GRANT USAGE ON SCHEMA {quoted(SYNC_SCHEMA)} TO {role}")
        run(connection, f"GRANT SELECT ON {pair.notes} TO {role}")
        (counter,) = run(connection, "SELECT pg_get_serial_sequence(:notes, 'id') AS it", {"notes": pair.notes})
        run(connection, f"GRANT SELECT ON SEQUENCE {counter['it']} TO {role}")


def drop_table_sync(operations: Operations, op: DropTableSyncOp) -> None:
    """Run ``op.drop_table_sync``."""
    connection, tables = tables_of(operations, op)
    there = find_table_sync(connection, tables, op)
    if there is None:
        return
    subject = f"op.{op.verb} from {tables.source.shown} to {tables.target.shown}"
    with rights_named(connection, subject, _owner_steps(connection, tables)):
        # the source's first, which loses the column in the same moment
        lock_together(connection, [tables.source, tables.target])
        pair = pair_of(connection, tables, op, subject)
        settle_notes(connection, pair)
        for row in _triggers(connection, there):
            run(connection, f"DROP TRIGGER {quoted(row['name'])} ON {quoted(row['schema'], row['table'])}")
        for statement in drop_statements(pair):
            run(connection, statement)


def settle_notes(connection: Connection, pair: Pair) -> None:
    """Let what has given way come to its end, as far as nobody holds the rows."""
    run(connection, f"SELECT {pair.function('_drain')}()")


def find_table_sync(connection: Connection, tables: Tables, op: _MovedOp) -> TableSync | None:
    """Return the sync of these columns.

    :raises Refused: where other columns of the two tables are in sync.
    """
    for sync in read_table_syncs(connection):
        if (sync.source_schema, sync.source) != (tables.source.schema, tables.source.name):
            continue
        if (sync.schema, sync.target) != (tables.target.schema, tables.target.name):
            continue
        if dict(sync.columns) == op.columns and dict(sync.on) == op.on:
            return sync
        raise Refused(
            f"op.{op.verb}: {sync.shown} is in sync already. What moves between the same two tables gives way together.",
            next_steps=[NextStep("finish the change that it belongs to first", "alembic safe-status")],
        )
    return None


def pair_of(connection: Connection, tables: Tables, op: _MovedOp, subject: str) -> Pair:
    """Return the pair of tables, ready to be written about.

    :raises Refused: where a column is not there, or cannot be written to or compared.
    """
    # in one order, whoever says them: notes tell columns by their place
    columns, on = tuple(sorted(op.columns.items())), tuple(sorted(op.on.items()))
    old, new = [one for one, _ in columns], [one for _, one in columns]
    source = _columns(connection, tables.source, [*old, *op.on], subject)
    target = _columns(connection, tables.target, [*new, *op.on.values()], subject)
    for one, other in op.columns.items():
        has, becomes = source[one], target[other]
        if (has["type"], has["collation"]) != (becomes["type"], becomes["collation"]):
            raise Refused(
                f"{subject}: {one} is {has['type']}, and {other} is {becomes['type']}, or of another collation."
            )
    for one, other in on:
        if source[one]["base"] != target[other]["base"]:
            has, refers = source[one]["base"], target[other]["base"]
            raise Refused(f"{subject}: {one} is {has}, and {other}, by which the rows find each other, is {refers}.")
    for side, names in ((source, op.on), (target, op.on.values())):
        for name in names:
            if side[name]["compares_elsewhere"]:
                raise Refused(
                    f"{subject}: {name} is {side[name]['type']}, which no operator of PostgreSQL's own compares."
                )
    words = "\0".join([tables.source.schema, tables.source.name, tables.target.schema, tables.target.name, *old, *new])
    name = f"{cut(f'{tables.target.name}_{new[0]}', 30)}_{hashlib.sha256(words.encode()).hexdigest()[:10]}"
    return Pair(
        name, tables.source.quoted, tables.target.quoted,
        tuple((one, other, source[one]["base"]) for one, other in on), columns,
        frozenset(one for one in old if source[one]["has_default"]),
    )  # fmt: skip


def _columns(
    connection: Connection, table: LivingTable, names: list[str], subject: str
) -> Mapping[str, Mapping[str, Any]]:
    found = {row["name"]: row for row in run(connection, _COLUMNS, {"oid": table.oid, "names": names})}
    for name in names:
        if name not in found:
            raise Refused(f"{subject}: {table.shown} has no column {name}.")
        if found[name]["is_generated"]:
            raise Refused(f"{subject}: {name} is a generated column, which no trigger can write.")
    return found


def _refuse(connection: Connection, tables: Tables, op: _MovedOp, subject: str) -> None:
    """Stop where rows could miss each other, or one row could have several partners.

    :raises Refused: naming what is missing.
    """
    for table in (tables.source, tables.target):
        refuse_inheritance(table, subject)
        if table.kind != "r" or table.is_partition:
            raise Refused(
                f"{subject}: {table.shown} is partitioned, and a row that changes its partition is another row."
            )
        if run(connection, _FORCED, {"oid": table.oid})[0]["it"]:
            raise Refused(
                f"{subject}: row security of {table.shown} holds for its owner, too, who writes for everybody."
            )
    for row in run(connection, _PUBLISHED):
        raise Refused(
            f"{subject}: publication {row['name']} is of all tables, and would send a table of ours, in which an application"
            " that gives way leaves a note, to subscribers that do not have it.",
            next_steps=[NextStep("let it name the tables that it sends", "CREATE PUBLICATION ... FOR TABLE ...;")],
        )
    mine, theirs = list(op.on), list(op.on.values())
    source, target = tables.source.oid, tables.target.oid
    keys = [
        *run(connection, _FOREIGN_KEYS, {"own": target, "other": source, "mine": theirs, "theirs": mine}),
        *run(connection, _FOREIGN_KEYS, {"own": source, "other": target, "mine": mine, "theirs": theirs}),
    ]
    shown = ", ".join(f"{one} = {other}" for one, other in op.on.items())
    if not keys:
        raise Refused(
            f"{subject}: no foreign key between the two says {shown}, or it can be deferred: two rows that come at the"
            " same time could miss each other.",
            next_steps=[NextStep("make one in a revision before this one", "op.create_foreign_key(...)")],
        )
    for table, names in ((tables.source, mine), (tables.target, theirs)):
        if not run(connection, _UNIQUE, {"oid": table.oid, "names": names}):
            raise Refused(
                f"{subject}: {', '.join(names)} is not unique in {table.shown}, so what is written in one of several rows"
                " could not be written back.",
                next_steps=[
                    NextStep("make it unique in a revision before this one", "op.create_unique_constraint(...)")
                ],
            )


def _is_in_place(connection: Connection, sync: TableSync) -> bool:
    triggers = _triggers(connection, sync)
    return len(triggers) == TRIGGERS and all(row["is_always"] for row in triggers)


def _triggers(connection: Connection, sync: TableSync) -> list[Mapping[str, Any]]:
    functions = [sync.name + ending for ending in ("_s", "_f", "_t")]
    return list(run(connection, _TRIGGERS, {"own": SYNC_SCHEMA, "functions": functions}))


def _owner_steps(connection: Connection, tables: Tables) -> list[NextStep]:
    role = run(connection, "SELECT current_user AS it")[0]["it"]
    owners = dict.fromkeys((tables.source.owner, tables.target.owner))
    return [
        NextStep(f"{owner}, who owns one of them, runs", f"GRANT {quoted(owner)} TO {quoted(role)};")
        for owner in owners if owner != role
    ]  # fmt: skip
