"""What happens when a revision says ``op.prove_not_null`` or ``op.set_not_null``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.failures import sqlstate_of
from alembic_safe.database.statements import quoted, run, run_at_once
from alembic_safe.errors import Findings, NextStep, Refused
from alembic_safe.operations.living import find_column
from alembic_safe.operations.not_null import proof_name
from alembic_safe.operations.speaking import commit_if_stepwise, is_script, place, say, table_of

if TYPE_CHECKING:
    from alembic.operations.base import Operations
    from sqlalchemy import Connection

    from alembic_safe.operations.living import LivingColumn, LivingTable
    from alembic_safe.operations.not_null import ProveNotNullOp, SetNotNullOp

log = logging.getLogger("alembic.safe.not_null")

_PROOF = "SELECT convalidated AS valid FROM pg_constraint WHERE conrelid = CAST(:oid AS oid) AND conname = :name"


def prove_not_null(operations: Operations, op: ProveNotNullOp) -> None:
    """Run ``op.prove_not_null``."""
    name = quoted(proof_name(op.column_name))
    check = f"ADD CONSTRAINT {name} CHECK ({quoted(op.column_name)} IS NOT NULL) NOT VALID"
    if is_script(operations):
        say(operations, f"ALTER TABLE {place(op.table_name, op.schema)} {check}")
        return
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    column = _column(connection, table, op.column_name, op.verb)
    if column.not_null or _proof(connection, table, column.name) is not None:
        return
    run(connection, f"ALTER TABLE {table.quoted} {check}")


def set_not_null(operations: Operations, op: SetNotNullOp) -> None:
    """Run ``op.set_not_null``."""
    where = place(op.table_name, op.schema)
    column_name, proof = quoted(op.column_name), quoted(proof_name(op.column_name))
    if is_script(operations):
        say(operations, f"ALTER TABLE {where} VALIDATE CONSTRAINT {proof}")
        say(operations, f"ALTER TABLE {where} ALTER COLUMN {column_name} SET NOT NULL")
        say(operations, f"ALTER TABLE {where} DROP CONSTRAINT {proof}")
        return
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    if op.if_exists and find_column(connection, table, op.column_name) is None:
        return
    column = _column(connection, table, op.column_name, op.verb)
    valid = _proof(connection, table, column.name)
    if column.not_null:
        if valid is not None:
            run(connection, f"ALTER TABLE {table.quoted} DROP CONSTRAINT {proof}")
        return
    if valid is None:
        run(
            connection, f"ALTER TABLE {table.quoted} ADD CONSTRAINT {proof} CHECK ({column_name} IS NOT NULL) NOT VALID"
        )
        commit_if_stepwise(operations)
    if not valid:
        _validate(connection, table, column, proof)
        # the next lock shuts readers out: it must not be waited for with the scan behind it
        commit_if_stepwise(operations)
    # two statements: in one, PostgreSQL drops the proof first, and reads every row with everybody shut out
    table_is = f"ALTER TABLE {table.quoted}"
    run_at_once(
        connection, [f"{table_is} ALTER COLUMN {column_name} SET NOT NULL", f"{table_is} DROP CONSTRAINT {proof}"]
    )


def _column(connection: Connection, table: LivingTable, name: str, verb: str) -> LivingColumn:
    column = find_column(connection, table, name)
    if column is None:
        raise Refused(f"op.{verb}: {table.shown} has no column {name}.")
    return column


def _proof(connection: Connection, table: LivingTable, column: str) -> bool | None:
    """Return whether the CHECK that proves the column is valid; ``None`` where it is not there."""
    rows = run(connection, _PROOF, {"oid": table.oid, "name": proof_name(column)})
    return bool(rows[0]["valid"]) if rows else None


def _validate(connection: Connection, table: LivingTable, column: LivingColumn, proof: str) -> None:
    savepoint = connection.begin_nested()
    try:
        run(connection, f"ALTER TABLE {table.quoted} VALIDATE CONSTRAINT {proof}")
    except DBAPIError as error:
        savepoint.rollback()
        if sqlstate_of(error) != "23514":
            raise
        count = run(connection, f"SELECT count(*) AS it FROM {table.quoted} WHERE {quoted(column.name)} IS NULL")
        raise Findings(
            f"{table.shown}.{column.name} cannot become NOT NULL: {count[0]['it']} rows hold NULL there.",
            next_steps=[
                NextStep("give them a value in a copy revision before this one", "op.backfill(..., set_={...})"),
                NextStep("see them", f"SELECT * FROM {table.quoted} WHERE {quoted(column.name)} IS NULL LIMIT 10;"),
            ],
        ) from error
    savepoint.commit()
