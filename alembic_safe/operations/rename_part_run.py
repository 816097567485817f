"""What happens when a revision says ``op.rename_index`` or ``op.rename_constraint``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Refused
from alembic_safe.operations.speaking import is_script, place, say, table_of

if TYPE_CHECKING:
    from alembic.operations.base import Operations

    from alembic_safe.operations.rename_part import RenameConstraintOp, RenameIndexOp

_INDEXES = """
SELECT i.relname AS name FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = CAST(:oid AS oid) AND i.relname IN (:old, :new)
"""
_CONSTRAINTS = """
SELECT conname AS name FROM pg_constraint WHERE conrelid = CAST(:oid AS oid) AND conname IN (:old, :new)
"""


def rename_index(operations: Operations, op: RenameIndexOp) -> None:
    """Run ``op.rename_index``."""
    if _is_to_do(operations, op, _INDEXES):
        say(operations, f"ALTER INDEX {place(op.old, op.schema)} RENAME TO {quoted(op.new)}")


def rename_constraint(operations: Operations, op: RenameConstraintOp) -> None:
    """Run ``op.rename_constraint``."""
    if _is_to_do(operations, op, _CONSTRAINTS):
        table = place(op.table_name, op.schema)
        say(operations, f"ALTER TABLE {table} RENAME CONSTRAINT {quoted(op.old)} TO {quoted(op.new)}")


def _is_to_do(operations: Operations, op: RenameIndexOp | RenameConstraintOp, sql: str) -> bool:
    if is_script(operations):
        return True
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    names = {row["name"] for row in run(connection, sql, {"oid": table.oid, "old": op.old, "new": op.new})}
    if not names:
        raise Refused(f"op.{op.verb}: {op.table_name} has neither {op.old} nor {op.new}.")
    return op.new not in names
