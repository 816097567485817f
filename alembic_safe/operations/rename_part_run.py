"""What happens when a revision says ``op.rename_index`` or ``op.rename_constraint``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted, run, run_at_once
from alembic_safe.errors import NextStep, Refused
from alembic_safe.operations.constraint_parts import PARTS, renames_of_parts
from alembic_safe.operations.living import find_table
from alembic_safe.operations.lock_together import lock_together
from alembic_safe.operations.speaking import is_script, place, say, table_of

if TYPE_CHECKING:
    from alembic.operations.base import Operations

    from alembic_safe.operations.rename_part import RenameConstraintOp, RenameIndexOp

_INDEXES = """
SELECT i.relname AS name FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = CAST(:oid AS oid) AND i.relname IN (:old, :new)
"""
_CONSTRAINTS = """
SELECT conname AS name, convalidated AS valid, nullif(confrelid, 0)::bigint AS referent
FROM pg_constraint WHERE conrelid = CAST(:oid AS oid) AND conname IN (:old, :new)
"""
_REFERENT = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = CAST(:oid AS oid)
"""


def rename_index(operations: Operations, op: RenameIndexOp) -> None:
    """Run ``op.rename_index``."""
    if _is_to_do(operations, op, _INDEXES):
        say(operations, f"ALTER INDEX {place(op.old, op.schema)} RENAME TO {quoted(op.new)}")


def rename_constraint(operations: Operations, op: RenameConstraintOp) -> None:
    """Run ``op.rename_constraint``."""
    table = place(op.table_name, op.schema)
    if op.replace:
        _let_go(operations, op, table)
    if _is_to_do(operations, op, _CONSTRAINTS):
        parts = [] if is_script(operations) else _parts(operations, op)
        say(operations, f"ALTER TABLE {table} RENAME CONSTRAINT {quoted(op.old)} TO {quoted(op.new)}")
        run_at_once(operations.get_bind(), parts)


def _parts(operations: Operations, op: RenameConstraintOp) -> list[str]:
    """Return what renames the parts of a partitioned table's foreign key."""
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    if table.kind != "p":
        return []
    found = run(connection, PARTS, {"oid": table.oid, "one": op.old, "other": op.new})
    return list(renames_of_parts(found, op.old, op.new))


def _let_go(operations: Operations, op: RenameConstraintOp, where: str) -> None:
    """Drop what has the name, where its successor is there, too; what depends on it is named, never cascaded."""
    drop = f"ALTER TABLE {where} DROP CONSTRAINT {quoted(op.new)} RESTRICT"
    if is_script(operations):
        say(operations, drop)
        return
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    found = {
        row["name"]: row for row in run(connection, _CONSTRAINTS, {"oid": table.oid, "old": op.old, "new": op.new})
    }
    if len(found) < 2:
        return
    if not found[op.old]["valid"]:
        raise Refused(
            f"op.{op.verb}: {op.old} of {table.shown} does not hold for the rows that were there, so it cannot take the"
            f" place of {op.new}.",
            next_steps=[NextStep("in a step before this one", "op.validate_constraint(...)")],
        )
    if found[op.new]["referent"]:
        referent = run(connection, _REFERENT, {"oid": found[op.new]["referent"]})[0]
        other = find_table(connection, referent["name"], referent["schema"])
        lock_together(connection, [table, *([other] if other is not None else [])])
    run(connection, drop)


def _is_to_do(operations: Operations, op: RenameIndexOp | RenameConstraintOp, sql: str) -> bool:
    if is_script(operations):
        return True
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    names = {row["name"] for row in run(connection, sql, {"oid": table.oid, "old": op.old, "new": op.new})}
    if not names:
        raise Refused(f"op.{op.verb}: {op.table_name} has neither {op.old} nor {op.new}.")
    return op.new not in names
