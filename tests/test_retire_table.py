"""A retired table: what happens to its rows, and what the rest of the database is like afterwards."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from alembic_safe.errors import Refused
from tests.retire_cases import Living, living, some

__all__ = ["living"]

ID = sa.Column("id", sa.Integer, primary_key=True)


SHOP = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN small AS integer CHECK (VALUE < 1000);
CREATE FUNCTION twice(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := ''by trigger''; RETURN NEW; END';
CREATE TABLE customers (id integer PRIMARY KEY);
CREATE TABLE orders (
  id serial PRIMARY KEY, customer integer NOT NULL REFERENCES customers ON DELETE CASCADE,
  parent integer REFERENCES orders, feeling mood NOT NULL DEFAULT 'sad', amount small CHECK (amount > 0),
  doubled integer GENERATED ALWAYS AS (twice(amount)) STORED, tripled integer GENERATED ALWAYS AS (id * 3) STORED,
  note text DEFAULT 'a:b', UNIQUE (customer, feeling)
);
CREATE INDEX orders_twice ON orders (twice(id));
CREATE INDEX orders_doubled ON orders (doubled, note);
CREATE STATISTICS orders_stats ON customer, parent FROM orders;
CREATE TRIGGER stamping BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION stamp();
ALTER TABLE orders ENABLE ALWAYS TRIGGER stamping;
CREATE RULE quiet AS ON DELETE TO orders WHERE OLD.id = 0 DO INSTEAD NOTHING;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE orders FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON orders USING (customer > 0) WITH CHECK (note <> 'x:y');
GRANT SELECT, UPDATE (note) ON orders TO PUBLIC;
COMMENT ON TABLE orders IS 'what was "ordered": all of it';
CREATE TABLE invoices (id integer PRIMARY KEY, order_id integer REFERENCES orders ON DELETE SET NULL);
CREATE PUBLICATION feed FOR TABLE orders (id, customer) WHERE (id > 1), invoices;
COMMENT ON POLICY own ON orders IS 'po''l'; COMMENT ON TRIGGER stamping ON orders IS 'tr: 1%';
COMMENT ON RULE quiet ON orders IS 'ru';
COMMENT ON STATISTICS orders_stats IS 'st'; ALTER STATISTICS orders_stats SET STATISTICS 50;
COMMENT ON INDEX orders_twice IS 'ix'; COMMENT ON CONSTRAINT orders_amount_check ON orders IS 'ck';
COMMENT ON CONSTRAINT orders_customer_fkey ON orders IS 'fk';
COMMENT ON CONSTRAINT orders_customer_feeling_key ON orders IS 'uq';
INSERT INTO customers VALUES (1), (2);
INSERT INTO orders (customer, parent, feeling, amount) VALUES (1, NULL, 'happy', 5), (2, 1, 'sad', 7);
INSERT INTO invoices VALUES (1, 1);
"""


def test_a_table_with_everything_goes_and_leaves_what_a_plain_drop_leaves(living: Living) -> None:
    living.given(SHOP)

    done = living.retire_table("orders", ID)

    assert (done.kept, done.rows) == ("orders", 2)
    assert living.same_as_after("ALTER TABLE invoices DROP CONSTRAINT invoices_order_id_fkey; DROP TABLE orders")


def test_a_table_with_everything_comes_back_as_it_was(living: Living) -> None:
    living.given(SHOP)
    before = living.all(
        "SELECT id, customer, parent, feeling::text, amount, doubled, tripled, note FROM orders ORDER BY id"
    )
    living.retire_table("orders", ID)

    done = living.restore_table("orders", ID)

    assert (done.not_valid, done.not_back) == ((), ())
    after = living.all(
        "SELECT id, customer, parent, feeling::text, amount, doubled, tripled, note FROM orders ORDER BY id"
    )
    assert after == before
    moved_to_the_end = "    doubled integer GENERATED ALWAYS AS (public.twice((amount)::integer)) STORED"
    assert sorted(living.dump().replace(",\n", "\n").splitlines()) == sorted(
        living.dump(living.twin).replace(",\n", "\n").splitlines()
    )
    assert moved_to_the_end in living.dump()
    assert living.retired() == []


def test_types_and_functions_of_a_retired_table_can_be_dropped(living: Living) -> None:
    living.given(SHOP)
    living.retire_table("orders", ID)

    living.run("DROP TYPE mood; DROP DOMAIN small; DROP FUNCTION twice; DROP FUNCTION stamp()")

    assert living.all("SELECT feeling, amount, doubled FROM alembic_safe_retired.orders ORDER BY id") == [
        ("happy", "5", 10), ("sad", "7", 14),
    ]  # fmt: skip


