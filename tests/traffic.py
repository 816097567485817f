"""Clients of a database that go on with their work while it is changed under them, and remember what they wrote."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from tests.cluster import Cluster


class Client(threading.Thread):
    """One client: does one small thing after the other, and keeps whatever went wrong.

    :param work: one small thing; called with the connection, a source of chance, and what the client remembers.
    """

    def __init__(self, cluster: Cluster, database: str, number: int, work: Callable[..., None]) -> None:
        super().__init__(daemon=True)
        self.cluster = cluster
        self.database = database
        self.number = number
        self.work = work
        self.memory: dict[Any, Any] = {}
        self.errors: list[str] = []
        self.count = 0
        self.stop = threading.Event()

    def run(self) -> None:
        chance = random.Random(self.number)
        # nothing is prepared: a result that gets another type is a matter of its own
        with self.cluster.connect(self.database, prepare_threshold=None) as connection:
            while not self.stop.is_set() and len(self.errors) < 3:
                try:
                    self.work(connection, chance, self.memory)
                except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
                    self.errors.append(f"{type(error).__name__}: {error}")
                self.count += 1
                time.sleep(0.002)  # an application does not spend all its time on the database


@contextmanager
def traffic(
    cluster: Cluster, database: str, *works: Callable[[psycopg.Connection[Any], random.Random, dict[Any, Any]], None]
) -> Iterator[list[Client]]:
    """Let clients work meanwhile, one for each kind of work; hold that none of them ever failed."""
    clients = [Client(cluster, database, number, work) for number, work in enumerate(works)]
    for client in clients:
        client.start()
    try:
        eventually(lambda: all(client.count or client.errors for client in clients))
        yield clients
        seen = [client.count for client in clients]
        eventually(lambda: all(c.count > n or c.errors for c, n in zip(clients, seen, strict=True)))
    finally:
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(60)
    errors = [error for client in clients for error in client.errors]
    assert not errors, "\n".join(errors)
