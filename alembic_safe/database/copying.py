"""How are the rows of a table worked on batch by batch, resumable, paced, beside the application?"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from alembic_safe.database.copying_pacing import LOOK_EVERY, BatchSize, Pauses
from alembic_safe.database.copying_plan import Plan
from alembic_safe.database.copying_progress import Progress, into_log
from alembic_safe.database.copying_ranges import Range, leaves_of, ranges_in_blocks, ranges_of
from alembic_safe.database.copying_session import (
    BATCH_SETTINGS,
    InCallersTransaction,
    InSteps,
    OfWorker,
    opened,
    seen_by,
    written_at_once,
)
from alembic_safe.database.copying_vacuum import Vacuuming
from alembic_safe.database.copying_walk import Walk
from alembic_safe.database.statements import set_local
from alembic_safe.database.steps import CopyState
from alembic_safe.errors import CopyUnfinished, NextStep
from alembic_safe.operations.kept import FIXED, fixed_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import psycopg
    from sqlalchemy import Connection

    from alembic_safe.database.copying_ranges import Leaf
    from alembic_safe.database.copying_session import Session
    from alembic_safe.database.copying_walk import Batch, Work
    from alembic_safe.database.steps import StepRunner
    from alembic_safe.operations.living import LivingTable

LONG_BATCH = 1.0
"""Seconds that a batch takes in the caller's transaction, where nobody gets a lock back before its end."""
FEWEST_BATCHES = 1000
"""Into how many batches a table is divided at least, so that of a thousand who write a row fewer than one waits for a batch."""
LEAST_LIMIT = 5000
"""Rows of a batch that a small table is copied with all the same, where they fit the time."""
MOST_PASSES = 20
"""How often a table is walked block by block: a row that is updated meanwhile may move behind the walk."""


@dataclass(frozen=True)
class Copied:
    """What a copy did, in all of its runs.

    :param rows: walked over; ``written``: changed.
    """

    rows: int
    written: int


@dataclass(frozen=True)
class Place:
    """Where a copy runs.

    :param get_bind: returns the connection of the migration context.
    :param runner: ``None`` under stock Alembic.
    :param settings: more parameters for the time of each batch.
    """

    get_bind: Callable[[], Connection]
    runner: StepRunner | None
    settings: Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """What is to be done with every row that a table has now.

    :param key: the columns to walk along; ``None``: looked up.
    :param batch_rows: rows of one batch; ``None``: as many as fit the time.
    :param writes: whether it writes the rows that it walks over: then they leave dead ones behind, and where the table is
        walked block by block, some may have moved behind the walk.
    :param in_any_order: a row that it has written wants nothing more, so it may be met again: see :func:`leaves_of`.
    :param keeps_cursor: whether a later run goes on where this one stood.
    """

    work: Work
    key: tuple[str, ...] | None = None
    batch_rows: int | None = None
    doing: str = "copying"
    writes: bool = True
    keeps_cursor: bool = True
    in_any_order: bool = False


def copy_table(place: Place, table: LivingTable, request: Request) -> Copied:
    """Do a work with every row that a table has now.

    :raises CopyUnfinished: when the time is over; what is done is committed.
    """
    leaves = leaves_of(place.get_bind(), table, request.key, in_any_order=request.in_any_order)
    if place.runner is None:
        return _in_callers_transaction(place, table, leaves, request)
    return _Copy(place, place.runner, table, leaves, request).run()


def _in_callers_transaction(place: Place, table: LivingTable, leaves: Sequence[Leaf], request: Request) -> Copied:
    connection = place.get_bind()
    progress = Progress(table.shown, leaves, request.doing, into_log())
    by_oid = {leaf.table.oid: leaf for leaf in leaves}
    rows = written = 0
    with fixed_text(connection, more=place.settings):
        # nobody else's write is seen before the end, so no row moves: one pass is enough
        for range_ in ranges_of(connection, leaves, 1):
            leaf = by_oid[range_.leaf]
            size = _size(leaf, range_, request.batch_rows, LONG_BATCH, most=200_000)
            session = InCallersTransaction(connection)
            walk = Walk(session, request.work, leaf, range_, "", size, progress.count, progress.begin_at)
            walk.run()
            rows, written = rows + walk.rows, written + walk.written
    return Copied(rows, written)


