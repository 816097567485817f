"""What happens when a revision says ``op.retire_table`` or ``op.restore_table``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from alembic_safe.operations.consent import is_on_shadow, online
from alembic_safe.operations.table_bring_back import restore_table as bring_back
from alembic_safe.operations.table_keep import retire_table as keep

if TYPE_CHECKING:
    from alembic.operations.base import Operations

    from alembic_safe.operations.retire_table import RestoreTableOp, RetireTableOp
    from alembic_safe.operations.table_bring_back import TableRestored
    from alembic_safe.operations.table_keep import TableRetired

log = logging.getLogger("alembic.safe.retire")


def retire_table(operations: Operations, op: RetireTableOp) -> TableRetired:
    """Run ``op.retire_table``."""
    done = keep(online(operations, op.verb), op.table_name, op.schema)
    if done.was_gone:
        log.info("%s is not there; nothing to retire", done.table)
        return done
    log.info("Retired %s: kept as alembic_safe_retired.%s, with %s rows", done.table, done.kept, done.rows)
    if done.dependants:
        log.info("With it went, recorded: %s", ", ".join(dict.fromkeys(d.shown for d in done.dependants)))
    return done


def restore_table(operations: Operations, op: RestoreTableOp) -> TableRestored:
    """Run ``op.restore_table``."""
    connection = online(operations, op.verb)
    done = bring_back(connection, op.table_name, op.schema, lambda: operations.invoke(op.create))
    if is_on_shadow(operations):
        return done
    first, *rest = told(done)
    log.info(first)
    for line in rest:
        log.warning(line)
    return done


def told(done: TableRestored) -> list[str]:
    """Return what a restore tells, a line each; everything behind the first is a warning."""
    if done.was_there:
        return [f"Restored {done.table} already"]
    if done.empty:
        why = "its rows were purged" if done.purged else "nothing was kept of it"
        return [f"Restored {done.table}", f"{done.table} comes back empty: {why}"]
    lines = [f"Restored {done.table} with {done.rows} rows"]
    lines.extend(f"NOT VALID, as newer rows violate it: {line}" for line in done.not_valid)
    lines.extend(f"Did not come back: {line}" for line in done.not_back)
    return lines
