"""How a table is retired: what ties it to others is recorded and taken away, then it moves into our schema."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Missing, NextStep, Refused
from alembic_safe.inspecting.retired import RETIRED_SCHEMA, Moved, Record
from alembic_safe.operations.dependants import refused_by_restrict
from alembic_safe.operations.kept import (
    fixed_text,
    free_name,
    make_schema,
    revoke_from_table,
    rights_named,
    write_record,
)
from alembic_safe.operations.living import LivingTable, find_table, lock, refuse_inheritance, schema_of
from alembic_safe.operations.table_parts_sql import Part, foreign_keys, in_order_of_taking, parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from alembic_safe.inspecting.retired import Dependant

ROW_NUMBER = "alembic_safe_row"
"""The column that gives a kept table a primary key where it had none."""

_TREE = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_partition_tree(CAST(:oid AS oid)::regclass) t
JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.level > 0 ORDER BY t.level, c.relname
"""
_PARENT = """
SELECT i.inhparent::regclass::text AS parent, pg_get_expr(c.relpartbound, c.oid) AS bound,
  pg_get_userbyid(p.relowner) AS owner, pg_has_role(p.relowner, 'USAGE') AS may
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
WHERE i.inhrelid = CAST(:oid AS oid)
"""
# What SET SCHEMA moves along: indexes, and the sequences of serial and identity columns.
_COMPANIONS = """
SELECT 'INDEX' AS kind, i.relname AS name FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = CAST(:oid AS oid)
UNION ALL
SELECT 'SEQUENCE', s.relname FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = CAST(:oid AS oid)
  AND d.deptype IN ('a', 'i') ORDER BY 1, 2
"""
_ROWS = """
SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint AS estimate,
  coalesce(sum(pg_relation_size(c.oid)), 0)::bigint AS bytes
FROM pg_class c WHERE c.oid = ANY(CAST(:oids AS oid[]))
"""
_COUNTED_BELOW = 16 * 1024**2
"""Bytes; a larger table is not counted under its lock: the planner's estimate is noted."""


@dataclass(frozen=True)
class TableRetired:
    """What was done.

    :param rows: how many it holds; an estimate for a large one.
    """

    table: str
    kept: str = ""
    rows: int = 0
    dependants: tuple[Dependant, ...] = ()
    was_gone: bool = False


def retire_table(connection: Connection, name: str, schema: str | None) -> TableRetired:
    """Retire a table in the transaction that the connection is in; an absent one is done already.

    :raises Refused: for what ``DROP TABLE ... RESTRICT`` would refuse; the dependants are named.
    :raises Missing: where a right is missing; with the line for the owner.
    """
    table = find_table(connection, name, schema)
    if table is None:
        return TableRetired(f"{schema_of(connection, schema)}.{name}", was_gone=True)
    subject = f"Retiring {table.shown}"
    if table.kind not in ("r", "p"):
        raise Refused(f"{subject}: it is no table.")
    refuse_inheritance(table, subject)
    role = run(connection, "SELECT current_user AS it")[0]["it"]
    member = NextStep(f"{table.owner}, who owns the table, runs", f"GRANT {quoted(table.owner)} TO {quoted(role)};")
    with rights_named(connection, subject, [member]):
        lock(connection, table, subject)
        return _retire(connection, table, subject)


def _retire(connection: Connection, table: LivingTable, subject: str) -> TableRetired:
    attach = _detach(connection, table, subject) if table.is_partition else None
    tables = [table, *_partitions(connection, table)]
    with fixed_text(connection, search_path=""):
        keys = foreign_keys(connection, tables)
        _require_owners(keys, subject)
        for key in keys:
            run(connection, key.take)
        depends = refused_by_restrict(connection, f"DROP TABLE {table.quoted} RESTRICT")
        if depends:
            raise Refused(
                f"{subject}: other objects depend on the table, and none of them is dropped in passing.",
                detail=depends,
                next_steps=[
                    NextStep(
                        "drop or change them in an earlier line of the same revision, then", "alembic upgrade head"
                    )
                ],
            )
        parts = [part for one in tables for part in parts_of(connection, one)]
        _require_owners(parts, subject)
        for part in in_order_of_taking(parts):
            if part.take:
                run(connection, verbatim(part.take))
        rows = _rows(connection, tables)
    make_schema(connection)
    moved = [moved for one in tables for moved in _move(connection, one)]
    dependants = [d for part in parts if part.kind not in ("grant", "publication") for d in part.dependants]
    dependants += [d for key in keys for d in key.dependants]
    dependants += attach.dependants if attach else ()
    # a grant may need the role, a publication the partition: last
    dependants += [d for part in parts if part.kind in ("grant", "publication") for d in part.dependants]
    record = Record(
        kind="table", schema=table.schema, table=table.name, rows=rows, dependants=tuple(dependants), moved=tuple(moved),
        retired_at=datetime.now(timezone.utc).isoformat(),
    )  # fmt: skip
    kept = moved[0].kept
    for partition in (m for m in moved[1:] if m.kind == "TABLE"):
        # a partition is found through its parent, and never alone
        run(connection, f"COMMENT ON TABLE {quoted(RETIRED_SCHEMA, partition.kept)} IS NULL")
    write_record(connection, kept, record)
    return TableRetired(table.shown, kept, rows, tuple(dependants))


