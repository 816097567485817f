"""Old writer, new writer, copy and crash in any order: no write is lost, and the columns never contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from tests.stepwise import Killed, Stepwise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster import Cluster

ROWS = 12
"""Rows that are there before the sync; ids of one digit more come later."""


@dataclass(frozen=True)
class Conversion:
    """Two columns, and what leads from one to the other: in SQL, and here for the oracle."""

    old: str
    new: str
    up: str | None
    down: str | None
    py_up: Callable[[Any], Any]
    py_down: Callable[[Any], Any]
    old_values: tuple[Any, ...]
    new_values: tuple[Any, ...]
    key: str = "PRIMARY KEY"


def _same(value: Any) -> Any:
    return value


def _rounded(value: Decimal | None) -> int | None:
    return None if value is None else int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


CONVERSIONS = {
    "a wider type": Conversion("integer", "bigint", None, None, _same, _same, (None, 1, 2, 3), (None, 1, 2, 4)),
    "lossy: case": Conversion(
        "text", "text", "lower(a)", "b", lambda v: v and v.lower(), _same, (None, "A", "a", "Bc", ""),
        (None, "a", "A", "bC", ""),
    ),
    "lossy: rounding, without a key": Conversion(
        "numeric", "integer", None, None, _rounded, lambda v: None if v is None else Decimal(v),
        (None, Decimal("1.5"), Decimal("1.4"), Decimal("2.0")), (None, 1, 2, 3), key="NOT NULL",
    ),
    "lossy both ways": Conversion(
        "integer", "integer", "a / 2", "b * 3", lambda v: None if v is None else v // 2, lambda v: None if v is None else v * 3,
        (None, 0, 1, 4, 5), (None, 0, 1, 2, 7),
    ),
}  # fmt: skip


@dataclass
class World:
    """A database, what it should hold, and the steps that change both.

    :param rows: id -> (old, new); a new value of ``...`` is one that the copy has perhaps not reached.
    """

    place: Stepwise
    it: Conversion
    rows: dict[int, tuple[Any, Any]] = field(default_factory=dict)

    def begin(self) -> None:
        columns = f"id integer {self.it.key}, a {self.it.old}, b {self.it.new}, other integer"
        self.place.run(f"DROP TABLE IF EXISTS t; CREATE TABLE t ({columns})")
        for n in range(ROWS):
            value = self.it.old_values[n % len(self.it.old_values)]
            self.sql("INSERT INTO t (id, a) VALUES (%s, %s)", n, value)
            self.rows[n] = (value, ...)
        self.place.op("sync_columns", "t", "a", "b", up=self.it.up, down=self.it.down)

    def sql(self, statement: str, *values: Any) -> None:
        with self.place.cluster.connect(self.place.name) as c:
            c.execute(statement, values)

    # what each step does, and what a row must be after it

    def old_insert(self, id_: int, old: Any, _: Any) -> None:
        self.sql("INSERT INTO t (id, a) VALUES (%s, %s)", id_, old)
        self.rows[id_] = (old, self.it.py_up(old))

    def new_insert(self, id_: int, _: Any, new: Any) -> None:
        self.sql("INSERT INTO t (id, b) VALUES (%s, %s)", id_, new)
        self._new_written(id_, None, new)

    def both_insert(self, id_: int, old: Any, new: Any) -> None:
        self.sql("INSERT INTO t (id, a, b) VALUES (%s, %s, %s)", id_, old, new)
        self._new_written(id_, old, new) if new is not None else self._old_written(id_, old)

    def old_update(self, id_: int, old: Any, _: Any) -> None:
        self.sql("UPDATE t SET a = %s WHERE id = %s", old, id_)
        before = self.rows[id_]
        if repr(old) != repr(before[0]) or before[1] in (None, ...):
            self._old_written(id_, old)

    def new_update(self, id_: int, _: Any, new: Any) -> None:
        self.settle(id_)
        self.sql("UPDATE t SET b = %s WHERE id = %s", new, id_)
        old, before = self.rows[id_]
        if new != before:
            self._new_written(id_, old, new)
        elif new is None:
            self._old_written(id_, old)

    def both_update(self, id_: int, old: Any, new: Any) -> None:
        self.settle(id_)
        self.sql("UPDATE t SET a = %s, b = %s WHERE id = %s", old, new, id_)
        before = self.rows[id_]
        if new != before[1]:
            self._new_written(id_, old, new)
        elif repr(old) != repr(before[0]) or new is None:
            self._old_written(id_, old)

    def touch(self, id_: int, _: Any, __: Any) -> None:
        self.sql("UPDATE t SET other = 1 WHERE id = %s", id_)
        if self.rows[id_][1] in (None, ...):
            self._old_written(id_, self.rows[id_][0])

    def delete(self, id_: int, _: Any, __: Any) -> None:
        self.sql("DELETE FROM t WHERE id = %s", id_)
        del self.rows[id_]

    def _old_written(self, id_: int, old: Any) -> None:
        self.rows[id_] = (old, self.it.py_up(old))

    def _new_written(self, id_: int, old: Any, new: Any) -> None:
        self.rows[id_] = (old, new) if new == self.it.py_up(old) else (self.it.py_down(new), new)

    def settle(self, id_: int) -> None:
        """Learn whether the copy has reached a row, before what comes next depends on it."""
        old, new = self.rows[id_]
        if new is ...:
            found = self.place.all(f"SELECT b FROM t WHERE id = {id_}")[0][0]
            assert found in (None, self.it.py_up(old))
            self.rows[id_] = (old, found)

    def copy(self, die_at: int | None) -> None:
        try:
            self.place.steps("backfill", "t", set_={"b": self.it.up or "a"}, batch_rows=3, die_at=die_at)
        except Killed:
            event("killed in the middle of the copy")
        for id_, (old, new) in self.rows.items():
            # NULL is what the copy fills, whoever wrote it
            if new is None and self.it.py_up(old) is not None:
                self.rows[id_] = (old, ...)

    def check(self, *, complete: bool = False) -> None:
        found = {id_: (old, new) for id_, old, new in self.place.all("SELECT id, a, b FROM t")}
        assert found.keys() == self.rows.keys()
        for id_, (old, new) in self.rows.items():
            up = self.it.py_up(old)
            expected = [up] if complete and new is ... else [None, up] if new is ... else [new]
            assert repr(found[id_][0]) == repr(old), (id_, found[id_], self.rows[id_])
            assert found[id_][1] in expected, (id_, found[id_], self.rows[id_])


WRITES = ("old_insert", "new_insert", "both_insert", "old_update", "new_update", "both_update", "touch", "delete")
STEPS = st.lists(
    st.tuples(
        st.sampled_from((*WRITES, "copy", "copy", "copy")), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)
    ),
    min_size=8,
    max_size=24,
)


@pytest.fixture(scope="module")
def sync_place(cluster: Cluster) -> Iterator[Stepwise]:
    cluster.create("sync_and_copy")
    it = Stepwise(cluster, lambda: "sync_and_copy")
    yield it
    it.close()
    cluster.drop("sync_and_copy")


def play(place: Stepwise, conversion: str, steps: list[tuple[str, int, int, int]]) -> None:
    world = World(place, CONVERSIONS[conversion])
    world.begin()
    for number, (step, a, b, c) in enumerate(steps):
        if step == "copy":
            world.copy(die_at=1 + a % 7)
        else:
            old, new = (
                world.it.old_values[b % len(world.it.old_values)],
                world.it.new_values[c % len(world.it.new_values)],
            )
            is_insert = step.endswith("insert")
            if not is_insert and not world.rows:
                continue
            id_ = ROWS + number if is_insert else sorted(world.rows)[a % len(world.rows)]
            getattr(world, step)(id_, old, new)
        world.check()
    world.copy(die_at=None)
    world.check(complete=True)
    assert place.steps("verify_copied", "t", "a", "b", up=world.it.up, down=world.it.down) == len(world.rows)


@pytest.mark.parametrize("conversion", CONVERSIONS)
@settings(
    max_examples=5, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(steps=STEPS)
def test_nothing_is_lost_and_nothing_contradicts_itself(
    sync_place: Stepwise, conversion: str, steps: list[tuple[str, int, int, int]]
) -> None:
    play(sync_place, conversion, steps)


@pytest.mark.long
@pytest.mark.parametrize("conversion", CONVERSIONS)
@settings(
    max_examples=200, deadline=None, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck)
)
@given(steps=STEPS)
def test_nothing_is_lost_in_ten_thousand_steps(
    sync_place: Stepwise, conversion: str, steps: list[tuple[str, int, int, int]]
) -> None:
    play(sync_place, conversion, steps)
