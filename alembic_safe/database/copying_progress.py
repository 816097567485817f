"""How far is a copy, and what is told of it?"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from alembic_safe.database.steps import CopyEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alembic_safe.database.copying_ranges import Leaf
    from alembic_safe.database.copying_walk import Batch

log = logging.getLogger("alembic.safe.copy")

TELL_EVERY = 0.5
"""Seconds between two moments that are told."""
LOG_EVERY = 10.0
"""Seconds between two lines in the log of a stock command."""


class Progress:
    """How far a copy is, told now and then; several workers count into one."""

    def __init__(self, table: str, leaves: Sequence[Leaf], doing: str, tell: Callable[[CopyEvent], None]) -> None:
        self.table = table
        self.doing = doing
        self.total = sum(leaf.rows for leaf in leaves)
        self.rows = 0
        self._counted = 0
        self._began = time.monotonic()
        self._told = 0.0
        self._tell = tell
        self._lock = threading.Lock()

    def begin_at(self, rows: int) -> None:
        """Count what earlier runs did."""
        with self._lock:
            self.rows += rows

    def count(self, batch: Batch) -> None:
        """Count a batch."""
        with self._lock:
            self.rows += batch.rows
            self._counted += batch.rows
            now = time.monotonic()
            if now - self._told < TELL_EVERY:
                return
            self._told = now
            event = self.event(self.doing)
        self._tell(event)

    def say(self, doing: str, reason: str = "") -> None:
        """Tell that something else goes on."""
        self._tell(self.event(doing, reason))

    def event(self, doing: str, reason: str = "") -> CopyEvent:
        """Return the moment as a record."""
        seconds = max(time.monotonic() - self._began, 0.001)
        rate = self._counted / seconds
        total = max(self.total, self.rows)
        remaining = (total - self.rows) / rate if rate > 0 else None
        return CopyEvent(doing, self.table, self.rows, total, rate, remaining, reason)


def into_log() -> Callable[[CopyEvent], None]:
    """Return what tells a stock command's copy: a line in the log now and then."""
    last = [time.monotonic()]

    def tell(event: CopyEvent) -> None:
        if time.monotonic() - last[0] >= LOG_EVERY:
            last[0] = time.monotonic()
            log.info("%s: %s of about %s rows, %.0f rows/s", event.table, event.rows, event.total, event.rate)

    return tell
