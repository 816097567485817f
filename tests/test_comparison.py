"""What two catalogs differ in, and the SQL that undoes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alembic_safe.inspecting.catalog import Catalog, ObjectId, read_catalog
from alembic_safe.inspecting.comparison import COLUMN_ORDER, EXISTS, Difference, compare
from alembic_safe.inspecting.difference_sql import undo_sql
from tests.test_catalog import POSSIBLE, build, databases, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.catalog_mutations import Mutation
    from tests.cluster import Cluster

__all__ = ["databases"]

# what PostgreSQL cannot change in place, or what only a dump of the other side knows: each has a reason instead
NO_SQL = {
    "partition: key", "column: inherited", "index: attached", "enum: label added", "enum: order", "domain: type",
    "range type: subtype", "range type: difference function", "operator: commutator", "operator family: items",
}  # fmt: skip

# the default run tries these, the long one all
EVERYDAY = {
    "table: options", "table: row security", "table: grants", "table: owner", "table: owner's own right revoked",
    "column: exists", "column: type", "column: nullability", "column: default", "column: identity", "column: comment",
    "column: grants", "constraint: exists", "constraint: check's text", "constraint: validated", "constraint: deferrable",
    "constraint: primary key's columns", "index: exists", "index: predicate", "index: valid", "sequence: increment",
    "enum: label renamed", "enum: label added", "view: definition", "view: column", "function: body", "function: result",
    "trigger: disabled", "trigger: condition", "trigger: disabled on a partition", "policy: using", "extension: exists",
    "publication: columns", "statistics: kinds", "default privileges: exists", "table: exists", "partition: bound",
    "domain: constraint", "composite type: attribute", "rule: enabled", "system grant: function",
}  # fmt: skip


@pytest.fixture(scope="module")
def workshop(cluster: Cluster) -> Iterator[psycopg.Connection]:
    """One database for all hand edits: each is rolled back."""
    prepare(cluster)
    cluster.create("hand_edits")
    with cluster.connect("hand_edits", autocommit=False) as connection:
        connection.execute("CREATE SCHEMA m; SET search_path = m, public; SET client_min_messages = error")
        connection.commit()
        yield connection
    cluster.drop("hand_edits")


@pytest.mark.parametrize(
    "mutation",
    [pytest.param(m, id=m.name, marks=() if m.name in EVERYDAY else pytest.mark.long) for m in POSSIBLE],
)
def test_a_hand_edit_is_undone_by_its_sql_or_has_a_reason(workshop: psycopg.Connection, mutation: Mutation) -> None:
    try:
        if mutation.setup:
            workshop.execute(mutation.setup)
        left = read_catalog(workshop)
        workshop.execute(mutation.change)
        right = read_catalog(workshop)
        undone = undo_sql(compare(left, right), left, right)
        for undo in undone:
            assert undo.sql or undo.reason, undo
            for statement in undo.statements:
                workshop.execute(statement)
        rest = compare(left, read_catalog(workshop))
    finally:
        workshop.rollback()
    assert bool(rest) is (mutation.name in NO_SQL), [u.sql or u.reason for u in undone]
    reasons = {undo.difference.object for undo in undone if undo.sql is None}
    assert {difference.object for difference in rest} <= reasons


def test_every_everyday_edit_is_in_the_table() -> None:
    assert {m.name for m in POSSIBLE} >= EVERYDAY


def run_undo(connection: psycopg.Connection, left: Catalog, right: Catalog) -> set[ObjectId]:
    """Undo everything, and return the objects for which there was no SQL."""
    without = set()
    for undo in undo_sql(compare(left, right), left, right):
        for statement in undo.statements:
            connection.execute(statement)
        if undo.sql is None:
            without.add(undo.difference.object)
    return without


@pytest.mark.long
def test_an_empty_database_becomes_one_with_everything_and_empty_again(
    cluster: Cluster, databases: tuple[str, str]
) -> None:
    original, copy = databases
    with build(cluster, original) as full, cluster.connect(copy) as connection:
        left = read_catalog(full)
        empty = read_catalog(connection)
        without = run_undo(connection, left, empty)
        rest = compare(left, made := read_catalog(connection))
        # ATTACH PARTITION attaches the indexes that fit, also one that was not attached before
        expected = [d for d in rest if d.object in without or d.what == "attached_to"]
        assert [str(d) for d in rest if d not in expected] == []
        rare = {"language", "operator", "operator family", "operator class", "subscription", "index"}
        assert {d.object.kind for d in expected} <= rare | {"collation", "conversion", "transform"}
        assert run_undo(connection, empty, made) == set()
        assert [str(d) for d in compare(empty, read_catalog(connection))] == []


TANGLE = """
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE b (id int PRIMARY KEY, a_id int);
CREATE TABLE a (id serial PRIMARY KEY, b_id int REFERENCES b, m mood DEFAULT 'low', n positive, doubled int
  GENERATED ALWAYS AS (n * 2) STORED, key bigint GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 7));
