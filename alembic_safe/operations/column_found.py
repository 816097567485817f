"""What is there to know of a column before it is retired, and does it still hold behind the lock?"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alembic_safe.database.reads import Reads
from alembic_safe.database.statements import run, run_at_once
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.retired import BESIDE, BESIDE_WORDS, read_before, read_beside
from alembic_safe.operations.beside import is_complete, keeping_triggers, sees_every_write
from alembic_safe.operations.dependants import owned_sequences, said_of_column
from alembic_safe.operations.kept import fixed_text
from alembic_safe.operations.living import (
    COLUMN,
    KEYS,
    counters_of_key,
    find_column,
    key_of,
    key_source,
    keys_return,
    lock,
)
from alembic_safe.operations.sync_run import ending_of, find_sync
from alembic_safe.operations.sync_whole import refuse_idle_triggers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from alembic_safe.inspecting.retired import Dependant, KeySource, Retired
    from alembic_safe.operations.column_keep import RetireColumn
    from alembic_safe.operations.dependants import OwnedSequence
    from alembic_safe.operations.living import LivingColumn, LivingTable

log = logging.getLogger("alembic.safe.retire")

COUNTED_UNDER_LOCK = 10_000
"""As many values are counted in a few milliseconds."""


@dataclass(frozen=True)
class Found:
    """What there is to know of a column before it goes.

    :param beside: what is kept of it beside it, if all of it is; ``counted``: how much that was when it was counted.
    :param given_up: what is kept beside it and is of no use.
    :param triggers: those that keep it.
    :param closing: the statements to be sent first, of the look itself.
    :param ending: what ends the sync with the columns that replaced it, where they are in sync.
    :param before: what was kept of columns that had the name before.
    :param key_source: what makes the keys now; ``is_kept``: whether there is a value in what is kept beside the column.
    """

    column: LivingColumn
    key: tuple[tuple[str, str], ...]
    keys_return: bool
    beside: Retired | None
    given_up: Retired | None
    triggers: tuple[str, ...]
    ending: tuple[str, ...]
    dependants: tuple[Dependant, ...]
    sequences: Sequence[OwnedSequence]
    before: tuple[Retired, ...]
    key_source: KeySource | None = None
    is_kept: bool = False
    counted: int = 0
    closing: tuple[str, ...] = ()


class _Look:
    """Finds that, once before the lock and once more behind it where something has changed meanwhile."""

    def __init__(self, connection: Connection, table: LivingTable, request: RetireColumn, subject: str) -> None:
        self._connection, self._table, self._request, self._subject = connection, table, request, subject
        self._reads, self._definitions = Reads(connection), Reads(connection)
        self._fixed = fixed_text(connection, search_path="")
        self._names: list[str] = []
        self._some: list[tuple[str, dict[str, object]]] = []

    def found(self) -> Found | None:
        """Return it; ``None`` where there is no such column."""
        reads, table, request = self._reads, self._table, self._request
        columns = [{"oid": table.oid, "column": name} for name in (request.column, *request.successors)]
        reads.together([*((COLUMN, words) for words in columns), (KEYS, {"oid": table.oid}), (BESIDE, BESIDE_WORDS)])
        column = find_column(reads, table, request.column)
        if column is None:
            return None
        _require_successors(reads, table, request, self._subject)
        key = key_of(reads, table, request.key, without=column.name)
        there = read_beside(reads, table.schema, table.name, column.name)
        complete = there is not None and is_complete(there, key, request)
        if there is not None and complete and not sees_every_write(reads, table, there):
            # as behind pg_restore --disable-triggers: what was written meanwhile is not kept
            complete = False
            log.warning(
                "The triggers that keep %s.%s did not fire in every session: it is kept anew, under the table's lock",
                table.shown, column.name,
            )  # fmt: skip
        triggers = keeping_triggers(reads, table, there) if there is not None else []
        sync = find_sync(reads, table, (column.name,), request.successors) if request.successors else None
        if sync is not None:
            refuse_idle_triggers(reads, sync)
        ends = ending_of(reads, table, column.name, request.successors)
        again = keys_return(reads, table, [name for name, _ in key])
        with self._fixed:
            dependants = said_of_column(self._definitions, table.quoted, column.name)
            sequences = owned_sequences(self._definitions, table.quoted, column.name)
        beside, given_up = (there, None) if complete else (None, there)
        before = tuple(read_before(reads, table.schema, table.name, column.name))
        self._names, self._some = [name for name, _ in key], [_some(beside)] if beside is not None else []
        reads.moving([counters_of_key(table, self._names), *self._some])
        return Found(column, key, again, beside, given_up, tuple(triggers), tuple(ends), dependants, sequences, before)

    def prepare(self) -> None:
        """See :meth:`~alembic_safe.database.reads.Reads.prepare`."""
        self._reads.prepare()
        self._fixed.enter()
        self._definitions.prepare()

    def is_true(self) -> bool:
        """Whether the same would be found now."""
        are_true = self._definitions.are_true()
        run_at_once(self._connection, self._fixed.leaving)
        return self._reads.are_true() and are_true

    def now(self, found: Found) -> Found:
        """Return it with what goes on while others write, as it was told last."""
        kept = any(self._reads.rows(*question)[0]["it"] for question in self._some)
        return replace(found, key_source=key_source(self._reads, self._table, self._names), is_kept=kept)

    @property
    def closing(self) -> tuple[str, ...]:
        """The statements that end what :meth:`prepare` began, to be sent with the next ones."""
        return self._reads.ending, self._definitions.ending


def found_and_locked(
    connection: Connection, table: LivingTable, request: RetireColumn, subject: str, *, is_mine: bool
) -> Found | None:  # fmt: skip
    """Lock the table, and return what holds behind the lock.

    It is found, and what is kept already counted, before anybody has to wait for it.

    :param is_mine: whether the table is locked already.
    """
    look = _Look(connection, table, request, subject)
    found = look.found()
    if found is None:
        return None
    counted = _count(connection, found.beside, at_most=COUNTED_UNDER_LOCK if is_mine else None)
    found = replace(found, counted=counted)
    if is_mine:
        return look.now(found)
    look.prepare()
    lock(connection, table, subject)
    if look.is_true():
        return look.now(replace(found, closing=look.closing))
    for statement in look.closing:
        run(connection, statement)
    look = _Look(connection, table, request, subject)
    found = look.found()
    return None if found is None else look.now(replace(found, counted=counted))


def _some(beside: Retired) -> tuple[str, dict[str, object]]:
    return f"SELECT EXISTS (SELECT FROM {beside.quoted}) AS it", {}


def _require_successors(reads: Reads, table: LivingTable, request: RetireColumn, subject: str) -> None:
    """Stop where a column that has the values is not there: this one has them alone.

    :raises Refused: as on a database that was pushed to, on the way down from an expand that never ran there.
    """
    missing = [name for name in request.successors if find_column(reads, table, name) is None]
    if missing:
        raise Refused(
            f"{subject}: {', '.join(missing)}, which should have its values, is not there: it would be the last to have them.",
            next_steps=[
                NextStep("if its change was pushed here, bring the contract into the chain", "alembic safe-contract"),
                NextStep("and have it applied; from there its downgrade() leads back", "alembic upgrade head"),
            ],
        )


def _count(connection: Connection, beside: Retired | None, *, at_most: int | None) -> int:
    """Count what is kept beside a column.

    :param at_most: how many are counted; beyond, what was there when all of them were kept is the number.
    """
    if beside is None:
        return 0
    rows = beside.quoted if at_most is None else f"(SELECT FROM {beside.quoted} LIMIT {at_most + 1}) AS first_ones"
    counted = int(run(connection, f"SELECT count(*) AS it FROM {rows}")[0]["it"])
    was = beside.record.rows if beside.record is not None else 0
    return counted if at_most is None or counted <= at_most else max(counted, was)
