"""How are a column's values kept beside it while it is still there, so that dropping it takes a moment?"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from alembic_safe.database.copying import Place, Request, copy_table
from alembic_safe.database.reads import rows_of
from alembic_safe.database.statements import quoted, run, run_at_once, run_counting
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.retired import RETIRED_SCHEMA, Record, read_beside
from alembic_safe.inspecting.syncs import SYNC_SCHEMA
from alembic_safe.operations.beside_sql import (
    Keeping,
    copy_batch,
    create_function,
    create_table,
    create_triggers,
    some_left,
    trigger_names,
)
from alembic_safe.operations.expressions import Wanted, read_expressions
from alembic_safe.operations.kept import (
    fixed_text,
    free_name,
    make_schema,
    revoke_from_table,
    rights_named,
    set_comment,
    write_record,
)
from alembic_safe.operations.living import find_column, find_table, key_of, refuse_inheritance
from alembic_safe.operations.sync_run import make_sync_schema
from alembic_safe.operations.sync_sql import rights_on

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from alembic_safe.database.copying_ranges import Leaf
    from alembic_safe.database.copying_session import Session
    from alembic_safe.database.reads import Reads
    from alembic_safe.database.steps import StepRunner
    from alembic_safe.inspecting.retired import Retired
    from alembic_safe.operations.column_keep import RetireColumn
    from alembic_safe.operations.living import LivingColumn, LivingTable

log = logging.getLogger("alembic.safe.retire")

_PUBLISHED = "SELECT pubname AS name FROM pg_publication WHERE puballtables ORDER BY 1"
# A partition has clones, which somebody can disable there alone.
_KEEPING_TRIGGERS = """
SELECT g.tgname AS name, g.tgenabled = 'A' AS is_always, g.tgrelid = CAST(:oid AS oid) AS is_own
FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = :own AND p.proname = :kept AND (g.tgrelid = CAST(:oid AS oid)
  OR g.tgrelid IN (SELECT relid FROM pg_partition_tree(CAST(:oid AS oid)::regclass))) ORDER BY 1, 2
"""


@dataclass(frozen=True)
class _Batch:
    """Keeps the values of the rows of each batch."""

    copy: str
    keeping: Keeping
    skip_locked: bool

    def on_batch(self, session: Session, leaf: Leaf, condition: str, params: dict[str, Any]) -> int:
        """Keep them."""
        sql = copy_batch(self.keeping, leaf.table.quoted, condition, skip_locked=self.skip_locked)
        return run_counting(session.connection, sql, params)


def keep_beside(get_bind: Callable[[], Connection], runner: StepRunner | None, request: RetireColumn) -> str:
    """Keep a column's values beside it, and let triggers keep that up to date.

    :returns: the name of the kept table; empty where the values are kept when the column is retired.
    """
    connection = get_bind()
    subject = f"Keeping {request.name}"
    table = find_table(connection, request.table, request.schema)
    column = find_column(connection, table, request.column) if table is not None else None
    if table is None or table.kind not in ("r", "p") or column is None:
        return ""  # the change is over here
    refuse_inheritance(table, subject)
    key = key_of(connection, table, request.key, without=column.name)
    if column.is_generated or not key or _is_published(connection, table, column):
        return ""
    step = NextStep(f"{table.owner}, who owns the table, runs", f"GRANT {quoted(table.owner)} TO ...;")
    with rights_named(connection, subject, [step]):
        kept = _make(connection, table, column, key, request, subject)
        if runner is not None:
            runner.commit()
        keeping = _keeping(connection, table, column, key, request, kept.kept, subject)
        _copy(get_bind, runner, table, column, keeping, kept.oid)
        connection = get_bind()
        if kept.record is not None:
            rows = run(connection, f"SELECT count(*) AS it FROM {kept.quoted}")[0]["it"]
            write_record(connection, kept.kept, replace(kept.record, state="beside", rows=rows))
    return kept.kept


def _is_published(connection: Connection, table: LivingTable, column: LivingColumn) -> bool:
    """Whether a publication of all tables would send what is kept to subscribers that do not have the table."""
    found = run(connection, _PUBLISHED)
    if found:
        log.warning(
            "Publication %s is one of all tables: %s.%s is kept when it is retired, under its lock",
            found[0]["name"], table.shown, column.name,
        )  # fmt: skip
    return bool(found)


def _make(
    connection: Connection, table: LivingTable, column: LivingColumn, key: tuple[tuple[str, str], ...],
    request: RetireColumn, subject: str,
) -> Retired:  # fmt: skip
    """Make kept table, function and triggers, where a run that was killed has not made them."""
    there = read_beside(connection, table.schema, table.name, column.name)
    if there is not None and _fits(connection, there, table, key, request):
        return there
    if there is not None:
        let_go(connection, table, there)
    make_schema(connection)
    make_sync_schema(connection)
    name = free_name(connection, f"{table.name}_{column.name}")
    keeping = _keeping(connection, table, column, key, request, name, subject)
    run(connection, create_table(keeping))
    revoke_from_table(connection, name)
    record = Record(
        kind="column", schema=table.schema, table=table.name, column=column.name, type=column.type, key=key,
        retired_at=datetime.now(timezone.utc).isoformat(), successors=request.successors, down=request.down, state="keeping",
    )  # fmt: skip
    write_record(connection, name, record)
    run(connection, create_function(keeping))
    function = f"FUNCTION {quoted(SYNC_SCHEMA, name)}()"
    set_comment(connection, function, f"alembic-safe keeps {table.shown}.{column.name} in {RETIRED_SCHEMA}.{name}")
    made = read_beside(connection, table.schema, table.name, column.name)
    assert made is not None  # noqa: S101 - it was just made
    # who writes waits from here on
    run_at_once(connection, [*rights_on(function, table.owner), *create_triggers(table.quoted, keeping)])
    return made


def _fits(
    connection: Connection, there: Retired, table: LivingTable, key: tuple[tuple[str, str], ...], request: RetireColumn
) -> bool:
    """Whether what is there is what the revision says, with its triggers in place."""
    record = there.record
    said = record is not None and (record.key, record.successors, record.down) == (
        key,
        request.successors,
        request.down,
    )
    return said and sees_every_write(connection, table, there)


def _keeping(
    connection: Connection, table: LivingTable, column: LivingColumn, key: tuple[tuple[str, str], ...],
    request: RetireColumn, kept: str, subject: str,
) -> Keeping:  # fmt: skip
    down = ""
    if request.successors:
        wanted = Wanted(request.down, column.type, f"{subject}: down")
        down = read_expressions(connection, table, [wanted])[0].sql
    return Keeping(kept, column.name, tuple(name for name, _ in key), request.successors, down)


def _copy(
    get_bind: Callable[[], Connection], runner: StepRunner | None, table: LivingTable, column: LivingColumn,
    keeping: Keeping, oid: int,
) -> None:  # fmt: skip
    """Keep every row that is there: first those that nobody holds, then the rest, waited for."""
    for skip_locked in (True, False):
        if not skip_locked and not _some_left(get_bind(), table, keeping):
            return
        words = json.dumps([table.oid, column.name, oid, skip_locked, "keep"])
        copy = hashlib.sha256(words.encode()).hexdigest()[:16]
        request = Request(_Batch(copy, keeping, skip_locked), key=keeping.key, doing="keeping", writes=False)
        copy_table(Place(get_bind, runner, {}), table, request)


def _some_left(connection: Connection, table: LivingTable, keeping: Keeping) -> bool:
    with fixed_text(connection):
        return bool(run(connection, some_left(keeping, table.quoted))[0]["it"])


def is_complete(beside: Retired, key: tuple[tuple[str, str], ...], request: RetireColumn) -> bool:
    """Whether every value is kept, as retiring would keep it."""
    record = beside.record
    if record is None or record.state != "beside":
        return False
    return (record.key, record.successors, record.down) == (key, request.successors, request.down)


def keeping_triggers(source: Connection | Reads, table: LivingTable, beside: Retired) -> list[str]:
    """Return the triggers that keep a column's values."""
    return [row["name"] for row in _triggers(source, table, beside) if row["is_own"]]