ALTER TABLE b ADD FOREIGN KEY (a_id) REFERENCES a DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX ON a ((n * 2)) WHERE n > 3;
CREATE VIEW z AS SELECT id, m FROM a;
CREATE VIEW y AS SELECT * FROM z;
CREATE MATERIALIZED VIEW x AS SELECT count(*) AS n FROM y;
CREATE UNIQUE INDEX ON x (n);
CREATE FUNCTION one(r a) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE a DISABLE TRIGGER touched, ENABLE ROW LEVEL SECURITY, CLUSTER ON a_pkey;
CREATE POLICY mine ON a FOR SELECT TO cat_reader USING (id > 1);
GRANT SELECT, INSERT ON a TO cat_reader;
GRANT UPDATE (m) ON a TO cat_writer;
COMMENT ON COLUMN a.m IS 'it''s a mood';
CREATE TABLE p (id int, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE heir (extra text) INHERITS (b);
"""


@pytest.mark.parametrize("way", ["made", "dropped"])
def test_objects_that_need_each_other_are_made_and_dropped_in_an_order_that_works(
    workshop: psycopg.Connection, way: str
) -> None:
    try:
        empty = read_catalog(workshop)
        workshop.execute(TANGLE)
        full = read_catalog(workshop)
        if way == "made":
            workshop.rollback()
        left, right = (full, empty) if way == "made" else (empty, full)
        assert run_undo(workshop, left, right) == set()
        assert [str(d) for d in compare(left, read_catalog(workshop))] == []
    finally:
        workshop.rollback()


def of(*tables: str, **attributes: object) -> Catalog:
    """Return a small catalog: tables, and columns as ``table.column``."""
    objects = {}
    for name in tables:
        table, _, column = name.partition(".")
        id_ = ObjectId("column", "public", column, table) if column else ObjectId("table", "public", table)
        objects[id_] = {"position": len(objects), **(attributes if not column else {})}
    return Catalog(objects)


def test_a_missing_table_is_one_difference_and_its_columns_are_not_repeated() -> None:
    left, right = of("t", "t.a", "t.b", "u", "u.a"), of("u", "u.a", "u.b")
    assert compare(left, right) == (
        Difference(ObjectId("column", "public", "b", "u"), EXISTS, left=False, right=True),
        Difference(ObjectId("table", "public", "t"), EXISTS, left=True, right=False),
    )


def test_columns_in_another_order_differ_only_where_that_is_asked_for() -> None:
    left, right = of("t", "t.a", "t.b"), of("t", "t.b", "t.c", "t.a")
    assert [d.what for d in compare(left, right)] == [EXISTS]
    assert [d.what for d in compare(left, right, column_order=True)] == [EXISTS, COLUMN_ORDER]
    assert [d.what for d in compare(of("t", "t.a", "t.b"), of("t", "t.a", "t.c", "t.b"), column_order=True)] == [EXISTS]


def test_owners_and_rights_can_be_left_out() -> None:
    left, right = of("t", owner="a", grants=("b=SELECT",)), of("t", owner="c")
    assert [d.what for d in compare(left, right)] == ["grants", "owner"]
    assert [d.what for d in compare(left, right, owners=False)] == ["grants"]
    assert [d.what for d in compare(left, right, grants=False)] == ["owner"]
    assert compare(left, right, owners=False, grants=False) == ()


def test_another_owner_is_one_difference_and_not_one_for_every_right(workshop: psycopg.Connection) -> None:
    try:
        workshop.execute("CREATE TABLE t (id int); GRANT SELECT ON t TO cat_reader")
        before = read_catalog(workshop)
        workshop.execute("ALTER TABLE t OWNER TO cat_writer")
        found = compare(before, read_catalog(workshop))
    finally:
        workshop.rollback()
    assert [(str(d.object), d.what) for d in found] == [("table m.t", "owner")]


def test_what_would_destroy_rows_says_so(workshop: psycopg.Connection) -> None:
    try:
        workshop.execute("CREATE TABLE t (id int)")
        left = read_catalog(workshop)
        workshop.execute("ALTER TABLE t ADD extra text; CREATE TABLE more (id int); CREATE VIEW v AS SELECT 1")
        right = read_catalog(workshop)
    finally:
        workshop.rollback()
    undone = {str(u.difference.object): u for u in undo_sql(compare(left, right), left, right)}
    assert {name: undo.destroys_data for name, undo in undone.items()} == {
        "column m.t.extra": True, "table m.more": True, "view m.v": False,
    }  # fmt: skip
    assert "not part of a catalog" in undone["table m.more"].reason
