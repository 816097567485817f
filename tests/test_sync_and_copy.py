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
    """Columns, and what leads from those of one side to those of the other: in SQL, and here for the oracle.

    :param old: the type of each old column, which are called a, a2, ...; ``new``: of b, b2, ...
    :param old_values: what stands in the old column, or a tuple of what stands in all of them; likewise ``new_values``.
    :param first: SQL before the table is made.
    """

    old: str | tuple[str, ...]
    new: str | tuple[str, ...]
    up: str | tuple[str, ...] | None
    down: str | tuple[str, ...] | None
    py_up: Callable[[Any], Any]
    py_down: Callable[[Any], Any]
    old_values: tuple[Any, ...]
    new_values: tuple[Any, ...]
    key: str = "PRIMARY KEY"
    first: str = ""

    @property
    def olds(self) -> tuple[str, ...]:
        """The old columns' names."""
        return ("a", "a2")[: len(_several(self.old))]

    @property
    def news(self) -> tuple[str, ...]:
        """The new columns' names."""
        return ("b", "b2")[: len(_several(self.new))]


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _is_empty(value: Any) -> bool:
    return all(one is None for one in _several(value))


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
    "labels of an enum": Conversion(
        "mood", "mood_new", "CASE a::text WHEN 'bad' THEN 'poor' WHEN 'gone' THEN 'good' ELSE a::text END",
        "CASE b::text WHEN 'poor' THEN 'bad' ELSE b::text END",
        lambda v: {"bad": "poor", "gone": "good"}.get(v, v), lambda v: "bad" if v == "poor" else v,
        (None, "good", "bad", "gone"), (None, "good", "poor"),
        first="DROP TYPE IF EXISTS mood, mood_new CASCADE; CREATE TYPE mood AS ENUM ('good', 'bad', 'gone');"
        " CREATE TYPE mood_new AS ENUM ('poor', 'good')",
    ),
    "one becomes two": Conversion(
        "text", ("text", "text"), ("split_part(a, ' ', 1)", "split_part(a, ' ', 2)"),
        "nullif(coalesce(b, '') || ' ' || coalesce(b2, ''), ' ')",
        lambda v: (None, None) if v is None else (*v.split(" "), "", "")[:2],
        lambda v: None if not any(v) else f"{v[0] or ''} {v[1] or ''}",
        (None, "a b", "a", " b", "a b c", ""), ((None, None), ("a", "b"), ("a", None), ("", ""), ("a", "c")),
    ),
    "two become one": Conversion(
        ("integer", "text"), "text", "a || ':' || a2", ("split_part(b, ':', 1)::integer", "split_part(b, ':', 2)"),
        lambda v: None if None in v else f"{v[0]}:{v[1]}",
        lambda v: (None, None) if v is None else (int(v.split(":")[0]), v.split(":")[1]),
        ((None, None), (1, "x"), (1, None), (2, "")), (None, "1:x", "2:", "3:y:z"),
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
        types = zip((*self.it.olds, *self.it.news), (*_several(self.it.old), *_several(self.it.new)), strict=True)
        columns = ", ".join(f"{name} {type_}" for name, type_ in types)
        self.place.run(f"DROP TABLE IF EXISTS t; {self.it.first}")
        self.place.run(f"CREATE TABLE t (id integer {self.it.key}, {columns}, other integer)")
        for n in range(ROWS):
            value = self.it.old_values[n % len(self.it.old_values)]
            self._insert(n, self.it.olds, _several(value))
            self.rows[n] = (value, ...)
        self.place.op("sync_columns", "t", self.it.olds, self.it.news, up=self.it.up, down=self.it.down)

    def sql(self, statement: str, *values: Any) -> None:
        with self.place.cluster.connect(self.place.name) as c:
            c.execute(statement, values)

    def _insert(self, id_: int, columns: tuple[str, ...], values: tuple[Any, ...]) -> None:
        marks = ", ".join(["%s"] * (1 + len(columns)))
        self.sql(f"INSERT INTO t (id, {', '.join(columns)}) VALUES ({marks})", id_, *values)

    def _update(self, id_: int, columns: tuple[str, ...], values: tuple[Any, ...]) -> None:
        self.sql(f"UPDATE t SET {', '.join(f'{name} = %s' for name in columns)} WHERE id = %s", *values, id_)

    # what each step does, and what a row must be after it

    def old_insert(self, id_: int, old: Any, _: Any) -> None:
        self._insert(id_, self.it.olds, _several(old))
        self.rows[id_] = (old, self.it.py_up(old))

    def new_insert(self, id_: int, _: Any, new: Any) -> None:
        self._insert(id_, self.it.news, _several(new))
        nothing = (None,) * len(self.it.olds)
        self._new_written(id_, nothing if len(nothing) > 1 else None, new)

    def both_insert(self, id_: int, old: Any, new: Any) -> None:
        self._insert(id_, (*self.it.olds, *self.it.news), (*_several(old), *_several(new)))
        self._old_written(id_, old) if _is_empty(new) else self._new_written(id_, old, new)

    def old_update(self, id_: int, old: Any, _: Any) -> None:
        self._update(id_, self.it.olds, _several(old))
        before = self.rows[id_]
        if repr(old) != repr(before[0]) or before[1] is ... or _is_empty(before[1]):
            self._old_written(id_, old)

    def new_update(self, id_: int, _: Any, new: Any) -> None:
        self.settle(id_)
        self._update(id_, self.it.news, _several(new))
        old, before = self.rows[id_]
        if new != before:
            self._new_written(id_, old, new)
        elif _is_empty(new):
            self._old_written(id_, old)

    def both_update(self, id_: int, old: Any, new: Any) -> None:
        self.settle(id_)
        self._update(id_, (*self.it.olds, *self.it.news), (*_several(old), *_several(new)))
        before = self.rows[id_]
        if new != before[1]:
            self._new_written(id_, old, new)
        elif repr(old) != repr(before[0]) or _is_empty(new):
            self._old_written(id_, old)

    def touch(self, id_: int, _: Any, __: Any) -> None:
        self.sql("UPDATE t SET other = 1 WHERE id = %s", id_)
        if self.rows[id_][1] is ... or _is_empty(self.rows[id_][1]):
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
            row = self.place.all(f"SELECT {', '.join(self.it.news)} FROM t WHERE id = {id_}")[0]
            found = row if len(row) > 1 else row[0]
            assert _is_empty(found) or found == self.it.py_up(old)
            self.rows[id_] = (old, found)

    def copy(self, die_at: int | None) -> None:
        try:
            set_ = dict(zip(self.it.news, _several(self.it.up or "a"), strict=True))
            self.place.steps("backfill", "t", set_=set_, batch_rows=3, die_at=die_at)
        except Killed:
            event("killed in the middle of the copy")
        for id_, (old, new) in self.rows.items():
            # NULL is what the copy fills, whoever wrote it
            if new is not ... and _is_empty(new) and not _is_empty(self.it.py_up(old)):
                self.rows[id_] = (old, ...)

    def check(self, *, complete: bool = False) -> None:
        olds, news = len(self.it.olds), len(self.it.news)
        rows = self.place.all(f"SELECT id, {', '.join((*self.it.olds, *self.it.news))} FROM t")
        found = {row[0]: (row[1 : 1 + olds], row[1 + olds :]) for row in rows}
        assert found.keys() == self.rows.keys()
        for id_, (old, new) in self.rows.items():
            up = _several(self.it.py_up(old))
            expected = [up] if complete and new is ... else [(None,) * news, up] if new is ... else [_several(new)]
            assert repr(found[id_][0]) == repr(_several(old)), (id_, found[id_], self.rows[id_])
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
    assert place.steps("verify_copied", "t", world.it.olds, world.it.news, up=world.it.up, down=world.it.down) == len(
        world.rows
    )


@pytest.mark.parametrize("conversion", CONVERSIONS)
@settings(
    max_examples=5, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(steps=STEPS)
@pytest.mark.cases("lossy both ways", "one becomes two", "labels of an enum")
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
