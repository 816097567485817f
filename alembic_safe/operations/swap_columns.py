"""``op.swap_columns`` and ``op.swap_columns_back``: what they say, how they are written into a file, and their reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations.ops import AlterTableOp

from alembic_safe.operations.rendering import call, name_of

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.base import Operations


class _SwapOp(AlterTableOp):
    """What both directions say: the names as they are before the swap."""

    verb = ""

    def __init__(self, table_name: str, old: str, new: str, *, schema: str | None = None) -> None:
        super().__init__(table_name, schema=schema)
        self.old = old
        self.new = new


class SwapColumnsOp(_SwapOp):
    """Let the new column take the old one's name."""

    verb = "swap_columns"

    @classmethod
    def swap_columns(
        cls, operations: Operations, table_name: str, old: str, new: str, *, schema: str | None = None
    ) -> None:
        """Let two columns that are kept in sync change their names, under one short lock.

        Default, identity or owned sequence, and the names of indexes and constraints go with the name, and the sync goes
        on the other way round. Running it again changes nothing.

        Sessions that prepared a statement over the column fail once in it when the type differs: see the revision's
        docstring.

        :param old: the name of the old column, which the new one has afterwards.
        :param new: the name of the new column, which the old one has afterwards.
        :raises Refused: where the two are not in sync.
        """
        return operations.invoke(cls(table_name, old, new, schema=schema))

    def reverse(self) -> SwapColumnsBackOp:
        """Return the operation that swaps back."""
        return SwapColumnsBackOp(self.table_name, self.old, self.new, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("swap_columns", self.schema, self.table_name, self.old, self.new)


class SwapColumnsBackOp(_SwapOp):
    """Give both columns the names that they had before the swap."""

    verb = "swap_columns_back"

    @classmethod
    def swap_columns_back(
        cls, operations: Operations, table_name: str, old: str, new: str, *, schema: str | None = None
    ) -> None:
        """Take a swap back; the arguments are those of ``op.swap_columns``."""
        return operations.invoke(cls(table_name, old, new, schema=schema))

    def reverse(self) -> SwapColumnsOp:
        """Return the operation that swaps."""
        return SwapColumnsOp(self.table_name, self.old, self.new, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("swap_columns_back", self.schema, self.table_name, self.old, self.new)


def render_swap(autogen_context: AutogenContext, op: _SwapOp) -> str:
    """Return the line that stands in a revision file."""
    return call(autogen_context, op.verb, [name_of(op.table_name), name_of(op.old), name_of(op.new)], {}, op.schema)