def _size(leaf: Leaf, range_: Range, batch_rows: int | None, target: float, most: int) -> BatchSize:
    if not range_.is_by_block:
        return BatchSize(target, size=batch_rows or 500, most=most, fixed=batch_rows is not None)
    in_a_block = max(1, leaf.rows // max(1, leaf.blocks))
    blocks = max(1, (batch_rows or 500) // in_a_block)
    return BatchSize(target, size=blocks, least=1, most=max(1, most // in_a_block), fixed=batch_rows is not None)


class _Copy:
    """One copy under ``safe-upgrade``."""

    def __init__(
        self, place: Place, runner: StepRunner, table: LivingTable, leaves: Sequence[Leaf], request: Request
    ) -> None:  # fmt: skip
        self.runner = runner
        self.table = table
        self.leaves = leaves
        self.numbers = {leaf.table.oid: number for number, leaf in enumerate(leaves)}
        self.request = request
        self.options = runner.options
        self.deadline = None if self.options.max_time is None else time.monotonic() + self.options.max_time
        self.settings = {**FIXED, **BATCH_SETTINGS, **written_at_once(place.get_bind()), **place.settings}
        self.main = InSteps(runner, place.get_bind, keeps_cursor=request.keeps_cursor)
        self.progress = Progress(table.shown, leaves, request.doing, runner.tell)
        self.stopping = threading.Event()
        self.looking = threading.Lock()

    def run(self) -> Copied:
        """Run until everything is done."""
        plan, is_resumed = self._plan()
        if plan.is_done:
            return Copied(plan.rows, plan.written)
        began = time.monotonic()
        self.vacuuming = Vacuuming(self.leaves, self._open, self._not_vacuumed, always=is_resumed)
        with closing(self._open()) as lookout, closing(self.vacuuming), self.runner.batches(self.settings):
            self.lookout = lookout
            self.pauses = Pauses(lookout, self.leaves, self.options, self._paused)
            # the cursors go by the numbers; what is said of a partition that has gone is left out
            rows, written = self._walk([(f"{n}", one) for n, one in enumerate(plan.ranges) if one.leaf in self.numbers])
            rows, written = self._walk_again_where_rows_move(plan, rows, written)
            self._say_that_a_vacuum_is_waited_for()
            self.vacuuming.finish(lambda: self._go_on(self.main))
        done = replace(plan, is_done=True, rows=rows, written=written)
        self._save(done, round((time.monotonic() - began) * 1000))
        self.progress.say("done")
        return Copied(rows, written)

    def _plan(self) -> tuple[Plan, bool]:
        """Return the ranges as the first run cut them, and whether this is a later one, which goes on in the same."""
        saved = self.main.load(self.request.work.copy)
        if saved is not None:
            return self._cut(Plan.from_json(saved)), True
        return self._cut(Plan(())), False

    def _cut(self, plan: Plan) -> Plan:
        """Return a plan with the ranges of all tables that it does not know: partitions come between two runs."""
        new = plan.unknown(self.leaves)
        if plan.is_done or (plan.ranges and not new):
            return plan
        set_local(self.main.connection, self.settings)  # the keys are written as the batches will read them
        plan = plan.with_more(ranges_of(self.main.connection, new, max(1, self.options.workers)))
        self._save(plan, 0)
        return plan

    def _save(self, plan: Plan, milliseconds: int) -> None:
        copy, status = self.request.work.copy, "done" if plan.is_done else "running"
        state = CopyState(
            copy, self.table.shown, plan.as_json(), plan.rows, self.progress.total, milliseconds, status
        )  # fmt: skip
        self.main.save(state)
        if plan.is_done:
            self.runner.commit()

    def _walk_again_where_rows_move(self, plan: Plan, rows: int, written: int) -> tuple[int, int]:
        """Walk blocks until nothing is left: a row that is updated meanwhile may move behind the walk."""
        moving = {one.leaf for one in plan.ranges if one.is_by_block and one.leaf in self.numbers}
        if not self.request.writes or not moving:
            return rows, written
        for number in range(MOST_PASSES):
            # where a row has moved to may be behind what was the last block before
            now = leaves_of(self.main.connection, self.table, self.request.key)
            ranges = [one for leaf in now if leaf.table.oid in moving for one in ranges_in_blocks(leaf, 1)]
            # no name of these may be that of a range which a later run adds to the plan
            _, more = self._walk([(f"again-{number}-{n}", one) for n, one in enumerate(ranges)])
            written += more
            if more == 0:
                break
        return rows, written

    def _walk(self, ranges: Sequence[tuple[str, Range]]) -> tuple[int, int]:
        workers = min(max(1, self.options.workers), len(ranges))
        if workers <= 1:
            walks = [self._range(self.main, name, one) for name, one in ranges]
            for walk in walks:
                walk.run()
            return sum(walk.rows for walk in walks), sum(walk.written for walk in walks)
        return self._walk_with(workers, ranges)

    def _walk_with(self, workers: int, ranges: Sequence[tuple[str, Range]]) -> tuple[int, int]:
        self.settings = {**seen_by(self.main.connection), **self.settings}
        # whoever has read in a transaction keeps a VACUUM from what died since, until that ends
        self.runner.commit()
        waiting: queue.SimpleQueue[tuple[str, Range]] = queue.SimpleQueue()
        for one in ranges:
            waiting.put(one)
        with ThreadPoolExecutor(workers) as pool:
            running = [pool.submit(self._work, waiting) for _ in range(workers)]
            try:
                while any(not one.done() for one in running):
                    wait(running, timeout=1.0, return_when=FIRST_EXCEPTION)
                    if any(one.done() and one.exception() for one in running):
                        self.stopping.set()
                        break
                    self.runner.commit()  # it sees to it that the run may go on
            except BaseException:
                self.stopping.set()
                raise
        errors = [error for one in running if (error := one.exception()) is not None]
        if errors:
            # the others were told to stop because of it
            raise next((error for error in errors if not isinstance(error, _Stopped)), errors[0])
        found = [one.result() for one in running]
        return sum(rows for rows, _ in found), sum(written for _, written in found)

    def _work(self, waiting: queue.SimpleQueue[tuple[str, Range]]) -> tuple[int, int]:
        """Take range after range until there is none; on a connection and in a thread of its own."""
        rows = written = 0
        with closing(OfWorker(self.runner, self.settings, keeps_cursor=self.request.keeps_cursor)) as session:
            while True:
                try:
                    name, one = waiting.get_nowait()
                except queue.Empty:
                    return rows, written
                walk = self._range(session, name, one)
                walk.run()
                rows, written = rows + walk.rows, written + walk.written

    def _range(self, session: Session, name: str, range_: Range) -> Walk:
        number = self.numbers[range_.leaf]
        leaf = self.leaves[number]
        most = max(LEAST_LIMIT, min(20_000, leaf.rows // FEWEST_BATCHES))
        size = _size(leaf, range_, self.request.batch_rows, self.options.target, most)

        def after(batch: Batch) -> None:
            self._after_batch(session, number, batch)

        cursor = f"{self.request.work.copy}-{name}"
        return Walk(session, self.request.work, leaf, range_, cursor, size, after, self.progress.begin_at)

    def _after_batch(self, session: Session, leaf: int, batch: Batch) -> None:
        self.progress.count(batch)
        if self.stopping.is_set():
            raise _Stopped
        if self.request.writes and self.options.vacuum and self.vacuuming.wrote(leaf, batch.written):
            self._say_that_a_vacuum_is_waited_for()
            self.vacuuming.begin(leaf, lambda: self._go_on(session))
        self._stop_in_time()
        with self.looking:
            # who stands in its way is a reason to wait, and in the second before the next look a table would grow
            reason = self.pauses.look() if self.vacuuming.was_skipped else self.pauses.reason()
            while reason:
                self.progress.say("pausing", reason)
                self._wait(LOOK_EVERY)
                reason = self.pauses.look()

    def _say_that_a_vacuum_is_waited_for(self) -> None:
        if self.vacuuming.is_at_work:
            self.progress.say("vacuuming")

    def _not_vacuumed(self, reason: str) -> None:
        self.progress.say("not vacuumed", reason)

    def _open(self) -> psycopg.Connection[Any]:
        return opened(self.runner)

    def _go_on(self, session: Session) -> None:
        """Raise where the copy may not go on, while nothing is committed that would find out."""
        session.require_run()
        if self.stopping.is_set():
            raise _Stopped
        self._stop_in_time()

    def _wait(self, seconds: float) -> None:
        if self.stopping.wait(seconds):
            raise _Stopped
        self._stop_in_time()

    def _stop_in_time(self) -> None:
        if self.deadline is None or time.monotonic() < self.deadline:
            return
        event = self.progress.event(self.request.doing)
        raise CopyUnfinished(
            f"{self.table.shown}: {event.rows} of about {event.total} rows are done, and the time is over.",
            next_steps=[NextStep("go on where it stood", "alembic safe-upgrade")],
            state="What is done is committed. Both versions of the application can go on.",
        )

    def _paused(self) -> str:
        return self.runner.paused(self.lookout, self.request.work.copy)


class _Stopped(Exception):
    """A worker was told to stop."""
