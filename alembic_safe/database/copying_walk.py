"""How is one range of a table walked, batch by batch, so that it can go on where it stood?"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from alembic_safe.database.copying_ranges import between, key_in, key_text
from alembic_safe.database.failures import LOCK_FAILURES, sqlstate_of
from alembic_safe.database.statements import run
from alembic_safe.database.steps import CopyState

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic_safe.database.copying_pacing import BatchSize
    from alembic_safe.database.copying_ranges import Leaf, Range
    from alembic_safe.database.copying_session import Session

LONGEST_COLLISION = 60.0
"""Seconds for which one batch is tried again and again while somebody holds a row of it."""
FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0
BLOCKS = "ctid >= CAST(CAST(:first AS text) AS tid) AND ctid < CAST(CAST(:behind AS text) AS tid)"
"""A range of blocks; PostgreSQL reads just these: its release notes for version 14."""


class Work(Protocol):
    """What is done with each batch."""

    @property
    def copy(self) -> str:
        """The same for the same work, in every run."""

    def on_batch(self, session: Session, leaf: Leaf, condition: str, params: dict[str, Any]) -> int:
        """Do it for the rows of a leaf for which a condition is true, and return how many were written."""


@dataclass(frozen=True)
class Batch:
    """One batch that is done: how many rows were walked over and written, and how long it took."""

    rows: int
    written: int
    seconds: float


@dataclass
class Walk:
    """A range while it is walked.

    :param name: under which name its cursor is saved.
    :param after_batch: called behind every commit; may wait, or raise to stop.
    :param resumed_at: called with the rows that earlier runs walked over.
    """

    session: Session
    work: Work
    leaf: Leaf
    range: Range
    name: str
    size: BatchSize
    after_batch: Callable[[Batch], None]
    resumed_at: Callable[[int], None]

    def __post_init__(self) -> None:
        self.rows = 0
        self.written = 0
        self._milliseconds = 0
        self._after = self.range.after
        self._block = self.range.first_block
        self._done = False
        self._locking_since = 0.0

    def run(self) -> None:
        """Walk on from where the last run stood, to the end."""
        self._resume()
        while not self._done:
            walked, written = self._batch()
            # what counts is how long rows were held, not what was looked up before
            seconds = time.monotonic() - self._locking_since
            self.size.took(seconds)
            self.after_batch(Batch(walked, written, seconds))

    def _resume(self) -> None:
        saved = self.session.load(self.name)
        if saved is None:
            return
        cursor = json.loads(saved)
        self.rows = cursor["rows"]
        self.written = cursor["written"]
        self._after = tuple(cursor["after"]) if cursor["after"] is not None else self.range.after
        self._block = cursor["block"]
        self._done = cursor["done"]
        self.resumed_at(self.rows)

    def _batch(self) -> tuple[int, int]:
        """Do one batch, again and again while somebody holds a row of it."""
        began, wait = time.monotonic(), FIRST_WAIT
        while True:
            started = time.monotonic()
            try:
                walked, written, after, block, done = self._step()
                self._milliseconds += round((time.monotonic() - started) * 1000)
                self.session.save(self._state(self.rows + walked, self.written + written, after, block, done=done))
                self.session.commit()
            except Exception as error:
                if sqlstate_of(error) not in LOCK_FAILURES or time.monotonic() - began > LONGEST_COLLISION:
                    raise
                self.session.take_back()
                self.size.collided()
                time.sleep(wait)
                wait = min(LONGEST_WAIT, wait * 2)
                continue
            self.rows += walked
            self.written += written
            self._after, self._block, self._done = after, block, done
            return walked, written

    def _step(self) -> tuple[int, int, tuple[str, ...] | None, int, bool]:
        if self.range.is_by_block:
            end = min(self._block + self.size.size, self.range.end_block)
            params: dict[str, Any] = {"first": f"({self._block},0)", "behind": f"({end},0)"}
            self._locking_since = time.monotonic()
            written = self.work.on_batch(self.session, self.leaf, BLOCKS, params)
            share = (end - self._block) / max(1, self.leaf.blocks)
            return round(self.leaf.rows * share), written, None, end, end >= self.range.end_block
        condition, params = between(self.leaf, self._after, self.range.last)
        # as text only the one key that is wanted, not all that are skipped
        source = (
            f"SELECT {self.leaf.columns} FROM ONLY {self.leaf.table.quoted} WHERE {condition} ORDER BY {self.leaf.columns}"
            " OFFSET :skip LIMIT 1"
        )
        found = run(
            self.session.connection, f"SELECT {key_text(self.leaf)} FROM ({source}) AS upto",
            {**params, "skip": self.size.size - 1},
        )  # fmt: skip
        upto = key_in(self.leaf, found[0]) if found else self.range.last
        walked = self.size.size if found else self._rest(params, condition)
        condition, params = between(self.leaf, self._after, upto)
        self._locking_since = time.monotonic()
        written = self.work.on_batch(self.session, self.leaf, condition, params)
        return walked, written, upto, 0, not found or upto == self.range.last

    def _rest(self, params: dict[str, Any], condition: str) -> int:
        sql = f"SELECT count(*) AS it FROM ONLY {self.leaf.table.quoted} WHERE {condition}"
        return int(run(self.session.connection, sql, params)[0]["it"])

    def _state(self, rows: int, written: int, after: tuple[str, ...] | None, block: int, *, done: bool) -> CopyState:
        cursor = {"rows": rows, "written": written, "after": after, "block": block, "done": done}
        return CopyState(
            self.name, self.leaf.table.shown, json.dumps(cursor, ensure_ascii=False), rows, self.leaf.rows,
            self._milliseconds, "done" if done else "running",
        )  # fmt: skip
