"""``op.verify_copied``: what it says, and how it is written into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.operations.sync_columns import _SyncOp

if TYPE_CHECKING:
    from alembic.operations.base import Operations

    from alembic_safe.operations.sync_columns import OneOrMore


class VerifyCopiedOp(_SyncOp):
    """Stop unless every row's new column says what its old one says."""

    verb = "verify_copied"

    @classmethod
    def verify_copied(
        cls,
        operations: Operations,
        table_name: str,
        old: OneOrMore,
        new: OneOrMore,
        *,
        up: OneOrMore | None = None,
        down: OneOrMore | None = None,
        schema: str | None = None,
    ) -> Any:
        """Read every row, in batches, and stop when old and new columns of any contradict each other.

        A row is right when its new columns are ``up`` of the old ones, or when they are not NULL and the old ones are
        ``down`` of them. Under ``alembic safe-upgrade`` the journal keeps how many rows were read.

        :param up: together with ``down``, as ``op.sync_columns`` has it.
        :raises Findings: naming how many rows contradict each other, with examples of their keys.
        """
        return operations.invoke(cls(table_name, old, new, up=up, down=down, schema=schema))

    def reverse(self) -> Any:
        """Say that there is nothing to take back: it only reads."""
        raise NotImplementedError("op.verify_copied has no reverse: leave it out of downgrade()")

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("verify_copied", self.schema, self.table_name, self.old, self.new)
