"""``op.sync_columns`` and ``op.drop_sync``: what they say, how they are written into a file, and their reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations.ops import AlterTableOp

from alembic_safe.operations.rendering import call, name_of, one_or_more, several, several_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.base import Operations

    OneOrMore = str | Sequence[str]


class _SyncOp(AlterTableOp):
    """What both directions say.

    :param old: the column or columns that the old application knows; ``new``: those of the new one.
    :param up: SQL over the old columns that gives the new ones, one expression for each; unset: the column itself,
        cast where the types differ.
    :param down: SQL over the new columns, and the old ones, that leads back.
    :param swapped: whether ``op.swap_columns`` has changed their names.
    :param swapped: whether the columns have changed names.
    """

    verb = ""

    def __init__(
        self,
        table_name: str,
        old: OneOrMore,
        new: OneOrMore,
        *,
        up: OneOrMore | None = None,
        down: OneOrMore | None = None,
        swapped: bool = False,
        schema: str | None = None,
    ) -> None:
        super().__init__(table_name, schema=schema)
        self.swapped = swapped
        self.old = several(old)
        self.new = several(new)
        self.up = several_or_none(up)
        self.down = several_or_none(down)
        self._require_counts()

    def _require_counts(self) -> None:
        for name, given, columns in (("up", self.up, self.new), ("down", self.down, self.old)):
            if given is None and len(self.old) != len(self.new):
                raise ValueError(
                    f"{self.verb} {self.table_name}: {len(self.old)} columns become {len(self.new)}, so {name} is needed"
                )
            if given is not None and len(given) != len(columns):
                raise ValueError(
                    f"{self.verb} {self.table_name}: {name} needs one expression for each of {', '.join(columns)}"
                )

    def words(self) -> dict[str, Any]:
        """Return what stands behind the names, to make another operation of the same."""
        return {"up": self.up, "down": self.down, "swapped": self.swapped, "schema": self.schema}


class SyncColumnsOp(_SyncOp):
    """Keep old and new columns equal while both applications write."""

    verb = "sync_columns"

    @classmethod
    def sync_columns(
        cls,
        operations: Operations,
        table_name: str,
        old: OneOrMore,
        new: OneOrMore,
        *,
        up: OneOrMore | None = None,
        down: OneOrMore | None = None,
        swapped: bool = False,
        schema: str | None = None,
    ) -> None:
        """Put triggers on a table that keep the old and the new column equal, whoever writes which of them.

        An INSERT or UPDATE that writes the old column fills the new one with ``up``; one that writes the new column
        fills the old one with ``down``; where both are written and contradict each other, the new one wins. Rows that
        are there already are left to ``op.backfill``. Running it again changes nothing.

        An INSERT that gives the new column an explicit NULL, on a table whose old column has a default, cannot be told
        from one of the old application: the new column gets ``up`` of the default. The new column has no default of its
        own while both live.

        :param old: the column, or the columns, that the old application knows.
        :param new: the column, or the columns, of the new application.
        :param up: SQL expression over the old columns, one for each new column; unset: the column, cast to the new
            type. It may hold no subquery and nothing volatile, and is evaluated in time zone UTC.
        :param down: SQL expression over the new and the old columns, one for each old column; unset: the column, cast.
        :param swapped: ``op.swap_columns`` has changed their names: the new column has the old one's, and its default.
        :param swapped: whether ``op.swap_columns`` has changed the names already, as the way back of a contract finds
            it; where there is a sync of these columns, that one knows better.
        :raises Refused: with the reason, before anything is changed.
        """
        op = cls(table_name, old, new, up=up, down=down, swapped=swapped, schema=schema)
        return operations.invoke(op)

    def reverse(self) -> DropSyncOp:
        """Return the operation that takes the triggers away."""
        return DropSyncOp(self.table_name, self.old, self.new, **self.words())

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("add_sync", self.schema, self.table_name, self.old, self.new)


class DropSyncOp(_SyncOp):
    """End the sync of columns; both columns stay as they are."""

    verb = "drop_sync"

    @classmethod
    def drop_sync(
        cls,
        operations: Operations,
        table_name: str,
        old: OneOrMore,
        new: OneOrMore,
        *,
        up: OneOrMore | None = None,
        down: OneOrMore | None = None,
        swapped: bool = False,
        schema: str | None = None,
    ) -> None:
        """Take the triggers of ``op.sync_columns`` away; both columns keep their values.

        The sync is found by its columns, in either order. Where there is none, nothing happens.

        :param up: together with ``down`` and ``swapped``, what the reverse operation says.
        """
        op = cls(table_name, old, new, up=up, down=down, swapped=swapped, schema=schema)
        return operations.invoke(op)

    def reverse(self) -> SyncColumnsOp:
        """Return the operation that puts the triggers back."""
        return SyncColumnsOp(self.table_name, self.old, self.new, **self.words())

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("remove_sync", self.schema, self.table_name, self.old, self.new)


def render_sync(autogen_context: AutogenContext, op: _SyncOp) -> str:
    """Return the line that stands in a revision file."""
    words = [name_of(op.table_name), one_or_more(op.old), one_or_more(op.new)]
    for name in ("up", "down"):
        given = getattr(op, name)
        if given is not None:
            words.append(f"{name}={one_or_more(given)}")
    return call(autogen_context, op.verb, words, {"swapped": op.swapped}, op.schema)
