"""Does the shop go on working, write by write, whatever is done to its database: ``python -m shop.live``."""

from __future__ import annotations

import argparse
import contextlib
import random
import secrets
import signal
import sys
import threading
import time
from typing import Any

import psycopg

from shop.database import connect, database_url
from shop.ledger import Ledger
from shop.report import LiveReport, Operation
from shop.visitor import WEIGHTS, Assortment, Visitor

APPLICATION = "shop-live"
"""What ``pg_stat_activity`` shows as the name of the live client's sessions."""


class LiveShop:
    """The shop's application, at work: an open loop of operations on several connections.

    Operations fall due on a clock that does not wait for answers: while the database stalls they pile up, and each of
    them counts its time from the moment at which it was due. Works on an empty shop as well as on a full one.

    :param url: the database; unless given, the one that Alembic would use.
    :param rate: operations per second, about half of them writes.
    :param connections: sessions that share the work.
    :param seed: another seed, another sequence of operations.
    """

    def __init__(self, url: str | None = None, *, rate: float = 50.0, connections: int = 4, seed: int = 1) -> None:
        self.rate = rate
        self.ledger = Ledger()
        self.operations: list[Operation] = []
        self._url = database_url(url)
        self._run = secrets.token_hex(4)
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._given_out = 0
        self._under_way: dict[int, Operation] = {}
        self._started = self._ends = float("inf")
        self._visitors: list[Visitor] = []
        self._threads = [threading.Thread(target=self._work, args=[n], daemon=True) for n in range(connections)]

    def start(self) -> None:
        """Stock the shelves and begin.

        :raises psycopg.Error: when the database cannot be reached or is not the shop's.
        """
        with self._connect() as connection:
            assortment = Assortment.create(connection, self._run, self.ledger)
        for number in range(len(self._threads)):
            dice = random.Random(self._dice.random())
            self._visitors.append(Visitor(f"{self._run}.{number}", self._connect, self.ledger, assortment, dice))
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self, patience: float = 30.0) -> LiveReport:
        """End the run: finish what is due, read everything back on a new connection, and report.

        :param patience: seconds that overdue operations get to finish; what has not finished by then has failed.
        :raises psycopg.Error: when the database cannot be reached for reading back.
        """
        self._ends = time.monotonic()
        self._stopping.set()
        for thread in self._threads:
            thread.join(max(0.0, self._ends + patience - time.monotonic()))
        while (turn := self._next()) is not None:
            self._note(turn, "never got its turn")
        for visitor, thread in zip(self._visitors, self._threads, strict=True):
            if thread.is_alive() and visitor.connection is not None:
                with contextlib.suppress(psycopg.Error):
                    visitor.connection.cancel()
                thread.join(5)
        for operation in list(self._under_way.values()):
            self._note(operation, "was never answered")
        with self._connect() as connection:
            self.ledger.check_all(connection)
        return LiveReport.of(self.operations, list(self.ledger.losses.values()), self._ends - self._started)

    def since(self, position: int) -> tuple[list[Operation], float]:
        """Return the operations done from this position of the list on, and how long the oldest has been waiting."""
        with self._lock:
            waiting = [operation.due for operation in self._under_way.values()]
            done = self.operations[position:]
        return done, max(0.0, time.monotonic() - min(waiting, default=float("inf")))

    def _connect(self) -> psycopg.Connection[Any]:
        return connect(self._url, autocommit=True, application_name=APPLICATION, connect_timeout=5)

    def _work(self, number: int) -> None:
        visitor = self._visitors[number]
        while (turn := self._next(number)) is not None:
            while (wait := turn.due - time.monotonic()) > 0 and turn.due <= self._ends:
                self._stopping.wait(wait)
            if turn.due > self._ends:
                break
            error = None
            try:
                visitor.perform(turn.name)
            except psycopg.Error as failure:
                error = f"{type(failure).__name__}: {str(failure).strip().partition(chr(10))[0]}"
            self._note(turn, error)
        with self._lock:
            self._under_way.pop(number, None)
        visitor.close()

    def _next(self, number: int | None = None) -> Operation | None:
        """Give out the next operation; None when the run ends before it is due."""
        with self._lock:
            due = self._started + self._given_out / self.rate
            if due > self._ends:
                return None
            self._given_out += 1
            (name,) = self._dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
            turn = Operation(name, due, due)
            if number is not None:
                self._under_way[number] = turn
            return turn

    def _note(self, turn: Operation, error: str | None) -> None:
        with self._lock:
            self.operations.append(Operation(turn.name, turn.due, time.monotonic(), error))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code: 1 when anything failed or was lost."""
    parser = argparse.ArgumentParser(prog="python -m shop.live", description="Let the shop work, and watch it.")
    parser.add_argument("--rate", type=float, default=50.0, help="operations per second (default: 50)")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long (default: 30)")
    parser.add_argument("--connections", type=int, default=4, help="sessions that share the work (default: 4)")
    parser.add_argument("--url", help="the database (default: DATABASE_URL, then alembic.ini)")
    given = parser.parse_args(arguments)
    if given.rate <= 0 or given.connections < 1:
        parser.error("--rate and --connections are above zero")

    shop = LiveShop(given.url, rate=given.rate, connections=given.connections)
    enough = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: enough.set())
    try:
        shop.start()
        _watch(shop, given.seconds, enough)
        report = shop.stop()
    except psycopg.Error as error:
        print(f"The shop's database cannot be used: {error}".strip(), file=sys.stderr)
        return 1
    print(report.text())
    return 0 if report.is_clean else 1


def _watch(shop: LiveShop, seconds: float, enough: threading.Event) -> None:
    """Print one line per second until the time is over or somebody has had enough."""
    started, position, second = time.monotonic(), 0, 0
    while not enough.is_set() and (left := started + seconds - time.monotonic()) > 0:
        second += 1
        enough.wait(min(left, max(0.0, started + second - time.monotonic())))
        done, waiting = shop.since(position)
        position += len(done)
        writes = sum(not operation.is_read for operation in done)
        failed = sum(operation.error is not None for operation in done)
        slowest = max([waiting, *(operation.late for operation in done)])
        print(f"{second:>5} s  {len(done):>5} operations  {writes:>5} writes  {failed:>4} failed  "
              f"slowest {slowest * 1000:>6,.0f} ms", flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
