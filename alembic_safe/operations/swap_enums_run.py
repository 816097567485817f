"""What happens when a revision says ``op.swap_enum_types`` or ``op.swap_enum_types_back``."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alembic_safe.database.reads import Reads
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run, run_at_once
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.syncs import ROW, read_syncs
from alembic_safe.operations.consent import online
from alembic_safe.operations.enum_types import is_label
from alembic_safe.operations.expressions import Views
from alembic_safe.operations.kept import fixed_text, literal, rights_named
from alembic_safe.operations.living import find_table, lock
from alembic_safe.operations.speaking import place
from alembic_safe.operations.swap_names import exchanging_in
from alembic_safe.operations.swap_run import Pair, Swap, fill, formulas_of, renaming, said_again, settling, swap_of
from alembic_safe.operations.swap_standing import make, standing_on, taking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from alembic.operations.base import Operations
    from sqlalchemy import Connection

    from alembic_safe.inspecting.syncs import Sync
    from alembic_safe.operations.enum_types import SwapEnumTypesBackOp, SwapEnumTypesOp, _SwapEnumsOp
    from alembic_safe.operations.expressions import Expression
    from alembic_safe.operations.kept import FixedText
    from alembic_safe.operations.living import LivingTable
    from alembic_safe.operations.table_parts_sql import Part

log = logging.getLogger("alembic.safe.sync")

_TYPE = """
SELECT t.oid::bigint AS oid, t.typarray::bigint AS array, n.nspname AS schema FROM pg_type t
JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = to_regtype(CAST(:type AS text)) AND t.typtype = 'e'
"""
_COLUMN_TYPE = """
SELECT a.atttypid::bigint AS type, pg_get_expr(d.adbin, d.adrelid) AS default FROM pg_attribute a
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = CAST(:oid AS oid) AND a.attname = :column AND NOT a.attisdropped
"""
_USED = """
SELECT EXISTS (SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE NOT a.attisdropped
  AND c.relkind IN ('r', 'p') AND a.atttypid = ANY(CAST(:oids AS oid[]))) AS it