def _detach(connection: Connection, table: LivingTable, subject: str) -> Part:
    with fixed_text(connection, search_path=""):
        row = run(connection, _PARENT, {"oid": table.oid})[0]
    detach = f"ALTER TABLE {row['parent']} DETACH PARTITION {table.quoted}"
    attach = f"ALTER TABLE {row['parent']} ATTACH PARTITION {table.quoted} {row['bound']}"
    part = Part("partition", row["parent"], detach, (attach,), "" if row["may"] else row["owner"])
    _require_owners([part], subject)
    run(connection, verbatim(detach))
    return part


def _partitions(connection: Connection, table: LivingTable) -> list[LivingTable]:
    if table.kind != "p":
        return []
    found = [find_table(connection, row["name"], row["schema"]) for row in run(connection, _TREE, {"oid": table.oid})]
    return [partition for partition in found if partition is not None]


def _require_owners(parts: Sequence[Part], subject: str) -> None:
    foreign = [part for part in parts if part.owner]
    if foreign:
        named = ", ".join(f"{part.kind} {part.name} (owner {part.owner})" for part in foreign)
        raise Missing(
            f"{subject}: it is tied to {named}, and only its owner can take that away.",
            next_steps=[NextStep(f"{part.owner} runs", f"{part.take};") for part in foreign],
        )


def _rows(connection: Connection, tables: Sequence[LivingTable]) -> int:
    found = run(connection, _ROWS, {"oids": [table.oid for table in tables]})[0]
    if found["bytes"] > _COUNTED_BELOW and found["estimate"]:
        return int(found["estimate"])
    return int(run(connection, f"SELECT count(*) AS it FROM {tables[0].quoted}")[0]["it"])


def _move(connection: Connection, table: LivingTable) -> list[Moved]:
    """Move one table and what goes along; each gets a name that is free in our schema."""
    if table.kind == "r" and not _has_primary_key(connection, table) and _stands_alone(connection, table):
        # every table of ours has one: somebody may publish all tables
        number = f"ADD COLUMN {ROW_NUMBER} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
        run(connection, f"ALTER TABLE {table.quoted} {number}")
    companions = [(row["kind"], row["name"]) for row in run(connection, _COMPANIONS, {"oid": table.oid})]
    found: list[Moved] = []
    for kind, name in [("TABLE", table.name), *companions]:
        kept = free_name(connection, name, also_in=table.schema)
        if kept != name:
            run(connection, f"ALTER {kind} {quoted(table.schema, name)} RENAME TO {quoted(kept)}")
        found.append(Moved(kind, kept, table.schema, name))
    here = quoted(table.schema, found[0].kept)
    run(connection, f"ALTER TABLE {here} SET SCHEMA {quoted(RETIRED_SCHEMA)}")
    revoke_from_table(connection, found[0].kept)
    for sequence in (m for m in found if m.kind == "SEQUENCE"):
        _revoke_sequence(connection, sequence.kept)
    return found


def _has_primary_key(connection: Connection, table: LivingTable) -> bool:
    sql = "SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = CAST(:oid AS oid) AND indisprimary) AS it"
    return bool(run(connection, sql, {"oid": table.oid})[0]["it"])


def _stands_alone(connection: Connection, table: LivingTable) -> bool:
    sql = "SELECT NOT relispartition AS it FROM pg_class WHERE oid = CAST(:oid AS oid)"
    return bool(run(connection, sql, {"oid": table.oid})[0]["it"])


def _revoke_sequence(connection: Connection, name: str) -> None:
    from alembic_safe.operations.kept import revoke_all

    revoke_all(connection, "pg_class", "relacl", "relowner", f"SEQUENCE {quoted(RETIRED_SCHEMA, name)}", name)
