"""What happens when a revision says ``op.swap_columns`` or ``op.swap_columns_back``."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alembic_safe.database.reads import Reads
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run, run_at_once, together
from alembic_safe.errors import NextStep, Refused
from alembic_safe.operations.dependants import OF_THE_NAME, said_of_column
from alembic_safe.operations.expressions import Wanted
from alembic_safe.operations.expressions_renamed import Renamed
from alembic_safe.operations.kept import fixed_text, rights_named
from alembic_safe.operations.living import find_column, lock
from alembic_safe.operations.speaking import table_of
from alembic_safe.operations.swap_counters import counters_of, move_default
from alembic_safe.operations.swap_key import free_key, move_key, move_key_back
from alembic_safe.operations.swap_names import exchanging, exchanging_names, names_of
from alembic_safe.operations.swap_standing import make, standing_on, taking
from alembic_safe.operations.sync_run import (
    columns_of,
    exact_of,
    find_sync,
    firing_last,
    installing,
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
    from alembic_safe.operations.swap_key import Key
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
    :param formulas: those of all syncs.
    :param key: the primary key that goes to the new columns.
    :param defaults: those that the file says.
    :param message: what changes all names, ready to be sent; empty where the formulas have to be read in between.
    """

    table: LivingTable
    reads: Reads
    fixed: FixedText
    named: list[Part]
    swaps: list[Swap]
    formulas: Renamed
    key: Key | None
    defaults: Mapping[str, str | None]
    message: str = ""


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
        _exchange(connection, plan, forward=forward)
        if plan.key is not None:
            move_key(connection, table, plan.key, subject)
        elif op.primary_key is not None:
            move_key_back(connection, table, op.primary_key, dict(op.pairs))
        make(connection, plan.named, plan.fixed)
    for one in plan.swaps:
        log.info("%s: %s and %s have changed their names", table.shown, one.pair.stays, one.pair.goes)


def _locked(connection: Connection, table: LivingTable, op: _SwapOp, subject: str, *, forward: bool) -> _Plan | None:
    """Lock the table, and return what is to be done with it; ``None`` where that is done already.

    It is found before the lock, so that nobody waits for it, and found again behind it where something has changed.
    """
    plan = _planned(connection, table, op, subject, forward=forward, ahead=True)
    if plan is None:
        return None
    plan.fixed.enter()
    plan.reads.prepare()
    closing = [plan.reads.ending, *plan.fixed.leaving]
    known = plan.formulas.known
    if known is not None:
        settled = _settling(plan, known, forward=forward)
        message = together([*closing, *taking(plan.named), *plan.formulas.renaming, *settled])
        plan = replace(plan, message=message)
    lock(connection, table, subject)
    is_true = plan.reads.are_true()
    if is_true and plan.message:
        return plan
    run_at_once(connection, closing)
    if is_true:
        return plan
    plan.formulas.forget()
    return _planned(connection, table, op, subject, forward=forward, ahead=False)


def _planned(
    connection: Connection, table: LivingTable, op: _SwapOp, subject: str, *, forward: bool, ahead: bool
) -> _Plan | None:  # fmt: skip
    """Return what is to be done; ``None`` where that is done already.

    :param ahead: whether it is asked before the lock.
    """
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
        name = op.primary_key if forward else None
        key = free_key(reads, table, name, subject) if name is not None else None
    wanted = [one for sync in syncs for one in formulas_of(sync)]
    formulas = Renamed(
        connection, table, wanted, lambda on: [one for pair in pairs for one in renaming(on, Pair(*pair))], fixed, ahead=ahead
    )  # fmt: skip
    return _Plan(table, reads, fixed, named, swaps, formulas, key, op.defaults)


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
    if plan.message:
        run(connection, plan.message)
    else:
        found = plan.formulas.behind(taking(plan.named))
        run_at_once(connection, _settling(plan, found, forward=forward))
    for one in plan.swaps:
        fill(connection, plan.table, one, plan.fixed, plan.defaults)


def _settling(plan: _Plan, found: Sequence[Expression], *, forward: bool) -> list[str]:
    """Return the statements that bring everything behind the columns that have changed their names.

    :param found: the formulas of all syncs, by the names of then.
    """
    statements: list[str] = []
    done: set[str] = set()
    for one in plan.swaps:
        number = len(formulas_of(one.sync))
        statements += settling(plan.table, one, found[:number], forward=forward)
        found = found[number:]
        statements += said_again(plan.table, one, done)
    return statements


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


def renaming(table: LivingTable, pair: Pair) -> list[str]:
    """Return the statements that let two columns change their names."""
    return exchanging(f"ALTER TABLE {table.quoted} RENAME COLUMN", pair.stays, pair.goes)


def settling(table: LivingTable, swap: Swap, found: Sequence[Expression], *, forward: bool) -> list[str]:
    """Return the statements that bring the sync behind the columns that have changed their names.

    :param found: the formulas of the sync, by the names of now.
    """
    sync, pair = swap.sync, swap.pair
    exact = frozenset(pair.turned(tuple(swap.exact)))
    columns = columns_of(pair.turned(sync.old), pair.turned(sync.new), found, exact)
    text = text_of(columns, up=sync.text.up, down=sync.text.down, swapped=forward)
    # sessions that have run the trigger would fail in it, were the function not another one now
    return installing(table, sync.name, columns, text, firing=swap.firing, replaced=swap.triggers)


def fill(
    connection: Connection, table: LivingTable, swap: Swap, fixed: FixedText, defaults: Mapping[str, str | None]
) -> None:
    """Bring what fills the columns behind those that have changed their names.

    :param defaults: see :func:`~alembic_safe.operations.swap_counters.move_default`.
    """
    move_default(connection, table, swap.counters, fixed, from_=swap.pair.goes, to=swap.pair.stays, defaults=defaults)


def said_again(table: LivingTable, swap: Swap, done: set[str]) -> list[str]:
    """Return the statements that give what stands on the columns its names, and the name what was said of it.

    :param done: the names that have changed owners already: an index over several columns is one of each.
    """
    names = swap.names.without(done)
    done.update((*swap.names.constraints, *swap.names.indexes))
    return [*exchanging_names(table, names), *(verbatim(one.make) for one in swap.said)]


def formulas_of(sync: Sync) -> list[Wanted]:
    """Return the formulas of a sync, to be read again when names have changed."""
    pairs = zip(
        (*sync.text.assigned_up, *sync.text.assigned_down), (*sync.text.compiled_up, *sync.text.compiled_down), strict=True
    )  # fmt: skip
    return [Wanted(sql, "", f"the sync of {sync.shown}") for pair in pairs for sql in pair]