"""


@dataclass(frozen=True)
class _Swapping:
    """One pair of columns on its way.

    :param views: the formulas of the sync; ``formulas``: what they are by the names before.
    :param default: the label, or the array of labels, that the column's default is in the other type.
    """

    table: LivingTable
    swap: Swap
    views: Views
    formulas: tuple[Expression, ...]
    default: str | None


@dataclass(frozen=True)
class _Plan:
    """Everything that is to be done.

    :param reads: what it was made of, read under ``fixed``.
    :param named: what names the columns, and is taken away and made again.
    :param closing: the statements to be sent behind the locks before all others.
    """

    reads: Reads
    fixed: FixedText
    named: list[Part]
    swaps: list[_Swapping]
    closing: tuple[str, ...] = ()


def swap_enum_types(operations: Operations, op: SwapEnumTypesOp) -> None:
    """Run ``op.swap_enum_types``."""
    _swap(operations, op, forward=True)


def swap_enum_types_back(operations: Operations, op: SwapEnumTypesBackOp) -> None:
    """Run ``op.swap_enum_types_back``."""
    _swap(operations, op, forward=False)


def _swap(operations: Operations, op: _SwapEnumsOp, *, forward: bool) -> None:
    connection = online(operations, op.verb)
    types = {name: run(connection, _TYPE, {"type": place(name, op.schema)}) for name in (op.old, op.new)}
    if types[op.old] and not types[op.new]:
        return  # the change is over here: there is one enum, under its final name
    shown = ".".join(part for part in (op.schema, op.old) if part)
    subject = f"op.{op.verb} on enum {shown}"
    if not types[op.old]:
        raise Refused(f"{subject}: there is no enum {shown}.")
    found = [_pair(connection, sync, [types[op.old][0], types[op.new][0]]) for sync in read_syncs(connection)]
    pairs = [one for one in found if one is not None]
    news = [types[op.new][0][kind] for kind in ("oid", "array")]
    if not pairs and forward and not run(connection, _USED, {"oids": news})[0]["it"]:
        return  # it is all but over: the columns that held the old labels have gone
    if not pairs:
        raise Refused(
            f"{subject}: no column of it is in sync with one of {op.new}.",
            next_steps=[NextStep("in the expand of the change", "op.sync_columns(...)")],
        )
    todo = [(sync, pair) for sync, pair in pairs if sync.text.swapped is not forward]
    if todo:
        step = NextStep("who owns the tables and the enum runs", "GRANT ... TO ...;")
        with rights_named(connection, subject, [step]):
            plan = _locked(connection, todo, subject, forward=forward)
            _exchange(connection, op, types[op.old][0]["schema"], plan, forward=forward)
        log.info("%s and %s have changed their names, and so have their columns", shown, op.new)


def _pair(connection: Connection, sync: Sync, types: Sequence[Mapping[str, Any]]) -> tuple[Sync, Pair] | None:
    """Return a sync whose two columns are of the two types, with the name that stays in front."""
    if (len(sync.old), len(sync.new)) != (1, 1):
        return None
    of = [run(connection, _COLUMN_TYPE, {"oid": sync.oid, "column": name}) for name in (sync.old[0], sync.new[0])]
    if not all(of):
        return None
    mine = {row[0]["type"] for row in of}
    if not any(mine == {one[kind] for one in types} for kind in ("oid", "array")):
        return None
    stays, goes = (sync.new[0], sync.old[0]) if sync.text.swapped else (sync.old[0], sync.new[0])
    return sync, Pair(stays, goes)


def _exchange(connection: Connection, op: _SwapEnumsOp, schema: str, plan: _Plan, *, forward: bool) -> None:
    """Do it all; the tables are locked, and every statement is one of the catalog alone."""
    columns = [statement for one in plan.swaps for statement in renaming(one.table, one.swap.pair)]
    types = exchanging_in("TYPE", schema, op.old, op.new)
    run_at_once(connection, [*plan.closing, *taking(plan.named), *columns, *types])
    # a view follows the column and the type that it was made of, and so says the formulas by the new names
    texts = [one.views.read_again(one.formulas, plan.fixed) for one in plan.swaps]
    done: dict[int, set[str]] = {}
    statements = [one.views.dropping for one in plan.swaps]
    for one, text in zip(plan.swaps, texts, strict=True):
        statements += settling(one.table, one.swap, text, forward=forward)
        statements += said_again(one.table, one.swap, done.setdefault(one.table.oid, set()))
        if one.default is not None:
            said = f"ALTER COLUMN {quoted(one.swap.pair.stays)} SET DEFAULT {literal(one.default)}"
            statements.append(f"ALTER TABLE {one.table.quoted} {said}")
    run_at_once(connection, statements)
    for one in plan.swaps:
        counters = one.swap.counters
        if one.default is not None:
            counters = replace(counters, target={**counters.target, "expression": one.default})
        fill(connection, one.table, replace(one.swap, counters=counters), plan.fixed, {})
    make(connection, plan.named, plan.fixed)


def _locked(
    connection: Connection, todo: Sequence[tuple[Sync, Pair]], subject: str, *, forward: bool
) -> _Plan:  # fmt: skip
    """Lock the tables, and return what is to be done with them.

    It is found before the locks, so that nobody waits for it, and found again behind them where something has changed.
    """
    plan = _planned(connection, todo, subject, forward=forward)
    plan.fixed.enter()
    plan.reads.prepare()
    for table in {one.table.oid: one.table for one in plan.swaps}.values():
        lock(connection, table, subject)
    closing = (plan.reads.ending, *plan.fixed.leaving)
    if plan.reads.are_true():
        return replace(plan, closing=closing)
    run_at_once(connection, closing)
    for one in plan.swaps:
        one.views.drop()
    return _planned(connection, todo, subject, forward=forward)


def _planned(connection: Connection, todo: Sequence[tuple[Sync, Pair]], subject: str, *, forward: bool) -> _Plan:
    reads, fixed = Reads(connection), fixed_text(connection, search_path="")
    found: list[tuple[LivingTable, Swap, str | None]] = []
    with fixed:
        for sync, pair in todo:
            table = find_table(reads, sync.table, sync.schema)
            assert table is not None  # noqa: S101 - its sync was read a moment ago
            default = _translated(reads, table, sync, pair, subject, forward=forward)
            found.append((table, swap_of(reads, table, sync, pair, forward=forward), default))
        names = [(table, name) for table, swap, _ in found for name in (swap.pair.stays, swap.pair.goes)]
        named = standing_on(reads, names)
    swaps: list[_Swapping] = []
    number = 0
    for table, swap, default in found:
        wanted = formulas_of(swap.sync)
        views = Views(connection, table, wanted, first=number)
        views.make()
        number += len(wanted) + 1
        swaps.append(_Swapping(table, swap, views, views.read(fixed), default))
    return _Plan(reads, fixed, named, swaps)


def _translated(
    reads: Reads, table: LivingTable, sync: Sync, pair: Pair, subject: str, *, forward: bool
) -> str | None:  # fmt: skip
    """Return the default of the column that has the name, in the labels of the other type."""
    default = reads.rows(_COLUMN_TYPE, {"oid": table.oid, "column": pair.stays})[0]["default"]
    if default is None:
        return None
    if not is_label(default):
        raise Refused(
            f"{subject}: the default of {table.shown}.{pair.stays} is no label but {default}, of the enum that goes.",
            next_steps=[NextStep("give the column a label as its default, or none", "op.alter_column(...)")],
        )
    formula = sync.text.assigned_up[0] if forward else sync.text.assigned_down[0]
    sql = (
        f"SELECT CAST(({verbatim(formula)}) AS pg_catalog.text) AS it"
        f" FROM (SELECT {verbatim(default)} AS {quoted(pair.stays)}) AS {quoted(ROW)}"
    )
    found = run(reads.connection, sql)[0]["it"]
    return None if found is None else str(found)
