"""A column counts with a sequence of its own, and comes to count as an identity, and back, without a number twice."""

from __future__ import annotations

import pytest

from alembic_safe.database.statements import quoted
from alembic_safe.errors import Refused
from alembic_safe.operations.counting import CountAsIdentityOp, CountWithSequenceOp
from tests.stepwise import HOSTILE, Stepwise, place

__all__ = ["place"]


def test_it_goes_on_where_it_stood_there_and_back(place: Stepwise) -> None:
    place.given("CREATE TABLE t (id integer PRIMARY KEY, n integer)")
    for _ in range(2):
        place.op("count_with_sequence", "t", "n", start=10, increment=10)
    place.run("INSERT INTO t (id) VALUES (1), (2); ALTER TABLE t ALTER n SET NOT NULL")
    before = place.dump()
    for _ in range(2):
        place.op("count_as_identity", "t", "n", always=True, start=10, increment=10)
    place.run("INSERT INTO t (id) VALUES (3)")
    with pytest.raises(Exception, match="cannot insert a non-DEFAULT value"):
        place.run("INSERT INTO t (id, n) VALUES (9, 9)")
    place.op("invoke", CountAsIdentityOp("t", "n", always=True, start=10, increment=10).reverse())
    place.run("INSERT INTO t (id) VALUES (4)")

    assert place.all("SELECT id, n FROM t ORDER BY id") == [(1, 10), (2, 20), (3, 30), (4, 40)]
    assert place.dump() == before


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_off_the_search_path(place: Stepwise, name: str) -> None:
    table, column = quoted(name, name), quoted(name)
    place.given(f"CREATE SCHEMA {column}; CREATE TABLE {table} (id integer PRIMARY KEY, {column} bigint)")
    place.op("count_with_sequence", name, name, schema=name)
    place.run(f"INSERT INTO {table} (id) VALUES (1); ALTER TABLE {table} ALTER {column} SET NOT NULL")
    place.op("count_as_identity", name, name, schema=name)
    place.run(f"INSERT INTO {table} (id) VALUES (2)")

    assert place.all(f"SELECT id, {column} FROM {table} ORDER BY id") == [(1, 1), (2, 2)]


def test_who_may_count_and_what_is_said_of_it_go_along_there_and_back(place: Stepwise) -> None:
    said = """SELECT c.relname, obj_description(c.oid), c.relpersistence, pg_get_userbyid(c.relowner), array(
      SELECT x.grantee::text || x.privilege_type || x.is_grantable FROM aclexplode(c.relacl) x
      WHERE x.grantee <> c.relowner ORDER BY 1) FROM pg_class c WHERE c.relkind = 'S'"""
    place.given("CREATE TABLE t (id integer PRIMARY KEY, n serial)")
    place.run(
        "ALTER DEFAULT PRIVILEGES FOR ROLE postgres, pg_database_owner GRANT UPDATE ON SEQUENCES TO pg_monitor;"
        "GRANT USAGE ON SEQUENCE t_n_seq TO pg_signal_backend WITH GRANT OPTION; GRANT SELECT ON SEQUENCE t_n_seq TO PUBLIC;"
        "COMMENT ON SEQUENCE t_n_seq IS 'ours: 100%'; ALTER TABLE t OWNER TO pg_database_owner"
    )
    before = place.all(said)

    place.op("count_as_identity", "t", "n")
    as_identity = place.all(said)
    place.op("count_with_sequence", "t", "n")

    assert as_identity == place.all(said) == before


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("CREATE TABLE t (n integer DEFAULT 3 NOT NULL)", "counts with no sequence of its own"),
        ("CREATE TABLE t (n serial); ALTER TABLE t ALTER n DROP NOT NULL", "may be NULL"),
    ],
    ids=["no sequence", "NULL"],
)
def test_what_could_count_twice_or_not_at_all_is_refused(place: Stepwise, definition: str, said: str) -> None:
    place.given(definition)

    with pytest.raises(Refused, match=said):
        place.op("count_as_identity", "t", "n")


def test_default_privileges_stay_on_no_sequence_that_is_made_anew_whatever_its_name(place: Stepwise) -> None:
    place.run('CREATE TABLE "t  t" (id integer PRIMARY KEY, n serial)')
    place.run("ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO PUBLIC")
    place.op("count_as_identity", "t  t", "n")
    place.op("count_with_sequence", "t  t", "n")
    assert place.all("SELECT 1 FROM pg_class WHERE relkind = 'S' AND relacl::text ~ '[{,]=r'") == []


def test_an_option_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(TypeError, match="there is no option beginning"):
        CountWithSequenceOp("t", "n", beginning=3)
