"""What happens when a revision says ``op.retire_column`` or ``op.restore_column``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from alembic_safe.database.steps import step_runner
from alembic_safe.operations.beside import keep_beside, unkeep
from alembic_safe.operations.column_bring_back import ColumnRestored
from alembic_safe.operations.column_bring_back import restore_column as bring_back
from alembic_safe.operations.column_keep import RetireColumn
from alembic_safe.operations.column_keep import retire_column as keep
from alembic_safe.operations.consent import command_to_consent, consents, is_on_shadow, online, own_run

if TYPE_CHECKING:
    from alembic.operations.base import Operations

    from alembic_safe.operations.column_keep import ColumnRetired
    from alembic_safe.operations.keep_column import KeepColumnOp, UnkeepColumnOp
    from alembic_safe.operations.retire_column import RestoreColumnOp, RetireColumnOp

log = logging.getLogger("alembic.safe.retire")


def retire_column(operations: Operations, op: RetireColumnOp) -> ColumnRetired:
    """Run ``op.retire_column``."""
    done = keep(online(operations, op.verb), _request(operations, op))
    own = own_run(operations)
    if own is not None:
        own.kept.add(done.column)
    if done.was_gone:
        log.info("%s is not there; nothing to retire", done.column)
        return done
    where = (
        f"{done.rows} values are kept in alembic_safe_retired.{done.kept}" if done.kept else "it held no value to keep"
    )
    log.info("Retired %s: %s", done.column, where)
    if done.dependants:
        log.info("With it went, recorded: %s", ", ".join(dict.fromkeys(d.shown for d in done.dependants)))
    return done


def keep_column(operations: Operations, op: KeepColumnOp) -> str:
    """Run ``op.keep_column``."""
    online(operations, op.verb)
    runner = step_runner(operations.migration_context.opts)
    kept = keep_beside(operations.get_bind, runner, _request(operations, op))
    if kept:
        log.info("The values of %s.%s are kept in alembic_safe_retired.%s", op.table_name, op.column.name, kept)
    return kept


def unkeep_column(operations: Operations, op: UnkeepColumnOp) -> None:
    """Run ``op.unkeep_column``."""
    unkeep(online(operations, op.verb), _request(operations, op))


def restore_column(operations: Operations, op: RestoreColumnOp) -> ColumnRestored:
    """Run ``op.restore_column``."""
    done = bring_back(online(operations, op.verb), _request(operations, op), op.column)
    for line in () if is_on_shadow(operations) else told(done):
        log.info(line) if line.startswith("Restored") else log.warning(line)
    return done


def told(done: ColumnRestored) -> list[str]:
    """Return what a restore tells, a line each; everything behind the first is a warning."""
    if done.was_there:
        return [f"Restored {done.column} already"]
    if done.left_alone:
        lines = [
            f"Restored {done.column}, empty as was asked: {done.no_row} values stay in alembic_safe_retired.{done.kept}"
        ]
        return lines + _loose(done)
    lines = [f"Restored {done.column}: {done.rows} kept values are back"]
    if done.purged:
        lines.append(f"{done.column} comes back empty: its values were purged")
    if done.no_row:
        lines.append(f"{done.column}: {done.no_row} kept values have no row to go back to")
    if done.changed:
        lines.append(f"{done.column}: {done.changed} kept values are older than what stands in their rows now")
    if done.kept and done.left:
        lines.append(f"These stay in alembic_safe_retired.{done.kept}, for example of key {'; '.join(done.left)}")
    return lines + _loose(done)


def _loose(done: ColumnRestored) -> list[str]:
    lines = [f"NOT VALID, as newer rows violate it: {line}" for line in done.not_valid]
    return lines + [f"Did not come back: {line}" for line in done.not_back]


def _request(operations: Operations, op: Any) -> RetireColumn:
    return RetireColumn(
        table=op.table_name, column=op.column.name, schema=op.schema, key=op.key, successors=op.replaced_by,
        down=op.down or "", accept=consents(operations, op.accept),
        command=command_to_consent(operations),
    )  # fmt: skip
