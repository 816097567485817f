"""NOT NULL, checks, foreign keys and constraints out of indexes: in steps, again after half of it, and in scripts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.operations.ops import DropConstraintOp

from alembic_safe.errors import Findings, Refused
from alembic_safe.operations.constraints_not_valid import (
    CreateCheckNotValidOp,
    CreateForeignKeyNotValidOp,
    DropForeignKeyOp,
)
from alembic_safe.operations.not_null import ProveNotNullOp, SetNotNullOp, proof_name
from tests.cluster import VERSION
from tests.patience import eventually
from tests.stepwise import HOSTILE, Killed, Stepwise, place

__all__ = ["place"]

TABLE = "CREATE TABLE t (id integer PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'a')"


@pytest.mark.parametrize("how", ["op", "steps"])
def test_a_column_becomes_not_null_as_after_a_plain_statement(place: Stepwise, how: str) -> None:
    place.given(TABLE)
    run = getattr(place, how)

    for _ in range(2):
        run("prove_not_null", "t", "c")
        run("set_not_null", "t", "c")

    assert place.same_as_after("ALTER TABLE t ALTER c SET NOT NULL")


def test_not_null_goes_on_after_every_half_done_run(place: Stepwise) -> None:
    place.given(TABLE)

    for die_at in (1, 2):
        with pytest.raises(Killed):
            place.steps("set_not_null", "t", "c", die_at=die_at)
    place.steps("set_not_null", "t", "c")

    assert place.same_as_after("ALTER TABLE t ALTER c SET NOT NULL")


def test_the_scan_is_done_before_the_exclusive_lock(place: Stepwise) -> None:
    place.given(TABLE)
    place.steps("prove_not_null", "t", "c")

    place.steps("set_not_null", "t", "c")

    # the commit between VALIDATE and SET NOT NULL
    assert place.runner.commits == 1
    assert place.runner.touched == []


def test_rows_with_null_are_counted_and_nothing_is_left_behind_by_a_stock_run(place: Stepwise) -> None:
    place.given(TABLE + "; INSERT INTO t VALUES (2, NULL), (3, NULL)")

    with pytest.raises(Findings, match=r"public\.t\.c cannot become NOT NULL: 2 rows hold NULL there"):
        place.op("set_not_null", "t", "c")

    assert place.dump() == place.dump(place.twin)


def test_a_proof_lets_no_further_null_in(place: Stepwise) -> None:
    place.given(TABLE + "; INSERT INTO t VALUES (2, NULL)")
    place.op("prove_not_null", "t", "c")

    with pytest.raises(Exception, match=proof_name("c")):
        place.run("INSERT INTO t VALUES (3, NULL)")


@pytest.mark.parametrize("name", HOSTILE)
def test_not_null_with_hostile_names_in_a_schema_off_the_search_path(place: Stepwise, name: str) -> None:
    from alembic_safe.database.statements import quoted

    place.given(f"CREATE SCHEMA {quoted(name)}; CREATE TABLE {quoted(name, name)} ({quoted(name)} text)")

    place.steps("prove_not_null", name, name, schema=name)
    place.steps("set_not_null", name, name, schema=name)
    place.steps("create_check_not_valid", name, name, "true", schema=name)
    place.steps("validate_constraint", name, name, schema=name)

    place.in_twin(f"ALTER TABLE {quoted(name, name)} ALTER {quoted(name)} SET NOT NULL")
    assert place.same_as_after(f"ALTER TABLE {quoted(name, name)} ADD CONSTRAINT {quoted(name)} CHECK (true)")


@pytest.mark.parametrize("name", HOSTILE)
def test_scripts_say_the_same_with_hostile_names(place: Stepwise, name: str) -> None:
    from alembic_safe.database.statements import quoted

    place.given(f"CREATE SCHEMA {quoted(name)}; CREATE TABLE {quoted(name, name)} ({quoted(name)} text)")

    place.run_script(place.script("prove_not_null", name, name, schema=name))
    place.run_script(place.script("set_not_null", name, name, schema=name))
    place.run_script(place.script("create_check_not_valid", name, name, f"{quoted(name)} <> 'a:b%'", schema=name))
    place.run_script(place.script("validate_constraint", name, name, schema=name))

    place.in_twin(f"ALTER TABLE {quoted(name, name)} ALTER {quoted(name)} SET NOT NULL")
    check = f"ADD CONSTRAINT {quoted(name)} CHECK ({quoted(name)} <> 'a:b%')"
    assert place.same_as_after(f"ALTER TABLE {quoted(name, name)} {check}")


def test_a_proof_on_a_partitioned_table(place: Stepwise) -> None:
    place.given(
        "CREATE TABLE t (id integer, c text) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9)"
    )

    place.steps("prove_not_null", "t", "c")
    place.steps("set_not_null", "t", "c")

    assert place.same_as_after("ALTER TABLE t ALTER c SET NOT NULL")


def test_not_null_is_taken_back_by_its_reverse(place: Stepwise) -> None:
    place.given(TABLE)
    place.op("prove_not_null", "t", "c")
    place.op("set_not_null", "t", "c")

    place.op("invoke", SetNotNullOp("t", "c").reverse())
    place.op("invoke", ProveNotNullOp("t", "c").reverse())

    assert place.dump() == place.dump(place.twin)


PARENT = "CREATE TABLE p (id integer PRIMARY KEY); CREATE TABLE t (id integer, p integer); INSERT INTO p VALUES (1)"
KEY = ("fk", "t", "p", ["p"], ["id"])


@pytest.mark.parametrize("how", ["op", "steps"])
def test_a_foreign_key_is_as_after_a_plain_statement(place: Stepwise, how: str) -> None:
    place.given(PARENT + "; INSERT INTO t VALUES (1, 1)")
    run = getattr(place, how)

    for _ in range(2):
        run("create_foreign_key_not_valid", *KEY, ondelete="CASCADE")
        run("validate_constraint", "fk", "t")

    assert place.same_as_after("ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE")


def test_a_foreign_key_that_is_not_valid_yet_holds_new_rows(place: Stepwise) -> None:
    place.given(PARENT + "; INSERT INTO t VALUES (1, 77)")
    place.op("create_foreign_key_not_valid", *KEY)

    with pytest.raises(Exception, match="violates foreign key"):
        place.run("INSERT INTO t VALUES (2, 78)")
    with pytest.raises(Findings, match=r"Rows of public\.t violate constraint fk"):
        place.op("validate_constraint", "fk", "t")


PARTITIONED = (
    "CREATE SCHEMA s; CREATE TABLE p (id integer PRIMARY KEY); INSERT INTO p VALUES (1);"
    "CREATE TABLE t (id integer, p integer) PARTITION BY RANGE (id);"
    "CREATE TABLE s.t1 PARTITION OF t FOR VALUES FROM (0) TO (9);"
    "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (9) TO (99) PARTITION BY RANGE (id);"
    "CREATE TABLE s.t21 PARTITION OF t2 FOR VALUES FROM (9) TO (20); INSERT INTO t VALUES (1, 1), (10, 1), (11, NULL)"
)


@pytest.mark.parametrize("how", ["op", "steps"])
@pytest.mark.parametrize("is_validated", [False, True], ids=["not valid", "validated"])
def test_a_foreign_key_of_a_partitioned_table_is_taken_back(place: Stepwise, how: str, is_validated: bool) -> None:
    place.given(PARTITIONED)
    run = getattr(place, how)
    run("create_foreign_key_not_valid", *KEY)
    if is_validated:
        run("validate_constraint", "fk", "t")

    for _ in range(2):
        run("drop_foreign_key", "fk", "t")

    assert place.dump() == place.dump(place.twin)


def test_another_constraint_of_the_name_stays(place: Stepwise) -> None:
    place.given(PARENT + "; ALTER TABLE t ADD CONSTRAINT fk CHECK (id > 0)")

    with pytest.raises(Refused, match="another constraint of the name fk"):
        place.op("drop_foreign_key", "fk", "t")
    assert place.script("drop_foreign_key", "fk", "t").strip() == 'ALTER TABLE "t" DROP CONSTRAINT IF EXISTS "fk";'


@pytest.mark.parametrize("how", ["op", "steps"])
def test_a_foreign_key_of_a_partitioned_table(place: Stepwise, how: str) -> None:
    place.given(PARTITIONED)
    run = getattr(place, how)

    for _ in range(2):
        run("create_foreign_key_not_valid", *KEY)
    for commits in (0 if VERSION >= 18 else 2, 0):
        run("validate_constraint", "fk", "t")
        if how == "steps":
            assert place.runner.commits == commits, "the parent's lock is not waited for behind the scan of a partition"

    assert place.same_as_after("ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES p (id)")


def test_a_partition_that_comes_before_the_lock_has_the_foreign_key_too(place: Stepwise) -> None:
    place.given(PARTITIONED)
    with place.cluster.connect(place.name, autocommit=False) as other, ThreadPoolExecutor(1) as pool:
        other.execute("CREATE TABLE t_late PARTITION OF t FOR VALUES FROM (99) TO (200)")
        going = pool.submit(place.op, "create_foreign_key_not_valid", *KEY)
        eventually(lambda: place.all("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 't'::regclass"))
        other.commit()
        going.result()

    assert place.all("SELECT 1 FROM pg_constraint WHERE conrelid = 't_late'::regclass AND contype = 'f'")
    place.op("validate_constraint", "fk", "t")


def test_a_foreign_key_that_every_partition_has_locks_nothing(place: Stepwise) -> None:
    place.given(PARTITIONED)
    place.op("create_foreign_key_not_valid", *KEY)
    with ThreadPoolExecutor(1) as pool, place.cluster.connect(place.name, autocommit=False) as other:
        other.execute("LOCK TABLE p IN ROW EXCLUSIVE MODE")

        pool.submit(place.op, "create_foreign_key_not_valid", *KEY).result(timeout=20)


def test_a_partition_that_comes_before_the_validation_is_named(place: Stepwise) -> None:
    place.given(PARTITIONED)
    place.op("create_foreign_key_not_valid", *KEY)
    place.given("CREATE TABLE t_late PARTITION OF t FOR VALUES FROM (99) TO (200)")

    if VERSION < 18:  # from then on, the parent has it, and gives it to them
        with pytest.raises(Refused, match=r"partitions of public\.t have no foreign key fk: public\.t_late\."):
            place.op("validate_constraint", "fk", "t")
    for verb, words in (("create_foreign_key_not_valid", KEY), ("validate_constraint", ("fk", "t"))):
        place.op(verb, *words)
    assert place.same_as_after("ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES p (id)")


def names_of_keys(place: Stepwise) -> set[tuple[str, str]]:
    return set(
        place.all("SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'f' AND conrelid <> 0")
    )


def test_the_parts_of_a_foreign_key_are_renamed_with_it(place: Stepwise) -> None:
    place.given(PARTITIONED)
    place.op("create_foreign_key_not_valid", *KEY)
    place.op("validate_constraint", "fk", "t")
    place.given("ALTER TABLE s.t1 RENAME CONSTRAINT fk TO own")

    for _ in range(2):
        place.op("rename_constraint", "fk", "key", "t")

    assert names_of_keys(place) == {("t", "key"), ("s.t1", "own"), ("t2", "key"), ("s.t21", "key")}
    place.op("create_foreign_key_not_valid", *KEY)  # the name is free again, everywhere
    place.op("validate_constraint", "fk", "t")


def test_a_part_of_another_foreign_key_is_none_of_ours(place: Stepwise) -> None:
    place.given(PARTITIONED)
    place.op("create_foreign_key_not_valid", *KEY)
    place.op("validate_constraint", "fk", "t")
    place.given("ALTER TABLE t RENAME CONSTRAINT fk TO key")

    if VERSION >= 18:  # the parent gets it, and PostgreSQL finds names for its parts
        place.op("create_foreign_key_not_valid", *KEY)
        place.op("validate_constraint", "fk", "t")
        return
    with pytest.raises(Refused, match=r"s\.t1 has another constraint of the name fk"):
        place.op("create_foreign_key_not_valid", *KEY)


@pytest.mark.parametrize("table", [PARTITIONED, PARENT], ids=["partitioned", "plain"])
def test_a_foreign_key_that_says_something_else_is_none_of_ours(place: Stepwise, table: str) -> None:
    place.given(table)
    said = {"ondelete": "set  null (p)", "onupdate": "Cascade", "match": "full", "initially": "deferred"}
    for _ in range(2):
        place.op("create_foreign_key_not_valid", *KEY, **said)

    for other in ({}, said | {"ondelete": "CASCADE"}, said | {"match": None}, said | {"initially": None}):
        with pytest.raises(Refused, match="another constraint of the name fk"):
            place.op("create_foreign_key_not_valid", *KEY, **other)


def test_a_partitioned_table_without_partitions_gets_its_foreign_key(place: Stepwise) -> None:
    place.given(
        "CREATE TABLE p (id integer PRIMARY KEY); CREATE TABLE t (id integer, p integer) PARTITION BY RANGE (id)"
    )

    for _ in range(2):
        place.op("create_foreign_key_not_valid", *KEY)
        place.op("validate_constraint", "fk", "t")

    assert place.same_as_after("ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES p (id)")


def test_a_check_of_one_partition_is_none_of_the_table(place: Stepwise) -> None:
    place.given(PARTITIONED + "; ALTER TABLE s.t1 ADD CONSTRAINT fk CHECK (id > 0) NOT VALID")

    with pytest.raises(Refused, match=r"public\.t has no constraint fk\."):
        place.op("validate_constraint", "fk", "t")


def test_partitions_go_while_others_are_validated(place: Stepwise) -> None:
    place.given(PARTITIONED)
    place.steps("create_foreign_key_not_valid", *KEY)
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = '{}'::regclass"
    with place.cluster.connect(place.name, autocommit=False) as other, ThreadPoolExecutor(2) as pool:
        other.execute("LOCK TABLE s.t1 IN SHARE UPDATE EXCLUSIVE MODE")
        validation = pool.submit(place.steps, "validate_constraint", "fk", "t")
        eventually(lambda: place.all(waiting.format("s.t1")))
        drop = pool.submit(place.given, "DROP TABLE s.t21")
        if VERSION >= 18:  # the parent is validated, and a partition is locked when its turn comes
            drop.result()
        else:
            dropping = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'DROP%' AND wait_event_type = 'Lock'"
            eventually(lambda: place.all(dropping))
        other.commit()
        drop.result()
        validation.result()

    assert place.same_as_after("ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES p (id)")


def test_a_taken_name_is_no_foreign_key_of_ours(place: Stepwise) -> None:
    place.given(PARENT + "; ALTER TABLE t ADD CONSTRAINT fk CHECK (id > 0)")

    with pytest.raises(Refused, match="another constraint of the name fk"):
        place.op("create_foreign_key_not_valid", *KEY)


@pytest.mark.parametrize("condition", ["id > 0 and id < 9", "t.id > 0 AND t.id < 9", "public.t.id > 0 AND id < 9"])
def test_a_check_that_is_there_is_ours_where_it_says_the_same(place: Stepwise, condition: str) -> None:
    place.given(TABLE)
    for _ in range(2):
        place.op("create_check_not_valid", "ck", "t", condition)
        place.op("validate_constraint", "ck", "t")
    assert place.same_as_after("ALTER TABLE t ADD CONSTRAINT ck CHECK (id > 0 AND id < 9)")


def test_a_check_of_the_name_that_says_something_else_is_none_of_ours(place: Stepwise) -> None:
    place.given(TABLE + "; ALTER TABLE t ADD CONSTRAINT ck CHECK (c <> '')")
    with pytest.raises(Refused, match="another constraint of the name ck"):
        place.op("create_check_not_valid", "ck", "t", "id > 0")
    assert place.dump() == place.dump(place.twin)


def test_a_foreign_key_and_a_check_are_taken_back_by_their_reverses(place: Stepwise) -> None:
    place.given(PARENT)
    foreign_key, check = CreateForeignKeyNotValidOp(*KEY), CreateCheckNotValidOp("ck", "t", "id > 0")
    for op, kind in ((foreign_key, DropForeignKeyOp), (check, DropConstraintOp)):
        place.op("invoke", op)
        back = op.reverse()
        assert isinstance(back, kind)
        for _ in range(2):
            place.op("invoke", back)

    assert place.dump() == place.dump(place.twin)


@pytest.mark.parametrize(("type_", "plain"), [("unique", "UNIQUE (c)"), ("primary", "PRIMARY KEY (c)")])
def test_a_constraint_takes_a_unique_index(place: Stepwise, type_: str, plain: str) -> None:
    place.given("CREATE TABLE t (c text NOT NULL); INSERT INTO t VALUES ('a')")
    place.run("CREATE UNIQUE INDEX i ON t (c)")

    for _ in range(2):
        place.op("add_constraint_using_index", "k", "t", "i", type_)

    assert place.same_as_after(f"ALTER TABLE t ADD CONSTRAINT k {plain}")


def test_a_deferred_constraint_takes_a_unique_index_also_by_script(place: Stepwise) -> None:
    place.given("CREATE TABLE t (c text NOT NULL)")
    place.run("CREATE UNIQUE INDEX i ON t (c)")

    place.run_script(
        place.script("add_constraint_using_index", "k", "t", "i", "unique", deferrable=True, initially="deferred")
    )

    assert place.same_as_after("ALTER TABLE t ADD CONSTRAINT k UNIQUE (c) DEFERRABLE INITIALLY DEFERRED")


@pytest.mark.parametrize(
    ("index", "why"),
    [
        ("CREATE INDEX i ON t (c)", "not a unique index"),
        ("CREATE UNIQUE INDEX i ON t (c) WHERE c > ''", "not a unique index"),
        ("CREATE UNIQUE INDEX i ON t (lower(c))", "not a unique index"),
        ("CREATE UNIQUE INDEX i ON t (c)", "may be NULL: c"),
        ("SELECT 1", "is not there"),
    ],
)
def test_an_index_that_makes_no_constraint_is_refused(place: Stepwise, index: str, why: str) -> None:
    place.given("CREATE TABLE t (c text)")
    place.run(index)

    with pytest.raises(Refused, match=why):
        place.op("add_constraint_using_index", "k", "t", "i", "primary")


def test_an_enum_gets_a_value_at_its_place(place: Stepwise) -> None:
    place.given("CREATE SCHEMA \"My:S\"; CREATE TYPE \"My:S\".mood AS ENUM ('a', 'c''s', 'd\\e')")

    for _ in range(2):
        place.op("add_enum_value", "mood", "b:%'", before="c's", schema="My:S")
        place.op("add_enum_value", "mood", "x", after="d\\e", schema="My:S")
    place.run(place.script("add_enum_value", "mood", "\\y", after="d\\e", schema="My:S"))

    labels = place.all("SELECT enumlabel FROM pg_enum ORDER BY enumsortorder")
    assert [label for (label,) in labels] == ["a", "b:%'", "c's", "d\\e", "\\y", "x"]


def test_an_enum_that_is_not_there_and_a_neighbour_that_is_not_there_are_named(place: Stepwise) -> None:
    place.given("CREATE TYPE mood AS ENUM ('a')")

    with pytest.raises(Refused, match="there is no enum moods"):
        place.op("add_enum_value", "moods", "b")
    with pytest.raises(Refused, match="enum mood has no value z"):
        place.op("add_enum_value", "mood", "b", after="z")


def test_a_missing_table_is_named(place: Stepwise) -> None:
    with pytest.raises(Refused, match=r"op\.set_not_null: there is no table s\.nothing"):
        place.op("set_not_null", "nothing", "c", schema="s", existing_type=sa.Text())
