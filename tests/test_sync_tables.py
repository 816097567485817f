"""Columns of two tables under the writes of an old and a new application, one at a time and both at once."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from alembic_safe.database import copying
from alembic_safe.database.copying_pacing import BatchSize
from alembic_safe.database.statements import quoted
from alembic_safe.errors import Findings, Refused
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.table_syncs import read_table_syncs
from tests.patience import eventually
from tests.retire_cases import some
from tests.stepwise import HOSTILE, Stepwise, place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster import Cluster

__all__ = ["place"]

TABLES = """
CREATE TABLE s (id integer PRIMARY KEY, c text, c2 text, other integer);
CREATE TABLE t (id integer PRIMARY KEY, sid integer UNIQUE REFERENCES s ON DELETE SET NULL ON UPDATE CASCADE,
  d text, d2 text, other integer)
"""
ONE_KEY = "; ALTER TABLE t DROP CONSTRAINT t_pkey, DROP CONSTRAINT t_sid_key, ADD PRIMARY KEY (sid)"
"""For upserts at the same time: of a table with two unique keys, PostgreSQL itself now and then fails one by the other key."""
MOVE: tuple[Any, ...] = ("s", "t", {"c": "d", "c2": "d2"})
ON: dict[str, Any] = {"on": {"id": "sid"}}
DIFFERING = "SELECT s.id FROM s JOIN t ON t.sid = s.id WHERE (c, c2) IS DISTINCT FROM (d, d2)"
PAIR = "INSERT INTO s VALUES (1, 'a', 'b'); INSERT INTO t (id, sid) VALUES (10, 1); "


def both(place: Stepwise) -> tuple[list[Any], list[Any]]:
    return place.all("SELECT id, c, c2 FROM s ORDER BY 1"), place.all("SELECT id, sid, d, d2 FROM t ORDER BY 1")


WRITES = {
    "a row of the target comes later, and picks the values up": ("", [(1, "a", "b")], [(10, 1, "a", "b")]),
    "it comes with a value of its own": (
        "DELETE FROM t; INSERT INTO t VALUES (11, 1, 'new')", [(1, "new", "b")], [(11, 1, "new", "b")],
    ),
    "the old application updates": ("UPDATE s SET c = 'x'", [(1, "x", "b")], [(10, 1, "x", "b")]),
    "the new application updates": ("UPDATE t SET d2 = 'x'", [(1, "a", "x")], [(10, 1, "a", "x")]),
    "the old application writes NULL": ("UPDATE s SET c = NULL", [(1, None, "b")], [(10, 1, None, "b")]),
    "the new application writes NULL": ("UPDATE t SET d = NULL", [(1, None, "b")], [(10, 1, None, "b")]),
    "NULL, and something else later": (
        "UPDATE t SET d = NULL; UPDATE t SET other = 1; UPDATE s SET other = 1", [(1, None, "b")], [(10, 1, None, "b")],
    ),
    "both in turn": (
        "UPDATE t SET d = 'x'; UPDATE s SET c2 = 'y'; UPDATE s SET c = 'z'", [(1, "z", "y")], [(10, 1, "z", "y")],
    ),
    "both in one statement: the same on both sides in the end": (
        "WITH one AS (UPDATE s SET c = 'x') UPDATE t SET d2 = 'y'", [(1, "x", "y")], [(10, 1, "x", "y")],
    ),
    "only a part that is compared to the last bit": ("UPDATE s SET c = 'A'", [(1, "A", "b")], [(10, 1, "A", "b")]),
    "an upsert of the new application": (
        "INSERT INTO t VALUES (10, 1, 'x') ON CONFLICT (id) DO UPDATE SET d = excluded.d",
        [(1, "x", "b")], [(10, 1, "x", "b")],
    ),
    "an upsert that changes nothing": (
        "INSERT INTO t VALUES (10, 1, 'x') ON CONFLICT (id) DO NOTHING", [(1, "a", "b")], [(10, 1, "a", "b")],
    ),
    "an upsert of the old application": (
        "INSERT INTO s (id, c) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET c = excluded.c",
        [(1, "x", "b")], [(10, 1, "x", "b")],
    ),
    "MERGE": (
        "MERGE INTO t USING (VALUES (10, 'x')) v (id, d) ON t.id = v.id WHEN MATCHED THEN UPDATE SET d = v.d",
        [(1, "x", "b")], [(10, 1, "x", "b")],
    ),
    "what replication applies": (
        "SET session_replication_role = replica; UPDATE s SET c = 'x'", [(1, "x", "b")], [(10, 1, "x", "b")],
    ),
    "the source's key changes": ("UPDATE s SET id = 5", [(5, "a", "b")], [(10, 5, "a", "b")]),
    "the row moves to another one, and takes its values": (
        "INSERT INTO s VALUES (2, 'p'); UPDATE t SET sid = 2", [(1, "a", "b"), (2, "p", "b")], [(10, 2, "p", "b")],
    ),
    "it moves with a new value": (
        "INSERT INTO s VALUES (2, 'p'); UPDATE t SET sid = 2, d = 'x'", [(1, "a", "b"), (2, "x", "b")], [(10, 2, "x", "b")],
    ),
    "it leaves: both keep what they have": (
        "UPDATE t SET sid = NULL; UPDATE s SET c = 'x'; UPDATE t SET d2 = 'y'", [(1, "x", "b")], [(10, None, "a", "y")],
    ),
    "it comes from nowhere": (
        "INSERT INTO s (id) VALUES (2); INSERT INTO t VALUES (20, NULL, 'x'); UPDATE t SET sid = 2 WHERE id = 20",
        [(1, "a", "b"), (2, "x", None)], [(10, 1, "a", "b"), (20, 2, "x", None)],
    ),
    "a row of the target goes": ("DELETE FROM t", [(1, "a", "b")], []),
    "a row of the source goes": ("DELETE FROM s", [], [(10, None, "a", "b")]),
    "a row of the source comes without the other": ("INSERT INTO s VALUES (2, 'p')", [(1, "a", "b"), (2, "p", None)],
                                                     [(10, 1, "a", "b")]),
    "many rows": (
        ("INSERT INTO s SELECT n, 'c' || n FROM generate_series(2, 4) n; INSERT INTO t SELECT id, id FROM s WHERE id > 1"
        "; UPDATE s SET c2 = 'x'; UPDATE t SET d = upper(d)"),
        [(1, "A", "x"), (2, "C2", "x"), (3, "C3", "x"), (4, "C4", "x")],
        [(2, 2, "C2", "x"), (3, 3, "C3", "x"), (4, 4, "C4", "x"), (10, 1, "A", "x")],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def _made(cluster: Cluster) -> Iterator[Stepwise]:
    count = iter(range(9))

    def make() -> str:
        name = f"sync_tables_{next(count)}"
        cluster.drop(name)
        cluster.create(name)
        return name

    one = Stepwise(cluster, make)
    one.run(TABLES)
    one.op("sync_tables", *MOVE, **ON)
    yield one
    one.close()
    cluster.drop(one.name)


@pytest.fixture
def synced(_made: Stepwise) -> Stepwise:
    _made.run("TRUNCATE s, t")
    return _made


@pytest.mark.parametrize("case", WRITES)
def test_every_write_reaches_both_tables(synced: Stepwise, case: str) -> None:
    statements, source, target = WRITES[case]
    synced.run(PAIR + statements)
    assert both(synced) == (source, target)


def test_the_one_that_is_referred_to_may_be_the_target(place: Stepwise) -> None:
    place.run(
        "CREATE TABLE t (id integer PRIMARY KEY, d text);"
        " CREATE TABLE s (id integer PRIMARY KEY, tid integer UNIQUE REFERENCES t, c text DEFAULT 'none')"
    )
    place.op("sync_tables", "s", "t", {"c": "d"}, on={"tid": "id"})
    place.run("INSERT INTO t VALUES (1, 'new'), (2, NULL), (3, NULL)")
    place.run("INSERT INTO s (id, tid, c) VALUES (11, 1, DEFAULT), (12, 2, 'old'), (13, NULL, 'alone')")
    assert place.all("SELECT tid, c, d FROM s LEFT JOIN t ON t.id = tid ORDER BY s.id") == [
        (1, "new", "new"), (2, "old", "old"), (None, "alone", None)
    ]  # fmt: skip
    place.run(
        "UPDATE s SET tid = 3 WHERE id = 13; UPDATE s SET tid = NULL WHERE id = 12; UPDATE s SET tid = 2 WHERE id = 11"
    )
    assert place.all("SELECT s.id, tid, c, d FROM s LEFT JOIN t ON t.id = tid ORDER BY s.id") == [
        (11, 2, "old", "old"), (12, None, "old", None), (13, 3, "alone", "alone")
    ]  # fmt: skip


def test_rows_of_before_are_copied_whoever_writes_meanwhile(place: Stepwise) -> None:
    place.run(TABLES)
    place.run("INSERT INTO s SELECT n, 'c' || n, 'x' FROM generate_series(1, 9) n")
    place.run("INSERT INTO t SELECT n, n FROM generate_series(1, 8) n")
    with pytest.raises(Refused, match="in sync with nothing"):
        place.op("copy_moved", *MOVE, **ON)
    place.op("sync_tables", *MOVE, **ON)
    place.run(
        "UPDATE s SET c = 'old' WHERE id = 1; UPDATE t SET d = 'new' WHERE id = 2; UPDATE t SET other = 1 WHERE id = 3"
    )
    with pytest.raises(Findings, match=r"in 5 of 8 rows c, c2 -> d, d2 differ from public\.s"):
        place.op("verify_moved", *MOVE, **ON)
    assert place.steps("copy_moved", *MOVE, **ON).written == 5
    assert place.steps("verify_moved", *MOVE, **ON) == 8
    assert both(place)[1][:4] == [(1, 1, "old", "x"), (2, 2, "new", "x"), (3, 3, "c3", "x"), (4, 4, "c4", "x")]
    assert place.steps("copy_moved", *MOVE, **ON).written == 5  # nothing more


def test_rows_that_nobody_holds_are_copied_together(place: Stepwise) -> None:
    place.run(TABLES)
    fill(place, 9)
    place.op("sync_tables", *MOVE, **ON)
    (name,) = place.all("SELECT proname FROM pg_proc WHERE proname LIKE '%%\\_source' AND proname NOT LIKE '%%wait%%'")[
        0
    ]
    # whoever asks for a single row meets this
    place.run(
        f'CREATE OR REPLACE FUNCTION alembic_safe_sync."{name}"(integer) RETURNS integer LANGUAGE plpgsql'
        " AS $$ BEGIN RAISE 'one by one'; END $$"
    )
    assert place.steps("copy_moved", *MOVE, **ON).written == 9
    assert place.all("SELECT DISTINCT d, d2 FROM t") == [("a", "b")]
    with pytest.raises(psycopg.errors.RaiseException, match="one by one"):
        place.run("UPDATE t SET d = 'x' WHERE id = 1")


def test_what_a_trigger_takes_back_is_written_once(place: Stepwise) -> None:
    place.run(TABLES)
    fill(place, 500)
    place.run(
        "CREATE FUNCTION takes_back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.d := NULL; RETURN NEW; END $$;"
        " CREATE TRIGGER a BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION takes_back()"
    )
    place.op("sync_tables", *MOVE, **ON)
    assert place.steps("copy_moved", *MOVE, **ON).written == 500
    assert place.runner.commits < 20


def until_waited_for(place: Stepwise, holder: psycopg.Connection[Any]) -> None:
    asked = f"SELECT FROM pg_stat_activity WHERE {holder.info.backend_pid} = ANY (pg_blocking_pids(pid))"
    eventually(lambda: bool(place.all(asked)))


@pytest.mark.parametrize("holds", ["SELECT FROM s WHERE id = 2 FOR UPDATE", "UPDATE t SET other = 2 WHERE id = 2"])
def test_a_row_that_somebody_holds_is_copied_when_he_is_done(place: Stepwise, holds: str) -> None:
    place.run(TABLES)
    fill(place, 3)
    place.op("sync_tables", *MOVE, **ON)
    with place.cluster.connect(place.name, autocommit=False) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute(holds)
        running = pool.submit(place.steps, "copy_moved", *MOVE, **ON)
        until_waited_for(place, holder)
        holder.execute("UPDATE s SET c = 'later' WHERE id = 2")
        holder.commit()
        assert running.result(60).rows == 3
    # who changed the row gave way to the copy, which waited for it: that settles what they noted
    assert place.steps("verify_moved", *MOVE, **ON) == 3
    assert both(place)[1] == [(n, n, "later" if n == 2 else "a", "b") for n in (1, 2, 3)]


SEVERAL = {
    "upwards": ("UPDATE s SET other = 1 WHERE id = 3", "UPDATE s SET other = 1 WHERE id = 7"),
    "downwards": ("UPDATE s SET other = 1 WHERE id = 7", "UPDATE s SET other = 1 WHERE id = 3"),
    "here and there": ("UPDATE s SET other = 1 WHERE id = 3", "SELECT FROM t WHERE id = 7 FOR UPDATE"),
    "most of them": ("UPDATE s SET other = 1 WHERE id < 7", "UPDATE s SET other = 1 WHERE id >= 7"),
    "of the target": ("UPDATE t SET other = 1 WHERE id = 3", "UPDATE t SET other = 1 WHERE id = 7"),
}
"""What a transaction does before the copy comes, and while that waits for it."""


@pytest.mark.parametrize(
    ("how", "case"),
    # a stock run holds everything to its end
    [*(("steps", case) for case in SEVERAL), *(("op", case) for case in SEVERAL if case != "downwards")],
)
def test_who_holds_a_row_that_the_copy_waits_for_gets_every_other(place: Stepwise, how: str, case: str) -> None:
    place.run(TABLES)
    fill(place, 12)
    place.op("sync_tables", *MOVE, **ON)
    first, second = SEVERAL[case]
    with place.cluster.connect(place.name, autocommit=False) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute(first)
        running = pool.submit(getattr(place, how), "copy_moved", *MOVE, **ON)
        until_waited_for(place, holder)
        holder.execute("SET LOCAL lock_timeout = '150ms'")
        holder.execute(second)
        holder.commit()
        assert running.result(60).rows == 12
    assert place.all("SELECT id FROM t WHERE (d, d2) IS DISTINCT FROM ('a', 'b')") == []


@pytest.mark.parametrize(
    ("seconds", "pairs", "clients"),
    [(0.5, 30, 3), *(pytest.param(4, n, 6, marks=pytest.mark.long) for n in (3, 20, 200))],
)
def test_no_write_fails_and_none_is_lost_while_rows_are_copied(
    place: Stepwise, seconds: float, pairs: int, clients: int
) -> None:
    place.run(TABLES + ONE_KEY)
    fill(place, pairs)
    place.op("sync_tables", *MOVE, **ON)
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(copying, "_size", lambda *_: BatchSize(1.0, size=3, least=1, fixed=True))
        writing = pool.submit(at_once, place, seconds, pairs, clients)
        assert place.steps("copy_moved", *MOVE, **ON).rows == pairs
        assert writing.result(120) == []
    assert place.op("verify_moved", *MOVE, **ON) == pairs
    assert place.all(DIFFERING) == []


def test_a_column_that_went_and_came_again_is_copied_anew(place: Stepwise) -> None:
    place.run(TABLES)
    place.run("INSERT INTO s SELECT n, 'c' || n, 'x' FROM generate_series(1, 9) n; INSERT INTO t SELECT id, id FROM s")
    for _ in range(2):
        place.op("sync_tables", *MOVE, **ON)
        assert place.steps("copy_moved", *MOVE, **ON).written == 9
        assert place.steps("verify_moved", *MOVE, **ON) == 9
        place.op("drop_table_sync", *MOVE, **ON)
        place.run("ALTER TABLE t DROP d, DROP d2, ADD d text, ADD d2 text")


@pytest.mark.long
def test_rows_find_each_other_by_several_columns(place: Stepwise) -> None:
    place.run("CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN code AS varchar(9)")
    place.run("CREATE TABLE s (k varchar(9), m mood, n code, u uuid, c json, PRIMARY KEY (k, m, n, u))")
    place.run(
        "CREATE TABLE t (a varchar(9), b mood, e code, f uuid, d json, PRIMARY KEY (f, e, b, a),"
        " FOREIGN KEY (a, b, e, f) REFERENCES s (k, m, n, u) ON UPDATE CASCADE)"
    )
    on = {"u": "f", "k": "a", "n": "e", "m": "b"}
    place.op("sync_tables", "s", "t", {"c": "d"}, on=on)
    key = "'x', 'bad', 'y', '9a3c1ef4-36f5-4d3b-9d0f-3f9f4c1e7a55'"
    place.run(f"INSERT INTO s VALUES ({key}, '[1]'); INSERT INTO t VALUES ({key}); UPDATE t SET d = '[2]'")
    place.run("UPDATE s SET m = 'good', k = 'z', c = '[3]'")
    assert place.all("SELECT k, m, n, c::text FROM s") == [("z", "good", "y", "[3]")]
    assert place.all("SELECT a, b, e, d::text FROM t") == [("z", "good", "y", "[3]")]
    assert place.op("verify_moved", "s", "t", {"c": "d"}, on=dict(reversed(on.items()))) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_in_a_schema_off_the_search_path(place: Stepwise, name: str) -> None:
    one = quoted(name)
    place.run(f"CREATE SCHEMA {one}; CREATE TABLE {one}.a (id integer PRIMARY KEY, {one} text)")
    place.run(f'CREATE TABLE {one}.{one} ({one} integer PRIMARY KEY REFERENCES {one}.a, "x%s" text)')
    move: tuple[Any, ...] = ("a", name, {name: "x%s"})
    words: dict[str, Any] = {"on": {"id": name}, "source_schema": name, "schema": name}
    place.run(f"INSERT INTO {one}.a VALUES (1, 'v'), (2, 'w'); INSERT INTO {one}.{one} VALUES (1)")
    place.op("sync_tables", *move, **words)
    assert place.steps("copy_moved", *move, **words).written == 1
    assert place.steps("verify_moved", *move, **words) == 1
    place.run(f"INSERT INTO {one}.{one} VALUES (2); UPDATE {one}.a SET {one} = 'y' WHERE id = 1")
    assert place.all(f'SELECT {one}, "x%s" FROM {one}.{one} ORDER BY 1') == [(1, "y"), (2, "w")]
    place.op("drop_table_sync", *move, **words)
    assert place.all("SELECT proname FROM pg_proc WHERE pronamespace = 'alembic_safe_sync'::regnamespace") == []


@pytest.mark.long
def test_twice_is_once_and_nothing_of_it_stays(place: Stepwise) -> None:
    place.run(TABLES)
    with place.engine.connect() as c:
        before = read_catalog(c)
    place.op("sync_tables", *MOVE, **ON)
    triggers = place.all("SELECT oid FROM pg_trigger ORDER BY 1")
    place.op("sync_tables", *MOVE, **ON)
    assert place.all("SELECT oid FROM pg_trigger ORDER BY 1") == triggers
    with place.engine.connect() as c:
        assert [one.shown for one in read_table_syncs(c)] == ["public.s (c, c2) -> public.t (d, d2)"]
        assert compare(before, read_catalog(c)) == ()
    with pytest.raises(Refused, match="is in sync already"):
        place.op("sync_tables", "s", "t", {"c": "d"}, **ON)
    place.op("drop_table_sync", *MOVE, **ON)
    place.op("drop_table_sync", *MOVE, **ON)
    assert place.all("SELECT relname FROM pg_class WHERE relnamespace = 'alembic_safe_sync'::regnamespace") == []
    place.run("INSERT INTO s VALUES (1, 'a'); INSERT INTO t VALUES (1, 1, 'b')")
    assert both(place) == ([(1, "a", None)], [(1, 1, "b", None)])


REFUSED = {
    "no foreign key": ("ALTER TABLE t DROP CONSTRAINT t_sid_fkey", MOVE, "no foreign key"),
    "it can be deferred": ("ALTER TABLE t ALTER CONSTRAINT t_sid_fkey DEFERRABLE", MOVE, "no foreign key"),
    "several rows": ("ALTER TABLE t DROP CONSTRAINT t_sid_key", MOVE, r"sid is not unique in public\.t"),
    "unique only in part": (
        "ALTER TABLE t DROP CONSTRAINT t_sid_key; CREATE UNIQUE INDEX ON t (sid) WHERE id > 0", MOVE, "sid is not unique",
    ),
    "another type": ("ALTER TABLE t ALTER d TYPE varchar(9)", MOVE, "c is text, and d is character varying"),
    "keys of two types": (
        "ALTER TABLE t ALTER sid TYPE bigint", MOVE, "id is integer, and sid, by which the rows find each other, is bigint",
    ),
    "no such column": ("", ("s", "t", {"nothing": "d"}), r"public\.s has no column nothing"),
    "a generated one": (
        "ALTER TABLE t DROP d; ALTER TABLE t ADD d text GENERATED ALWAYS AS (d2) STORED", MOVE, "d is a generated column",
    ),
    "row security that holds for its owner": ("ALTER TABLE t FORCE ROW LEVEL SECURITY", MOVE, ""),
    "a publication of everything": ("CREATE PUBLICATION every FOR ALL TABLES", MOVE, "publication every is of all tables"),
    "a partitioned table": (
        "DROP TABLE t; CREATE TABLE t (sid integer PRIMARY KEY REFERENCES s, d text, d2 text) PARTITION BY HASH (sid)", MOVE,
        "is partitioned",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", some(REFUSED, 1))
def test_what_cannot_be_made_safe_is_refused(place: Stepwise, case: str) -> None:
    statements, move, said = REFUSED[case]
    place.run(TABLES)
    place.run(statements)
    if not said:  # a superuser sees every row all the same
        place.op("sync_tables", *move, **ON)
        return
    with pytest.raises(Refused, match=said):
        place.op("sync_tables", *move, **ON)
    assert place.all("SELECT FROM pg_trigger WHERE NOT tgisinternal") == []


@pytest.mark.long
def test_who_makes_backups_reads_the_notes_and_calls_nothing(place: Stepwise) -> None:
    place.run(
        TABLES + "; DROP ROLE IF EXISTS sync_backup; CREATE ROLE sync_backup LOGIN; GRANT SELECT ON s, t TO sync_backup"
    )
    place.op("sync_tables", *MOVE, **ON)
    place.cluster.run("pg_dump", "-U", "sync_backup", *place.cluster.where[:4], "--file", "/dev/null", place.name)
    (name,) = place.all("SELECT oid::regprocedure::text FROM pg_proc WHERE proname LIKE '%%_drain'")[0]
    with (
        place.cluster.connect(place.name, user="sync_backup") as c,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        c.execute(f"SELECT {name}")
    place.run("DROP OWNED BY sync_backup; DROP ROLE sync_backup")


@pytest.mark.long
def test_an_application_needs_no_rights_on_the_other_table(place: Stepwise) -> None:
    place.run(TABLES)
    place.op("sync_tables", *MOVE, **ON)
    place.run(PAIR + "DROP ROLE IF EXISTS sync_old; CREATE ROLE sync_old LOGIN; GRANT SELECT, UPDATE ON s TO sync_old")
    with place.cluster.connect(place.name, user="sync_old") as c:
        c.execute("UPDATE s SET c = 'x'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            c.execute("SELECT * FROM t")
    assert both(place)[1] == [(10, 1, "x", "b")]
    place.run("DROP OWNED BY sync_old; DROP ROLE sync_old")


class Writer(threading.Thread):
    """A statement in a transaction of its own, which ends when it is told how."""

    def __init__(self, place: Stepwise, statement: str) -> None:
        super().__init__(daemon=True)
        self.place = place
        self.connection = place.cluster.connect(place.name, autocommit=False)
        self.statement = statement
        self.start()

    def run(self) -> None:
        self.connection.execute(self.statement)

    @property
    def waits(self) -> bool:
        """Whether it waits for somebody."""
        sql = f"SELECT cardinality(pg_blocking_pids({self.connection.info.backend_pid})) > 0"
        return bool(self.place.all(sql)[0][0])


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_who_wrote_the_source_gives_way_to_who_wrote_the_target(synced: Stepwise, ends: str) -> None:
    synced.run(PAIR)
    with synced.cluster.connect(synced.name, autocommit=False) as old:
        old.execute("UPDATE s SET other = 1")
        new = Writer(synced, "UPDATE t SET d = 'new'")
        eventually(lambda: new.waits)
        old.execute("UPDATE s SET c = 'old', c2 = 'old'")
    new.join(60)
    getattr(new.connection, ends)()
    new.connection.close()
    if ends == "rollback":
        # nobody else has both rows: what was written is noted, until the next one who has
        assert both(synced) == ([(1, "old", "old")], [(10, 1, "a", "b")])
        assert synced.op("verify_moved", *MOVE, **ON) == 1
    wanted = "new" if ends == "commit" else "old"
    assert both(synced) == ([(1, wanted, "old")], [(10, 1, wanted, "old")])


def test_who_wrote_the_target_gives_way_to_one_who_writes_both_tables(synced: Stepwise) -> None:
    synced.run(PAIR)
    with synced.cluster.connect(synced.name, autocommit=False) as old:
        old.execute("UPDATE s SET other = 1")
        new = Writer(synced, "UPDATE t SET d = 'new'")
        eventually(lambda: new.waits)
        other = threading.Thread(target=old.execute, args=("UPDATE t SET other = 1",), daemon=True)
        other.start()
        new.join(60)
        new.connection.commit()
        new.connection.close()
        other.join(60)
        old.execute("UPDATE s SET c2 = 'old'")
    assert both(synced) == ([(1, "new", "old")], [(10, 1, "new", "old")])


def test_the_end_of_the_sync_settles_what_gave_way(place: Stepwise) -> None:
    place.run(TABLES)
    place.op("sync_tables", *MOVE, **ON)
    place.run(PAIR)
    with place.cluster.connect(place.name, autocommit=False) as old:
        old.execute("UPDATE s SET other = 1")
        new = Writer(place, "UPDATE t SET d = 'new'")
        eventually(lambda: new.waits)
        old.execute("UPDATE s SET c = 'old'")
    new.join(60)
    new.connection.close()
    place.op("drop_table_sync", *MOVE, **ON)
    assert both(place) == ([(1, "old", "b")], [(10, 1, "old", "b")])


def fill(place: Stepwise, pairs: int) -> None:
    place.run(
        f"INSERT INTO s SELECT n, 'a', 'b' FROM generate_series(1, {pairs}) n; INSERT INTO t SELECT id, id FROM s"
    )


def at_once(place: Stepwise, seconds: float, pairs: int, clients: int) -> list[str]:
    """Let old and new applications write a few pairs of rows, some of them taking it back; return what failed."""
    failed: list[str] = []
    deadline = time.monotonic() + seconds

    def work(number: int) -> None:
        chance = random.Random(number)
        table, key, first, second = ("s", "id", "c", "c2") if number % 2 else ("t", "sid", "d", "d2")
        ways = [f"UPDATE {table} SET {first} = %(value)s WHERE {key} = %(row)s"] * 3
        ways += [f"UPDATE {table} SET {second} = %(value)s WHERE {key} = %(row)s"] * 2
        ways += [f"UPDATE {table} SET {first} = NULL, {second} = %(value)s WHERE {key} = %(row)s"]
        ways += [
            f"UPDATE {table} SET other = 1 WHERE {key} = %(row)s",
            f"SELECT FROM {table} WHERE id = %(row)s FOR UPDATE",
        ]
        upsert = f"ON CONFLICT ({key}) DO UPDATE SET {first} = excluded.{first}"
        made = "(id, c) VALUES (%(row)s" if table == "s" else "(id, sid, d) VALUES (%(row)s, %(row)s"
        ways.append(f"INSERT INTO {table} {made}, %(value)s) {upsert}")
        with place.cluster.connect(place.name, autocommit=False) as connection:
            for turn in range(10**6):
                try:
                    values = {"row": chance.randint(1, pairs), "value": f"{number}-{turn}"}
                    connection.execute(chance.choice(ways), values)
                    if chance.random() < 0.3:
                        time.sleep(0.003)
                    connection.rollback() if chance.random() < 0.2 else connection.commit()
                except psycopg.Error as error:
                    failed.append(str(error))
                    return
                if time.monotonic() > deadline or failed:
                    return
                time.sleep(0.001)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return failed


@pytest.mark.parametrize(
    ("seconds", "pairs", "clients"),
    [(0.7, 3, 4), *(pytest.param(8, n, 8, marks=pytest.mark.long) for n in (1, 2, 5, 30))],
)
def test_no_write_fails_and_none_is_lost_where_both_write_the_same_rows(
    place: Stepwise, seconds: float, pairs: int, clients: int
) -> None:
    place.run(TABLES + ONE_KEY)
    place.op("sync_tables", *MOVE, **ON)
    fill(place, pairs)
    assert at_once(place, seconds, pairs, clients) == []
    # what differs is noted, and nothing else
    assert place.op("verify_moved", *MOVE, **ON) == pairs
    assert place.all(DIFFERING) == []


@pytest.mark.parametrize("turns", [40, pytest.param(600, marks=pytest.mark.long)])
def test_each_application_finds_its_own_last_write_whoever_gave_way(synced: Stepwise, turns: int) -> None:
    """The old one writes a column, the new one another, of the same rows at the same time; both take some of it back."""
    synced.run("INSERT INTO s VALUES (1, 'a', 'b'), (2, 'a', 'b'); INSERT INTO t SELECT id, id FROM s")
    last: dict[tuple[str, int], str] = {(column, row): "ab"[column == "d2"] for column in ("c", "d2") for row in (1, 2)}
    failed: list[str] = []

    def work(table: str, key: str, column: str) -> None:
        chance = random.Random(column)
        with synced.cluster.connect(synced.name, autocommit=False) as connection:
            for turn in range(turns):
                row, value = chance.choice((1, 2)), f"{column} {turn}"
                try:
                    connection.execute(f"UPDATE {table} SET {column} = %s WHERE {key} = %s", [value, row])
                except psycopg.Error as error:
                    failed.append(str(error))
                    return
                if chance.random() < 0.3:
                    connection.rollback()
                else:
                    connection.commit()
                    last[column, row] = value

    threads = [threading.Thread(target=work, args=args) for args in (("s", "id", "c"), ("t", "sid", "d2"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failed == []
    assert synced.op("verify_moved", *MOVE, **ON) == 2
    wanted = [(row, last["c", row], last["d2", row]) for row in (1, 2)]
    assert both(synced) == (wanted, [(row, row, c, d2) for row, c, d2 in wanted])
