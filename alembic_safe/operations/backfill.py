"""``op.backfill``: what it says, and how it is written into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations.ops import AlterTableOp

from alembic_safe.operations.rendering import call, name_of, several_or_none

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.base import Operations


class BackfillOp(AlterTableOp):
    """Fill columns of the rows that are there, in batches."""

    verb = "backfill"

    def __init__(
        self,
        table_name: str,
        *,
        set_: Mapping[str, str],
        where: str | None = None,
        key: str | Sequence[str] | None = None,
        quiet: bool = False,
        batch_rows: int | None = None,
        schema: str | None = None,
    ) -> None:
        super().__init__(table_name, schema=schema)
        self.set_ = dict(set_)
        self.where = where
        self.key = several_or_none(key)
        self.quiet = quiet
        self.batch_rows = batch_rows
        if not self.set_:
            raise ValueError(f"backfill {table_name}: set_ names no column")
        if batch_rows is not None and batch_rows < 1:
            raise ValueError(f"backfill {table_name}: batch_rows is at least 1")

    @classmethod
    def backfill(
        cls,
        operations: Operations,
        table_name: str,
        *,
        set_: Mapping[str, str],
        where: str | None = None,
        key: str | Sequence[str] | None = None,
        quiet: bool = False,
        batch_rows: int | None = None,
        schema: str | None = None,
    ) -> Any:
        """Set columns of the rows that are there, batch by batch.

        Under ``alembic safe-upgrade`` every batch is committed together with its place in the journal, so that a run
        which was killed goes on where it stood; under stock ``alembic upgrade`` all of it happens in the transaction of
        the caller. Rows that hold the value already are not written. Of columns that ``op.sync_columns`` fills, only
        those are written that hold NULL: the others were written by an application since.

        :param set_: the columns, each with the SQL expression over the table's columns that it gets; evaluated in time
            zone UTC.
        :param where: only the rows for which this SQL expression is true. Needed where an expression is volatile.
        :param key: the columns to walk along, which must be unique and NOT NULL; unset: the primary key, else another
            such key, else the table's blocks in order; these also for columns in sync of a large table with a random key.
        :param quiet: keep the table's own triggers from firing (``session_replication_role``, which needs a superuser or
            ``GRANT SET ON PARAMETER``).
        :param batch_rows: rows of one batch; unset: as many as take about 25 ms.
        :raises Refused: where the rows cannot be told apart as ``key`` says, or an expression cannot be repeated.
        """
        op = cls(table_name, set_=set_, where=where, key=key, quiet=quiet, batch_rows=batch_rows, schema=schema)
        return operations.invoke(op)

    def reverse(self) -> Any:
        """Say that there is nothing to take back: what was there before is not known any more, and not needed."""
        raise NotImplementedError("op.backfill has no reverse: leave it out of downgrade()")

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("backfill", self.schema, self.table_name, dict(self.set_))


def render_backfill(autogen_context: AutogenContext, op: BackfillOp) -> str:
    """Return the line that stands in a revision file."""
    key = op.key[0] if op.key is not None and len(op.key) == 1 else op.key
    set_ = {str(name): expression for name, expression in op.set_.items()}
    named = {"set_": set_, "where": op.where, "key": key, "quiet": op.quiet, "batch_rows": op.batch_rows}
    return call(autogen_context, op.verb, [name_of(op.table_name)], named, op.schema)
