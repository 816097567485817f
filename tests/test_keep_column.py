"""A column's values are kept beside it in batches, so that retiring it takes a moment."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
import sqlalchemy as sa

from alembic_safe.database.statements import quoted
from alembic_safe.errors import Refused
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare
from alembic_safe.operations.keep_column import KeepColumnOp, UnkeepColumnOp
from tests.stepwise import HOSTILE, Killed, Stepwise, place

__all__ = ["place"]

TABLE = (
    "CREATE TABLE t (id integer PRIMARY KEY, c text, d text);"
    "INSERT INTO t SELECT n, 'v' || n FROM generate_series(1, 300) n;"
)
PARTITIONED = (
    "CREATE TABLE t (id integer PRIMARY KEY, c text) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t FOR VALUES"
    " FROM (0) TO (100); CREATE TABLE t2 PARTITION OF t DEFAULT; INSERT INTO t SELECT n, 'v' FROM generate_series(1, 300) n"
)
C = sa.Column("c", sa.Text)


def beside(place: Stepwise) -> list[tuple[object, ...]]:
    return place.all("SELECT key_1::integer, value FROM alembic_safe_retired.t_c ORDER BY 1")


def living(place: Stepwise) -> list[tuple[object, ...]]:
    return place.all("SELECT id, c FROM t WHERE c IS NOT NULL ORDER BY 1")


@pytest.mark.parametrize("how", ["op", "steps"])
def test_every_value_is_kept_and_every_write_behind_it_as_well(place: Stepwise, how: str) -> None:
    place.given(TABLE)

    for _ in range(2):
        getattr(place, how)("keep_column", "t", C)
    assert beside(place) == living(place)

    place.run(
        "INSERT INTO t VALUES (1000, 'new'), (1001, NULL); UPDATE t SET c = 'other' WHERE id = 1; UPDATE t SET d = 'x'"
    )
    place.run("UPDATE t SET c = NULL WHERE id = 2; DELETE FROM t WHERE id = 3; UPDATE t SET id = 4000 WHERE id = 4")
    place.run("SET session_replication_role = replica; UPDATE t SET c = 'replicated' WHERE id = 5")
    place.run(
        "SET datestyle = 'SQL, DMY'; INSERT INTO t VALUES (1, 'upsert') ON CONFLICT (id) DO UPDATE SET c = excluded.c"
    )
    assert beside(place) == living(place)

    place.run("TRUNCATE t")
    assert beside(place) == []


def test_retiring_it_then_drops_it_and_it_comes_back(place: Stepwise) -> None:
    place.given(TABLE)
    place.steps("keep_column", "t", C)
    place.run("UPDATE t SET c = 'late' WHERE id = 7")
    before = living(place)

    done = place.op("retire_column", "t", C)

    assert (done.kept, done.rows) == ("t_c", 300)
    assert place.same_as_after("ALTER TABLE t DROP c")
    assert place.all("SELECT count(*) FROM pg_proc WHERE pronamespace = 'alembic_safe_sync'::regnamespace") == [(0,)]
    assert beside(place) == before
    assert [one.record.state for one in place.retired() if one.record] == ["kept"]

    place.op("restore_column", "t", C, accept=["restore-by-key:t.c"])
    assert living(place) == before


def test_nothing_of_the_table_is_read_while_it_is_locked(place: Stepwise) -> None:
    place.given(TABLE)
    place.steps("keep_column", "t", C)
    place.run("ANALYZE t")
    before = place.all("SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 't'")

    place.op("retire_column", "t", C)

    place.run("SELECT pg_stat_force_next_flush()")
    assert place.all("SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 't'") == before


def test_it_goes_on_where_it_was_killed(place: Stepwise) -> None:
    place.given(TABLE)

    for die_at in (1, 2, 3, 2, 3):
        with pytest.raises(Killed):
            place.steps("keep_column", "t", C, die_at=die_at)
    place.steps("keep_column", "t", C)

    assert beside(place) == living(place)


def test_what_was_kept_only_in_part_is_kept_anew_when_it_is_retired(place: Stepwise) -> None:
    place.given(TABLE)
    with pytest.raises(Killed):
        place.steps("keep_column", "t", C, die_at=2)
    before = living(place)

    done = place.op("retire_column", "t", C)

    assert (done.rows, beside(place)) == (300, before)
    assert place.same_as_after("ALTER TABLE t DROP c")


AGAIN = {
    "inserted": "INSERT INTO t VALUES (1, NULL), (2, 'new')",
    "moved there": "INSERT INTO t VALUES (50, NULL), (51, 'new'); UPDATE t SET id = id - 49 WHERE id IN (50, 51)",
    "from another partition": "INSERT INTO t VALUES (950, NULL), (951, 'new'); UPDATE t SET id = id - 949 WHERE id > 900",
}
GONE = {
    "truncated": "TRUNCATE t1",
    "another one": "DROP TABLE t1; CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100)",
}


@pytest.mark.parametrize("gone", GONE)
@pytest.mark.parametrize("again", AGAIN)
def test_a_key_that_comes_again_behind_its_partition_has_nothing_of_the_row_before(
    place: Stepwise, gone: str, again: str
) -> None:
    place.given(PARTITIONED)
    place.steps("keep_column", "t", C)
    place.run("DELETE FROM t WHERE id BETWEEN 3 AND 99")

    # no trigger of the partitioned table sees it
    place.run(GONE[gone])
    place.run(AGAIN[again])
    before = living(place)
    assert beside(place) == before
    place.op("retire_column", "t", C)
    place.op("restore_column", "t", C, accept=["restore-by-key:t.c"])

    assert living(place) == before


@pytest.mark.parametrize("where", ["t", "t1"])
def test_what_triggers_that_do_not_fire_in_every_session_missed_is_kept_when_it_is_retired(
    place: Stepwise, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    place.given(PARTITIONED)
    place.steps("keep_column", "t", C)
    # as pg_restore --disable-triggers leaves them behind
    place.run(f"ALTER TABLE {where} DISABLE TRIGGER ALL; ALTER TABLE {where} ENABLE TRIGGER ALL")
    place.run("SET session_replication_role = replica; UPDATE t SET c = 'replicated' WHERE id = 5")
    before = living(place)

    done = place.op("retire_column", "t", C)

    assert (done.rows, beside(place)) == (300, before)
    assert "did not fire in every session" in caplog.text
    assert place.same_as_after("ALTER TABLE t DROP c")


def test_a_row_that_somebody_holds_is_kept_as_it_is_in_the_end(place: Stepwise) -> None:
    place.given(TABLE)
    with place.cluster.connect(place.name, autocommit=False) as holder:
        holder.execute("SELECT FROM t WHERE id = 150 FOR UPDATE")

        def write() -> None:
            holder.execute("UPDATE t SET c = NULL WHERE id = 150")
            holder.commit()

        held = threading.Timer(1.0, write)
        # the triggers are made when it holds no lock on the table that they would wait for
        holder.rollback()
        place.steps("keep_column", "t", C)
        place.run("DELETE FROM alembic_safe_retired.t_c WHERE key_1 = '150'; DELETE FROM alembic_safe_runner.copies")
        holder.execute("SELECT FROM t WHERE id = 150 FOR UPDATE")
        held.start()

        place.steps("keep_column", "t", C)
        held.join()

    assert beside(place) == living(place)
    assert (150, None) not in beside(place)


def test_only_what_differs_from_its_successor_is_kept(place: Stepwise) -> None:
    place.given(
        TABLE + "UPDATE t SET d = upper(c); UPDATE t SET d = 'other' WHERE id = 9; UPDATE t SET d = NULL WHERE id = 10"
    )
    words: dict[str, Any] = {"replaced_by": "d", "down": "lower(d)"}

    place.steps("keep_column", "t", C, **words)
    place.run("UPDATE t SET c = 'x' WHERE id = 11; UPDATE t SET d = 'V9' WHERE id = 9")

    assert place.all("SELECT key_1, value, successor_1 FROM alembic_safe_retired.t_c ORDER BY 1") == [
        ("10", "v10", None), ("11", "x", "V11"),
    ]  # fmt: skip
    done = place.op("retire_column", "t", C, **words)
    assert done.rows == 2
    place.op("restore_column", "t", C, **words)
    assert place.all("SELECT id, c FROM t WHERE id IN (9, 10, 11) ORDER BY 1") == [(9, "v9"), (10, "v10"), (11, "x")]


def test_a_column_whose_values_all_follow_leaves_no_kept_table(place: Stepwise) -> None:
    place.given(TABLE + "UPDATE t SET d = c")
    words: dict[str, Any] = {"replaced_by": "d", "down": "d"}
    place.steps("keep_column", "t", C, **words)

    done = place.op("retire_column", "t", C, **words)

    assert (done.kept, done.rows) == ("", 0)
    assert place.retired() == []


def test_reverse_lets_go_of_it_and_its_reverse_keeps_it_again(place: Stepwise) -> None:
    place.given(TABLE)
    keep = KeepColumnOp("t", C._copy())
    place.op("invoke", keep)
    back = keep.reverse()
    assert isinstance(back, UnkeepColumnOp)

    for _ in range(2):
        place.op("invoke", back)
    assert place.dump() == place.dump(place.twin)
    assert place.all("SELECT relname FROM pg_class WHERE relnamespace = 'alembic_safe_retired'::regnamespace") == []

    place.op("invoke", back.reverse())
    assert beside(place) == living(place)


def test_it_is_no_part_of_the_database_and_nobody_s_to_purge(place: Stepwise) -> None:
    place.given(TABLE)
    with place.engine.connect() as c:
        before = read_catalog(c)

    place.op("keep_column", "t", C)

    with place.engine.connect() as c:
        assert compare(before, read_catalog(c)) == ()
    assert place.retired() == []


def test_the_application_needs_no_right_on_what_is_kept(place: Stepwise) -> None:
    place.given(TABLE)
    place.run("DO $$ BEGIN CREATE ROLE app_writer LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;")
    place.run("GRANT SELECT, INSERT, UPDATE, DELETE ON t TO app_writer")
    place.steps("keep_column", "t", C)

    place.run("SET ROLE app_writer; UPDATE t SET c = 'by the application' WHERE id = 1; DELETE FROM t WHERE id = 2")

    assert beside(place) == living(place)
    with pytest.raises(Exception, match="permission denied"):
        place.run("SET ROLE app_writer; SELECT * FROM alembic_safe_retired.t_c")
    place.run("REVOKE ALL ON t FROM app_writer")


def test_a_partitioned_table(place: Stepwise) -> None:
    place.given(PARTITIONED)

    place.steps("keep_column", "t", C)
    place.run("UPDATE t SET id = 1000 WHERE id = 1; UPDATE t2 SET c = 'w' WHERE id = 200")

    assert beside(place) == living(place)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("CREATE TABLE t (c text); INSERT INTO t VALUES ('x')", "no key"),
        ("CREATE TABLE t (id integer PRIMARY KEY, c text GENERATED ALWAYS AS (id::text) STORED)", "generated"),
        (TABLE + "CREATE PUBLICATION everything FOR ALL TABLES", "published"),
        ("CREATE TABLE t (id integer PRIMARY KEY)", "gone"),
    ],
)
def test_where_nothing_can_be_kept_beside_it_retiring_does_it_all(
    place: Stepwise, made: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    place.given(made)
    caplog.set_level(logging.WARNING)

    assert place.steps("keep_column", "t", C) == ""

    assert place.all("SELECT count(*) FROM pg_trigger") == [(0,)]
    assert ("Publication everything is one of all tables" in caplog.text) is (why == "published")


def test_a_copy_that_is_all_that_is_left_is_not_let_go(place: Stepwise) -> None:
    place.given(TABLE)
    place.steps("keep_column", "t", C)
    place.run("ALTER TABLE t DROP c")

    with pytest.raises(Refused, match="all that is left"):
        place.op("unkeep_column", "t", C)


def test_a_script_is_refused_with_the_reason(place: Stepwise) -> None:
    for verb in ("keep_column", "unkeep_column"):
        with pytest.raises(Refused, match=rf"op\.{verb} cannot be written as a script"):
            place.script(verb, "t", C._copy())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_in_a_schema_off_the_search_path(place: Stepwise, name: str) -> None:
    q, where = quoted(name), quoted(name, name)
    place.given(f"CREATE SCHEMA {q}; CREATE TABLE {where} (id text PRIMARY KEY, {q} text, d text)")
    place.run(f"INSERT INTO {where} VALUES ('%:x', 'a:b%', NULL), ('y', 'c', NULL)")
    words: dict[str, Any] = {"replaced_by": "d", "down": "d || ':%'", "schema": name}

    place.steps("keep_column", name, sa.Column(name, sa.Text), **words)
    place.run(f"UPDATE {where} SET {q} = 'z%' WHERE id = 'y'")
    done = place.op("retire_column", name, sa.Column(name, sa.Text), **words)

    kept = place.all(f"SELECT * FROM {quoted('alembic_safe_retired', done.kept)} ORDER BY 1")
    assert kept == [("%:x", "a:b%", None), ("y", "z%", None)]
    assert place.same_as_after(f"ALTER TABLE {where} DROP {q}")
