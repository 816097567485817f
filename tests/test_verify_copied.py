"""Whether the copy is complete: what counts as a contradiction, and what is said about it."""

from __future__ import annotations

import pytest

from alembic_safe.database.copying_verify import count_mismatches
from alembic_safe.database.statements import quoted
from alembic_safe.errors import Findings, Refused
from alembic_safe.inspecting.syncs import read_syncs
from tests.stepwise import HOSTILE, Stepwise, place

__all__ = ["place"]

FILLED = (
    "CREATE TABLE t (id integer PRIMARY KEY, a text, b text);"
    "INSERT INTO t SELECT n, 'A' || n FROM generate_series(1, 300) n"
)
LOSSY = {"up": "lower(a)", "down": "b"}


@pytest.mark.parametrize("how", ["op", "steps"])
def test_a_complete_copy_passes_also_after_writes_of_the_new_application(place: Stepwise, how: str) -> None:
    place.given(FILLED)
    place.op("sync_columns", "t", "a", "b", **LOSSY)
    getattr(place, how)("backfill", "t", set_={"b": "lower(a)"})
    place.run("UPDATE t SET b = 'New' WHERE id = 1; UPDATE t SET b = NULL WHERE id = 2")

    assert getattr(place, how)("verify_copied", "t", "a", "b", **LOSSY) == 300

    if how == "steps":
        assert place.all("SELECT * FROM alembic_safe_runner.evidence") == [("a -> b", 300, 0)]


@pytest.mark.parametrize("how", ["op", "steps"])
def test_rows_that_contradict_themselves_are_counted_and_named(place: Stepwise, how: str) -> None:
    place.given(FILLED)
    place.run("UPDATE t SET b = lower(a); UPDATE t SET b = NULL WHERE id = 7; UPDATE t SET b = 'x' WHERE id = 9")

    with pytest.raises(Findings, match=r"public\.t: in 2 of 300 rows a -> b contradict each other") as error:
        getattr(place, how)("verify_copied", "t", "a", "b", **LOSSY)

    assert error.value.detail == ("For example where id = 7", "For example where id = 9")
    if how == "steps":
        assert place.all("SELECT * FROM alembic_safe_runner.evidence") == [("a -> b", 300, 2)]


def test_a_null_that_is_to_be_filled_is_a_contradiction(place: Stepwise) -> None:
    place.given("CREATE TABLE t (a integer, b integer); INSERT INTO t VALUES (NULL, NULL), (1, 1)")

    with pytest.raises(Findings, match="in 1 of 2 rows"):
        place.op("verify_copied", "t", "a", "b", up="coalesce(a, 0)", down="b")


def test_a_partitioned_table_is_read_as_a_whole(place: Stepwise) -> None:
    place.given(
        "CREATE TABLE t (id integer, a text, b text) PARTITION BY RANGE (id);"
        "CREATE TABLE p1 PARTITION OF t FOR VALUES FROM (0) TO (100); CREATE TABLE p2 PARTITION OF t DEFAULT;"
        "INSERT INTO t SELECT n, 'a', 'a' FROM generate_series(1, 300) n"
    )

    assert place.steps("verify_copied", "t", "a", "b") == 300


def test_a_formula_that_fails_on_a_row_is_a_finding(place: Stepwise) -> None:
    place.given("CREATE TABLE t (a text, b integer); INSERT INTO t VALUES ('x', 1)")

    with pytest.raises(Findings, match="the formulas fail on a row: invalid input syntax"):
        place.op("verify_copied", "t", "a", "b", up="CAST(a AS integer)", down="CAST(b AS text)")


def test_a_trigger_that_fires_behind_the_sync_is_named(place: Stepwise) -> None:
    place.given(FILLED)
    place.op("sync_columns", "t", "a", "b", **LOSSY)
    place.run(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := NEW.a || '!'; RETURN NEW; END $$;"
        "CREATE TRIGGER zzz BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION shout()"
    )

    for verb, words in (("verify_copied", ("t", "a", "b")), ("backfill", ("t",))):
        more = LOSSY if verb == "verify_copied" else {"set_": {"b": "lower(a)"}}
        with pytest.raises(Refused, match="trigger zzz fires behind the sync"):
            place.op(verb, *words, **more)


def test_the_gate_can_count_for_itself(place: Stepwise) -> None:
    place.given(FILLED)
    place.op("sync_columns", "t", "a", "b", **LOSSY)

    with place.engine.connect() as c:
        (sync,) = read_syncs(c)
        verified = count_mismatches(c, sync)

    assert (verified.rows, verified.mismatches) == (300, 300)
    assert verified.examples == tuple(f"id = {n}" for n in range(1, 6))


def test_a_script_is_refused_with_the_reason(place: Stepwise) -> None:
    with pytest.raises(Refused, match=r"op\.verify_copied cannot be written as a script"):
        place.script("verify_copied", "t", "a", "b")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_in_a_schema_off_the_search_path(place: Stepwise, name: str) -> None:
    q = quoted(name)
    place.given(
        f"CREATE SCHEMA {q}; CREATE TABLE {quoted(name, name)} ({q} text PRIMARY KEY, b text);"
        f"INSERT INTO {quoted(name, name)} VALUES ('%:x', '%:x:a'), ('y', 'y:a')"
    )

    assert place.steps("verify_copied", name, name, "b", up=f"{q} || ':a'", down="left(b, -2)", schema=name) == 2
