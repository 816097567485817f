"""What happens when a revision says ``op.backfill`` or ``op.verify_copied``."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.copying import Copied, Place, Request, copy_table
from alembic_safe.database.copying_verify import check_sync
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run, run_counting
from alembic_safe.database.steps import CopyEvidence, step_runner
from alembic_safe.errors import Findings, NextStep, Refused
from alembic_safe.inspecting.syncs import SyncText, read_syncs
from alembic_safe.operations.copy_failures import Beside, noted_failure
from alembic_safe.operations.copy_triggers import quiet_settings, say_what_is_fired
from alembic_safe.operations.dependants import server_words
from alembic_safe.operations.expressions import Wanted, read_expressions
from alembic_safe.operations.living import find_column, refuse_inheritance
from alembic_safe.operations.speaking import table_of
from alembic_safe.operations.sync_run import compile_sync, find_sync
from alembic_safe.operations.sync_whole import refuse_idle_triggers, refuse_later_triggers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.operations.base import Operations
    from sqlalchemy import Connection

    from alembic_safe.database.copying_ranges import Leaf
    from alembic_safe.database.copying_session import Session
    from alembic_safe.inspecting.syncs import Sync
    from alembic_safe.operations.backfill import BackfillOp
    from alembic_safe.operations.living import LivingTable
    from alembic_safe.operations.verify_copied import VerifyCopiedOp

_PLAIN = re.compile("[a-z_][a-z0-9_]*")
log = logging.getLogger("alembic.safe.copy")

_TARGETS = """
SELECT a.attname AS name, a.attnum::int AS number, format_type(a.atttypid, a.atttypmod) AS type,
  format_type(a.atttypid, -1) AS base, a.attgenerated <> '' AS is_generated,
  a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = a.attrelid AND c.contype = 'n'
    AND c.conkey = ARRAY[a.attnum] AND NOT c.convalidated) AS is_not_null
FROM pg_attribute a WHERE a.attrelid = CAST(:oid AS oid) AND a.attname = ANY(CAST(:names AS text[])) AND a.attnum > 0
  AND NOT a.attisdropped
"""


@dataclass(frozen=True)
class Backfill:
    """The UPDATE of each batch.

    :param copy: the same for the same columns of the same table; a column that was dropped and added again is another.
    :param alias: what the expressions may call the table.
    :param is_synced: it writes the new columns of a sync, each row once: when they are filled, the triggers keep them.
    """

    copy: str
    alias: str
    set_: str
    condition: str
    is_synced: bool

    def on_batch(self, session: Session, leaf: Leaf, condition: str, params: dict[str, Any]) -> int:
        """Write the rows of a batch that want it."""
        sql = (
            f"UPDATE ONLY {leaf.table.quoted} AS {quoted(self.alias)} SET {self.set_}"
            f" WHERE {condition} AND {self.condition}"
        )
        return run_counting(session.connection, sql, params)


def backfill(operations: Operations, op: BackfillOp) -> Copied:
    """Run ``op.backfill``."""
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    subject = f"op.{op.verb} on {table.shown}"
    refuse_inheritance(table, subject)
    targets = _targets(connection, table, op, subject)
    if _is_full(op, targets):
        return Copied(0, 0)
    syncs = read_syncs(connection, table.oid)
    work = _work(connection, table, op, targets, syncs, subject)
    runner = step_runner(operations.migration_context.opts)
    settings: Mapping[str, str] = {}
    fired: tuple[str, ...] = ()
    if op.quiet:
        settings = quiet_settings(connection, table, list(op.set_), subject)
    else:
        fired = say_what_is_fired(connection, table, list(op.set_))
    place = Place(operations.get_bind, runner, settings)
    with noted_failure(table.shown, tuple(op.set_), Beside(syncs, fired)):
        copied = copy_table(place, table, Request(work, op.key, op.batch_rows, in_any_order=work.is_synced))
    if runner is None:
        # a statement behind this one may alter the table, which waiting foreign key checks would forbid
        run(connection, "SET CONSTRAINTS ALL IMMEDIATE")
    log.info("Copied %s: %s rows written of %s", table.shown, copied.written, copied.rows)
    return copied


def _targets(connection: Connection, table: LivingTable, op: BackfillOp, subject: str) -> dict[str, Mapping[str, Any]]:
    rows = run(connection, _TARGETS, {"oid": table.oid, "names": list(op.set_)})
    found = {row["name"]: row for row in rows}
    for name in op.set_:
        if name not in found:
            raise Refused(f"{subject}: there is no column {name}.")
        if found[name]["is_generated"]:
            raise Refused(f"{subject}: {name} is a generated column: PostgreSQL fills it.")
    return found


def _is_full(op: BackfillOp, targets: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether NULLs are to be filled where none can be: a run that goes on may find gone what they were filled from."""
    if len(op.set_) != 1 or op.where is None:
        return False
    [name] = op.set_
    wanted = {f"{one} IS NULL" for one in (quoted(name), *([name] if _PLAIN.fullmatch(name) else []))}
    return targets[name]["is_not_null"] and op.where in wanted