def sees_every_write(source: Connection | Reads, table: LivingTable, beside: Retired) -> bool:
    """Whether the triggers that keep a column's values are there, and fire in every session, also on partitions."""
    triggers = _triggers(source, table, beside)
    own = [row for row in triggers if row["is_own"]]
    return len(own) == len(trigger_names(beside.kept)) and all(row["is_always"] for row in triggers)


def _triggers(source: Connection | Reads, table: LivingTable, beside: Retired) -> Sequence[Mapping[str, Any]]:
    return rows_of(source, _KEEPING_TRIGGERS, {"oid": table.oid, "own": SYNC_SCHEMA, "kept": beside.kept})


def stopping_to_keep(table: LivingTable, beside: Retired, triggers: Sequence[str]) -> list[str]:
    """Return the statements that take the triggers away, and leave what they kept."""
    drops = [f"DROP TRIGGER {quoted(name)} ON {table.quoted}" for name in triggers]
    return [*drops, f"DROP FUNCTION IF EXISTS {quoted(SYNC_SCHEMA, beside.kept)}() RESTRICT"]


def let_go(connection: Connection, table: LivingTable, beside: Retired) -> None:
    """Take triggers and kept table away: the column itself has every value."""
    stopping = stopping_to_keep(table, beside, keeping_triggers(connection, table, beside))
    run_at_once(connection, [*stopping, f"DROP TABLE {beside.quoted} RESTRICT"])


def unkeep(connection: Connection, request: RetireColumn) -> None:
    """Let go of what ``op.keep_column`` keeps.

    :raises Refused: where the column is gone, so that the copy is all that is left.
    """
    table = find_table(connection, request.table, request.schema)
    if table is None:
        return
    beside = read_beside(connection, table.schema, table.name, request.column)
    if beside is None:
        return
    if find_column(connection, table, request.column) is None:
        raise Refused(
            f"{table.shown} has no column {request.column} any more: what is kept of it in {RETIRED_SCHEMA}.{beside.kept} is"
            " all that is left."
        )
    step = NextStep(f"{table.owner}, who owns the table, runs", f"GRANT {quoted(table.owner)} TO ...;")
    with rights_named(connection, f"Letting go of {request.name}", [step]):
        let_go(connection, table, beside)
