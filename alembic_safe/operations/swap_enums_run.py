"""What happens when a revision says ``op.swap_enum_types`` or ``op.swap_enum_types_back``."""

from __future__ import annotations

import logging
import re
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alembic_safe.database.reads import Reads
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.syncs import ROW, read_syncs
from alembic_safe.operations.consent import online
from alembic_safe.operations.expressions import views_of
from alembic_safe.operations.kept import fixed_text, literal, rights_named
from alembic_safe.operations.living import find_table, lock
from alembic_safe.operations.speaking import place
from alembic_safe.operations.swap_names import exchange_enums
from alembic_safe.operations.swap_run import Pair, Swap, formulas_of, renamed, said_again, settled, swap_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from alembic.operations.base import Operations
    from sqlalchemy import Connection

    from alembic_safe.inspecting.syncs import Sync
    from alembic_safe.operations.enum_types import SwapEnumTypesBackOp, SwapEnumTypesOp, _SwapEnumsOp
    from alembic_safe.operations.expressions import Views
    from alembic_safe.operations.living import LivingTable

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
_LITERAL = re.compile(r"E?'(?:[^']|'')*'::.+")


@dataclass(frozen=True)
class _Swapping:
    """One pair of columns on its way.

    :param default: the label, or the array of labels, that the column's default is in the other type.
    """

    table: LivingTable
    swap: Swap
    views: Views
    default: str | None


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
    if not pairs:
        raise Refused(
            f"{subject}: no column of it is in sync with one of {op.new}.",
            next_steps=[NextStep("in the expand of the change", "op.sync_columns(...)")],
        )
    todo = [(sync, pair) for sync, pair in pairs if sync.text.swapped is not forward]
    if todo:
        step = NextStep("who owns the tables and the enum runs", "GRANT ... TO ...;")
        with rights_named(connection, subject, [step]):
            _exchange(connection, op, types[op.old][0]["schema"], todo, subject, forward=forward)
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


def _exchange(
    connection: Connection, op: _SwapEnumsOp, schema: str, todo: Sequence[tuple[Sync, Pair]], subject: str, *, forward: bool
) -> None:  # fmt: skip
    """Do it all; the tables are locked, and every statement is one of the catalog alone."""
    tables = {sync.oid: find_table(connection, sync.table, sync.schema) for sync, _ in todo}
    for table in tables.values():
        assert table is not None  # noqa: S101 - its sync was read a moment ago
        lock(connection, table, subject)
    fixed = fixed_text(connection, search_path="")
    with ExitStack() as stack:
        work: list[_Swapping] = []
        number = 0
        for sync, pair in todo:
            table = tables[sync.oid]
            assert table is not None  # noqa: S101 - as above
            default = _translated(connection, table, sync, pair, subject, forward=forward)
            with fixed:
                swap = swap_of(Reads(connection), table, sync, pair)
            wanted = formulas_of(sync)
            views = stack.enter_context(views_of(connection, table, wanted, first=number))
            number += len(wanted) + 1
            work.append(_Swapping(table, swap, views, default))
        for one in work:
            renamed(connection, one.table, one.swap.pair)
        exchange_enums(connection, schema, op.old, op.new)
        # a view follows the column and the type that it was made of, and so says the formulas by the new names
        texts = [one.views.read(fixed) for one in work]
    done: dict[int, set[str]] = {}
    for one, text in zip(work, texts, strict=True):
        swap = one.swap
        if one.default is not None:
            said = f"ALTER COLUMN {quoted(swap.pair.stays)} SET DEFAULT {literal(one.default)}"
            run(connection, f"ALTER TABLE {one.table.quoted} {said}")
            target = {**swap.counters.target, "expression": one.default}
            swap = replace(swap, counters=replace(swap.counters, target=target))
        settled(connection, one.table, swap, text, fixed, forward=forward)
        said_again(connection, one.table, swap, done.setdefault(one.table.oid, set()))


def _translated(
    connection: Connection, table: LivingTable, sync: Sync, pair: Pair, subject: str, *, forward: bool
) -> str | None:
    """Return the default of the column that has the name, in the labels of the other type."""
    default = run(connection, _COLUMN_TYPE, {"oid": table.oid, "column": pair.stays})[0]["default"]
    if default is None:
        return None
    if not _LITERAL.fullmatch(default):
        raise Refused(
            f"{subject}: the default of {table.shown}.{pair.stays} is no label but {default}, of the enum that goes.",
            next_steps=[NextStep("give the column a label as its default, or none", "op.alter_column(...)")],
        )
    formula = sync.text.assigned_up[0] if forward else sync.text.assigned_down[0]
    sql = (
        f"SELECT CAST(({verbatim(formula)}) AS pg_catalog.text) AS it"
        f" FROM (SELECT {verbatim(default)} AS {quoted(pair.stays)}) AS {quoted(ROW)}"
    )
    found = run(connection, sql)[0]["it"]
    return None if found is None else str(found)
