"""What a copy along a key of several columns asks for in each batch, and what the planner thinks of it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from alembic_safe.database.copying_ranges import Leaf, between
from alembic_safe.database.statements import run
from alembic_safe.operations.living import find_table
from tests.stepwise import Stepwise, place

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["place"]

ROWS = 20_000
KEYS = {  # what the two columns of the key are
    "groups of ten": ("n / 10", "n % 10"),
    "one group": ("1", "n"),
    "groups all over the table": ("n % 1000", "n"),
    "a group for each": ("n", "1"),
}


def filled(place: Stepwise, key: str) -> list[Any]:
    """Fill a table, and return its keys in their order, as text."""
    first, second = KEYS[key]
    place.given(
        "CREATE TABLE t (g integer, k integer, a integer, b integer, pad text, PRIMARY KEY (g, k));"
        f"INSERT INTO t SELECT {first}, {second}, n, NULL, repeat('x', 150) FROM generate_series(1, {ROWS}) n; ANALYZE t"
    )
    return place.all("SELECT g::text, k::text FROM t ORDER BY t.g, t.k")


def leaf_of(connection: Connection) -> Leaf:
    table = find_table(connection, "t", "public")
    assert table is not None
    return Leaf(table, (("g", "integer"), ("k", "integer")), ROWS, 1)


@pytest.mark.parametrize("key", KEYS)
def test_the_planner_knows_how_few_rows_a_batch_has(place: Stepwise, key: str) -> None:
    keys = filled(place, key)
    with place.engine.connect() as connection:
        # of the row comparison alone it assumes a quarter of the table here, and of a large one it reads all of it
        middle = ROWS // 2
        condition, parameters = between(leaf_of(connection), keys[middle], keys[middle + 100])
        plan = run(connection, f"EXPLAIN (FORMAT JSON) UPDATE t SET b = a WHERE {condition}", parameters)[0]
    scan = plan["QUERY PLAN"][0]["Plan"]["Plans"][0]
    assert scan["Plan Rows"] < 500
    assert scan["Node Type"] in {"Index Scan", "Bitmap Heap Scan"}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("steps", [1, 7, 100])
def test_what_is_between_two_keys_is_what_is_between_them_in_their_order(place: Stepwise, key: str, steps: int) -> None:
    keys = filled(place, key)[:60]
    cuts = [None, *keys[::steps], keys[-1]]
    with place.engine.connect() as connection:
        leaf = leaf_of(connection)
        for after, upto in pairwise(cuts):
            condition, parameters = between(leaf, after, upto)
            found = run(connection, f"SELECT g::text, k::text FROM t WHERE {condition} ORDER BY t.g, t.k", parameters)
            begin = 0 if after is None else keys.index(after) + 1
            assert [(row["g"], row["k"]) for row in found] == keys[begin : keys.index(upto) + 1]


def test_a_copy_along_it_writes_every_row_once(place: Stepwise) -> None:
    filled(place, "groups all over the table")
    place.op("sync_columns", "t", "a", "b")

    done = place.steps("backfill", "t", set_={"b": "a"}, batch_rows=333)

    assert (done.rows, done.written) == (ROWS, ROWS)
    assert place.all("SELECT count(*) FROM t WHERE b IS DISTINCT FROM a") == [(0,)]
