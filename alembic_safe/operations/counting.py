"""``op.count_with_sequence`` and ``op.count_as_identity``: what they say, how they are written into a file, their reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations.ops import AlterTableOp

from alembic_safe.operations.rendering import call, name_of

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.base import Operations

OPTIONS = {
    "start": "START WITH",
    "increment": "INCREMENT BY",
    "minvalue": "MINVALUE",
    "maxvalue": "MAXVALUE",
    "cache": "CACHE",
}
"""What may be said of how a column counts, and how SQL says it."""


class _CountOp(AlterTableOp):
    """What both ways say.

    :param options: of :data:`OPTIONS`, and ``cycle``.
    """

    verb = ""

    def __init__(
        self, table_name: str, column_name: str, *, always: bool = False, schema: str | None = None, **options: Any
    ) -> None:
        super().__init__(table_name, schema=schema)
        unknown = sorted(options.keys() - {*OPTIONS, "cycle"})
        if unknown:
            raise TypeError(f"{self.verb} {table_name}.{column_name}: there is no option {', '.join(unknown)}")
        self.column_name = column_name
        self.always = always
        self.options = {name: value for name, value in options.items() if value is not None and value is not False}

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return (self.verb, self.schema, self.table_name, self.column_name)


class CountWithSequenceOp(_CountOp):
    """Let a column count with a sequence of its own, by its default."""

    verb = "count_with_sequence"

    @classmethod
    def count_with_sequence(
        cls, operations: Operations, table_name: str, column_name: str, *, always: bool = False,
        schema: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        """Give a column a sequence that it owns, and new rows the next number; rows that are there stay as they are.

        A column that is an identity counts with a sequence from then on, where it stood. Running it again changes nothing.

        :param always: what ``op.count_as_identity`` says, for the reverse of that one only.
        :param options: ``start``, ``increment``, ``minvalue``, ``maxvalue``, ``cache``, ``cycle``.
        """
        return operations.invoke(cls(table_name, column_name, always=always, schema=schema, **options))

    def reverse(self) -> Any:
        """Say that there is nothing to take back: the sequence goes with its column."""
        raise NotImplementedError("op.count_with_sequence has no reverse: the sequence goes with its column")


class CountAsIdentityOp(_CountOp):
    """Let a column that counts with a sequence be an identity."""

    verb = "count_as_identity"

    @classmethod
    def count_as_identity(
        cls, operations: Operations, table_name: str, column_name: str, *, always: bool = False,
        schema: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        """Make a column that counts with a sequence of its own an identity, which goes on where that stood.

        No row is read: the column is NOT NULL before. Running it again changes nothing.

        :param always: whether a row that brings a number of its own is refused.
        :param options: ``start``, ``increment``, ``minvalue``, ``maxvalue``, ``cache``, ``cycle``.
        :raises Refused: where the column may be NULL, or counts with no sequence.
        """
        return operations.invoke(cls(table_name, column_name, always=always, schema=schema, **options))

    def reverse(self) -> CountWithSequenceOp:
        """Return the operation that lets it count with a sequence."""
        return CountWithSequenceOp(
            self.table_name, self.column_name, always=self.always, schema=self.schema, **self.options
        )  # fmt: skip


def render_count(autogen_context: AutogenContext, op: _CountOp) -> str:
    """Return the line that stands in a revision file."""
    named = {"always": op.always, **op.options}
    return call(autogen_context, op.verb, [name_of(op.table_name), name_of(op.column_name)], named, op.schema)
