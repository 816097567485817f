"""A live application on one table: an open-loop load at a fixed rate, which notices every stall and every failure.

Run as a process of its own, so that it does not share an interpreter with what it watches:
``python benchmarks/load.py DSN TABLE SECONDS OUTPUT.json [ROWS [COLUMN]]``. The table has ``id`` (1 to ROWS) and ``v``, both
integers; with COLUMN, that one is written, too. SIGTERM ends it before its time.
"""

from __future__ import annotations

import gc
import json
import random
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import psycopg
from psycopg import sql

RATE = 300
"""Operations a second; every other one is a write."""
CONNECTIONS = 8
ROWS = 10_000
STALL = 0.05
"""Seconds without a completed operation, above which an interval counts as stalled."""


@dataclass(frozen=True)
class Seen:
    """What the application saw; times by ``time.monotonic()``, which all processes of a machine share."""

    operations: int
    failures: tuple[str, ...]
    completions: tuple[float, ...]
    slowest: float
    """Seconds from when an operation was due to when it was done."""
    writes: tuple[tuple[float, float], ...] = ()
    """Of every write when it was done, and how many seconds after it was due."""

    def stalled(self, since: float, until: float) -> float:
        """Return the summed seconds of all intervals above STALL in which nothing was completed."""
        inside = [since, *(t for t in self.completions if since < t < until), until]
        return sum(b - a for a, b in pairwise(inside) if b - a > STALL)

    @classmethod
    def read(cls, path: Path) -> Seen:
        """Read what a load process wrote."""
        data = json.loads(path.read_text())
        return cls(
            data["operations"], tuple(data["failures"]), tuple(data["completions"]), data["slowest"],
            tuple((at, seconds) for at, seconds in data["writes"]),
        )  # fmt: skip


class Load:
    """The application: operations become due at a fixed rate, whether or not the earlier ones are done."""

    def __init__(self, dsn: str, table: str, seconds: float, rows: int = ROWS, column: str = "") -> None:
        self._dsn, self._table, self._count = dsn, sql.Identifier(table), int(seconds * RATE)
        self._rows, self._column = rows, column
        self._writes: list[tuple[float, float]] = []
        self.ending = threading.Event()
        self._next = 0
        self._lock = threading.Lock()
        self._failures: list[str] = []
        self._done: list[tuple[float, float]] = []

    def run(self) -> Seen:
        """Run all operations and return what was seen."""
        ready = threading.Barrier(CONNECTIONS + 1)
        threads = [threading.Thread(target=self._work, args=(ready,)) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        self._start = time.monotonic() + 0.1
        ready.wait()
        for thread in threads:
            thread.join()
        completions = tuple(sorted(at for at, _ in self._done))
        return Seen(
            self._count,
            tuple(self._failures),
            completions,
            max((s for _, s in self._done), default=0.0),
            tuple(self._writes),
        )

    def _work(self, ready: threading.Barrier) -> None:
        rng = random.Random()
        read = sql.SQL("SELECT v FROM {} WHERE id = %s").format(self._table)
        also = sql.SQL(", {} = v + 1").format(sql.Identifier(self._column)) if self._column else sql.SQL("")
        write = sql.SQL("UPDATE {} SET v = v + 1{} WHERE id = %s").format(self._table, also)
        with psycopg.connect(self._dsn, autocommit=True, application_name="live") as connection:
            ready.wait()
            while True:
                with self._lock:
                    number, self._next = self._next, self._next + 1
                due = self._start + number / RATE
                if number >= self._count or self.ending.wait(max(0.0, due - time.monotonic())):
                    return
                try:
                    connection.execute(write if number % 2 else read, [rng.randint(1, self._rows)])
                except psycopg.Error as error:
                    self._failures.append(str(error))
                else:
                    now = time.monotonic()
                    self._done.append((now, now - due))
                    if number % 2:
                        self._writes.append((now, now - due))


if __name__ == "__main__":
    rows, column = (*sys.argv[5:], "")[:2] if sys.argv[5:] else (ROWS, "")
    gc.disable()  # 20 ms of every session's time, again and again: what is kept here makes no cycles
    load = Load(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(rows), column)
    signal.signal(signal.SIGTERM, lambda *_: load.ending.set())
    Path(sys.argv[4]).write_text(json.dumps(asdict(load.run())))
