"""Old and new columns under the writes of an old and a new application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alembic_safe.database.statements import quoted
from alembic_safe.errors import Missing, Refused
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.syncs import read_syncs
from alembic_safe.operations.sync_columns import DropSyncOp, SyncColumnsOp
from tests.stepwise import HOSTILE, Stepwise, place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster import Cluster

__all__ = ["place"]

TABLE = "CREATE TABLE t (id integer PRIMARY KEY, a text, b text, other integer)"
LOSSY: dict[str, Any] = {"up": "lower(a)", "down": "b"}


def rows(place: Stepwise, columns: str = "id, a, b") -> list[tuple[object, ...]]:
    return place.all(f"SELECT {columns} FROM t ORDER BY 1")


def copied(place: Stepwise, up: str = "lower(a)") -> None:
    """What the copy does: it must never be taken for the new application."""
    place.run(f"UPDATE t SET b = {up} WHERE b IS NULL")


WRITES = {
    "the old application inserts": ("INSERT INTO t (id, a) VALUES (1, 'Ab')", ("Ab", "ab")),
    "the new application inserts": ("INSERT INTO t (id, b) VALUES (1, 'Ab')", ("Ab", "Ab")),
    "both columns, one what the other says": ("INSERT INTO t (id, a, b) VALUES (1, 'Ab', 'ab')", ("Ab", "ab")),
    "both columns, contradicting: the new one wins": ("INSERT INTO t (id, a, b) VALUES (1, 'x', 'y')", ("y", "y")),
    "nothing at all": ("INSERT INTO t (id) VALUES (1)", (None, None)),
    "explicit NULLs": ("INSERT INTO t (id, a, b) VALUES (1, NULL, NULL)", (None, None)),
    "the old application updates": ("INSERT INTO t VALUES (1, 'x'); UPDATE t SET a = 'Yz'", ("Yz", "yz")),
    "the new application updates": ("INSERT INTO t VALUES (1, 'x'); UPDATE t SET b = 'Yz'", ("Yz", "Yz")),
    "an update of both": ("INSERT INTO t VALUES (1, 'x'); UPDATE t SET a = 'p', b = 'q'", ("q", "q")),
    "an update to what is there": ("INSERT INTO t VALUES (1, 'Ab'); UPDATE t SET a = a, b = b", ("Ab", "ab")),
    "an update of another column": ("INSERT INTO t VALUES (1, 'Ab'); UPDATE t SET other = 1", ("Ab", "ab")),
    "the old application writes NULL": ("INSERT INTO t VALUES (1, 'Ab'); UPDATE t SET a = NULL", (None, None)),
    "the new application writes NULL": ("INSERT INTO t VALUES (1, 'Ab'); UPDATE t SET b = NULL", (None, None)),
    "only the case changes in the old column": ("INSERT INTO t VALUES (1, 'Ab'); UPDATE t SET a = 'AB'", ("AB", "ab")),
    "an upsert of the old application": (
        "INSERT INTO t VALUES (1, 'x'); INSERT INTO t (id, a) VALUES (1, 'Ab') ON CONFLICT (id) DO UPDATE SET a = excluded.a",
        ("Ab", "ab"),
    ),
    "an upsert of the new application": (
        "INSERT INTO t VALUES (1, 'x'); INSERT INTO t (id, b) VALUES (1, 'Ab') ON CONFLICT (id) DO UPDATE SET b = excluded.b",
        ("Ab", "Ab"),
    ),
    "MERGE": (
        ("INSERT INTO t VALUES (1, 'x'); MERGE INTO t USING (VALUES (1, 'Ab')) v (id, a) ON t.id = v.id"
        " WHEN MATCHED THEN UPDATE SET a = v.a"),
        ("Ab", "ab"),
    ),
    "what replication applies": (
        "SET session_replication_role = replica; INSERT INTO t (id, a) VALUES (1, 'Ab')", ("Ab", "ab"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITES)
def test_every_write_reaches_both_columns(sync_place: Stepwise, case: str) -> None:
    statements, expected = WRITES[case]

    sync_place.run(statements)

    assert rows(sync_place) == [(1, *expected)]


@pytest.fixture(scope="module")
def module_place(cluster: Cluster) -> Iterator[Stepwise]:
    name = "sync_writes"
    cluster.create(name)
    it = Stepwise(cluster, lambda: name)
    it.run(TABLE)
    it.op("sync_columns", "t", "a", "b", **LOSSY)
    yield it
    it.close()
    cluster.drop(name)


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[Stepwise]:
    """One database with some types, for tests that bring their own table."""
    cluster.create("sync_types")
    it = Stepwise(cluster, lambda: "sync_types")
    it.run(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE feeling AS ENUM ('ok', 'sad');"
        "CREATE TYPE pair AS (x text, y text); CREATE DOMAIN word AS text CHECK (value <> '')"
    )
    yield it
    it.close()
    cluster.drop("sync_types")


@pytest.fixture
def sync_place(module_place: Stepwise) -> Stepwise:
    """One table in sync for many tests; each begins with it empty."""
    module_place.run("TRUNCATE t")
    return module_place


def test_copy_from_fills_the_other_column(sync_place: Stepwise) -> None:
    with sync_place.cluster.connect(sync_place.name) as c, c.cursor().copy("COPY t (id, b) FROM STDIN") as copy:
        copy.write("1\tAb\n2\tCd\n")

    assert rows(sync_place) == [(1, "Ab", "Ab"), (2, "Cd", "Cd")]


def test_a_row_that_was_there_before_is_filled_when_it_is_touched(place: Stepwise) -> None:
    place.given(TABLE + "; INSERT INTO t VALUES (1, 'Ab'), (2, 'Cd')")
    place.op("sync_columns", "t", "a", "b", **LOSSY)

    place.run("UPDATE t SET other = 1 WHERE id = 1")

    assert rows(place) == [(1, "Ab", "ab"), (2, "Cd", None)]


def test_the_copy_is_not_taken_for_the_new_application(place: Stepwise) -> None:
    place.given(TABLE + "; INSERT INTO t VALUES (1, 'Ab'), (2, 'Cd')")
    place.op("sync_columns", "t", "a", "b", **LOSSY)

    copied(place)

    assert rows(place) == [(1, "Ab", "ab"), (2, "Cd", "cd")]


def test_rounding_to_the_new_type_is_no_contradiction(place: Stepwise) -> None:
    place.given("CREATE TABLE t (id integer PRIMARY KEY, a numeric, b numeric(10, 1)); INSERT INTO t VALUES (1, 1.26)")
    place.op("sync_columns", "t", "a", "b")

    copied(place, "a")
    place.run("INSERT INTO t (id, a) VALUES (2, 2.26); INSERT INTO t (id, b) VALUES (3, 3.26)")

    assert [tuple(map(str, row)) for row in rows(place)] == [
        ("1", "1.26", "1.3"),
        ("2", "2.26", "2.3"),
        ("3", "3.3", "3.3"),
    ]


def test_a_value_too_long_for_the_new_type_is_not_cut_in_silence(place: Stepwise) -> None:
    place.given("CREATE TABLE t (id integer PRIMARY KEY, a text, b varchar(3))")
    place.op("sync_columns", "t", "a", "b")

    with pytest.raises(Exception, match="value too long"):
        place.run("INSERT INTO t (id, a) VALUES (1, 'abcd')")


TYPES = {
    "json": ("json", "jsonb", '\'{"a": 1}\'', None, None),
    "integer": ("integer", "bigint", "7", None, None),
    "a timestamp in the time zone of UTC": ("timestamp", "timestamptz", "'2024-01-02 03:04:05'", None, None),
    "text of a date": ("date", "text", "'2024-01-02'", None, "CAST(b AS date)"),
    "a point, which has no equality": ("point", "text", "'(1,2)'", "CAST(a AS text)", "CAST(b AS point)"),
    "an array": ("integer[]", "bigint[]", "'{1,2}'", None, None),
    "an enum to text": ("mood", "text", "'sad'", None, None),
    "text to an enum": ("text", "mood", "'sad'", None, None),
    "one enum to another": ("mood", "feeling", "'sad'", "CAST(CAST(a AS text) AS feeling)", "CAST(CAST(b AS text) AS mood)"),
    "a composite of NULLs": ("pair", "pair", "ROW(NULL, NULL)", None, None),
    "a domain": ("text", "word", "'abc'", None, None),
}  # fmt: skip


@pytest.mark.parametrize("case", TYPES)
def test_types(shared: Stepwise, case: str) -> None:
    old, new, value, up, down = TYPES[case]
    place = shared
    place.run(f"DROP TABLE IF EXISTS t; CREATE TABLE t (id integer PRIMARY KEY, a {old}, b {new})")
    place.op("sync_columns", "t", "a", "b", up=up, down=down)

    place.run(f"SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY'; INSERT INTO t (id, a) VALUES (1, {value})")
    filled = place.all("SELECT b FROM t WHERE id = 1")
    place.run("INSERT INTO t (id, b) SELECT 2, b FROM t WHERE id = 1; UPDATE t SET a = NULL WHERE id = 1")
    place.run(f"SET timezone = 'America/Lima'; UPDATE t SET a = {value} WHERE id = 1")

    assert place.all("SELECT b FROM t WHERE id = 1") == filled
    assert place.all("SELECT (SELECT a::text FROM t WHERE id = 1) = (SELECT a::text FROM t WHERE id = 2)") == [(True,)]
    assert filled != [(None,)]


@pytest.mark.parametrize(
    ("type_", "value"), [("char(5)", "xyz  "), ("bit(3)", "101"), ("varchar(5)", "xyz"), ("char(5)[]", ["xyz  "])]
)
def test_a_type_with_a_length_takes_the_whole_value(place: Stepwise, type_: str, value: object) -> None:
    """``character`` without a length is ``character(1)``, and ``bit`` is ``bit(1)``: a cast to them cuts."""
    old = "text[]" if "[]" in type_ else "text"
    place.given(f"CREATE TABLE t (id integer PRIMARY KEY, a {old}, b {type_})")
    said = "ARRAY['xyz']" if "[]" in type_ else f"'{str(value).strip()}'"
    place.run(f"INSERT INTO t VALUES (1, {said})")
    formulas = {} if type_ != "bit(3)" else {"up": "a::bit varying", "down": "b::text"}
    place.op("sync_columns", "t", "a", "b", **formulas)

    place.run(f"INSERT INTO t (id, a) VALUES (2, {said})")
    place.op("backfill", "t", set_={"b": formulas.get("up", "a")})
    place.run("INSERT INTO t (id, b) SELECT 3, b FROM t WHERE id = 1")

    assert place.all("SELECT b FROM t ORDER BY id") == [(value,)] * 3
    assert place.all("SELECT count(DISTINCT a) FROM t") == [(1,)]


def test_one_column_becomes_two_and_back(place: Stepwise) -> None:
    place.given(
        "CREATE TABLE t (id integer PRIMARY KEY, a text, b text, c text); INSERT INTO t VALUES (1, 'Ada Lovelace')"
    )
    up = ("split_part(a, ' ', 1)", "split_part(a, ' ', 2)")
    place.op("sync_columns", "t", "a", ("b", "c"), up=up, down="concat_ws(' ', b, c)")

    place.run(
        "UPDATE t SET a = a || ' II'; INSERT INTO t (id, c) VALUES (2, 'Byron'); INSERT INTO t (id, b, c) VALUES (3, 'x', 'y')"
    )
    place.run("UPDATE t SET b = 'z' WHERE id = 3")

    assert rows(place, "id, a, b, c") == [
        (1, "Ada Lovelace II", "Ada", "Lovelace"), (2, "Byron", None, "Byron"), (3, "z y", "z", "y"),
    ]  # fmt: skip


LAID_OUT = {
    "a case": "CASE WHEN a = 'x' THEN 'in' || chr(10) || ' from' WHEN a = 'y' THEN '  SELECT ' END",
    "a case in parentheses": "((case a when 'x' then 'X' else a end))",
    "a case that is cast": "(case when a = 'x' then 1 else 2 end)::text",
    "a case of a case": "case when a = 'x' then case when other > 0 then 'p' else 'q' end else a end",
    "a case in a call": "upper(case when a = 'x' then 'z' end)",
    "a row": "(ROW(case when a = 'x' then 1 end, 2))::text",
    "blanks of the value itself": "'\n  ' || a || '\n'",
}


@pytest.mark.parametrize("case", LAID_OUT)
def test_a_formula_means_the_same_however_postgresql_lays_it_out(place: Stepwise, case: str) -> None:
    up = LAID_OUT[case]
    old = ("a", "other") if "other" in up else "a"
    down = ("b", "length(b)") if "other" in up else "case when length(b) < 3 then b end"
    place.given(TABLE + "; INSERT INTO t (id, a, other) VALUES (1, 'x', 3), (2, 'y', 3), (3, 'w', 3), (4, NULL, 3)")
    place.op("sync_columns", "t", old, "b", up=up, down=down)
    wanted = place.all(f"SELECT {up} FROM t ORDER BY id")

    place.run("INSERT INTO t (id, a, other) SELECT id + 4, a, other FROM t")
    place.op("backfill", "t", set_={"b": up}, where="id <= 4")

    assert place.all("SELECT b FROM t ORDER BY id") == [*wanted, *wanted]
    place.run("INSERT INTO t (id, b) VALUES (9, 'ab')")
    assert place.all("SELECT a FROM t WHERE id = 9") == [("ab",)]


def test_what_the_new_application_says_reaches_columns_of_which_the_formula_says_the_same_without_a_value(
    place: Stepwise,
) -> None:
    place.given("CREATE TABLE t (id integer PRIMARY KEY, a boolean NOT NULL, b text)")
    place.op("sync_columns", "t", "a", "b", up="CASE WHEN a THEN 'on' ELSE 'off' END", down="b = 'on'")
    place.run("INSERT INTO t (id, b) VALUES (1, 'off'), (2, 'on'); INSERT INTO t (id, a) VALUES (3, false), (4, true)")
    assert rows(place) == [(1, False, "off"), (2, True, "on"), (3, False, "off"), (4, True, "on")]


def test_two_columns_become_one_and_each_formula_sees_the_row_as_it_was(place: Stepwise) -> None:
    place.given("CREATE TABLE t (id integer PRIMARY KEY, a text, b text, c text)")
    down = ("split_part(c, '/', 1)", "split_part(c, '/', 2) || left(a, 0)")
    place.op("sync_columns", "t", ("a", "b"), "c", up="a || '/' || b", down=down)

    place.run("INSERT INTO t (id, a, b) VALUES (1, 'x', 'y'); UPDATE t SET c = 'p/q'")

    assert rows(place, "id, a, b, c") == [(1, "p", "q", "p/q")]


def test_a_partitioned_table_and_a_row_that_moves(place: Stepwise) -> None:
    place.given(
        "CREATE TABLE t (id integer, a text, b text) PARTITION BY LIST (id); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1);"
        "CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2) PARTITION BY LIST (id); CREATE TABLE t3 PARTITION OF t2 DEFAULT"
    )
    place.op("sync_columns", "t", "a", "b", **LOSSY)

    place.run("INSERT INTO t (id, a) VALUES (1, 'Ab'); UPDATE t SET b = 'Cd'; UPDATE t SET id = 2")
    place.run("SET session_replication_role = replica; UPDATE t3 SET a = 'Ef'")

    assert rows(place) == [(2, "Ef", "ef")]
    place.op("drop_sync", "t", "a", "b", **LOSSY)
    assert place.dump() == place.dump(place.twin)


def test_running_it_again_changes_nothing_and_takes_no_lock(place: Stepwise) -> None:
    place.given(TABLE)
    place.op("sync_columns", "t", "a", "b", **LOSSY)
    before = place.all(
        "SELECT oid, xmin::text FROM pg_trigger UNION ALL SELECT oid, xmin::text FROM pg_proc ORDER BY 1"
    )

    with place.cluster.connect(place.name, autocommit=False) as reader:
        reader.execute("LOCK TABLE t IN ROW EXCLUSIVE MODE")
        place.op("sync_columns", "t", "a", "b", **LOSSY)

    assert (
        place.all("SELECT oid, xmin::text FROM pg_trigger UNION ALL SELECT oid, xmin::text FROM pg_proc ORDER BY 1")
        == before
    )


@pytest.mark.parametrize("damage", ["DROP TRIGGER {} ON t", "ALTER TABLE t DISABLE TRIGGER {}"])
def test_a_damaged_sync_is_put_right(place: Stepwise, damage: str) -> None:
    place.given(TABLE)
    place.op("sync_columns", "t", "a", "b", **LOSSY)
    trigger = place.all("SELECT tgname FROM pg_trigger ORDER BY 1")[0][0]
    place.run(damage.format(trigger))

    place.op("sync_columns", "t", "a", "b", **LOSSY)

    assert place.all("SELECT count(*), bool_and(tgenabled = 'A') FROM pg_trigger") == [(2, True)]


def test_another_formula_replaces_the_first(place: Stepwise) -> None:
    place.given(TABLE)
    place.op("sync_columns", "t", "a", "b", **LOSSY)

    place.op("sync_columns", "t", "a", "b", up="upper(a)", down="b")
    place.run("INSERT INTO t (id, a) VALUES (1, 'Ab')")

    assert rows(place) == [(1, "Ab", "AB")]
    assert place.all("SELECT count(*) FROM pg_trigger") == [(2,)]


def test_reverse_takes_it_away_and_its_reverse_puts_it_back(place: Stepwise) -> None:
    place.given(TABLE)
    there = SyncColumnsOp("t", "a", "b", **LOSSY)
    place.op("invoke", there)
    back = there.reverse()
    assert isinstance(back, DropSyncOp)

    for _ in range(2):
        place.op("invoke", back)
    assert place.dump() == place.dump(place.twin)
    assert place.all("SELECT count(*) FROM pg_proc WHERE pronamespace = 'alembic_safe_sync'::regnamespace") == [(0,)]

    place.op("invoke", back.reverse())
    place.run("INSERT INTO t (id, a) VALUES (1, 'Ab')")
    assert rows(place) == [(1, "Ab", "ab")]


def test_what_it_makes_is_no_part_of_what_the_database_is(place: Stepwise) -> None:
    place.given(TABLE)
    with place.engine.connect() as c:
        before = read_catalog(c)

    place.op("sync_columns", "t", "a", "b", **LOSSY)

    with place.engine.connect() as c:
        assert compare(before, read_catalog(c)) == ()
        (sync,) = read_syncs(c)
    assert (sync.schema, sync.table, sync.old, sync.new, sync.text.up) == ("public", "t", ("a",), ("b",), ("lower(a)",))


TRIGGER = (
    "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := NEW.a || '!'; RETURN NEW; END $$;"
    "CREATE TRIGGER {} BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION shout()"
)


@pytest.mark.parametrize("name", ["aaa", "zzzz", "zz_alembic_safe_zz", "~~~", "äöü"])
def test_a_trigger_of_the_user_fires_before_ours_whatever_its_name(place: Stepwise, name: str) -> None:
    place.given(TABLE + ";" + TRIGGER.format(quoted(name)))
    place.op("sync_columns", "t", "a", "b", **LOSSY)

    place.run("INSERT INTO t (id, a) VALUES (1, 'Ab')")

    assert rows(place) == [(1, "Ab!", "ab!")]


def test_a_trigger_that_cannot_be_fired_behind_is_refused(place: Stepwise) -> None:
    place.given(TABLE + ";" + TRIGGER.format(quoted("\U0010fffe")))

    with pytest.raises(Refused, match="fires behind every other one"):
        place.op("sync_columns", "t", "a", "b", **LOSSY)


def test_a_trigger_that_came_later_is_fired_behind_by_a_second_run(place: Stepwise) -> None:
    place.given(TABLE)
    place.op("sync_columns", "t", "a", "b", **LOSSY)
    place.run(TRIGGER.format("zzzz"))

    place.op("sync_columns", "t", "a", "b", **LOSSY)
    place.run("INSERT INTO t (id, a) VALUES (1, 'Ab')")

    assert rows(place) == [(1, "Ab!", "ab!")]


REFUSED = {
    "a column that is not there": ({"old": "a", "new": "z"}, "there is no column z"),
    "a generated column": ({"old": "a", "new": "g"}, "g is a generated column"),
    "a default on the new column": ({"old": "a", "new": "d"}, "d has a default"),
    "a formula over another column": ({"up": "a || other"}, "up reads other, whose changes nobody would notice"),
    "a subquery": ({"up": "(SELECT max(x.a) FROM t x)"}, "holds a subquery"),
    "something volatile": ({"up": "a || random()"}, "says something else each time"),
    "an aggregate": ({"up": "max(a)"}, "holds an aggregate"),
    "no SQL": ({"up": "a ||"}, r"up of b is no expression over the columns of public\.t: .*syntax error"),
    "no such cast": ({"old": "n", "new": "p"}, "cannot cast type integer to point"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_kept_in_sync_is_refused_with_the_reason(shared: Stepwise, case: str) -> None:
    given, why = REFUSED[case]
    words = {"old": "a", "new": "b", **given}
    shared.run(
        "DROP TABLE IF EXISTS t; CREATE TABLE t (id integer PRIMARY KEY, a text, b text, other text, d text DEFAULT 'x',"
        " p point, n integer, g text GENERATED ALWAYS AS (lower(a)) STORED)"
    )

    with pytest.raises(Refused, match=why):
        shared.op("sync_columns", "t", words.pop("old"), words.pop("new"), **words)

    assert shared.all("SELECT count(*) FROM pg_trigger") == [(0,)]


def test_a_column_in_another_sync_and_a_partition_key_and_inheritance_are_refused(place: Stepwise) -> None:
    place.given(
        TABLE + "; CREATE TABLE p (a text, b text) PARTITION BY LIST (a); CREATE TABLE i (a text, b text);"
        "CREATE TABLE j () INHERITS (i)"
    )
    place.op("sync_columns", "t", "a", "b")

    with pytest.raises(Refused, match=r"a is in sync already: public\.t \(a -> b\)"):
        place.op("sync_columns", "t", "a", "other", down="CAST(other AS text)")
    with pytest.raises(Refused, match="a decides which partition"):
        place.op("sync_columns", "p", "a", "b")
    with pytest.raises(Refused, match="takes part in table inheritance"):
        place.op("sync_columns", "i", "a", "b")


def test_a_script_is_refused_with_the_reason(place: Stepwise) -> None:
    for verb in ("sync_columns", "drop_sync"):
        with pytest.raises(Refused, match=rf"op\.{verb} cannot be written as a script"):
            place.script(verb, "t", "a", "b")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_in_a_schema_off_the_search_path(place: Stepwise, name: str) -> None:
    q, new = quoted(name), quoted(name[:-1] + "ü"[: len(name) < 60])
    place.given(f"CREATE SCHEMA {q}; CREATE TABLE {quoted(name, name)} (id integer PRIMARY KEY, {q} text, {new} text)")
    other = new[1:-1].replace('""', '"')

    for _ in range(2):
        place.op("sync_columns", name, name, other, up=f"lower({q})", down=new, schema=name)
    place.run(f"INSERT INTO {quoted(name, name)} (id, {q}) VALUES (1, 'Ab')")
    place.run(f"INSERT INTO {quoted(name, name)} (id, {new}) VALUES (2, 'Cd')")

    assert place.all(f"SELECT * FROM {quoted(name, name)} ORDER BY 1") == [(1, "Ab", "ab"), (2, "Cd", "Cd")]
    place.op("drop_sync", name, name, other, schema=name)
    assert place.dump() == place.dump(place.twin)


def test_an_application_without_rights_on_what_the_formula_names_still_writes(place: Stepwise) -> None:
    place.given(
        "CREATE SCHEMA own; CREATE TYPE own.mood AS ENUM ('sad', 'ok');"
        "CREATE FUNCTION own.low(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';"
        "CREATE TABLE t (id integer PRIMARY KEY, a text, b text, m own.mood, n text);"
    )
    place.op("sync_columns", "t", "a", "b", up="own.low(a)", down="b")
    place.op("sync_columns", "t", "m", "n")
    place.run("DO $$ BEGIN CREATE ROLE app_writer LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;")
    place.run("GRANT SELECT, INSERT, UPDATE ON t TO app_writer; REVOKE ALL ON FUNCTION own.low(text) FROM PUBLIC")

    place.run("SET ROLE app_writer; INSERT INTO t (id, a, n) VALUES (1, 'Ab', 'sad'); UPDATE t SET a = 'Cd'")

    assert rows(place, "id, a, b, m::text, n") == [(1, "Cd", "cd", "sad", "sad")]
    place.run("REVOKE ALL ON t FROM app_writer")


def test_a_role_that_does_not_own_the_table_is_told_what_its_owner_runs(place: Stepwise) -> None:
    place.given(TABLE)
    place.run("DO $$ BEGIN CREATE ROLE app_writer LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;")
    place.run(f'GRANT CREATE ON DATABASE "{place.name}" TO app_writer')

    with pytest.raises(Missing, match="lacks a right") as error:
        place.op("sync_columns", "t", "a", "b", user="app_writer")

    assert 'GRANT "postgres" TO "app_writer"' in str(error.value)


def test_a_role_that_may_make_no_schema_is_told_what_the_owner_of_the_database_runs(place: Stepwise) -> None:
    place.given(TABLE)
    place.run("DO $$ BEGIN CREATE ROLE app_writer LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;")
    place.run("ALTER TABLE t OWNER TO app_writer")

    with pytest.raises(Missing, match="Making schema alembic_safe_sync: role app_writer lacks a right") as error:
        place.op("sync_columns", "t", "a", "b", user="app_writer")
    assert f'GRANT CREATE ON DATABASE "{place.name}" TO "app_writer";' in str(error.value)

    place.run("CREATE SCHEMA alembic_safe_sync")
    with pytest.raises(Missing, match="may not make functions in schema alembic_safe_sync") as error:
        place.op("sync_columns", "t", "a", "b", user="app_writer")
    place.run(
        'GRANT USAGE, CREATE ON SCHEMA "alembic_safe_sync" TO "app_writer"; GRANT CREATE ON SCHEMA public TO app_writer'
    )
    place.op("sync_columns", "t", "a", "b", user="app_writer")
    place.run("SET ROLE app_writer; INSERT INTO t (id, a) VALUES (1, 'x')")
    assert rows(place) == [(1, "x", "x")]
