"""Writers of both applications at once, in threads, while columns are synced, copied and verified: nothing fails or is lost."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from alembic_safe.database.steps import CopyOptions
from tests.stepwise import Stepwise, place

if TYPE_CHECKING:
    import psycopg

__all__ = ["place"]

OWN = 40
"""Rows that each writer has for itself, so that it knows what must stand in them."""


class Writer(threading.Thread):
    """One client of the old or the new application; it remembers what it wrote last, row by row."""

    def __init__(self, place: Stepwise, number: int, *, is_new: bool) -> None:
        super().__init__(daemon=True)
        self.place = place
        self.is_new = is_new
        self.column = "b" if is_new else "a"
        self.ids = list(range(number * OWN, (number + 1) * OWN))
        self.random = random.Random(number)
        self.wrote: dict[int, Any] = {}
        self.stop = threading.Event()
        self.errors: list[BaseException] = []
        self.count = 0

    def run(self) -> None:
        try:
            with self.place.cluster.connect(self.place.name) as connection:
                while not self.stop.is_set():
                    self._write(connection)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            self.errors.append(error)

    def _write(self, connection: psycopg.Connection[Any]) -> None:
        id_ = self.random.choice(self.ids)
        # in capitals what the old application writes, so that the conversion loses something
        value = self.random.choice([None, *(f"{letter}{self.count}" for letter in ("V", "w"))])
        column, kind = self.column, self.random.randrange(5)
        if kind == 0:
            connection.execute("DELETE FROM t WHERE id = %s", [id_])
            connection.execute(f"INSERT INTO t (id, {column}) VALUES (%s, %s)", [id_, value])
        elif kind == 1:
            connection.execute(
                f"INSERT INTO t (id, {column}) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET {column} = excluded.{column}",
                [id_, value],
            )
        elif kind == 2:
            with connection.transaction():
                connection.execute("DELETE FROM t WHERE id = %s", [id_])
                with connection.cursor().copy(f"COPY t (id, {column}) FROM STDIN") as copy:
                    copy.write_row([id_, value])
        else:
            done = connection.execute(f"UPDATE t SET {column} = %s WHERE id = %s", [value, id_])
            if done.rowcount == 0:
                return
        self.wrote[id_] = value
        self.count += 1

    def expected(self, id_: int) -> tuple[Any, Any]:
        value = self.wrote[id_]
        return (value, value) if self.is_new else (value, value and value.lower())


@pytest.mark.parametrize("workers", [1, pytest.param(3, marks=pytest.mark.long)])
def test_no_write_fails_and_every_one_is_in_both_columns(place: Stepwise, workers: int) -> None:
    place.given("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    place.run(
        f"INSERT INTO t SELECT n, 'V' || n FROM generate_series(0, {20_000 if workers > 1 else 4000}) n; ANALYZE t"
    )
    place.run("ALTER TABLE t ADD b text")
    writers = [Writer(place, n, is_new=n % 2 == 1) for n in range(4)]
    for writer in writers[::2]:  # the old application is there first
        writer.start()

    place.steps("sync_columns", "t", "a", "b", up="lower(a)", down="b")
    for writer in writers[1::2]:
        writer.start()
    options = CopyOptions(vacuum=False, workers=workers)
    place.steps("backfill", "t", set_={"b": "lower(a)"}, batch_rows=50, options=options)
    rows = place.steps("verify_copied", "t", "a", "b")
    for writer in writers:
        writer.stop.set()
        writer.join(30)

    assert [error for writer in writers for error in writer.errors] == []
    assert min(writer.count for writer in writers) > 10
    assert rows > 0
    found = {id_: (old, new) for id_, old, new in place.all("SELECT id, a, b FROM t")}
    for writer in writers:
        assert {id_: found[id_] for id_ in writer.wrote} == {id_: writer.expected(id_) for id_ in writer.wrote}
    assert place.steps("verify_copied", "t", "a", "b") == len(found)
