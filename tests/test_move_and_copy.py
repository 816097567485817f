"""Old writer, new writer, copy and crash in any order, the columns in two tables: no write is lost, and both end alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from alembic_safe.database import copying
from alembic_safe.database.copying_pacing import BatchSize
from tests.stepwise import Killed, Stepwise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster import Cluster

ROWS = 10
"""Rows of the source that are there before the sync; every other one has a row of the target."""
VALUES = (None, "a", "A", "b", "")
MOVE: tuple[Any, ...] = ("s", "t", {"c": "d", "c2": "d2"})
ON: dict[str, Any] = {"on": {"id": "id"}}
UNKNOWN = "perhaps not copied yet"


@dataclass
class World:
    """Two tables, what each application should find in them, and the steps that change them.

    :param source: id -> [c, c2]; ``target``: id -> [d, d2], each a value or UNKNOWN: NULL, or what the source has.
    """

    place: Stepwise
    source: dict[int, list[Any]] = field(default_factory=dict)
    target: dict[int, list[Any]] = field(default_factory=dict)

    def begin(self) -> None:
        place = self.place
        place.run("DROP TABLE IF EXISTS t, s; DROP SCHEMA IF EXISTS alembic_safe_sync, alembic_safe_runner CASCADE")
        place.run("CREATE TABLE s (id integer PRIMARY KEY, c text, c2 text, other integer)")
        place.run("CREATE TABLE t (id integer PRIMARY KEY REFERENCES s, d text, d2 text, other integer)")
        for n in range(ROWS):
            self.source[n] = [VALUES[n % 5], VALUES[n * 2 % 5]]
            self._sql("INSERT INTO s VALUES (%s, %s, %s)", n, *self.source[n])
            if n % 2:
                self.target[n] = [UNKNOWN, UNKNOWN]
                self._sql("INSERT INTO t (id) VALUES (%s)", n)
        place.op("sync_tables", *MOVE, **ON)

    def _sql(self, statement: str, *values: Any) -> None:
        with self.place.cluster.connect(self.place.name) as c:
            c.execute(statement, values)

    # what each step does, and what both rows must be after it

    def old_insert(self, _: int, new_id: int, part: int, value: Any) -> None:
        """The old application makes a row, which the target has no row for."""
        self._sql(f"INSERT INTO s (id, {_c(part)}) VALUES (%s, %s)", new_id, value)
        self.source[new_id] = [None, None]
        self.source[new_id][part] = value

    def new_insert(self, row: int, _: int, part: int, value: Any) -> None:
        """The new application makes the target's row, with one of the values."""
        if row in self.target:
            return
        self._sql(f"INSERT INTO t (id, {_d(part)}) VALUES (%s, %s)", row, value)
        if value is not None:  # NULL cannot be told from a value that was left out
            self.source[row][part] = value
        self.target[row] = list(self.source[row])

    def new_upsert(self, row: int, _: int, part: int, value: Any) -> None:
        """The new application writes a row that may be there."""
        if row not in self.target:
            return self.new_insert(row, _, part, value)
        self._settle(row)
        name = _d(part)
        said = f"INSERT INTO t (id, {name}) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET {name} = excluded.{name}"
        self._sql(said, row, value)
        self._written_in_target(row, part, value)
        return None

    def old_update(self, row: int, _: int, part: int, value: Any) -> None:
        self._sql(f"UPDATE s SET {_c(part)} = %s WHERE id = %s", value, row)
        if value != self.source[row][part] and row in self.target:
            self.target[row][part] = value
        self.source[row][part] = value
        self._may_be_filled(row)

    def new_update(self, row: int, _: int, part: int, value: Any) -> None:
        if row in self.target:
            self._settle(row)
            self._sql(f"UPDATE t SET {_d(part)} = %s WHERE id = %s", value, row)
            self._written_in_target(row, part, value)

    def both_update(self, row: int, _: int, part: int, value: Any) -> None:
        """One statement writes both tables, each in another column; no application does, before its row is copied."""
        if row in self.target:
            self._settle(row)
            if self.target[row] != self.source[row]:
                return
            other = 1 - part
            said = (
                f"WITH one AS (UPDATE s SET {_c(other)} = %s WHERE id = %s) UPDATE t SET {_d(part)} = %s WHERE id = %s"
            )
            self._sql(said, "both", row, value, row)
            self.source[row][other] = self.target[row][other] = "both"
            self._written_in_target(row, part, value)

    def touch(self, row: int, _: int, __: int, ___: Any) -> None:
        self._sql("UPDATE s SET other = 1 WHERE id = %s", row)
        if row in self.target:
            self._sql("UPDATE t SET other = 1 WHERE id = %s", row)
            self.target[row] = list(self.source[row])

    def given_up(self, row: int, _: int, part: int, value: Any) -> None:
        """A transaction of the old application that is rolled back."""
        with self.place.cluster.connect(self.place.name, autocommit=False) as c:
            c.execute(f"UPDATE s SET {_c(part)} = %s WHERE id = %s", (value, row))  # type: ignore[arg-type]
            c.rollback()

    def delete(self, row: int, _: int, part: int, __: Any) -> None:
        self._sql("DELETE FROM t WHERE id = %s", row)
        self.target.pop(row, None)
        if part:
            self._sql("DELETE FROM s WHERE id = %s", row)
            del self.source[row]

    def _written_in_target(self, row: int, part: int, value: Any) -> None:
        before = self.target[row]
        for n, (name, old) in enumerate(zip((value, value), before, strict=True)):
            new = name if n == part else old
            if old is None and new is None:
                self.target[row][n] = self.source[row][n]  # NULL before and behind: the source's value is taken
            else:
                self.source[row][n] = self.target[row][n] = new

    def _may_be_filled(self, row: int) -> None:
        """Note that a row that was written by a trigger, or by a copy, may have what it lacked."""
        if row in self.target:
            self.target[row] = [
                UNKNOWN if one is None and self.source[row][n] is not None else one
                for n, one in enumerate(self.target[row])
            ]

    def _settle(self, row: int) -> None:
        """Learn whether the copy has reached a row, before what comes next depends on it."""
        found = self.place.all(f"SELECT d, d2 FROM t WHERE id = {row}")[0]
        for n, value in enumerate(self.target[row]):
            if value is UNKNOWN:
                assert found[n] in (None, self.source[row][n])
                self.target[row][n] = found[n]

    def copy(self, die_at: int | None) -> None:
        try:
            self.place.steps("copy_moved", *MOVE, **ON, die_at=die_at)
        except Killed:
            event("killed in the middle of the copy")
            for row in self.target:
                self._may_be_filled(row)
        else:
            self.target = {row: list(self.source[row]) for row in self.target}

    def check(self) -> None:
        source = {row[0]: list(row[1:]) for row in self.place.all("SELECT id, c, c2 FROM s")}
        target = {row[0]: list(row[1:]) for row in self.place.all("SELECT id, d, d2 FROM t")}
        assert source == self.source
        assert target.keys() == self.target.keys()
        for row, values in self.target.items():
            for n, value in enumerate(values):
                right = (None, self.source[row][n]) if value is UNKNOWN else (value,)
                assert target[row][n] in right, (row, n, target[row], values, self.source[row])