def _work(
    connection: Connection, table: LivingTable, op: BackfillOp, targets: Mapping[str, Mapping[str, Any]],
    syncs: Sequence[Sync], subject: str,
) -> Backfill:  # fmt: skip
    expressions = {name: f"({verbatim(sql)})" for name, sql in op.set_.items()}
    where = f" AND ({verbatim(op.where)})" if op.where else ""
    sync = _sync_of(connection, table, op, syncs, subject)
    # a value that is too long raises, as in any assignment; what is compared is what will stand in the row
    set_ = ", ".join(f"{quoted(name)} = CAST({sql} AS {targets[name]['base']})" for name, sql in expressions.items())
    if sync is not None:
        # what an application wrote since is not written over, and NULL is not written over NULL
        empty = " AND ".join(f"{quoted(name)} IS NOT DISTINCT FROM NULL" for name in expressions)
        something = " OR ".join(f"{sql} IS DISTINCT FROM NULL" for sql in expressions.values())
        condition = f"{empty} AND ({something}){where}"
    elif _is_volatile(connection, table, op, targets, subject):
        condition = f"({verbatim(op.where or '')})"
    else:
        now = ", ".join(quoted(name) for name in expressions)
        then = ", ".join(f"CAST({sql} AS {targets[name]['type']})" for name, sql in expressions.items())
        condition = f"pg_catalog.record_image_ne(ROW({now}), ROW({then})){where}"
    numbers = {name: targets[name]["number"] for name in op.set_}
    words = json.dumps([table.oid, numbers, op.set_, op.where, op.key, "backfill"])
    copy = hashlib.sha256(words.encode()).hexdigest()[:16]
    return Backfill(copy, table.name, set_, condition, sync is not None)


def _is_volatile(
    connection: Connection, table: LivingTable, op: BackfillOp, targets: Mapping[str, Mapping[str, Any]], subject: str
) -> bool:
    """Whether an expression says something else each time.

    :raises Refused: where it does, and nothing says which rows still want it.
    """
    wanted = [
        Wanted(sql, targets[name]["base"], f"{subject}: set_ of {name}", may_look=True) for name, sql in op.set_.items()
    ]
    found = read_expressions(connection, table, wanted, row=table.name)
    volatile = [name for name, one in zip(op.set_, found, strict=True) if one.is_volatile]
    if volatile and not op.where:
        raise Refused(
            f"{subject}: the expression for {volatile[0]} says something else each time, so a second run could not know"
            " which rows have their value.",
            next_steps=[NextStep("say which rows want it", f'op.backfill(..., where="{volatile[0]} IS NULL")')],
        )
    return bool(volatile)


def _sync_of(
    connection: Connection, table: LivingTable, op: BackfillOp, syncs: Sequence[Sync], subject: str
) -> Sync | None:
    """Return the sync that fills the same columns.

    :raises Refused: where it fills them otherwise: its trigger would take the copy for the new application.
    """
    for sync in syncs:
        if not {*op.set_} & sync.text.columns:
            continue
        if {*op.set_} != {*sync.new}:
            raise Refused(
                f"{subject}: {sync.shown} are in sync, and set_ writes {', '.join(op.set_)}.",
                next_steps=[NextStep("write all of the new columns, and no other", "op.backfill(..., set_={...})")],
            )
        types = {
            row["name"]: row["type"] for row in run(connection, _TARGETS, {"oid": table.oid, "names": list(sync.new)})
        }
        wanted = [Wanted(op.set_[name], types[name], f"{subject}: set_ of {name}") for name in sync.new]
        said = tuple(one.sql for one in read_expressions(connection, table, wanted))
        if said != sync.text.compiled_up:
            raise Refused(
                f"{subject}: set_ is not what op.sync_columns says, so the trigger would take the copy for the new"
                " application.",
                detail=[f"The sync: {', '.join(sync.text.compiled_up)}", f"The copy: {', '.join(said)}"],
            )
        refuse_later_triggers(connection, sync)
        return sync
    return None


def verify_copied(operations: Operations, op: VerifyCopiedOp) -> int:
    """Run ``op.verify_copied``."""
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    subject = f"op.{op.verb} on {table.shown}"
    if _is_final(connection, table, op):
        return 0
    text = _what_to_verify(connection, table, op, subject)
    runner = step_runner(operations.migration_context.opts)
    try:
        verified = check_sync(Place(operations.get_bind, runner, {}), table, text)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        raise Findings(f"{subject}: the formulas fail on a row: {server_words(error)}.") from error
    columns = f"{', '.join(text.old)} -> {', '.join(text.new)}"
    copies_again = False
    if runner is not None:
        evidence = CopyEvidence(verified.copy, table.shown, columns, verified.rows, verified.mismatches)
        runner.save_evidence(operations.get_bind(), evidence)
        if verified.mismatches:
            # a copy that has walked past a row goes through all of them once more when it is run again
            copies_again = runner.forget_copies(table.shown)
            runner.commit()
    if verified.mismatches:
        raise Findings(
            f"{table.shown}: in {verified.mismatches} of {verified.rows} rows {columns} contradict each other.",
            detail=[f"For example where {example}" for example in verified.examples],
            next_steps=[
                NextStep("copy once more, and compare again", "alembic safe-upgrade")
                if copies_again
                else NextStep("copy the rest in a revision before this one", "op.backfill(..., set_={...})")
            ],
        )
    log.info("Verified %s: %s rows, %s", table.shown, verified.rows, columns)
    return verified.rows


def _is_final(connection: Connection, table: LivingTable, op: VerifyCopiedOp) -> bool:
    """Whether the change is over here: one side is there, and of the other, swapped or not, a column is gone."""
    there = {name: find_column(connection, table, name) is not None for name in (*op.old, *op.new)}
    old, new = (all(there[name] for name in names) for names in (op.old, op.new))
    return old is not new


def _what_to_verify(connection: Connection, table: LivingTable, op: VerifyCopiedOp, subject: str) -> SyncText:
    sync = find_sync(connection, table, op.old, op.new)
    if sync is not None:
        refuse_later_triggers(connection, sync)
        refuse_idle_triggers(connection, sync)
        return sync.text
    columns = compile_sync(connection, table, op, subject)
    up = tuple(formula.compared.sql for formula in columns.up)
    return SyncText(op.old, op.new, (), (), up, tuple(formula.compared.sql for formula in columns.down))
