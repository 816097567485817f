"""Two columns in sync change their names: both applications go on, and everything said of the name goes with it."""

from __future__ import annotations

import pytest

from alembic_safe.database.statements import quoted
from alembic_safe.errors import Refused
from alembic_safe.operations.swap_columns import SwapColumnsOp
from alembic_safe.operations.swap_names import beside
from alembic_safe.operations.sync_columns import DropSyncOp
from tests.stepwise import HOSTILE, Stepwise, place

__all__ = ["place"]


def prepared(place: Stepwise, old: str = "integer", new: str = "bigint", more: str = "", **formulas: str) -> None:
    place.given(f"CREATE TABLE t (id integer PRIMARY KEY, c {old} {more}, other integer)")
    place.run(f"ALTER TABLE t ADD c_new {new}")
    place.op("sync_columns", "t", "c", "c_new", **formulas)


def finish(place: Stepwise) -> None:
    """What the rest of a contract does."""
    place.op("drop_sync", "t", "c", "c_new")
    place.run("ALTER TABLE t DROP c_new")


def rows(place: Stepwise) -> list[tuple[object, ...]]:
    return place.all("SELECT id, c, c_new FROM t ORDER BY id")


def test_the_new_column_has_the_name_and_the_sync_goes_on(place: Stepwise) -> None:
    prepared(place, "text", "integer", up="length(c)", down="repeat('x', c_new)")
    place.run("INSERT INTO t (id, c) VALUES (1, 'abc')")

    for _ in range(2):
        place.op("swap_columns", "t", "c", "c_new")
    place.run(
        "INSERT INTO t (id, c) VALUES (2, 2); INSERT INTO t (id, c_new) VALUES (3, 'abcd'); UPDATE t SET c = 1 WHERE id = 1"
    )

    assert rows(place) == [(1, 1, "x"), (2, 2, "xx"), (3, 4, "abcd")]


def test_it_is_swapped_back_by_its_reverse(place: Stepwise) -> None:
    prepared(place, "text", "integer", up="length(c)", down="repeat('x', c_new)")
    before = place.dump()
    swap = SwapColumnsOp("t", "c", "c_new")
    place.op("invoke", swap)
    place.run("INSERT INTO t (id, c) VALUES (2, 2)")

    for _ in range(2):
        place.op("invoke", swap.reverse())
    place.run("INSERT INTO t (id, c) VALUES (3, 'abc'); INSERT INTO t (id, c_new) VALUES (4, 1)")

    assert rows(place) == [(2, "xx", 2), (3, "abc", 3), (4, "x", 1)]
    assert place.dump() == before
    assert isinstance(swap.reverse().reverse(), SwapColumnsOp)


def test_the_foreign_keys_of_partitions_change_their_names_with_those_of_their_parent(place: Stepwise) -> None:
    place.given(
        "CREATE TABLE p (id integer PRIMARY KEY); CREATE TABLE t (id integer, c integer, c_new bigint) PARTITION BY RANGE (id);"
        " CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9);"
        " CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (9) TO (20);"
        " ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (c) REFERENCES p;"
        " ALTER TABLE t ADD CONSTRAINT fk_new FOREIGN KEY (c_new) REFERENCES p; ALTER TABLE t2 RENAME CONSTRAINT fk TO own"
    )
    place.op("sync_columns", "t", "c", "c_new")
    of = "SELECT conrelid::regclass::text, conname, conkey FROM pg_constraint WHERE contype = 'f' ORDER BY 1, 2"
    before = place.all(of)
    assert before[2:] == [("t1", "fk", [2]), ("t1", "fk_new", [3]), ("t2", "fk_new", [3]), ("t2", "own", [2])]

    place.op("swap_columns", "t", "c", "c_new")

    assert place.all(of) == [
        ("t", "fk", [3]), ("t", "fk_new", [2]), ("t1", "fk", [3]), ("t1", "fk_new", [2]), ("t2", "fk", [3]), ("t2", "own", [2])
    ]  # fmt: skip
    place.op("swap_columns_back", "t", "c", "c_new")
    assert place.all(of) == before


