"""What happens when a revision says ``op.swap_columns`` or ``op.swap_columns_back``."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.reads import Reads
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import NextStep, Refused
from alembic_safe.operations.dependants import OF_THE_NAME, said_of_column
from alembic_safe.operations.expressions import Views, Wanted
from alembic_safe.operations.kept import fixed_text, rights_named
from alembic_safe.operations.living import find_column, lock
from alembic_safe.operations.speaking import table_of
from alembic_safe.operations.swap_counters import counters_of, move_default
from alembic_safe.operations.swap_key import move_key, move_key_back, require_free_key
from alembic_safe.operations.swap_names import exchange_names, exchange_parts, names_of
from alembic_safe.operations.swap_standing import make, standing_on, take
from alembic_safe.operations.sync_run import (
    columns_of,
    exact_of,
    find_sync,
    firing_last,
    install,
    text_of,
)
from alembic_safe.operations.sync_whole import refuse_idle_triggers, triggers_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.operations.base import Operations
    from sqlalchemy import Connection

    from alembic_safe.inspecting.retired import Dependant
    from alembic_safe.inspecting.syncs import Sync
    from alembic_safe.operations.expressions import Expression
    from alembic_safe.operations.kept import FixedText
    from alembic_safe.operations.living import LivingTable
    from alembic_safe.operations.swap_columns import SwapColumnsBackOp, SwapColumnsOp, _SwapOp
    from alembic_safe.operations.swap_counters import Counters
    from alembic_safe.operations.swap_names import Names
    from alembic_safe.operations.table_parts_sql import Part

log = logging.getLogger("alembic.safe.sync")


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


@dataclass(frozen=True)
class Swap:
    """Two columns in sync that change their names, with what was found of them before.

    :param said: what is said of the name that stays.
    :param exact: see :func:`~alembic_safe.operations.sync_run.exact_of`; by the names before.
    :param firing: what the names of the sync's triggers will begin with; ``triggers``: those that it has.
    """

    sync: Sync
    pair: Pair
    said: tuple[Dependant, ...]
    exact: frozenset[str]
    counters: Counters
    names: Names
    firing: str
    triggers: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    """Everything that is to be done.

    :param reads: what it was made of, read under ``fixed``.
    :param named: what names the columns, and is taken away and made again.
    :param views: the formulas of all syncs; ``formulas``: what they are by the names before.
    :param defaults: those that the file says.
    """

    table: LivingTable
    reads: Reads
    fixed: FixedText
    named: list[Part]
    swaps: list[Swap]
    views: Views
    formulas: tuple[Expression, ...]
    defaults: Mapping[str, str | None]


def swap_columns(operations: Operations, op: SwapColumnsOp) -> None:
    """Run ``op.swap_columns``."""
    _swap(operations, op, forward=True)


def swap_columns_back(operations: Operations, op: SwapColumnsBackOp) -> None:
    """Run ``op.swap_columns_back``."""
    _swap(operations, op, forward=False)


def _swap(operations: Operations, op: _SwapOp, *, forward: bool) -> None:
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    subject = f"op.{op.verb} on {table.shown}"
    step = NextStep(f"{table.owner}, who owns the table, runs", f"GRANT {quoted(table.owner)} TO ...;")
    with rights_named(connection, subject, [step]):
        plan = _locked(connection, table, op, subject, forward=forward)
        if plan is None:
            return
        take(connection, plan.named)
        if op.primary_key is not None and forward:
            require_free_key(connection, table, op.primary_key, subject)
        _exchange(connection, plan, forward=forward)
        if op.primary_key is not None and forward:
            move_key(connection, table, op.primary_key, subject)
        elif op.primary_key is not None:
            move_key_back(connection, table, op.primary_key, dict(op.pairs))
        make(connection, plan.named, plan.fixed)
    for one in plan.swaps:
        log.info("%s: %s and %s have changed their names", table.shown, one.pair.stays, one.pair.goes)


def _locked(connection: Connection, table: LivingTable, op: _SwapOp, subject: str, *, forward: bool) -> _Plan | None:
    """Lock the table, and return what is to be done with it; ``None`` where that is done already.

    It is found before the lock, so that nobody waits for it, and found again behind it where something has changed.
    """
    plan = _planned(connection, table, op, subject, forward=forward)
    if plan is None:
        return None
    with plan.fixed:
        plan.reads.prepare()
        lock(connection, table, subject)
        is_true = plan.reads.are_true()
    if is_true:
        return plan
    plan.views.drop()
    return _planned(connection, table, op, subject, forward=forward)


def _planned(connection: Connection, table: LivingTable, op: _SwapOp, subject: str, *, forward: bool) -> _Plan | None:
    reads, fixed = Reads(connection), fixed_text(connection, search_path="")
    with fixed:
        pairs = [(old, new) for old, new in op.pairs if not _is_over(reads, table, old, new)]
        syncs = [_sync(reads, table, old, new, subject) for old, new in pairs]
        if all(sync.text.swapped is forward for sync in syncs):
            return None
        named = standing_on(reads, [(table, name) for name in (*op.old, *op.new)])
        swaps = [
            swap_of(reads, table, sync, Pair(*pair), forward=forward) for pair, sync in zip(pairs, syncs, strict=True)
        ]
    views = Views(connection, table, [wanted for sync in syncs for wanted in formulas_of(sync)])
    views.make()
    return _Plan(table, reads, fixed, named, swaps, views, views.read(fixed), op.defaults)


def _is_over(reads: Reads, table: LivingTable, old: str, new: str) -> bool:
    """Whether there is one column, under its final name."""
    return find_column(reads, table, old) is not None and find_column(reads, table, new) is None


def _sync(reads: Reads, table: LivingTable, old: str, new: str, subject: str) -> Sync:
    sync = find_sync(reads, table, (old,), (new,))
    if sync is None:
        raise Refused(
            f"{subject}: {old} and {new} are not in sync, so one of them may not say what the other does.",
            next_steps=[NextStep("in the expand of the change", "op.sync_columns(...)")],
        )
    return sync


def _exchange(connection: Connection, plan: _Plan, *, forward: bool) -> None:
    """Let all columns change their names; every statement is one of the catalog alone."""
    for one in plan.swaps:
        renamed(connection, plan.table, one.pair)
    # a view follows the column that it was made of, and so says the formulas by the new names
    found = plan.views.read_again(plan.formulas, plan.fixed)
    done: set[str] = set()
    for one in plan.swaps:
        number = len(formulas_of(one.sync))
        before = [plan.views.dropping] if one is plan.swaps[0] else []
        settled(
            connection, plan.table, one, found[:number], plan.fixed, forward=forward, before=before, defaults=plan.defaults
        )  # fmt: skip
        found = found[number:]
        said_again(connection, plan.table, one, done)


def swap_of(reads: Reads, table: LivingTable, sync: Sync, pair: Pair, *, forward: bool) -> Swap:
    """Return what there is to know of two columns before they change their names; called under an empty search path.

    What is said of the name that stays has to be said again of the column that gets it.

    :raises Refused: where not every write reaches both of them; on the way back no comparison is before us.
    """
    if forward:
        refuse_idle_triggers(reads, sync)
    said = [one for one in said_of_column(reads, table.quoted, pair.stays) if one.kind in OF_THE_NAME]
    exact = exact_of(reads, table, (*sync.old, *sync.new))
    counters = counters_of(reads, table, source=pair.stays, target=pair.goes)
    names = names_of(reads, table, final=pair.stays, beside_it=pair.goes)
    firing = firing_last(reads, table, sync.name)
    triggers = triggers_of(reads, sync)
    return Swap(sync, pair, tuple(said), exact, counters, names, firing, tuple(triggers))


def renamed(connection: Connection, table: LivingTable, pair: Pair) -> None:
    """Let two columns change their names."""
    exchange_parts(connection, f"ALTER TABLE {table.quoted} RENAME COLUMN", pair.stays, pair.goes)


def settled(
    connection: Connection, table: LivingTable, swap: Swap, found: Sequence[Expression], fixed: FixedText, *, forward: bool,
    before: Sequence[str] = (), defaults: Mapping[str, str | None] | None = None,
) -> None:  # fmt: skip
    """Bring the sync, and what fills the columns, behind those that have changed their names.

    :param found: the formulas of the sync, by the names of now.
    :param before: statements to be sent in front.
    :param defaults: see :func:`~alembic_safe.operations.swap_counters.move_default`.
    """
    sync, pair = swap.sync, swap.pair
    exact = frozenset(pair.turned(tuple(swap.exact)))
    columns = columns_of(pair.turned(sync.old), pair.turned(sync.new), found, exact)
    text = text_of(columns, up=sync.text.up, down=sync.text.down, swapped=forward)
    # sessions that have run the trigger would fail in it, were the function not another one now
    install(connection, table, sync.name, columns, text, firing=swap.firing, replaced=swap.triggers, before=before)
    move_default(connection, table, swap.counters, fixed, from_=pair.goes, to=pair.stays, defaults=defaults or {})


def said_again(connection: Connection, table: LivingTable, swap: Swap, done: set[str]) -> None:
    """Give what stands on the columns its names, and the name what was said of it.

    :param done: the names that have changed owners already: an index over several columns is one of each.
    """
    exchange_names(connection, table, swap.names.without(done))
    done.update((*swap.names.constraints, *swap.names.indexes))
    for one in swap.said:
        run(connection, verbatim(one.make))


def formulas_of(sync: Sync) -> list[Wanted]:
    """Return the formulas of a sync, to be read again when names have changed."""
    pairs = zip(
        (*sync.text.assigned_up, *sync.text.assigned_down), (*sync.text.compiled_up, *sync.text.compiled_down), strict=True
    )  # fmt: skip
    return [Wanted(sql, "", f"the sync of {sync.shown}") for pair in pairs for sql in pair]
