"""What is there to know of a column before it is retired, and does it still hold behind the lock?"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alembic_safe.database.reads import Reads
from alembic_safe.database.statements import run
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.retired import BESIDE, BESIDE_WORDS, read_beside
from alembic_safe.operations.beside import is_complete, keeping_triggers, sees_every_write
from alembic_safe.operations.dependants import owned_sequences, said_of_column
from alembic_safe.operations.kept import fixed_text
from alembic_safe.operations.living import COLUMN, KEYS, find_column, key_of, keys_return, lock
from alembic_safe.operations.sync_run import ending_of, find_sync
from alembic_safe.operations.sync_whole import refuse_idle_triggers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from alembic_safe.inspecting.retired import Dependant, Retired
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
    :param ending: what ends the sync with the columns that replaced it, where they are in sync.
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
    counted: int = 0


class _Look:
    """Finds that, once before the lock and once more behind it where something has changed meanwhile."""

    def __init__(self, connection: Connection, table: LivingTable, request: RetireColumn, subject: str) -> None:
        self._table, self._request, self._subject = table, request, subject
        self._reads, self._definitions = Reads(connection), Reads(connection)
        self._fixed = fixed_text(connection, search_path="")

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
        return Found(column, key, again, beside, given_up, tuple(triggers), tuple(ends), dependants, sequences)

    def prepare(self) -> None:
        """See :meth:`~alembic_safe.database.reads.Reads.prepare`."""
        self._reads.prepare()
        with self._fixed:
            self._definitions.prepare()

    def is_true(self) -> bool:
        """Whether the same would be found now."""
        with self._fixed:
            are_true = self._definitions.are_true()
        return self._reads.are_true() and are_true


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
    if not is_mine:
        look.prepare()
        lock(connection, table, subject)
        if not look.is_true():
            found = _Look(connection, table, request, subject).found()
    return None if found is None else replace(found, counted=counted)


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
