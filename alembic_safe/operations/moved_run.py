"""What happens when a revision says ``op.copy_moved`` or ``op.verify_moved``."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING

from alembic_safe.database.copying import Copied, Place, Request, copy_table
from alembic_safe.database.copying_verify import compare_rows
from alembic_safe.database.statements import run
from alembic_safe.database.steps import CopyEvidence, step_runner
from alembic_safe.errors import Findings, NextStep, Refused
from alembic_safe.inspecting.syncs import ROW
from alembic_safe.operations.copy_triggers import say_what_is_fired
from alembic_safe.operations.living import find_column
from alembic_safe.operations.moved_filling import Filling
from alembic_safe.operations.speaking import commit_if_stepwise
from alembic_safe.operations.sync_tables_run import find_table_sync, pair_of, settle_notes, tables_of
from alembic_safe.operations.table_pair import still_differing

if TYPE_CHECKING:
    from alembic.operations.base import Operations

    from alembic_safe.operations.sync_tables import CopyMovedOp, VerifyMovedOp

log = logging.getLogger("alembic.safe.copy")

_NUMBERS = """
SELECT array_agg(a.attnum::int ORDER BY a.attnum) AS it FROM pg_attribute a
WHERE a.attrelid = CAST(:oid AS oid) AND a.attname = ANY (CAST(:names AS text[]))
"""


def copy_moved(operations: Operations, op: CopyMovedOp) -> Copied:
    """Run ``op.copy_moved``."""
    connection, tables = tables_of(operations, op)
    subject = f"op.{op.verb} to {tables.target.shown}"
    if find_column(connection, tables.source, next(iter(op.columns))) is None:
        return Copied(0, 0)  # the change is over here
    if find_table_sync(connection, tables, op) is None:
        raise Refused(
            f"{subject}: {', '.join(op.columns)} of {tables.source.shown} is in sync with nothing there: what is written"
            " meanwhile would be lost.",
            next_steps=[NextStep("keep both equal first", "op.sync_tables(...)")],
        )
    pair = pair_of(connection, tables, op, subject)
    settle_notes(connection, pair)
    commit_if_stepwise(operations)
    new = list(op.columns.values())
    say_what_is_fired(connection, tables.target, new)
    # a column that went and came again is another one, and what was copied into the first is no copy of it
    numbers = run(connection, _NUMBERS, {"oid": tables.target.oid, "names": new})[0]["it"]
    words = json.dumps([tables.source.oid, tables.target.oid, numbers, op.columns, op.on, pair.name, "move"])
    copy = hashlib.sha256(words.encode()).hexdigest()[:16]
    runner = step_runner(operations.migration_context.opts)
    copied = copy_table(Place(operations.get_bind, runner, {}), tables.target, Request(Filling(copy, pair)))
    if runner is None:
        # a statement behind this one may alter the table, which waiting foreign key checks would forbid
        run(connection, "SET CONSTRAINTS ALL IMMEDIATE")
    log.info("Copied to %s: %s rows written of %s", tables.target.shown, copied.written, copied.rows)
    return copied


def verify_moved(operations: Operations, op: VerifyMovedOp) -> int:
    """Run ``op.verify_moved``."""
    connection, tables = tables_of(operations, op)
    if find_table_sync(connection, tables, op) is None:
        return 0  # the change is over here, or has not begun
    pair = pair_of(connection, tables, op, f"op.{op.verb} to {tables.target.shown}")
    settle_notes(connection, pair)
    commit_if_stepwise(operations)
    runner = step_runner(operations.migration_context.opts)
    place = Place(operations.get_bind, runner, {})
    verified = compare_rows(place, tables.target, f"{pair.name} moved", f"({still_differing(pair, ROW)})")
    columns = f"{', '.join(op.columns)} -> {', '.join(op.columns.values())}"
    if runner is not None:
        evidence = CopyEvidence(verified.copy, tables.target.shown, columns, verified.rows, verified.mismatches)
        runner.save_evidence(operations.get_bind(), evidence)
        if verified.mismatches:
            runner.commit()
    if verified.mismatches:
        raise Findings(
            f"{tables.target.shown}: in {verified.mismatches} of {verified.rows} rows {columns} differ from"
            f" {tables.source.shown}.",
            detail=[f"For example where {example}" for example in verified.examples],
            next_steps=[NextStep("copy the rest in a revision before this one", "op.copy_moved(...)")],
        )
    log.info("Verified %s: %s rows, %s", tables.target.shown, verified.rows, columns)
    return verified.rows