def test_a_kept_table_is_nobody_s_but_its_owner_s(living: Living) -> None:
    living.given(SHOP)

    living.retire_table("orders", ID)

    assert living.all(
        "SELECT bool_or(grantee <> relowner) FROM pg_class, aclexplode(relacl) WHERE relnamespace ="
        " 'alembic_safe_retired'::regnamespace"
    ) in ([(False,)], [(None,)])
    assert living.all(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'alembic_safe_retired.orders'::regclass AND cardinality(attacl) > 0"
    ) == [(0,)]
    assert living.all("SELECT relrowsecurity FROM pg_class WHERE oid = 'alembic_safe_retired.orders'::regclass") == [
        (False,)
    ]


@pytest.mark.parametrize("action", some(["CASCADE", "NO ACTION", "RESTRICT", "SET NULL", "SET DEFAULT"], 1))
def test_foreign_keys_in_both_directions_come_back_with_their_actions(living: Living, action: str) -> None:
    living.given(
        f"CREATE TABLE a (id integer PRIMARY KEY); CREATE TABLE t (id integer PRIMARY KEY, a integer REFERENCES a"
        f" ON DELETE {action} ON UPDATE {action} DEFERRABLE INITIALLY DEFERRED, up integer REFERENCES t ON DELETE {action});"
        f"CREATE TABLE b (t integer REFERENCES t ON DELETE {action} ON UPDATE {action});"
        "INSERT INTO a VALUES (1); INSERT INTO t VALUES (1, 1, 1); INSERT INTO b VALUES (1)"
    )

    living.retire_table("t", ID)
    living.run("DELETE FROM b; DELETE FROM a WHERE id = 9; INSERT INTO b VALUES (1)")
    living.restore_table("t", ID)

    assert living.dump() == living.dump(living.twin)


def test_a_foreign_key_that_newer_rows_violate_comes_back_not_valid(living: Living) -> None:
    living.given("CREATE TABLE t (id integer PRIMARY KEY); CREATE TABLE b (t integer CONSTRAINT b_t REFERENCES t)")
    living.retire_table("t", ID)
    living.run("INSERT INTO b VALUES (7)")

    done = living.restore_table("t", ID)

    assert [line.split(":")[0] for line in done.not_valid] == ["foreign key b_t of public.b"]
    assert living.all("SELECT convalidated FROM pg_constraint WHERE conname = 'b_t'") == [(False,)]


@pytest.mark.parametrize(
    ("dependant", "named"),
    some(
        [
            ("CREATE VIEW v AS SELECT id FROM t", "view public.v"),
            (
                "CREATE TABLE o (id integer); CREATE POLICY p ON o USING (id IN (SELECT id FROM t))",
                "policy p on table public.o",
            ),
            (
                "CREATE TABLE o (id integer DEFAULT nextval('t_id_seq'))",
                "default value for column id of table public.o",
            ),
            ("CREATE FUNCTION f(t) RETURNS integer LANGUAGE sql AS 'SELECT 1'", "function public.f(public.t)"),
            ("CREATE TABLE o (one t)", "column one of table public.o"),
        ],
        2,
    ),
)
def test_what_depends_on_a_table_is_named_and_nothing_changes(living: Living, dependant: str, named: str) -> None:
    living.given(
        "CREATE TABLE t (id serial PRIMARY KEY); CREATE TABLE r (t integer REFERENCES t); INSERT INTO t DEFAULT VALUES"
    )
    living.given(dependant)

    with pytest.raises(Refused) as refused:
        living.retire_table("t", ID)

    assert named in str(refused.value)
    assert living.dump() == living.dump(living.twin)


@pytest.mark.parametrize("table", some(["child", "parent"], 1))
def test_inheritance_is_refused(living: Living, table: str) -> None:
    living.given("CREATE TABLE parent (id integer PRIMARY KEY); CREATE TABLE child () INHERITS (parent)")

    with pytest.raises(Refused, match="inheritance"):
        living.retire_table(table, ID)

    assert living.dump() == living.dump(living.twin)


PARTITIONED = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE o (id integer PRIMARY KEY);
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE t (id integer NOT NULL, o integer REFERENCES o, feeling mood DEFAULT 'sad', PRIMARY KEY (id))
  PARTITION BY RANGE (id);
CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (100) PARTITION BY LIST (id);
CREATE TABLE t2a PARTITION OF t2 DEFAULT;
CREATE INDEX t_feeling ON t (feeling);
CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
GRANT SELECT ON t, t1 TO PUBLIC;
CREATE PUBLICATION feed FOR TABLE t;
INSERT INTO o VALUES (1); INSERT INTO t VALUES (1, 1, 'happy'), (11, 1, DEFAULT);
"""


def test_a_partitioned_parent_moves_with_all_its_partitions_and_comes_back(living: Living) -> None:
    living.given(PARTITIONED)
    before = living.all("SELECT *, tableoid::regclass::text FROM t ORDER BY id")
    made = living.dump()

    living.retire_table("t", ID)
    assert [retired.kept for retired in living.retired()] == ["t"]
    living.in_twin("DROP TABLE t")
    assert living.dump() == living.dump(living.twin)
    done = living.restore_table("t", ID)

    assert (done.not_valid, done.not_back) == ((), ())
    assert living.all("SELECT *, tableoid::regclass::text FROM t ORDER BY id") == before
    assert living.dump() == made


def test_one_partition_is_detached_first_and_attached_again(living: Living) -> None:
    living.given(PARTITIONED)
    made = living.dump()

    living.retire_table("t1", ID)
    living.in_twin("DROP TABLE t1")
    assert living.dump() == living.dump(living.twin)
    done = living.restore_table("t1", ID)

    assert (done.not_valid, done.not_back) == ((), ())
    assert living.all("SELECT id FROM t ORDER BY id") == [(1,), (11,)]
    assert living.dump() == made


def test_the_same_table_retired_twice_keeps_both_and_the_newest_comes_back(living: Living) -> None:
    name = "n" * 63
    for value in (1, 2):
        living.run(
            f"CREATE TABLE {name} (id serial PRIMARY KEY, v integer UNIQUE); INSERT INTO {name} (v) VALUES ({value})"
        )
        living.retire_table(name, ID)

    living.restore_table(name, ID)

    assert living.all(f"SELECT v FROM {name}") == [(2,)]
    assert len(living.retired()) == 1
    living.run(f"ALTER TABLE {name} RENAME TO second")
    living.restore_table(name, ID)
    assert living.all(f"SELECT v FROM {name}") == [(1,)]


def test_a_table_without_a_primary_key_gets_one_while_it_is_kept(living: Living) -> None:
    living.given("CREATE TABLE t (v integer); INSERT INTO t VALUES (1), (1)")

    living.retire_table("t")
    assert living.all(
        "SELECT count(*) FROM pg_index WHERE indisprimary AND indrelid = 'alembic_safe_retired.t'::regclass"
    ) == [(1,)]
    living.restore_table("t")

    assert living.all("SELECT * FROM t") == [(1,), (1,)]
    assert living.dump() == living.dump(living.twin)


def test_a_name_that_is_taken_again_refuses_the_restore(living: Living) -> None:
    living.given("CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (1)")
    living.retire_table("t", ID)
    living.run("CREATE TABLE t (other text)")

    with pytest.raises(Refused, match="another table took its name"):
        living.restore_table("t", ID)

    assert living.kept("t") == [(1,)]


def test_a_second_run_of_each_verb_finds_it_done(living: Living) -> None:
    living.given("CREATE TABLE t (id integer PRIMARY KEY)")
    living.retire_table("t", ID)
    assert living.retire_table("t", ID).was_gone
    living.restore_table("t", ID)

    assert living.restore_table("t", ID).was_there
    assert living.dump() == living.dump(living.twin)


def test_a_role_that_went_meanwhile_is_listed_and_the_rest_comes_back(living: Living) -> None:
    living.run("CREATE ROLE gone_soon; CREATE TABLE t (id integer PRIMARY KEY); GRANT SELECT ON t TO gone_soon, PUBLIC")
    living.retire_table("t", ID)
    living.run("DROP ROLE gone_soon")

    done = living.restore_table("t", ID)

    (line,) = done.not_back
    assert line.startswith("grant gone_soon: ")
    assert living.all("SELECT has_table_privilege('pg_monitor', 't', 'SELECT')") == [(True,)]


def test_what_nothing_is_kept_of_is_made_anew_and_says_so(living: Living) -> None:
    done = living.restore_table("t", sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", sa.Text))

    assert (done.empty, done.purged) == (True, False)
    assert living.all("SELECT * FROM t") == []
