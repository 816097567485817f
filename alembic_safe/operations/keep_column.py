"""``op.keep_column`` and ``op.unkeep_column``: what they say, and their reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.operations.retire_column import _ColumnOp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.operations.base import Operations
    from sqlalchemy import Column


class KeepColumnOp(_ColumnOp):
    """Keep a column's values beside their keys, while the column is still there."""

    verb = "keep_column"

    @classmethod
    def keep_column(
        cls,
        operations: Operations,
        table_name: str,
        column: Column[Any],
        *,
        key: Sequence[str] | None = None,
        replaced_by: str | Sequence[str] | None = None,
        down: str | None = None,
        accept: Sequence[str] = (),
        schema: str | None = None,
    ) -> Any:
        """Copy a column's values into their kept table, in batches, and keep that up to date with triggers.

        ``op.retire_column``, in a later step, then has nothing left to copy: it drops triggers and column under one short
        lock. The arguments are those of ``op.retire_column``. Running it again goes on where it stood.

        :raises ConsentMissing: where the table has no key.
        """
        op = cls(
            table_name, column, key=key, replaced_by=replaced_by, down=down, accept=accept, schema=schema
        )  # fmt: skip
        return operations.invoke(op)

    def reverse(self) -> UnkeepColumnOp:
        """Return the operation that lets go of the kept values while the column is still there."""
        return UnkeepColumnOp(self.table_name, self.column, **self._words())

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("keep_column", self.schema, self.table_name, self.column)


class UnkeepColumnOp(_ColumnOp):
    """Let go of the kept copy of a column that is still there."""

    verb = "unkeep_column"

    @classmethod
    def unkeep_column(
        cls,
        operations: Operations,
        table_name: str,
        column: Column[Any],
        *,
        key: Sequence[str] | None = None,
        replaced_by: str | Sequence[str] | None = None,
        down: str | None = None,
        accept: Sequence[str] = (),
        schema: str | None = None,
    ) -> Any:
        """Take the triggers of ``op.keep_column`` and its copy away: the column itself has every value.

        :raises Refused: where the column is not there any more, so that the copy is all that is left.
        """
        op = cls(
            table_name, column, key=key, replaced_by=replaced_by, down=down, accept=accept, schema=schema
        )  # fmt: skip
        return operations.invoke(op)

    def reverse(self) -> KeepColumnOp:
        """Return the operation that keeps the values again."""
        return KeepColumnOp(self.table_name, self.column, **self._words())

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("unkeep_column", self.schema, self.table_name, self.column)
