"""What happens when a revision says ``op.count_with_sequence`` or ``op.count_as_identity``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.names import names_ending_in
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run, run_at_once
from alembic_safe.errors import NextStep, Refused
from alembic_safe.operations.counting import OPTIONS
from alembic_safe.operations.kept import literal, rights_named
from alembic_safe.operations.living import find_column, lock
from alembic_safe.operations.said_of_relations import said_of_sequence
from alembic_safe.operations.speaking import table_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from alembic.operations.base import Operations
    from sqlalchemy import Connection

    from alembic_safe.operations.counting import CountAsIdentityOp, CountWithSequenceOp, _CountOp
    from alembic_safe.operations.living import LivingTable
    from alembic_safe.operations.said_of_relations import SaidOfSequence

_COUNTER = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, d.deptype = 'i' AS is_identity,
  a.attnotnull AS not_null, format_type(a.atttypid, NULL) AS type
FROM pg_attribute a LEFT JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass
  AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i')
  AND EXISTS (SELECT FROM pg_sequence s WHERE s.seqrelid = d.objid)
LEFT JOIN pg_class c ON c.oid = d.objid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attrelid = CAST(:oid AS oid) AND a.attname = :column AND NOT a.attisdropped
ORDER BY d.deptype DESC NULLS LAST, 1, 2
"""
_TAKEN = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :schema
  AND c.relname = :name) AS it
"""
_NAME = "SELECT pg_get_serial_sequence(CAST(:table AS text), :column) AS it"
_SETVAL = "SELECT setval(CAST(pg_get_serial_sequence(CAST(:table AS text), :column) AS regclass), :value, :called)"


def count_with_sequence(operations: Operations, op: CountWithSequenceOp) -> None:
    """Run ``op.count_with_sequence``."""
    connection, table, counter = _look(operations, op)
    if counter["name"] is not None and not counter["is_identity"]:
        return
    with _rights(connection, table, op):
        lock(connection, table, f"op.{op.verb} on {table.shown}")
        at, said = _position(connection, counter), _said(connection, counter)
        alter = f"ALTER TABLE {table.quoted} ALTER COLUMN {quoted(op.column_name)}"
        if counter["is_identity"]:
            run(connection, f"{alter} DROP IDENTITY")
        name = quoted(table.schema, _free_name(connection, table, op.column_name))
        lasting = "UNLOGGED " if said is not None and said.unlogged else ""
        run(connection, f"CREATE {lasting}SEQUENCE {name} AS {counter['type']}{_options(op)}")
        # whoever does it: a table owns no sequence of another owner
        run(connection, f"ALTER SEQUENCE {name} OWNER TO {quoted(table.owner)}")
        run(connection, f"ALTER SEQUENCE {name} OWNED BY {table.quoted}.{quoted(op.column_name)}")
        run(connection, f"{alter} SET DEFAULT nextval({literal(name)}::pg_catalog.regclass)")
        if said is not None:
            run_at_once(connection, said.statements(name, lasting=False))
        _go_on(connection, table, op.column_name, at)


def count_as_identity(operations: Operations, op: CountAsIdentityOp) -> None:
    """Run ``op.count_as_identity``."""
    connection, table, counter = _look(operations, op)
    if counter["is_identity"]:
        return
    subject = f"op.{op.verb} on {table.shown}"
    if counter["name"] is None:
        raise Refused(
            f"{subject}: {op.column_name} counts with no sequence of its own.",
            next_steps=[NextStep("in a step before", "op.count_with_sequence(...)")],
        )
    if not counter["not_null"]:
        raise Refused(
            f"{subject}: {op.column_name} becomes an identity, and may be NULL.",
            next_steps=[NextStep("in a step before", "op.set_not_null(...)")],
        )
    with _rights(connection, table, op):
        lock(connection, table, subject)
        at, said = _position(connection, counter), _said(connection, counter)
        alter = f"ALTER TABLE {table.quoted} ALTER COLUMN {quoted(op.column_name)}"
        run(connection, f"{alter} DROP DEFAULT")
        run(connection, f"DROP SEQUENCE {quoted(counter['schema'], counter['name'])} RESTRICT")
        options = _options(op).strip()
        always = "ALWAYS" if op.always else "BY DEFAULT"
        run(connection, f"{alter} ADD GENERATED {always} AS IDENTITY{f' ({options})' if options else ''}")
        if said is not None:
            name = run(connection, _NAME, {"table": table.quoted, "column": op.column_name})[0]["it"]
            run_at_once(connection, said.statements(verbatim(name)))
        _go_on(connection, table, op.column_name, at)


def _look(operations: Operations, op: _CountOp) -> tuple[Connection, LivingTable, Mapping[str, Any]]:
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    if find_column(connection, table, op.column_name) is None:
        raise Refused(f"op.{op.verb}: {table.shown} has no column {op.column_name}.")
    return connection, table, run(connection, _COUNTER, {"oid": table.oid, "column": op.column_name})[0]


def _rights(connection: Connection, table: LivingTable, op: _CountOp) -> Any:
    step = NextStep(f"{table.owner}, who owns the table, runs", f"GRANT {quoted(table.owner)} TO ...;")
    return rights_named(connection, f"op.{op.verb} on {table.shown}", [step])


def _options(op: _CountOp) -> str:
    said = "".join(f" {OPTIONS[name]} {int(value)}" for name, value in op.options.items() if name in OPTIONS)
    return verbatim(said + (" CYCLE" if op.options.get("cycle") else ""))


def _free_name(connection: Connection, table: LivingTable, column: str) -> str:
    return next(
        name for name in names_ending_in(f"{table.name}_{column}", "_seq")
        if not run(connection, _TAKEN, {"schema": table.schema, "name": name})[0]["it"]
    )  # fmt: skip


def _position(connection: Connection, counter: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if counter["name"] is None:
        return None
    return run(connection, f"SELECT last_value, is_called FROM {quoted(counter['schema'], counter['name'])}")[0]


def _said(connection: Connection, counter: Mapping[str, Any]) -> SaidOfSequence | None:
    """Return what is said of the sequence that goes: the one that comes in its place is another one for PostgreSQL."""
    if counter["name"] is None:
        return None
    return said_of_sequence(connection, counter["oid"])


def _go_on(connection: Connection, table: LivingTable, column: str, at: Mapping[str, Any] | None) -> None:
    if at is not None:
        words = {"table": table.quoted, "column": column, "value": at["last_value"], "called": at["is_called"]}
        run(connection, _SETVAL, words)
