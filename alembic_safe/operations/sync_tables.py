"""``op.sync_tables`` and what goes with it: what they say, how they are written into a file, and their reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations.ops import AlterTableOp

from alembic_safe.operations.rendering import call, name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.base import Operations


class _MovedOp(AlterTableOp):
    """What all of them say.

    :param source_table: the table that the old application knows the columns in.
    :param target_table: the one that the new application knows them in.
    :param columns: the source's columns, each with the target's.
    :param on: what the rows find each other by, likewise; one row of each at most.
    """

    verb = ""

    def __init__(
        self,
        source_table: str,
        target_table: str,
        columns: Mapping[str, str],
        *,
        on: Mapping[str, str],
        source_schema: str | None = None,
        schema: str | None = None,
    ) -> None:
        super().__init__(target_table, schema=schema)
        self.source_name = source_table
        self.source_schema = source_schema
        self.columns = {str(old): str(new) for old, new in columns.items()}
        self.on = {str(old): str(new) for old, new in on.items()}
        if not self.columns or not self.on:
            raise ValueError(f"{self.verb} {source_table}: columns and on each name a pair of columns at least")

    def words(self) -> dict[str, Any]:
        """Return all of it, to make another operation of the same."""
        return {
            "source_table": self.source_name, "target_table": self.table_name, "columns": self.columns, "on": self.on,
            "source_schema": self.source_schema, "schema": self.schema,
        }  # fmt: skip

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return (self.verb, self.source_schema, self.source_name, self.schema, self.table_name, dict(self.columns))


class SyncTablesOp(_MovedOp):
    """Keep columns of two tables equal while both applications write."""

    verb = "sync_tables"

    @classmethod
    def sync_tables(
        cls,
        operations: Operations,
        source_table: str,
        target_table: str,
        columns: Mapping[str, str],
        *,
        on: Mapping[str, str],
        source_schema: str | None = None,
        schema: str | None = None,
    ) -> None:
        """Put triggers on two tables that keep columns of theirs equal, whoever writes which of them.

        A row that is inserted or updated on one side writes the row of the other side, in the same transaction. Rows of
        the target that are there already are left to ``op.copy_moved``. Running it again changes nothing.

        :param columns: the columns that the old application knows, each with the one of the same type in the target.
        :param on: the source's columns, each with the target's, by which the rows find each other: unique on both sides,
            with a foreign key from one side to the other that is not deferrable.
        :raises Refused: with the reason, before anything is changed.
        """
        return operations.invoke(
            cls(source_table, target_table, columns, on=on, source_schema=source_schema, schema=schema)
        )

    def reverse(self) -> DropTableSyncOp:
        """Return the operation that takes the triggers away."""
        return DropTableSyncOp(**self.words())


class DropTableSyncOp(_MovedOp):
    """End the sync of two tables; the columns stay as they are."""

    verb = "drop_table_sync"

    @classmethod
    def drop_table_sync(
        cls,
        operations: Operations,
        source_table: str,
        target_table: str,
        columns: Mapping[str, str],
        *,
        on: Mapping[str, str],
        source_schema: str | None = None,
        schema: str | None = None,
    ) -> None:
        """Take the triggers of ``op.sync_tables`` away; the columns of both tables keep their values.

        What has given way until then is settled first. Where there is no such sync, nothing happens.
        """
        return operations.invoke(
            cls(source_table, target_table, columns, on=on, source_schema=source_schema, schema=schema)
        )

    def reverse(self) -> SyncTablesOp:
        """Return the operation that puts the triggers back."""
        return SyncTablesOp(**self.words())


class CopyMovedOp(_MovedOp):
    """Fill the target's columns in the rows that are there, in batches."""

    verb = "copy_moved"

    @classmethod
    def copy_moved(
        cls,
        operations: Operations,
        source_table: str,
        target_table: str,
        columns: Mapping[str, str],
        *,
        on: Mapping[str, str],
        source_schema: str | None = None,
        schema: str | None = None,
    ) -> Any:
        """Fill the columns of the target's rows that hold NULL from the source's rows, batch by batch.

        It walks along the target's key. Under ``alembic safe-upgrade`` every batch is committed together with its place
        in the journal; under stock ``alembic upgrade`` all of it happens in the transaction of the caller. The value is
        taken by the triggers of ``op.sync_tables``, behind a lock on the source's row.

        :raises Refused: where these columns are not in sync.
        """
        return operations.invoke(
            cls(source_table, target_table, columns, on=on, source_schema=source_schema, schema=schema)
        )

    def reverse(self) -> Any:
        """Say that there is nothing to take back."""
        raise NotImplementedError("op.copy_moved has no reverse: leave it out of downgrade()")


class VerifyMovedOp(_MovedOp):
    """Stop unless every row of the target says what its row of the source says."""

    verb = "verify_moved"

    @classmethod
    def verify_moved(
        cls,
        operations: Operations,
        source_table: str,
        target_table: str,
        columns: Mapping[str, str],
        *,
        on: Mapping[str, str],
        source_schema: str | None = None,
        schema: str | None = None,
    ) -> Any:
        """Read every row of the target, in batches, and stop when one differs from the row of the source.

        Under ``alembic safe-upgrade`` the journal keeps how many rows were read.

        :raises Findings: naming how many rows differ, with examples of their keys.
        """
        return operations.invoke(
            cls(source_table, target_table, columns, on=on, source_schema=source_schema, schema=schema)
        )

    def reverse(self) -> Any:
        """Say that there is nothing to take back: it only reads."""
        raise NotImplementedError("op.verify_moved has no reverse: leave it out of downgrade()")


def render_moved(autogen_context: AutogenContext, op: _MovedOp) -> str:
    """Return the line that stands in a revision file."""
    words = [name_of(op.source_name), name_of(op.table_name), repr(op.columns)]
    return call(autogen_context, op.verb, words, {"on": op.on, "source_schema": op.source_schema}, op.schema)
