"""``op.rename_index`` and ``op.rename_constraint``: what they say, how they are written into a file, and their reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations.ops import AlterTableOp

from alembic_safe.operations.rendering import call, name_of

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.base import Operations


class _RenamePartOp(AlterTableOp):
    """An index or a constraint under another name.

    :param old: its former name; ``new``: the one that it has afterwards.
    """

    verb = ""

    def __init__(self, old: str, new: str, table_name: str, *, schema: str | None = None) -> None:
        super().__init__(table_name, schema=schema)
        self.old = old
        self.new = new

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return (self.verb, self.schema, self.table_name, self.old, self.new)


class RenameIndexOp(_RenamePartOp):
    """Give an index another name."""

    verb = "rename_index"

    @classmethod
    def rename_index(
        cls, operations: Operations, old: str, new: str, table_name: str, *, schema: str | None = None
    ) -> None:
        """Give an index another name; where it has it already, nothing happens.

        :raises Refused: where the table has neither the one nor the other.
        """
        return operations.invoke(cls(old, new, table_name, schema=schema))

    def reverse(self) -> RenameIndexOp:
        """Return the renaming back."""
        return RenameIndexOp(self.new, self.old, self.table_name, schema=self.schema)


class RenameConstraintOp(_RenamePartOp):
    """Give a constraint another name, and to the index that it stands on."""

    verb = "rename_constraint"

    def __init__(
        self, old: str, new: str, table_name: str, *, replace: bool = False, schema: str | None = None
    ) -> None:
        super().__init__(old, new, table_name, schema=schema)
        self.replace = replace

    @classmethod
    def rename_constraint(
        cls, operations: Operations, old: str, new: str, table_name: str, *, replace: bool = False,
        schema: str | None = None,
    ) -> None:  # fmt: skip
        """Give a constraint another name; where it has it already, nothing happens.

        :param replace: where another constraint has that name, let it go in the same moment. What takes its place is
            valid before.
        :raises Refused: where the table has neither the one nor the other, or what takes the place is not valid.
        """
        return operations.invoke(cls(old, new, table_name, replace=replace, schema=schema))

    def reverse(self) -> RenameConstraintOp:
        """Return the renaming back."""
        return RenameConstraintOp(self.new, self.old, self.table_name, schema=self.schema)


def render_rename_part(autogen_context: AutogenContext, op: _RenamePartOp) -> str:
    """Return the line that stands in a revision file."""
    words = [name_of(op.old), name_of(op.new), name_of(op.table_name)]
    return call(autogen_context, op.verb, words, {"replace": getattr(op, "replace", None)}, op.schema)