def _c(part: int) -> str:
    return ("c", "c2")[part]


def _d(part: int) -> str:
    return ("d", "d2")[part]


WRITES = (
    "old_insert", "new_insert", "new_upsert", "old_update", "new_update", "both_update", "touch", "given_up", "delete",
)  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.sampled_from((*WRITES, "copy", "copy")), st.integers(0, 99), st.integers(0, 1), st.sampled_from(VALUES)
    ),
    min_size=8,
    max_size=24,
)


@pytest.fixture(scope="module")
def moving(cluster: Cluster) -> Iterator[Stepwise]:
    """Return a database in which batches have three rows."""
    cluster.create("move_and_copy")
    it = Stepwise(cluster, lambda: "move_and_copy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "_size", lambda *_: BatchSize(1.0, size=3, least=1, fixed=True))
        yield it
    it.close()
    cluster.drop("move_and_copy")


def play(place: Stepwise, steps: list[tuple[str, int, int, Any]]) -> None:
    world = World(place)
    world.begin()
    for number, (step, a, part, value) in enumerate(steps):
        if step == "copy":
            world.copy(die_at=1 + a % 6)
        elif world.source:
            getattr(world, step)(sorted(world.source)[a % len(world.source)], ROWS + number, part, value)
        world.check()
    world.copy(die_at=None)
    world.check()
    assert place.steps("verify_moved", *MOVE, **ON) == len(world.target)


@settings(
    max_examples=5, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(steps=STEPS)
def test_nothing_is_lost_between_two_tables(moving: Stepwise, steps: list[tuple[str, int, int, Any]]) -> None:
    play(moving, steps)


@pytest.mark.long
@settings(
    max_examples=200, deadline=None, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck)
)
@given(steps=STEPS)
def test_nothing_is_lost_in_thousands_of_steps(moving: Stepwise, steps: list[tuple[str, int, int, Any]]) -> None:
    play(moving, steps)
