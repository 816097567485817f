"""``op.swap_columns`` and ``op.swap_columns_back``: what they say, how they are written into a file, and their reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations.ops import AlterTableOp

from alembic_safe.operations.rendering import call, name_of, one_or_more, several

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.base import Operations

    OneOrMore = str | Sequence[str]
    Defaults = Mapping[str, str | None]


class _SwapOp(AlterTableOp):
    """What both directions say: the names as they are before the swap."""

    verb = ""

    def __init__(
        self,
        table_name: str,
        old: OneOrMore,
        new: OneOrMore,
        *,
        primary_key: str | None = None,
        defaults: Defaults | None = None,
        schema: str | None = None,
    ) -> None:
        super().__init__(table_name, schema=schema)
        self.old = several(old)
        self.new = several(new)
        self.primary_key = primary_key
        self.defaults = dict(defaults or {})
        if len(self.old) != len(self.new):
            raise ValueError(f"{self.verb} {table_name}: there is one new column for each old one")

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Each old column with the new one."""
        return tuple(zip(self.old, self.new, strict=True))


class SwapColumnsOp(_SwapOp):
    """Let the new column take the old one's name."""

    verb = "swap_columns"

    @classmethod
    def swap_columns(
        cls, operations: Operations, table_name: str, old: OneOrMore, new: OneOrMore, *, primary_key: str | None = None,
        defaults: Defaults | None = None, schema: str | None = None,
    ) -> None:  # fmt: skip
        """Let two columns that are kept in sync change their names, under one short lock.

        Default, identity or owned sequence, and the names of indexes and constraints go with the name, and the sync goes
        on the other way round. Running it again changes nothing.

        Sessions that prepared a statement over the column fail once in it when the type differs: see the revision's
        docstring.

        :param old: the name of the old column, which the new one has afterwards; several, where they change together.
        :param new: the name of the new column, which the old one has afterwards.
        :param primary_key: the primary key that the old column is part of. In the same moment it comes to stand on the
            unique index over the new column that is called like it, with ``_new`` behind. Foreign keys to the old column
            are gone by then.
        :param defaults: by the names of old columns, the default that the new one has in the place of the old one's, as SQL;
            ``None``: none.
        :raises Refused: where the two are not in sync, or others depend on the primary key.
        """
        return operations.invoke(cls(table_name, old, new, primary_key=primary_key, defaults=defaults, schema=schema))

    def reverse(self) -> SwapColumnsBackOp:
        """Return the operation that swaps back; the defaults of before are nothing that a swap knows."""
        return SwapColumnsBackOp(
            self.table_name, self.old, self.new, primary_key=self.primary_key, schema=self.schema
        )  # fmt: skip

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("swap_columns", self.schema, self.table_name, self.old, self.new)


class SwapColumnsBackOp(_SwapOp):
    """Give both columns the names that they had before the swap."""

    verb = "swap_columns_back"

    @classmethod
    def swap_columns_back(
        cls, operations: Operations, table_name: str, old: OneOrMore, new: OneOrMore, *, primary_key: str | None = None,
        defaults: Defaults | None = None, schema: str | None = None,
    ) -> None:  # fmt: skip
        """Take a swap back; the arguments are those of ``op.swap_columns``, but ``defaults`` are those of the old columns.

        A primary key gets its index, and the foreign keys to the new column theirs, under the lock of the swap.
        """
        return operations.invoke(cls(table_name, old, new, primary_key=primary_key, defaults=defaults, schema=schema))

    def reverse(self) -> SwapColumnsOp:
        """Return the operation that swaps."""
        return SwapColumnsOp(
            self.table_name, self.old, self.new, primary_key=self.primary_key, schema=self.schema
        )  # fmt: skip

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("swap_columns_back", self.schema, self.table_name, self.old, self.new)


def render_swap(autogen_context: AutogenContext, op: _SwapOp) -> str:
    """Return the line that stands in a revision file."""
    words = [name_of(op.table_name), one_or_more(op.old), one_or_more(op.new)]
    key = None if op.primary_key is None else str(op.primary_key)
    return call(autogen_context, op.verb, words, {"primary_key": key, "defaults": op.defaults or None}, op.schema)
