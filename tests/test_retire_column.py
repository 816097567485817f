"""A retired column: what happens to its values, and what the living table is like afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic_safe.errors import ConsentMissing, Refused
from tests.patience import PATIENCE
from tests.retire_cases import Living, living, some

__all__ = ["living"]


USERS = """
CREATE TABLE users (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, fullname text, age integer);
INSERT INTO users (fullname, age) VALUES ('Ada', 1), ('Bob', 2), (NULL, 3), ('', 4);
"""
FULLNAME = sa.Column("fullname", sa.Text())


def test_a_column_is_kept_by_key_and_the_table_is_as_after_a_plain_drop(living: Living) -> None:
    living.given(USERS)

    living.retire_column("users", FULLNAME)

    assert living.same_as_after("ALTER TABLE users DROP COLUMN fullname")
    assert living.kept("users_fullname") == [("1", "Ada"), ("2", "Bob"), ("4", "")]
    assert living.all("SELECT id, age FROM users ORDER BY id") == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_a_restored_column_has_its_values_and_nothing_is_kept_any_more(living: Living) -> None:
    living.given(USERS)
    living.retire_column("users", FULLNAME)

    living.restore_column("users", FULLNAME)

    assert living.all("SELECT id, fullname FROM users ORDER BY id") == [(1, "Ada"), (2, "Bob"), (3, None), (4, "")]
    assert living.retired() == []


CASES = {
    "composite key": (
        (
            "CREATE TABLE t (a text, b date, c integer, PRIMARY KEY (a, b));"
            "INSERT INTO t VALUES ('x', '2024-02-29', 1), ('x', 'infinity', 2), ('y', '2024-02-29', NULL)"
        ),
        sa.Column("c", sa.Integer),
        [("x", "2024-02-29", "1"), ("x", "infinity", "2")],
    ),
    "unique and NOT NULL instead of a primary key": (
        "CREATE TABLE t (code text NOT NULL UNIQUE, c numeric); INSERT INTO t VALUES ('a', 1.50), ('b', 'NaN')",
        sa.Column("c", sa.Numeric),
        [("a", "1.50"), ("b", "NaN")],
    ),
    "FORCE ROW LEVEL SECURITY as a role that bypasses it": (
        (
            "CREATE TABLE t (id serial PRIMARY KEY, c text); INSERT INTO t (c) VALUES ('a'), ('b');"
            "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;"
            "CREATE POLICY none ON t USING (id < 2)"
        ),
        sa.Column("c", sa.Text),
        [("1", "a"), ("2", "b")],
    ),
    "floats, intervals, times, bytes": (
        (
            "SET datestyle = 'SQL, DMY'; SET extra_float_digits = 0;"
            "CREATE TABLE t (id timestamptz PRIMARY KEY, c double precision, d interval, e bytea);"
            "INSERT INTO t VALUES ('2024-03-02 10:00+02', 0.1 + 0.2::double precision, '1 mon -1 day', '\\x00ff')"
        ),
        sa.Column("c", sa.Double),
        [("2024-03-02 08:00:00+00", "0.30000000000000004")],
    ),
    "a partitioned table": (
        (
            "CREATE TABLE t (id integer PRIMARY KEY, c text) PARTITION BY RANGE (id);"
            "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE TABLE t2 PARTITION OF t DEFAULT;"
            "CREATE INDEX t_c ON t (c); INSERT INTO t VALUES (1, 'a'), (20, 'b')"
        ),
        sa.Column("c", sa.Text),
        [("1", "a"), ("20", "b")],
    ),
    "json, which has no equality": (
        'CREATE TABLE t (id serial PRIMARY KEY, c json); INSERT INTO t (c) VALUES (\'{"a": "b:c"}\'), (NULL)',
        sa.Column("c", sa.JSON),
        [("1", '{"a": "b:c"}')],
    ),
    "a composite value of NULLs": (
        (
            "CREATE TYPE pair AS (a integer, b text); CREATE TABLE t (id serial PRIMARY KEY, c pair);"
            "INSERT INTO t (c) VALUES (ROW(NULL, NULL)), (ROW(1, 'x')), (NULL)"
        ),
        sa.Column("c", sa.Text),
        [("1", "(,)"), ("2", "(1,x)")],
    ),
    "a column with a default": (
        "CREATE TABLE t (id serial PRIMARY KEY, c text NOT NULL DEFAULT 'new'); INSERT INTO t (c) VALUES ('old'), ('new')",
        sa.Column("c", sa.Text, server_default="new", nullable=False),
        [("1", "old"), ("2", "new")],
    ),
    "names that want quotes": (
        'CREATE TABLE "My:T" ("Key ""%" integer PRIMARY KEY, c text); INSERT INTO "My:T" VALUES (1, \'a\')',
        sa.Column("c", sa.Text),
        [("1", "a")],
    ),
}


@pytest.mark.parametrize("case", some(CASES, 3))
def test_values_are_kept_and_the_living_table_is_as_after_a_plain_drop(living: Living, case: str) -> None:
    given, column, kept = CASES[case]
    living.given(given)
    table = "My:T" if "My:T" in given else "t"

    done = living.retire_column(table, column)

    assert living.same_as_after(f'ALTER TABLE "{table}" DROP COLUMN c')
    assert living.kept(done.kept) == kept


@pytest.mark.parametrize("case", some((case for case in CASES if case != "a composite value of NULLs"), 2))
def test_values_come_back_to_their_rows_and_the_dump_is_as_before(living: Living, case: str) -> None:
    given, column, _ = CASES[case]
    living.given(given)
    table = "My:T" if "My:T" in given else "t"
    before = living.all(f'SELECT row_to_json(t)::jsonb FROM "{table}" t ORDER BY 1')
    living.retire_column(table, column)

    done = living.restore_column(table, column, accept=[f"restore-by-key:{table}.c"])

    assert living.all(f'SELECT row_to_json(t)::jsonb FROM "{table}" t ORDER BY 1') == before
    assert (done.no_row, done.not_back, done.not_valid) == (0, (), ())
    lines, twin = living.dump().replace(",\n", "\n"), living.dump(living.twin).replace(",\n", "\n")
    assert sorted(lines.splitlines()) == sorted(twin.splitlines())
    assert living.retired() == []


def test_a_column_of_nulls_leaves_nothing_behind(living: Living) -> None:
    living.given("CREATE TABLE t (id serial PRIMARY KEY, c text); INSERT INTO t DEFAULT VALUES")

    done = living.retire_column("t", sa.Column("c", sa.Text))

    assert (done.kept, done.rows) == ("", 0)
    assert living.retired() == []


def test_an_empty_column_s_indexes_are_still_recorded_and_come_back(living: Living) -> None:
    living.given(
        "CREATE TABLE t (id serial PRIMARY KEY, a text, c text, UNIQUE (a, c)); CREATE INDEX t_low ON t (lower(c), a);"
        "CREATE STATISTICS t_stats ON a, c FROM t; GRANT SELECT (c) ON t TO PUBLIC;"
        "ALTER STATISTICS t_stats SET STATISTICS 50; COMMENT ON STATISTICS t_stats IS 'st: 1%';"
        "ALTER STATISTICS t_stats OWNER TO pg_monitor;"
        "COMMENT ON INDEX t_low IS 'it''s'; COMMENT ON CONSTRAINT t_a_c_key ON t IS 'uq'"
    )

    done = living.retire_column("t", sa.Column("c", sa.Text))
    assert {d.shown for d in done.dependants} == {
        "constraint t_a_c_key", "index t_low", "statistics t_stats", "grant PUBLIC",
    }  # fmt: skip
    living.restore_column("t", sa.Column("c", sa.Text))

    assert living.dump() == living.dump(living.twin)
    assert living.retired() == []


@pytest.mark.parametrize(
    ("dependant", "named"),
    some(
        [
            ("CREATE VIEW v AS SELECT c FROM t", "view v"),
            ("CREATE MATERIALIZED VIEW v AS SELECT c FROM t", "materialized view v"),
            (
                "CREATE TABLE o (id integer); CREATE POLICY p ON o USING (id IN (SELECT id FROM t WHERE c <> ''))",
                "policy p on table o",
            ),
            ("ALTER TABLE t ADD g text GENERATED ALWAYS AS (c || 'x') STORED", "column g of table t"),
            ("CREATE PUBLICATION p FOR TABLE t (id, c)", "publication of table t"),
            (
                (
                    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
                    "CREATE TRIGGER g AFTER UPDATE OF c ON t FOR EACH ROW EXECUTE FUNCTION f()"
                ),
                "trigger g on table t",
            ),
            (
                "ALTER TABLE t ADD UNIQUE (c); CREATE TABLE o (c text REFERENCES t (c))",
                "constraint o_c_fkey on table o",
            ),
        ],
        2,
    ),
)
def test_what_depends_on_a_column_is_named_and_nothing_changes(living: Living, dependant: str, named: str) -> None:
    living.given("CREATE TABLE t (id serial PRIMARY KEY, c text); INSERT INTO t (c) VALUES ('a')")
    living.given(dependant)

    with pytest.raises(Refused) as refused:
        living.retire_column("t", sa.Column("c", sa.Text))

    assert named in str(refused.value)
    assert living.dump() == living.dump(living.twin)
    assert living.retired() == []


def test_a_successor_keeps_only_what_the_way_back_would_lose(living: Living) -> None:
    living.given(
        "CREATE TABLE t (id serial PRIMARY KEY, old text, new integer);"
        "INSERT INTO t (old, new) VALUES ('1', 1), ('007', 7), (NULL, 3), ('x', NULL), (NULL, NULL)"
    )

    done = living.retire_column("t", sa.Column("old", sa.Text), replaced_by="new", down="new::text")

    assert living.kept(done.kept) == [("2", "007", "7"), ("3", None, "3"), ("4", "x", None)]
    assert living.same_as_after("ALTER TABLE t DROP COLUMN old")


def test_a_kept_value_gives_way_to_what_the_new_application_wrote(living: Living) -> None:
    living.given(
        "CREATE TABLE t (id serial PRIMARY KEY, old text, new integer);"
        "INSERT INTO t (old, new) VALUES ('1', 1), ('007', 7), ('008', 8), (NULL, 3)"
    )
    old = sa.Column("old", sa.Text)
    living.retire_column("t", old, replaced_by="new", down="new::text")
    living.run("UPDATE t SET new = 70 WHERE id = 2; INSERT INTO t (new) VALUES (5)")

    done = living.restore_column("t", old, replaced_by="new", down="new::text")

    assert living.all("SELECT id, old FROM t ORDER BY id") == [(1, "1"), (2, "70"), (3, "008"), (4, None), (5, "5")]
    assert (done.rows, done.changed, done.no_row) == (2, 1, 0)
    (rest,) = living.retired()
    assert rest.record is not None
    assert rest.record.state == "rest"
    assert rest.is_orphan
    assert living.kept(rest.kept) == [("2", "007", "7")]


def test_what_an_older_column_of_the_name_left_is_no_value_of_this_one(living: Living) -> None:
    living.given(
        "CREATE TABLE t (id int PRIMARY KEY, new int, old text); INSERT INTO t VALUES (1, 1, NULL), (2, 2, 'x')"
    )
    old = sa.Column("old", sa.Text)
    living.retire_column("t", old, replaced_by="new", down="new::text")
    living.run("ALTER TABLE t ADD old text; UPDATE t SET old = new::text")
    living.retire_column("t", old, replaced_by="new", down="new::text")

    living.restore_column("t", old, replaced_by="new", down="new::text")

    assert living.all("SELECT id, old FROM t ORDER BY id") == [(1, "1"), (2, "2")]
    (older,) = living.retired()
    assert older.is_orphan
    assert "older than the one that comes back" in older.where_from


def test_keys_that_can_come_again_need_consent_and_rows_that_are_gone_are_listed(living: Living) -> None:
    living.given(
        "CREATE TABLE t (code text PRIMARY KEY, c text); INSERT INTO t VALUES ('a', '1'), ('b', '2'), ('d', '4')"
    )
    column = sa.Column("c", sa.Text)
    living.retire_column("t", column)
    living.run("DELETE FROM t WHERE code = 'b'; UPDATE t SET code = 'dd' WHERE code = 'd'; INSERT INTO t VALUES ('e')")

    with pytest.raises(ConsentMissing) as asked:
        living.restore_column("t", column)
    assert "accept=restore-by-key:t.c" in str(asked.value)
    done = living.restore_column("t", column, accept=["restore-by-key:t.c"])

    assert living.all("SELECT code, c FROM t ORDER BY code") == [("a", "1"), ("dd", None), ("e", None)]
    assert (done.rows, done.no_row, done.left) == (1, 2, ("b", "d"))
    assert living.kept(done.kept) == [("b", "2"), ("d", "4")]


@pytest.mark.parametrize(
    "meanwhile",
    [
        "TRUNCATE t RESTART IDENTITY; INSERT INTO t SELECT FROM generate_series(1, 9)",
        "DELETE FROM t; SELECT setval('t_id_seq', 1, false); INSERT INTO t DEFAULT VALUES",
        "DROP TABLE t; CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t SELECT FROM generate_series(1, 9)",
    ],
    ids=["restarted", "set back", "made anew"],
)
def test_numbers_that_the_database_gave_out_a_second_time_need_consent(living: Living, meanwhile: str) -> None:
    living.given("CREATE TABLE t (id serial PRIMARY KEY, c text); INSERT INTO t (c) VALUES ('a'), ('b')")
    column = sa.Column("c", sa.Text)
    living.retire_column("t", column)
    living.run(meanwhile)

    with pytest.raises(ConsentMissing, match="a row of today may have the key of another row") as asked:
        living.restore_column("t", column)
    assert [step.command for step in asked.value.next_steps] == [
        "alembic -x accept=restore-by-key:t.c upgrade head", "alembic -x accept=restore-empty:t.c upgrade head",
    ]  # fmt: skip
    done = living.restore_column("t", column, accept=["restore-empty:t.c"])
    assert living.all("SELECT count(c) FROM t") == [(0,)]
    assert [value for *_, value in living.kept(done.kept)] == ["a", "b"]


def test_numbers_beyond_those_of_a_double_go_on(living: Living) -> None:
    living.given(
        "CREATE TABLE t (id bigint GENERATED BY DEFAULT AS IDENTITY (START 1234567890123456789) PRIMARY KEY, c text);"
        "INSERT INTO t (c) VALUES ('a'), ('b')"
    )
    living.retire_column("t", sa.Column("c", sa.Text))

    assert living.restore_column("t", sa.Column("c", sa.Text)).rows == 2


def test_a_table_without_a_key_needs_consent_and_its_values_stay_kept(living: Living) -> None:
    living.given("CREATE TABLE t (a text, c text); INSERT INTO t VALUES ('x', '1'), ('x', '2'), ('y', NULL)")
    column = sa.Column("c", sa.Text)

    with pytest.raises(ConsentMissing) as asked:
        living.retire_column("t", column)
    assert "accept=retire-without-key:t.c" in str(asked.value)
    assert living.dump() == living.dump(living.twin)
    done = living.retire_column("t", column, accept=["retire-without-key:t.c"])

    assert living.kept(done.kept) == [(1, '{"a": "x"}', "1"), (2, '{"a": "x"}', "2")]
    assert living.same_as_after("ALTER TABLE t DROP COLUMN c")
    restored = living.restore_column("t", column)
    assert (restored.rows, restored.no_row) == (0, 2)
    assert living.all("SELECT count(*) FROM t WHERE c IS NULL") == [(3,)]
    assert len(living.kept(restored.kept)) == 2


def test_a_key_that_the_file_names_must_be_one(living: Living) -> None:
    living.given("CREATE TABLE t (id serial PRIMARY KEY, a text, c text)")

    with pytest.raises(Refused, match=r"\(a\) is no key"):
        living.retire_column("t", sa.Column("c", sa.Text), key=["a"])


@pytest.mark.parametrize("table", some(["child", "parent"], 1))
def test_inheritance_is_refused(living: Living, table: str) -> None:
    living.given("CREATE TABLE parent (id integer PRIMARY KEY, c text); CREATE TABLE child () INHERITS (parent)")

    with pytest.raises(Refused, match="inheritance"):
        living.retire_column(table, sa.Column("c", sa.Text))

    assert living.dump() == living.dump(living.twin)


def test_an_attached_partition_s_column_is_its_parent_s(living: Living) -> None:
    living.given(CASES["a partitioned table"][0])

    with pytest.raises(Refused, match="is a partition; the column is its parent's"):
        living.retire_column("t1", sa.Column("c", sa.Text))


def test_types_of_kept_values_can_be_dropped(living: Living) -> None:
    living.given(
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN code AS text CHECK (VALUE <> '');"
        "CREATE TABLE t (id code PRIMARY KEY, c mood); INSERT INTO t VALUES ('a', 'happy'), ('b', NULL)"
    )
    column = sa.Column("c", sa.Enum("sad", "happy", name="mood"))
    living.retire_column("t", column)

    living.run("DROP TYPE mood")
    living.run("CREATE TYPE mood AS ENUM ('happy')")
    living.restore_column("t", column, accept=["restore-by-key:t.c"])

    assert living.all("SELECT id, c::text FROM t ORDER BY id") == [("a", "happy"), ("b", None)]


def test_the_same_name_retired_twice_and_names_of_63_characters(living: Living) -> None:
    table, name = "t" * 63, "ü" * 31
    living.given(
        f'CREATE TABLE {table} (id serial PRIMARY KEY, "{name}" text); INSERT INTO {table} ("{name}") VALUES (\'1\')'
    )
    column = sa.Column(name, sa.Text)
    first = living.retire_column(table, column)
    living.run(f'ALTER TABLE {table} ADD "{name}" text; UPDATE {table} SET "{name}" = \'2\'')

    second = living.retire_column(table, column)
    living.restore_column(table, column)

    assert first.kept != second.kept
    assert max(len(first.kept.encode()), len(second.kept.encode())) <= 63
    assert living.all(f'SELECT "{name}" FROM {table}') == [("2",)]
    assert living.kept(first.kept) == [("1", "1")]


def test_a_second_run_of_each_verb_finds_it_done(living: Living) -> None:
    living.given(USERS)
    living.retire_column("users", FULLNAME)
    assert living.retire_column("users", FULLNAME).was_gone
    living.restore_column("users", FULLNAME)

    assert living.restore_column("users", FULLNAME).was_there
    assert living.all("SELECT fullname FROM users WHERE id = 1") == [("Ada",)]


def test_not_null_that_newer_rows_violate_comes_back_not_valid_and_is_listed(living: Living) -> None:
    living.given(
        "CREATE TABLE p (id integer PRIMARY KEY); INSERT INTO p VALUES (1);"
        "CREATE TABLE t (id serial PRIMARY KEY, c integer NOT NULL CHECK (c > 0) REFERENCES p); INSERT INTO t (c) VALUES (1)"
    )
    column = sa.Column("c", sa.Integer, nullable=False)
    living.retire_column("t", column)
    living.run("INSERT INTO t DEFAULT VALUES; DELETE FROM p")

    done = living.restore_column("t", column)

    assert living.all("SELECT c FROM t ORDER BY id") == [(1,), (None,)]
    assert {line.split(":")[0] for line in done.not_valid} == {"NOT NULL of c", "foreign key t_c_fkey"}
    assert living.all(
        "SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 't'::regclass AND contype <> 'n' ORDER BY 1"
    ) == [
        ("t_c_check", True), ("t_c_fkey", False), ("t_c_not_null", False), ("t_pkey", True),
    ]  # fmt: skip


def test_triggers_do_not_act_on_a_restore_and_keep_their_state(living: Living) -> None:
    living.given(
        "CREATE TABLE t (id serial PRIMARY KEY, c text, changed integer DEFAULT 0); INSERT INTO t (c) VALUES ('a');"
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.changed := 1; RETURN NEW; END';"
        "CREATE TRIGGER one BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();"
        "CREATE TRIGGER two BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t DISABLE TRIGGER two;"
        "CREATE TRIGGER three BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t ENABLE ALWAYS TRIGGER three;"
        "CREATE RULE r AS ON UPDATE TO t DO INSTEAD NOTHING"
    )
    column = sa.Column("c", sa.Text)
    living.retire_column("t", column)

    living.restore_column("t", column)

    assert living.all("SELECT c, changed FROM t") == [("a", 0)]
    assert living.all("SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 't'::regclass ORDER BY 1") == [
        ("one", "O"), ("three", "A"), ("two", "D"),
    ]  # fmt: skip


@pytest.mark.parametrize("level", some(["REPEATABLE READ", "SERIALIZABLE"], 1))
def test_a_transaction_that_would_miss_a_concurrent_insert_is_refused(living: Living, level: str) -> None:
    living.given(USERS)

    with pytest.raises(Refused, match="READ COMMITTED"):
        living.op("retire_column", "users", FULLNAME, isolation_level=level)


def test_a_row_that_is_being_inserted_is_waited_for_and_kept(living: Living) -> None:
    living.given(USERS)
    with living.cluster.connect(living.name, autocommit=False) as writer, ThreadPoolExecutor(1) as pool:
        writer.execute("INSERT INTO users (fullname) VALUES ('Late')")
        retiring = pool.submit(living.retire_column, "users", FULLNAME)
        living.until("SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass")
        writer.commit()
        done = retiring.result(PATIENCE)

    assert living.kept(done.kept)[-1] == ("5", "Late")


def test_serial_and_identity_columns_come_back_counting_on(living: Living) -> None:
    living.given(
        "CREATE TABLE t (id integer PRIMARY KEY, s serial, i integer GENERATED BY DEFAULT AS IDENTITY);"
        "INSERT INTO t (id) VALUES (1), (2)"
    )
    serial = sa.Column("s", sa.Integer, server_default=sa.text("nextval('t_s_seq'::regclass)"), nullable=False)
    identity = sa.Column("i", sa.Integer, sa.Identity(always=False), nullable=False)
    accept = ["restore-by-key:t.s", "restore-by-key:t.i"]
    living.retire_column("t", serial)
    living.retire_column("t", identity)
    living.run("INSERT INTO t VALUES (3)")

    living.restore_column("t", serial, accept=accept)
    living.restore_column("t", identity, accept=accept)
    living.run("INSERT INTO t (id) VALUES (4)")

    assert living.all("SELECT id, s, i FROM t ORDER BY id") == [(1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)]
    lines, twin = living.dump().replace(",\n", "\n"), living.dump(living.twin).replace(",\n", "\n")
    assert sorted(lines.splitlines()) == sorted(twin.splitlines())


def test_nobody_but_the_owner_may_read_what_is_kept(living: Living) -> None:
    living.given(USERS)
    living.run(
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO PUBLIC"
    )

    living.retire_column("users", FULLNAME)

    assert living.all(
        "SELECT has_schema_privilege('pg_monitor', 'alembic_safe_retired', 'USAGE'),"
        " has_table_privilege('pg_monitor', 'alembic_safe_retired.users_fullname', 'SELECT')"
    ) == [(False, False)]


def test_a_column_of_a_domain_with_a_default_comes_back_with_its_values_alone(living: Living) -> None:
    living.given(
        "CREATE DOMAIN lang AS text DEFAULT 'en'; CREATE TABLE t (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, c lang);"
        "INSERT INTO t (c) VALUES ('de'), (NULL)"
    )
    column = sa.Column("c", postgresql.DOMAIN("lang", sa.Text, create_type=False))
    living.retire_column("t", column)

    living.restore_column("t", column)

    assert living.all("SELECT c FROM t ORDER BY id") == [("de",), (None,)]
    assert living.same_as_after("SELECT")
    assert living.all("INSERT INTO t DEFAULT VALUES RETURNING c") == [("en",)]


@pytest.mark.parametrize("domain", ["NOT NULL DEFAULT 'en'", "DEFAULT 'en' CHECK (VALUE IS NOT NULL)", "DEFAULT 'en'"])
def test_rows_that_came_meanwhile_get_the_default_of_the_domain_where_they_need_one(
    living: Living, domain: str
) -> None:
    living.given(
        f"CREATE DOMAIN lang AS text {domain};"
        "CREATE TABLE t (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, c lang NOT NULL); INSERT INTO t (c) VALUES ('de')"
    )
    column = sa.Column("c", postgresql.DOMAIN("lang", sa.Text, create_type=False), nullable=False)
    living.retire_column("t", column)
    living.all("INSERT INTO t DEFAULT VALUES RETURNING id")

    living.restore_column("t", column)

    assert living.all("SELECT c FROM t ORDER BY id") == [("de",), ("en",)]


@pytest.mark.parametrize("made", ["DEFAULT 5", "GENERATED BY DEFAULT AS IDENTITY"])
def test_what_fills_a_column_that_somebody_made_anew_stays(living: Living, made: str) -> None:
    column = sa.Column("c", sa.Integer)
    living.run("CREATE TABLE t (id serial PRIMARY KEY, c integer); INSERT INTO t (c) VALUES (7)")
    living.retire_column("t", column)
    living.run(f"ALTER TABLE t ADD c integer {made}")
    fills = "SELECT column_default, is_identity FROM information_schema.columns WHERE table_name = 't' AND column_name = 'c'"
    before = living.all(fills)

    living.restore_column("t", column)

    assert living.all(fills) == before