def test_sessions_that_ran_the_trigger_before_go_on_writing(place: Stepwise) -> None:
    prepared(place)
    with place.cluster.connect(place.name) as session:
        for n in range(8):
            session.execute("INSERT INTO t (id, c) VALUES (%s, 1)", [n], prepare=True)
            session.execute("UPDATE t SET c = c + 1", prepare=False)

        place.op("swap_columns", "t", "c", "c_new")

        session.execute("INSERT INTO t (id, c) VALUES (100, 5)", prepare=False)
        session.execute("UPDATE t SET c = c + 1 WHERE id = 100", prepare=False)
    assert rows(place)[-1] == (100, 6, 6)


def test_the_sync_of_a_swap_is_made_again_and_swapped_back(place: Stepwise) -> None:
    prepared(place, "text", "integer", up="length(c)", down="repeat('x', c_new)")
    before = place.dump()
    place.op("swap_columns", "t", "c", "c_new")
    drop = DropSyncOp("t", "c_new", "c", up="length(c_new)", down="repeat('x', c)", swapped=True)
    place.op("invoke", drop)

    for _ in range(2):
        place.op("invoke", drop.reverse())
    place.run("INSERT INTO t (id, c) VALUES (1, 2)")
    with pytest.raises(Refused, match="c_new and c are swapped"):
        place.op("sync_columns", "t", "c_new", "c", up="length(c_new)", down="repeat('x', c)")
    place.op("swap_columns_back", "t", "c", "c_new")
    place.run("INSERT INTO t (id, c) VALUES (2, 'abc')")

    assert rows(place) == [(1, "xx", 2), (2, "abc", 3)]
    assert place.dump() == before


def test_a_default_of_no_use_to_the_new_type_is_refused_unless_the_new_column_has_its_own(place: Stepwise) -> None:
    prepared(place, "text", "integer", more="DEFAULT 'abc'", up="length(c)", down="repeat('x', c_new)")

    with pytest.raises(Refused, match=r"public\.t\.c is of type integer now, and its default is not: 'abc'::text"):
        place.op("swap_columns", "t", "c", "c_new")
    place.run("ALTER TABLE t ALTER c_new SET DEFAULT 3")
    place.op("swap_columns", "t", "c", "c_new")
    place.run("INSERT INTO t (id) VALUES (1)")

    assert rows(place) == [(1, 3, "xxx")]


