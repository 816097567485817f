"""Indexes built beside readers and writers: again after a failure, on partitioned tables, and in scripts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from alembic_safe.database.statements import quoted
from alembic_safe.errors import Findings, Refused
from alembic_safe.operations.concurrent_indexes import CreateIndexConcurrentlyOp
from tests.stepwise import HOSTILE, Stepwise, place

__all__ = ["place"]

TABLE = "CREATE TABLE t (id integer, c text); INSERT INTO t VALUES (1, 'a'), (2, 'a')"
PARTITIONED = (
    "CREATE SCHEMA s; CREATE TABLE t (id integer, c text) PARTITION BY RANGE (id);"
    'CREATE TABLE s."T%1" PARTITION OF t FOR VALUES FROM (0) TO (9);'
    "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (9) TO (99) PARTITION BY RANGE (id);"
    "CREATE TABLE s.t21 PARTITION OF t2 FOR VALUES FROM (9) TO (20); INSERT INTO t VALUES (1, 'a'), (10, 'b')"
)


@pytest.mark.parametrize("how", ["op", "steps"])
def test_an_index_is_as_after_a_plain_statement(place: Stepwise, how: str) -> None:
    place.given(TABLE)
    run = getattr(place, how)

    for _ in range(2):
        run(
            "create_index_concurrently", "i", "t", ["c", sa.text("lower(c) DESC")], unique=False,
            postgresql_where=sa.text("c <> 'a:b%'"), postgresql_include=["id"],
        )  # fmt: skip

    assert place.same_as_after("CREATE INDEX i ON t (c, lower(c) DESC) INCLUDE (id) WHERE c <> 'a:b%'")


def test_under_safe_upgrade_nobody_queues_behind_the_build(place: Stepwise) -> None:
    place.given(TABLE)
    with ThreadPoolExecutor(1) as pool, place.cluster.connect(place.name, autocommit=False) as writer:
        writer.execute("UPDATE t SET c = 'b' WHERE id = 1")
        building = pool.submit(place.steps, "create_index_concurrently", "i", "t", ["c"])
        place.until(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCUR%' AND wait_event_type = 'Lock'"
        )

        # a plain CREATE INDEX that waits for the first writer would keep the second one waiting as well
        place.run("SET lock_timeout = '5s'; INSERT INTO t VALUES (3, 'c')")
        writer.commit()
        building.result()

    assert place.all("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(True,)]


def test_what_a_failed_build_left_is_taken_away_first(place: Stepwise) -> None:
    place.given(TABLE)
    with pytest.raises(Exception, match="could not create unique index"):
        place.run("CREATE UNIQUE INDEX CONCURRENTLY i ON t (c)")
    assert place.all("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(False,)]
    place.given("UPDATE t SET c = id::text")

    place.steps("create_index_concurrently", "i", "t", ["c"], unique=True)

    assert place.all("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(True,)]
    assert place.same_as_after("CREATE UNIQUE INDEX i ON t (c)")


def test_rows_that_are_no_unique_key_are_a_finding_and_leave_nothing(place: Stepwise) -> None:
    place.given(TABLE)

    with pytest.raises(Findings, match=r"Index i on public\.t cannot be unique"):
        place.steps("create_index_concurrently", "i", "t", ["c"], unique=True)

    assert place.dump() == place.dump(place.twin)


@pytest.mark.parametrize(
    "other",
    [
        "CREATE INDEX i ON t (id)",
        "CREATE UNIQUE INDEX i ON t (id, c)",
        "CREATE TABLE u (c text); CREATE INDEX i ON u (c)",
    ],
)
def test_another_index_of_that_name_is_not_taken_for_it(place: Stepwise, other: str) -> None:
    place.given(TABLE)
    place.run(other)

    with pytest.raises(Refused, match="another index has the name i"):
        place.steps("create_index_concurrently", "i", "t", ["c"])


@pytest.mark.parametrize("how", ["op", "steps"])
def test_an_index_of_a_partitioned_table(place: Stepwise, how: str) -> None:
    place.given(PARTITIONED)
    run = getattr(place, how)

    for _ in range(2):
        run("create_index_concurrently", "i", "t", ["id", "c"], unique=True)

    assert place.same_as_after("CREATE UNIQUE INDEX i ON t (id, c)")
    assert place.all("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_a_partitioned_build_goes_on_where_it_was_killed(place: Stepwise) -> None:
    place.given(PARTITIONED)
    place.run("CREATE INDEX i ON ONLY t (c)")
    place.run('CREATE INDEX CONCURRENTLY ON s."T%1" (c)')
    place.run("CREATE INDEX t2_c_idx ON ONLY t2 (c)")

    place.steps("create_index_concurrently", "i", "t", ["c"])

    assert place.same_as_after("CREATE INDEX i ON t (c)")
    assert place.all("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


@pytest.mark.parametrize("how", ["op", "steps"])
def test_an_index_is_dropped_and_stays_dropped(place: Stepwise, how: str) -> None:
    place.given(TABLE)
    place.run("CREATE INDEX i ON t (c)")
    run = getattr(place, how)

    for _ in range(2):
        run("drop_index_concurrently", "i", "t")

    assert place.dump() == place.dump(place.twin)


def test_a_partitioned_index_is_dropped(place: Stepwise) -> None:
    place.given(PARTITIONED)
    place.run("CREATE INDEX i ON t (c)")

    place.steps("drop_index_concurrently", "i", "t")

    assert place.dump() == place.dump(place.twin)


def test_the_index_of_a_constraint_is_named_with_it(place: Stepwise) -> None:
    place.given("CREATE TABLE t (id integer CONSTRAINT k PRIMARY KEY)")

    with pytest.raises(Refused, match="belongs to constraint k"):
        place.steps("drop_index_concurrently", "k", "t")


def test_the_reverse_of_the_reverse_builds_it_again(place: Stepwise) -> None:
    place.given(TABLE)
    op = CreateIndexConcurrentlyOp("i", "t", ["c"])

    place.op("invoke", op.reverse().reverse())

    assert place.same_as_after("CREATE INDEX i ON t (c)")


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("how", ["op", "steps", "script"])
def test_hostile_names_in_a_schema_off_the_search_path(place: Stepwise, name: str, how: str) -> None:
    place.given(f"CREATE SCHEMA {quoted(name)}; CREATE TABLE {quoted(name, name)} ({quoted(name)} text)")
    index = "i" + name[:30]

    for verb, more in (("create_index_concurrently", ([name],)), ("drop_index_concurrently", ())):
        words = (verb, index, name, *more)
        if how != "script":
            getattr(place, how)(*words, schema=name)
        else:
            script = place.script(*words, schema=name)
            assert script.startswith("COMMIT;")
            assert script.rstrip().endswith("BEGIN;")
            place.run_script(script.replace("COMMIT;", "").replace("BEGIN;", ""))
        if more:
            made = place.all("SELECT indexname FROM pg_indexes WHERE schemaname !~ '^(pg_|alembic)'")
            assert made == [(index,)]
    assert place.dump() == place.dump(place.twin)


def test_an_index_without_a_name_gets_that_of_the_convention(place: Stepwise) -> None:
    place.given(TABLE)

    for _ in range(2):
        place.steps("create_index_concurrently", None, "t", ["c"])

    assert place.same_as_after("CREATE INDEX ix_t_c ON t (c)")


def test_a_partition_that_is_a_foreign_table_is_named_before_anything_is_built(place: Stepwise) -> None:
    place.given(
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER elsewhere FOREIGN DATA WRAPPER w;"
        " CREATE TABLE e (id integer, nick text) PARTITION BY RANGE (id);"
        " CREATE TABLE e1 PARTITION OF e FOR VALUES FROM (0) TO (9) PARTITION BY RANGE (id);"
        " CREATE FOREIGN TABLE e2 PARTITION OF e1 FOR VALUES FROM (0) TO (5) SERVER elsewhere"
    )
    with pytest.raises(Refused, match=r"partition public\.e2 is a foreign table"):
        place.op("create_index_concurrently", "ix", "e", ["nick"])
    assert place.dump() == place.dump(place.twin)
    place.op("create_index", "ix", "e", ["nick"])
