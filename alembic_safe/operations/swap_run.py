"""What happens when a revision says ``op.swap_columns`` or ``op.swap_columns_back``."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import NextStep, Refused
from alembic_safe.operations.dependants import of_column
from alembic_safe.operations.expressions import Wanted, views_of
from alembic_safe.operations.kept import fixed_text, rights_named, verbatim
from alembic_safe.operations.living import find_column, lock
from alembic_safe.operations.speaking import table_of
from alembic_safe.operations.swap_counters import move_default
from alembic_safe.operations.swap_key import move_key, move_key_back, require_free_key
from alembic_safe.operations.swap_names import exchange_names, exchange_parts
from alembic_safe.operations.swap_standing import make, standing_on, take
from alembic_safe.operations.sync_run import columns_of, find_sync, install, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.operations.base import Operations
    from sqlalchemy import Connection

    from alembic_safe.inspecting.retired import Dependant
    from alembic_safe.inspecting.syncs import Sync
    from alembic_safe.operations.expressions import Expression
    from alembic_safe.operations.living import LivingTable
    from alembic_safe.operations.swap_columns import SwapColumnsBackOp, SwapColumnsOp, _SwapOp

log = logging.getLogger("alembic.safe.sync")

_OF_THE_NAME = frozenset({"grant", "comment", "storage", "statistics target", "compression", "options"})
"""What belongs to a column's name in the eyes of who uses it, and to its number in PostgreSQL's."""


@dataclass(frozen=True)
class Pair:
    """Two columns that change their names.

    :param stays: the name that the application knows in the end; ``goes``: the one that goes with the change.
    """

    stays: str
    goes: str

    def turned(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return names as they are called behind the change."""
        other = {self.stays: self.goes, self.goes: self.stays}
        return tuple(other[name] for name in names)


def swap_columns(operations: Operations, op: SwapColumnsOp) -> None:
    """Run ``op.swap_columns``."""
    _swap(operations, op, forward=True)


def swap_columns_back(operations: Operations, op: SwapColumnsBackOp) -> None:
    """Run ``op.swap_columns_back``."""
    _swap(operations, op, forward=False)


def _swap(operations: Operations, op: _SwapOp, *, forward: bool) -> None:
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    subject = f"op.{op.verb} on {table.shown}"
    pairs = [(old, new) for old, new in op.pairs if not _is_over(connection, table, old, new)]
    syncs = [_sync(connection, table, old, new, subject) for old, new in pairs]
    if all(sync.text.swapped is forward for sync in syncs):
        return
    step = NextStep(f"{table.owner}, who owns the table, runs", f"GRANT {quoted(table.owner)} TO ...;")
    with rights_named(connection, subject, [step]):
        lock(connection, table, subject)
        named = standing_on(connection, table, [*op.old, *op.new])
        take(connection, named)
        if op.primary_key is not None and forward:
            require_free_key(connection, table, op.primary_key, subject)
        for (old, new), sync in zip(pairs, syncs, strict=True):
            _exchange(connection, table, sync, Pair(old, new), forward=forward)
        if op.primary_key is not None and forward:
            move_key(connection, table, op.primary_key, subject)
        elif op.primary_key is not None:
            move_key_back(connection, table, op.primary_key, dict(op.pairs))
        make(connection, named)
    for old, new in pairs:
        log.info("%s: %s and %s have changed their names", table.shown, old, new)


def _is_over(connection: Connection, table: LivingTable, old: str, new: str) -> bool:
    """Whether there is one column, under its final name."""
    return find_column(connection, table, old) is not None and find_column(connection, table, new) is None


def _sync(connection: Connection, table: LivingTable, old: str, new: str, subject: str) -> Sync:
    sync = find_sync(connection, table, (old,), (new,))
    if sync is None:
        raise Refused(
            f"{subject}: {old} and {new} are not in sync, so one of them may not say what the other does.",
            next_steps=[NextStep("in the expand of the change", "op.sync_columns(...)")],
        )
    return sync


def _exchange(connection: Connection, table: LivingTable, sync: Sync, pair: Pair, *, forward: bool) -> None:
    """Do it all; the table is locked, and every statement is one of the catalog alone."""
    said = said_of_the_name(connection, table, pair)
    with views_of(connection, table, formulas_of(sync)) as views:
        renamed(connection, table, pair)
        # a view follows the column that it was made of, and so says the formulas by the new names
        found = views.read()
    settled(connection, table, sync, pair, found, said, forward=forward)


def said_of_the_name(connection: Connection, table: LivingTable, pair: Pair) -> list[Dependant]:
    """Return what is said of the name that stays, and has to be said again of the column that gets it."""
    with fixed_text(connection, search_path=""):
        return [one for one in of_column(connection, table.quoted, pair.stays) if one.kind in _OF_THE_NAME]


def renamed(connection: Connection, table: LivingTable, pair: Pair) -> None:
    """Let two columns change their names."""
    exchange_parts(connection, f"ALTER TABLE {table.quoted} RENAME COLUMN", pair.stays, pair.goes)


def settled(
    connection: Connection, table: LivingTable, sync: Sync, pair: Pair, found: Sequence[Expression],
    said: Sequence[Dependant], *, forward: bool,
) -> None:  # fmt: skip
    """Bring what hangs on the names behind the columns that have changed them.

    :param found: the formulas of the sync, by the names of now.
    """
    columns = columns_of(connection, table, pair.turned(sync.old), pair.turned(sync.new), found)
    text = text_of(columns, up=sync.text.up, down=sync.text.down, swapped=forward)
    # sessions that have run the trigger would fail in it, were the function not another one now
    install(connection, table, sync.name, columns, text, replacing=sync)
    move_default(connection, table, from_=pair.goes, to=pair.stays)
    exchange_names(connection, table, pair.stays, pair.goes)
    for one in said:
        run(connection, verbatim(one.make))


def formulas_of(sync: Sync) -> list[Wanted]:
    """Return the formulas of a sync, to be read again when names have changed."""
    pairs = zip(
        (*sync.text.assigned_up, *sync.text.assigned_down), (*sync.text.compiled_up, *sync.text.compiled_down), strict=True
    )  # fmt: skip
    return [Wanted(sql, "", f"the sync of {sync.shown}") for pair in pairs for sql in pair]