COUNTERS = {
    "a default": ("DEFAULT 7", "7", []),
    "a serial": ("serial", None, []),
    "an identity": ("GENERATED BY DEFAULT AS IDENTITY", None, ["ALTER TABLE t ALTER c_new SET NOT NULL"]),
    "an identity that is always generated": (
        "GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 3 CACHE 2)", None, ["ALTER TABLE t ALTER c_new SET NOT NULL"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", COUNTERS)
def test_what_fills_the_column_goes_with_the_name(place: Stepwise, case: str) -> None:
    more, _, before = COUNTERS[case]
    if more == "serial":
        prepared(place, "serial", "bigint NOT NULL")
    else:
        prepared(place, more=more)
    place.run("INSERT INTO t (id) VALUES (1); INSERT INTO t (id) VALUES (2)")
    for statement in before:
        place.run(statement)
    counted = place.all("SELECT c FROM t WHERE id = 2")[0][0]

    place.op("swap_columns", "t", "c", "c_new")
    place.run("INSERT INTO t (id) VALUES (3)")
    third = place.all("SELECT c, c_new FROM t WHERE id = 3")[0]
    finish(place)

    assert third[0] == third[1]
    assert (third[0] > counted) is (case != "a default")
    place.in_twin("ALTER TABLE t ALTER c TYPE bigint")
    if more == "serial":
        # an integer's sequence on a bigint would end where the integers end
        place.in_twin("ALTER SEQUENCE t_c_seq AS bigint")
    place.in_twin("ALTER TABLE t ADD moved bigint; UPDATE t SET moved = c")
    columns = "column_name, is_nullable, column_default, is_identity, identity_generation, identity_maximum, identity_increment"
    query = f"SELECT {columns} FROM information_schema.columns WHERE table_name = 't' AND column_name = 'c'"
    with place.cluster.connect(place.twin) as c:
        wanted = c.execute(query).fetchall()
    assert place.all(query) == wanted
    assert place.all("SELECT sequencename, data_type::text FROM pg_sequences WHERE sequencename LIKE 't_c%'") in (
        [], [("t_c_seq", "bigint")],
    )  # fmt: skip


def test_names_of_indexes_and_constraints_are_exchanged(place: Stepwise) -> None:
    prepared(place)
    place.run(
        "CREATE INDEX ix ON t (c, other); CREATE INDEX ix_new ON t (c_new, other); CREATE INDEX ex ON t ((c + 1));"
        "CREATE INDEX ex_new ON t ((c_new + 1)); CREATE INDEX alone ON t (c_new);"
        "ALTER TABLE t ADD CONSTRAINT u UNIQUE (c), ADD CONSTRAINT u_new UNIQUE (c_new), ADD CONSTRAINT k CHECK (c > 0),"
        f" ADD CONSTRAINT k_new CHECK (c_new > 0), ADD CONSTRAINT {'l' * 63} CHECK (c < 9),"
        f" ADD CONSTRAINT {beside('l' * 63)} CHECK (c_new < 9)"
    )

    place.op("swap_columns", "t", "c", "c_new")
    finish(place)

    place.in_twin(
        "ALTER TABLE t ALTER c TYPE bigint; CREATE INDEX ix ON t (c, other); CREATE INDEX ex ON t ((c + 1));"
        "CREATE INDEX alone ON t (c); ALTER TABLE t ADD CONSTRAINT u UNIQUE (c), ADD CONSTRAINT k CHECK (c > 0),"
        f" ADD CONSTRAINT {'l' * 63} CHECK (c < 9)"
    )
    query = (
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' UNION ALL SELECT conname || pg_get_constraintdef(oid)"
        " FROM pg_constraint WHERE conrelid = 't'::regclass ORDER BY 1"
    )
    with place.cluster.connect(place.twin) as c:
        assert place.all(query) == c.execute(query).fetchall()


def test_what_was_said_of_the_name_is_said_of_it_again(place: Stepwise) -> None:
    prepared(place)
    place.run("DO $$ BEGIN CREATE ROLE app_writer LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;")
    place.run("GRANT UPDATE (c) ON t TO app_writer; COMMENT ON COLUMN t.c IS 'it''s: %'")
    place.run("ALTER TABLE t ALTER c SET STATISTICS 7")

    place.op("swap_columns", "t", "c", "c_new")

    said = place.all(
        "SELECT col_description('t'::regclass, attnum), attstattarget, attacl::text FROM pg_attribute"
        " WHERE attrelid = 't'::regclass AND attname = 'c'"
    )
    assert said == [("it's: %", 7, "{app_writer=w/postgres}")]
    place.run("REVOKE UPDATE (c) ON t FROM app_writer; REVOKE UPDATE (c_new) ON t FROM app_writer")


def test_a_partitioned_table(place: Stepwise) -> None:
    place.given("CREATE TABLE t (id integer, c integer) PARTITION BY LIST (id); CREATE TABLE t1 PARTITION OF t DEFAULT")
    place.run("ALTER TABLE t ADD c_new bigint")
    place.op("sync_columns", "t", "c", "c_new")

    place.op("swap_columns", "t", "c", "c_new")
    place.run("INSERT INTO t (id, c) VALUES (1, 2)")

    assert place.all("SELECT id, c, c_new FROM t1") == [(1, 2, 2)]


def test_columns_that_are_not_in_sync_are_refused_and_a_final_table_is_left_alone(place: Stepwise) -> None:
    place.given("CREATE TABLE t (id integer, c integer, c_new bigint)")

    with pytest.raises(Refused, match="c and c_new are not in sync"):
        place.op("swap_columns", "t", "c", "c_new")
    place.given("ALTER TABLE t DROP c_new")
    place.op("swap_columns", "t", "c", "c_new")

    assert place.dump() == place.dump(place.twin)


def test_an_identity_on_a_column_that_may_be_null_is_refused(place: Stepwise) -> None:
    prepared(place, more="GENERATED ALWAYS AS IDENTITY")

    with pytest.raises(Refused, match=r"public\.t\.c becomes an identity column, and may be NULL"):
        place.op("swap_columns", "t", "c", "c_new")


def test_what_is_said_of_what_stands_on_a_column_goes_with_the_name(place: Stepwise) -> None:
    said = """
    CREATE STATISTICS st ON other, c FROM t; ALTER STATISTICS st SET STATISTICS 500; COMMENT ON STATISTICS st IS 'st: 1%';
    CREATE POLICY pp ON t USING (c > 0); COMMENT ON POLICY pp ON t IS 'it''s'; ALTER STATISTICS st OWNER TO pg_monitor;
    CREATE TRIGGER tr AFTER UPDATE OF c ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
    COMMENT ON TRIGGER tr ON t IS 'tr';
    CREATE INDEX ix ON t (c); COMMENT ON INDEX ix IS 'ix';
    ALTER TABLE t ADD CONSTRAINT ck CHECK (c > 0); COMMENT ON CONSTRAINT ck ON t IS 'ck'
    """
    prepared(place)
    place.scripts.append(f"ALTER TABLE t DROP c; ALTER TABLE t ADD c bigint; {said}")
    place.run(f"{said}; CREATE INDEX ix_new ON t (c_new); ALTER TABLE t ADD CONSTRAINT ck_new CHECK (c_new > 0)")

    place.op("swap_columns", "t", "c", "c_new")
    finish(place)

    assert place.dump() == place.dump(place.twin)


@pytest.mark.parametrize("name", HOSTILE)
def test_who_may_count_with_an_identity_and_its_comment_go_along_there_and_back(place: Stepwise, name: str) -> None:
    sequence = quoted("s" + name[:50])
    place.run(
        f"CREATE TABLE t (id integer GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME {sequence}) PRIMARY KEY);"
        "ALTER TABLE t ADD id_new bigint NOT NULL;"
        "ALTER DEFAULT PRIVILEGES GRANT UPDATE ON SEQUENCES TO pg_monitor, PUBLIC;"
        f"GRANT USAGE ON SEQUENCE {sequence} TO pg_signal_backend WITH GRANT OPTION;"
        f"GRANT SELECT ON SEQUENCE {sequence} TO pg_database_owner; COMMENT ON SEQUENCE {sequence} IS 'it''s $1: 100%'"
    )
    place.op("sync_columns", "t", "id", "id_new")
    place.run("INSERT INTO t DEFAULT VALUES")
    said = (
        "SELECT relname, obj_description(oid), array(SELECT x::text FROM aclexplode(relacl) x WHERE grantee <> relowner"
        " ORDER BY 1) FROM pg_class WHERE relkind = 'S'"
    )
    before, dumped = place.all(said), place.dump()

    place.op("swap_columns", "t", "id", "id_new")
    swapped = place.all(said)
    place.run("INSERT INTO t DEFAULT VALUES")
    place.op("swap_columns_back", "t", "id", "id_new")
    place.run("INSERT INTO t DEFAULT VALUES")

    assert swapped == place.all(said) == before
    assert place.dump() == dumped
    assert place.all("SELECT id FROM t ORDER BY 1") == [(1,), (2,), (3,)]


def test_the_primary_key_goes_over_to_the_new_column_s_index(place: Stepwise) -> None:
    place.given(
        "CREATE TABLE t (id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY); INSERT INTO t DEFAULT VALUES"
    )
    place.run("ALTER TABLE t ADD id_new bigint")
    place.op("sync_columns", "t", "id", "id_new")
    place.op("backfill", "t", set_={"id_new": "id"})
    place.op("set_not_null", "t", "id_new")
    place.op("create_index_concurrently", "t_pkey_new", "t", ["id_new"], unique=True)

    for _ in range(2):
        place.op("swap_columns", "t", "id", "id_new")
        place.op("add_constraint_using_index", "t_pkey", "t", "t_pkey_new", "primary", replace=True)
    place.op("drop_sync", "t", "id", "id_new")
    place.run("ALTER TABLE t DROP id_new; INSERT INTO t DEFAULT VALUES")

    assert place.same_as_after("ALTER TABLE t ALTER id TYPE bigint")
    assert place.all("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


def test_a_script_is_refused_with_the_reason(place: Stepwise) -> None:
    with pytest.raises(Refused, match=r"op\.swap_columns cannot be written as a script"):
        place.script("swap_columns", "t", "c", "c_new")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_in_a_schema_off_the_search_path(place: Stepwise, name: str) -> None:
    q, new = quoted(name), quoted("n" + name[:40])
    place.given(
        f"CREATE SCHEMA {q}; CREATE TABLE {quoted(name, name)} (id integer, {q} integer DEFAULT 4, {new} bigint)"
    )
    index, beside = (quoted(("i" + name)[:58] + ending) for ending in ("", "_new"))
    place.run(
        f"CREATE INDEX {index} ON {quoted(name, name)} ({q}); CREATE INDEX {beside} ON {quoted(name, name)} ({new})"
    )
    place.op("sync_columns", name, name, "n" + name[:40], schema=name)

    for _ in range(2):
        place.op("swap_columns", name, name, "n" + name[:40], schema=name)
    place.run(f"INSERT INTO {quoted(name, name)} (id) VALUES (1)")

    assert place.all(f"SELECT id, {q}, {new}, pg_typeof({q})::text FROM {quoted(name, name)}") == [(1, 4, 4, "bigint")]


def test_a_default_that_is_a_literal_becomes_one_of_the_new_type(place: Stepwise) -> None:
    place.run("CREATE TYPE mood AS ENUM ('a', 'b')")
    place.given("CREATE TABLE t (id integer PRIMARY KEY, c text DEFAULT 'a', c_new mood)")
    place.steps("sync_columns", "t", "c", "c_new", up="c::mood", down="c_new::text")
    place.steps("swap_columns", "t", "c", "c_new")
    place.run("INSERT INTO t (id) VALUES (1)")
    assert place.all("SELECT c::text, c_new FROM t") == [("a", "a")]
    found = place.all("SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 't'::regclass")
    assert found == [("'a'::mood",)]


def test_another_default_comes_with_the_name_and_the_one_of_before_comes_back(place: Stepwise) -> None:
    prepared(place, "text", "integer", more="DEFAULT 'abc'", up="length(c)", down="repeat('x', c_new)")
    before = place.dump()

    for _ in range(2):
        place.op("swap_columns", "t", "c", "c_new", defaults={"c": "4"})
    place.run("INSERT INTO t (id) VALUES (1)")
    assert rows(place) == [(1, 4, "xxxx")]

    for _ in range(2):
        place.op("swap_columns_back", "t", "c", "c_new", defaults={"c": "'abc'"})
    place.run("INSERT INTO t (id) VALUES (2); DELETE FROM t WHERE id = 1")
    assert rows(place) == [(2, "abc", 3)]
    assert place.dump() == before
