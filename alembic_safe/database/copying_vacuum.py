"""When and how are the dead rows vacuumed away that a copy leaves behind?"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from alembic_safe.database.copying_ranges import Leaf

GROWN = 11 / 10
"""How many times its size a table has at least that is worth a VACUUM."""
ASK_EVERY = 1.0
"""Seconds between two questions whether to go on waiting for a VACUUM."""

_BLOCKS = "SELECT pg_relation_size(:oid) / current_setting('block_size')::bigint AS it"


class Vacuuming:
    """Vacuums the dead rows away that a copy leaves behind, six times on the way through a table, beside the batches.

    Without it a table grows to twice its size, with it to 1.2 times. A table whose pages took most of the new rows in
    place of the old ones (a copy along a random key does that) has hardly grown, and is left to autovacuum. Elsewhere it
    comes before autovacuum, which a fifth of dead rows would call, and which a copy has to wait for.

    One that fails was not done, whatever ended it: it is no reason to stop a copy, and what it left autovacuum finds.

    :param open_: returns a connection of its own in autocommit.
    :param not_done: is told why one failed.
    :param always: a table that an earlier run has left behind may have grown already, so its size says nothing.
    """

    def __init__(
        self, leaves: Sequence[Leaf], open_: Callable[[], psycopg.Connection[Any]], not_done: Callable[[str], None], *,
        always: bool = False,
    ) -> None:  # fmt: skip
        # the sixth time a thirteenth of the rows is left: one more behind the last would be for nothing
        self._due = {number: max(20_000, leaf.rows * 2 // 13) for number, leaf in enumerate(leaves)}
        self._leaves = leaves
        self._open = open_
        self._not_done = not_done
        self._always = always
        self._connection: psycopg.Connection[Any] | None = None
        self._written = dict.fromkeys(self._due, 0)
        self._lock = threading.Lock()
        self._was_skipped = False
        self._is_closing = False
        self._pool = ThreadPoolExecutor(1, "alembic-safe-vacuum")
        self._begun: Future[None] | None = None

    def wrote(self, leaf: int, rows: int) -> bool:
        """Count written rows; return whether it is time to :meth:`begin`."""
        self._written[leaf] += rows
        return self._is_time(leaf)

    def _is_time(self, leaf: int) -> bool:
        """Whether one is due, or one at work is so slow that the table would grow too large beside it."""
        due = self._due[leaf]
        return self._written[leaf] >= (due // 2 if self.is_at_work else due)

    @property
    def is_at_work(self) -> bool:
        """Whether the one that was begun last goes on."""
        return self._begun is not None and not self._begun.done()

    @property
    def was_skipped(self) -> bool:
        """Whether the last one was not done, as an autovacuum was at work."""
        return self._was_skipped

    def begin(self, leaf: int, go_on: Callable[[], None]) -> None:
        """Wait for the one that is still at work; begin one that is due in a thread, while the copy goes on.

        :param go_on: called while it is waited for; raises to stop.
        """
        with self._lock:
            if not self._is_time(leaf):
                return  # another worker was here first
            self.finish(go_on)
            if self._written[leaf] >= self._due[leaf]:
                self._written[leaf] = 0
                self._begun = self._pool.submit(self.vacuum, leaf)

    def finish(self, go_on: Callable[[], None]) -> None:
        """Wait for what is at work.

        :param go_on: called while it is waited for; raises to stop.
        """
        while self._begun is not None and self.is_at_work:
            go_on()
            wait([self._begun], timeout=ASK_EVERY)
        if self._begun is not None:
            self._begun.result()  # raises what is an error of ours

    def vacuum(self, leaf: int) -> None:
        """Vacuum a table that has grown.

        It gives no empty block back, as that takes an exclusive lock, and it waits for nobody: while an autovacuum is at
        work, it is due again behind the next batch.
        """
        self._was_skipped = False
        one = self._leaves[leaf]
        try:
            self._vacuum(one)
        except (psycopg.Error, Missing) as error:
            self._leave_connection()
            self._was_skipped = False
            if not self._is_closing:
                said = " ".join(str(error).partition("\nCONTEXT:")[0].split())
                self._not_done(said if len(self._leaves) == 1 else f"{one.table.shown}: {said}")
        if self._was_skipped:
            self._written[leaf] = self._due[leaf]

    def _vacuum(self, leaf: Leaf) -> None:
        if self._connection is None:
            self._connection = self._open()
            self._connection.add_notice_handler(self._hear)
        blocks = run(self._connection, _BLOCKS, {"oid": leaf.table.oid})[0]["it"] or 0
        if blocks > leaf.blocks * GROWN or self._always:
            run(self._connection, f"VACUUM (SKIP_LOCKED, TRUNCATE FALSE) {quoted(leaf.table.schema, leaf.table.name)}")

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        self._was_skipped = self._was_skipped or notice.sqlstate == "55P03"  # lock_not_available

    def close(self) -> None:
        """End what is still at work, and close the connection."""
        self._is_closing = True
        while self._begun is not None and self.is_at_work:
            connection = self._connection
            if connection is not None:
                with suppress(psycopg.Error):
                    connection.cancel()
            wait([self._begun], timeout=0.2)
        self._pool.shutdown()
        self._leave_connection()

    def _leave_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
