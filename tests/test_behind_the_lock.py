"""What an operation does while nobody else may use the table: little, and nothing by what was true before it had the lock."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event

from alembic_safe.database.reads import Reads
from alembic_safe.database.statements import quoted, run_at_once
from alembic_safe.errors import Refused
from alembic_safe.operations import column_found, kept
from tests.stepwise import HOSTILE, Stepwise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster import Cluster

TABLE = (
    "DROP SCHEMA IF EXISTS alembic_safe_retired CASCADE; DROP TABLE IF EXISTS t CASCADE;"
    "CREATE TABLE t (id integer PRIMARY KEY, c integer, other integer); ALTER TABLE t ADD c_new bigint;"
    "INSERT INTO t SELECT n, n FROM generate_series(1, 20) n; CREATE INDEX t_c ON t (c)"
)
MEANWHILE = {
    "nothing": "SELECT 1",
    "a comment": "COMMENT ON COLUMN t.c IS 'said: \"meanwhile\"'",
    "a right": "GRANT SELECT (c) ON t TO pg_monitor",
    "an index": "CREATE INDEX ix ON t (other, c); CREATE INDEX ix_new ON t (other, c_new)",
}
ONLY_SWAPPED = {
    "a statistics object": "CREATE STATISTICS s ON other, c FROM t",
    "a view": "CREATE VIEW v AS SELECT c FROM t; CREATE VIEW w AS SELECT c + 1 AS d FROM v; GRANT SELECT ON w TO pg_monitor",
    "a trigger that fires behind": "CREATE TRIGGER zzz BEFORE UPDATE ON t FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "a trigger of the column": "CREATE TRIGGER of_c BEFORE UPDATE OF c ON t FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
}
ENUMS = (
    "DROP TABLE IF EXISTS t, o CASCADE; DROP TYPE IF EXISTS e, e_new CASCADE; CREATE TYPE e AS ENUM ('a', 'b');"
    "CREATE TYPE e_new AS ENUM ('a', 'c');"
    "CREATE TABLE t (id integer PRIMARY KEY, c e DEFAULT 'b', c_new e_new, other integer);"
    "CREATE TABLE o (id integer PRIMARY KEY, d e[], d_new e_new[])"
)
OF_ENUMS = {
    "a view of both": "CREATE VIEW v AS SELECT t.c, o.d FROM t CROSS JOIN o; CREATE VIEW w AS SELECT v.c, o.d FROM v, o",
}
GO_WITH_THE_NAME = {"nothing", "a statistics object", "a view", "a trigger of the column", *OF_ENUMS}
C, C_NEW = sa.Column("c", sa.Integer), sa.Column("c_new", sa.Integer)


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Stepwise]:
    """One database; every test makes its own table."""
    cluster.create("behind_the_lock")
    it = Stepwise(cluster, lambda: "behind_the_lock")
    yield it
    it.close()
    cluster.drop("behind_the_lock")


@contextmanager
def at_the_lock(place: Stepwise, sql: str) -> Iterator[list[str]]:
    """Let somebody commit something in the moment before the table is locked.

    :return: the statements behind the lock.
    """
    behind: list[str] = []
    begun = False

    def look(_: Any, __: Any, statement: str, *___: Any) -> None:
        nonlocal begun
        if begun:
            behind.append(statement)
        elif statement.startswith("LOCK TABLE") or "DROP TRIGGER" in statement:
            begun = True
            place.run(sql)

    event.listen(place.engine, "before_cursor_execute", look)
    try:
        yield behind
    finally:
        event.remove(place.engine, "before_cursor_execute", look)
    assert begun


def synced(place: Stepwise) -> None:
    place.run(TABLE)
    place.op("sync_columns", "t", "c", "c_new")


def function_of_sync(place: Stepwise) -> str:
    ((name,),) = place.all(
        "SELECT DISTINCT proname FROM pg_trigger g JOIN pg_proc p ON p.oid = tgfoid WHERE tgrelid = 't'::regclass"
    )
    return str(name)


@pytest.mark.parametrize("case", [*MEANWHILE, *ONLY_SWAPPED])
def test_a_swap_sees_what_somebody_did_before_it_had_the_lock(place: Stepwise, case: str) -> None:
    meanwhile = {**MEANWHILE, **ONLY_SWAPPED}[case]
    synced(place)
    place.run(meanwhile)
    place.op("swap_columns", "t", "c", "c_new")
    wanted = place.dump()

    synced(place)
    with at_the_lock(place, meanwhile) as behind:
        place.op("swap_columns", "t", "c", "c_new")

    assert place.dump() == wanted
    assert any("jsonb_agg" in statement for statement in behind) is (case != "nothing")


def test_a_swap_sends_what_changes_the_names_in_one_message(place: Stepwise) -> None:
    place.run(
        TABLE + '; ALTER TABLE t ADD d text, ADD d_new text COLLATE "C"; CREATE INDEX t_d ON t (d);'
        "CREATE INDEX t_d_new ON t (d_new); CREATE VIEW v AS SELECT c FROM t"
    )
    place.op("sync_columns", "t", "c", "c_new", up="coalesce(c * 2::bigint, 0)", down="c_new / 2")
    place.op("sync_columns", "t", "d", "d_new", up="upper(d) || 'x'", down="CASE WHEN d_new > '' THEN lower(d_new) END")
    before = place.dump()

    with at_the_lock(place, "SELECT 1") as behind:
        place.op("swap_columns", "t", ["c", "d"], ["c_new", "d_new"])

    # the look whether the plan is true, all that is to be done, and the view again with its settings around it
    assert [statement.split()[0] for statement in behind] == ["EXECUTE", "DO", "SELECT", "DO", "SELECT"]
    place.run("UPDATE t SET d = 'AX', c = 10 WHERE id = 1")
    assert place.all("SELECT c::text, d, c_new::text, d_new FROM t WHERE id = 1") == [("10", "AX", "5", "ax")]
    place.op("swap_columns_back", "t", ["c", "d"], ["c_new", "d_new"])
    assert place.dump() == before


def test_a_formula_that_a_twin_cannot_read_is_read_behind_the_lock(place: Stepwise) -> None:
    place.run(TABLE)
    place.op("sync_columns", "t", "c", "c_new", up="c + 1::bigint", down="c_new - 1")
    before = place.dump()
    place.op("swap_columns", "t", "c", "c_new")
    wanted = place.dump()
    place.op("swap_columns_back", "t", "c", "c_new")
    assert place.dump() == before

    # somebody who sees every new table, and wants none of this kind
    place.run(
        "CREATE FUNCTION no_twins() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT"
        " FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE TABLE') THEN RAISE 'none'; END IF; END $$;"
        "CREATE EVENT TRIGGER no_twins ON ddl_command_end EXECUTE FUNCTION no_twins()"
    )
    try:
        with at_the_lock(place, "SELECT 1") as behind:
            place.op("swap_columns", "t", "c", "c_new")
    finally:
        place.run("DROP EVENT TRIGGER no_twins; DROP FUNCTION no_twins()")

    assert any("pg_get_viewdef" in statement for statement in behind)
    assert place.dump() == wanted


@pytest.mark.parametrize(
    "formula", ["(ROW(NULL, {c}, NULL, NULL)::t).c", "(ARRAY[ROW(NULL, {c}, NULL, NULL)::t])[1].c"]
)
def test_a_field_of_the_tables_own_type_is_renamed_with_the_column(place: Stepwise, formula: str) -> None:
    place.run(
        "DROP TABLE IF EXISTS t CASCADE; CREATE TABLE t (id integer PRIMARY KEY, c integer, other integer, c_new bigint)"
    )
    place.op("sync_columns", "t", "c", "c_new", up=formula.format(c="c") + "::bigint", down="c_new::integer")

    place.op("swap_columns", "t", "c", "c_new")

    place.run("INSERT INTO t (id, c_new) VALUES (1, 7)")
    assert place.all("SELECT c, c_new FROM t") == [(7, 7)]


def two_enums(place: Stepwise) -> None:
    place.run(ENUMS)
    there, back = ("CASE c{}::text WHEN '{}' THEN '{}' ELSE c{}::text END".format(*words)
                   for words in (("", "b", "c", ""), ("_new", "c", "b", "_new")))  # fmt: skip
    place.op("sync_columns", "t", "c", "c_new", up=there, down=back)
    up, down = "array_replace(d::text[], 'b', 'c')", "array_replace(d_new::text[], 'c', 'b')"
    place.op("sync_columns", "o", "d", "d_new", up=up, down=down)
    place.run("INSERT INTO t (id) VALUES (1); INSERT INTO o (id, d) VALUES (1, '{a,b}')")


@pytest.mark.parametrize("case", [*MEANWHILE, *ONLY_SWAPPED, *OF_ENUMS])
@pytest.mark.cases("a view", "a right", "an index")
def test_a_swap_of_enums_sees_what_somebody_did_before_it_had_the_locks(place: Stepwise, case: str) -> None:
    meanwhile = {**MEANWHILE, **ONLY_SWAPPED, **OF_ENUMS}[case].replace("c + 1", "c::text || '!'")
    two_enums(place)
    place.run(meanwhile)
    before = place.dump()
    place.op("swap_enum_types", "e", "e_new")
    wanted = place.dump()
    assert place.all("SELECT c::text, d::text FROM t, o") == [("c", "{a,c}")]
    place.op("swap_enum_types_back", "e", "e_new")
    if case in GO_WITH_THE_NAME:
        assert place.dump() == before
    assert place.all("SELECT c::text, d::text FROM t, o") == [("b", "{a,b}")]

    two_enums(place)
    with at_the_lock(place, meanwhile) as behind:
        place.op("swap_enum_types", "e", "e_new")

    assert place.dump() == wanted
    assert any("jsonb_agg" in statement for statement in behind) is (case != "nothing")


@pytest.mark.parametrize("case", MEANWHILE)
def test_a_retired_column_takes_along_what_somebody_made_before_it_was_locked(place: Stepwise, case: str) -> None:
    place.run(TABLE)
    before = place.dump()
    place.run(MEANWHILE[case])
    wanted = place.dump()
    place.run(TABLE)
    assert place.dump() == before

    with at_the_lock(place, MEANWHILE[case]):
        place.retire_column("t", C)
    place.restore_column("t", C, accept=["restore-by-key:t.c"])

    # it comes back as the last column
    assert sorted(place.dump().replace(",\n", "\n").splitlines()) == sorted(wanted.replace(",\n", "\n").splitlines())
    assert place.all("SELECT count(*) FROM t WHERE c = id") == [(20,)]


@pytest.mark.parametrize("meanwhile", ["nothing", "its triggers have other names", "it has ended"])
def test_a_sync_ends_with_the_column_that_was_replaced(place: Stepwise, meanwhile: str) -> None:
    synced(place)
    place.run("UPDATE t SET c = 7 WHERE id = 1")
    (first, _) = place.all("SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal")
    does = {
        "nothing": "SELECT 1",
        "its triggers have other names": f"ALTER TRIGGER {quoted(first[0])} ON t RENAME TO another",
        "it has ended": "DROP FUNCTION alembic_safe_sync.{} CASCADE",
    }[meanwhile]
    function = function_of_sync(place)

    with at_the_lock(place, does.format(quoted(function))):
        place.retire_column("t", C, replaced_by="c_new", down="c_new::integer")

    assert not place.all(f"SELECT FROM pg_proc WHERE proname = '{function}'")
    assert not place.all("SELECT FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal")
    place.run("INSERT INTO t (id, c_new) VALUES (100, 100)")
    place.restore_column("t", C, replaced_by="c_new", down="c_new::integer")
    assert place.all("SELECT count(*) FROM t WHERE c = CASE id WHEN 1 THEN 7 ELSE id END") == [(21,)]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_column_that_somebody_dropped_leaves_no_sync_behind(place: Stepwise, when: str) -> None:
    synced(place)
    function, drop = function_of_sync(place), "ALTER TABLE t DROP c CASCADE"
    if when == "before":
        place.run(drop)
        done = place.retire_column("t", C, replaced_by="c_new", down="c_new::integer")
    else:
        with at_the_lock(place, drop):
            done = place.retire_column("t", C, replaced_by="c_new", down="c_new::integer")

    assert done.was_gone
    assert not place.all(f"SELECT FROM pg_proc WHERE proname = '{function}'")
    place.run("INSERT INTO t (id, c_new) VALUES (100, 100)")


def test_a_sync_with_others_than_those_that_replaced_it_keeps_a_column(place: Stepwise) -> None:
    synced(place)

    with pytest.raises(Refused, match="other objects depend on the column"):
        place.retire_column("t", C, replaced_by="id", down="id")


def test_a_column_that_went_before_it_was_locked_was_gone(place: Stepwise) -> None:
    place.run(TABLE)

    with at_the_lock(place, "ALTER TABLE t DROP c"):
        done = place.retire_column("t", C)

    assert done.was_gone


def test_only_a_few_statements_are_sent_behind_a_lock(place: Stepwise) -> None:
    synced(place)
    with at_the_lock(place, "SELECT 1") as behind:
        place.op("swap_columns", "t", "c", "c_new")
    # whether the plan is true, and all that is to be done
    assert len(behind) <= 2

    place.steps("keep_column", "t", C_NEW, replaced_by="c", down="c::integer")
    with at_the_lock(place, "SELECT 1") as behind:
        place.retire_column("t", C_NEW, replaced_by="c", down="c::integer")
    # the definitions under settings of their own, and the column behind all the rest
    assert len(behind) <= 5


def test_what_is_written_before_the_lock_is_had_is_kept(place: Stepwise) -> None:
    place.run(
        TABLE + "; DROP TABLE IF EXISTS s; CREATE TABLE s (id serial PRIMARY KEY, c integer); INSERT INTO s SELECT 1"
    )
    place.steps("keep_column", "s", C)

    with at_the_lock(place, "INSERT INTO s (id, c) SELECT nextval('s_id_seq') + 5, 7"):
        done = place.retire_column("s", C)

    assert done.rows == 1
    assert place.all(f"SELECT key_1, value FROM alembic_safe_retired.{done.kept}") == [("6", "7")]
    ((comment,),) = place.all(f"SELECT obj_description('alembic_safe_retired.{done.kept}'::regclass)")
    ((_, _, number),) = json.loads(comment.removeprefix("alembic-safe retired "))["key_source"]["counters"]
    assert number == 1


def test_what_depends_on_what_is_kept_is_no_reason_of_the_column(place: Stepwise) -> None:
    place.run(TABLE)
    place.steps("keep_column", "t", sa.Column("other", sa.Integer))
    place.run("CREATE VIEW v AS SELECT * FROM alembic_safe_retired.t_other")

    with pytest.raises(sa.exc.InternalError, match="view v depends on table"):
        place.retire_column("t", sa.Column("other", sa.Integer))


def test_a_revision_may_go_on_to_read_a_table_that_a_column_was_taken_from(place: Stepwise) -> None:
    place.run(TABLE)
    place.steps("keep_column", "t", C)
    with place.engine.begin() as connection:
        for _ in range(8):  # psycopg prepares what it is given often
            connection.execute(sa.text("SELECT * FROM t WHERE id = :id"), {"id": 1}).all()
        Operations(MigrationContext.configure(connection)).retire_column("t", C)  # type: ignore[attr-defined]

        assert connection.execute(sa.text("SELECT * FROM t WHERE id = :id"), {"id": 1}).all() == [(1, None, None)]


def test_what_goes_on_meanwhile_makes_no_plan_untrue(place: Stepwise) -> None:
    place.run(TABLE)
    with place.engine.begin() as connection:
        reads = Reads(connection)
        asked = ("SELECT count(*) AS it FROM t", {})
        reads.rows("SELECT 1 AS it")
        reads.moving([asked])
        reads.prepare()
        run_at_once(connection, ["DELETE FROM t WHERE id = 1"])

        assert reads.are_true()
        assert reads.rows(*asked) == [{"it": 19}]


def test_a_right_on_an_identity_s_sequence_that_came_before_the_lock_is_kept(place: Stepwise) -> None:
    place.run(
        f"{TABLE}; UPDATE t SET c_new = c; ALTER TABLE t ALTER c SET NOT NULL, ALTER c_new SET NOT NULL;"
        "ALTER TABLE t ALTER c ADD GENERATED BY DEFAULT AS IDENTITY (START 100)"
    )
    place.op("sync_columns", "t", "c", "c_new")

    with at_the_lock(place, "GRANT USAGE ON SEQUENCE t_c_seq TO pg_monitor"):
        place.op("swap_columns", "t", "c", "c_new")

    place.run("INSERT INTO t (id) VALUES (100)")
    assert place.all("SELECT c, has_sequence_privilege('pg_monitor', 't_c_seq', 'USAGE') FROM t WHERE id = 100") == [
        (100, True)
    ]


@pytest.mark.parametrize(("counts", "rows"), [(20, 19), (5, 20)])
def test_many_kept_values_are_not_counted_behind_a_lock(
    place: Stepwise, monkeypatch: pytest.MonkeyPatch, counts: int, rows: int
) -> None:
    monkeypatch.setattr(column_found, "COUNTED_UNDER_LOCK", counts)
    synced(place)
    place.steps("keep_column", "t", C)
    place.run("DELETE FROM t WHERE id = 7")

    with place.engine.begin() as connection:
        op = Stepwise.operations(connection)
        op.drop_sync("t", "c", "c_new")
        done = op.retire_column("t", C)

    assert done.rows == rows
    assert len(place.kept(done.kept)) == 19


@pytest.mark.parametrize("name", [*HOSTILE, "it's E'\\x3a' :a %s %%", "ä\n"])
def test_what_is_asked_at_once_is_what_is_asked_one_by_one(place: Stepwise, name: str) -> None:
    query = (
        "SELECT CAST(:name AS text) AS name, :number AS number, CAST(:names AS text[]) AS names, 'a'::text AS \":b\""
    )
    params = {"name": name, "number": 7, "names": [name, "b"]}
    with place.engine.begin() as connection:
        reads = Reads(connection)
        found = reads.together([(query, params), ("SELECT relname FROM pg_class WHERE relname = :name", params)])
        empty = reads.rows("SELECT 1 AS it WHERE 'x' = ANY(CAST(:names AS text[]))", {"names": []})
        reads.prepare()

        assert found[0] == [{"name": name, "number": 7, "names": [name, "b"], ":b": "a"}]
        assert (list(found[1]), list(empty)) == ([], [])
        assert reads.are_true()
        run_at_once(connection, [reads.ending])
        assert (
            connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements WHERE name ~ 'reads'").scalar() == 0
        )


@pytest.mark.parametrize("name", [*HOSTILE, "it's :a %s $statement$", 'an odd " :one', "\\: $together$"])
def test_statements_that_are_sent_at_once_are_those_that_are_sent_one_by_one(place: Stepwise, name: str) -> None:
    place.run("DROP TABLE IF EXISTS u CASCADE; CREATE TABLE u (n integer)")
    statements = [
        f"COMMENT ON TABLE u IS {kept.literal(name)}",
        f"ALTER TABLE u ADD {quoted(name[:20])} text DEFAULT {kept.literal(name)}",
        'ALTER TABLE u RENAME n TO ":n"',
    ]
    with place.engine.begin() as connection:
        run_at_once(connection, [])
        run_at_once(connection, statements[:1])
        run_at_once(connection, statements)
        connection.exec_driver_sql('INSERT INTO u (":n") VALUES (1)')

    assert place.all("SELECT obj_description('u'::regclass)") == [(name,)]
    assert place.all("TABLE u") == [(1, name)]


def test_what_was_told_otherwise_is_noticed(place: Stepwise) -> None:
    place.run("DROP TABLE IF EXISTS u; CREATE TABLE u (n integer); INSERT INTO u VALUES (1), (2)")
    changes: dict[str, Callable[[], None]] = {
        "nothing": lambda: None,
        "a value": lambda: place.run("UPDATE u SET n = 3 WHERE n = 2"),
        "a row": lambda: place.run("INSERT INTO u VALUES (4)"),
        "no row": lambda: place.run("DELETE FROM u"),
    }
    seen = {}
    for what, change in changes.items():
        with place.engine.begin() as connection:
            reads = Reads(connection)
            reads.rows("SELECT n FROM u ORDER BY n")
            reads.prepare()
            change()
            seen[what] = reads.are_true()

    assert seen == {"nothing": True, "a value": False, "a row": False, "no row": False}
