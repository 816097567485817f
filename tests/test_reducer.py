"""Operations are reduced to fewer that do the same: to a table, to its rows, and to what refers to it."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations, ops
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import SQLAlchemyError

from alembic_safe.database.statements import quoted
from alembic_safe.history.operation_touch import Ties
from alembic_safe.history.recording import taken_apart
from alembic_safe.history.reducer import Operation, Verbatim, reduce
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.cluster import Cluster

TEXT, NUMBER = sa.Text(), sa.Integer()


def offline() -> MigrationContext:
    return MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": io.StringIO()})


def reduced(*operations: ops.MigrateOperation, ties: Ties | None = None) -> list[str]:
    """Return the SQL of what is left, a statement for each line."""
    parts = [part for one in operations for part in taken_apart(one, offline())]
    left = reduce([Operation(one, (str(n),)) for n, one in enumerate(parts)], ties or Ties())
    buffer = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": buffer})
    for item in left:
        assert isinstance(item, Operation)
        Operations(context).invoke(item.op)
    return [" ".join(one.split()) for one in buffer.getvalue().split(";\n\n") if one.strip()]


def table(name: str, *more: Any) -> ops.CreateTableOp:
    return ops.CreateTableOp(name, [sa.Column("id", NUMBER, primary_key=True), *more])


def add(name: str, column: str, type_: Any = TEXT, **kw: Any) -> ops.AddColumnOp:
    return ops.AddColumnOp(name, sa.Column(column, type_, **kw))


def key(name: str | None, on: str, column: str) -> ops.CreateForeignKeyOp:
    return ops.CreateForeignKeyOp(name, on, "u", [column], ["id"])


def with_key(name: str, *more: Any) -> ops.CreateTableOp:
    return table(name, sa.Column("a", NUMBER), sa.ForeignKeyConstraint(["a"], ["u.id"]), *more)


def alter(on: str, column: str, **kw: Any) -> ops.AlterColumnOp:
    return ops.AlterColumnOp(on, column, **{f"modify_{key}": value for key, value in kw.items()})


MADE = "CREATE TABLE t ( id SERIAL NOT NULL, {}PRIMARY KEY (id) )"


@pytest.mark.parametrize(
    ("several", "left"),
    [
        ([table("t"), ops.DropTableOp("t")], []),
        ([table("t"), add("t", "a"), ops.CreateIndexOp("i", "t", ["a"]), ops.DropTableOp("t")], []),
        ([table("t"), add("t", "a")], [MADE.format("a TEXT, ")]),
        ([table("t", sa.Column("a", TEXT)), ops.DropColumnOp("t", "a")], [MADE.format("")]),
        ([table("t", sa.Column("a", TEXT)), alter("t", "a", name="b")], [MADE.format("b TEXT, ")]),
        ([table("t", sa.Column("a", TEXT)), alter("t", "a", type=NUMBER, nullable=False)],
         [MADE.format("a INTEGER NOT NULL, ")]),
        ([add("t", "a"), ops.DropColumnOp("t", "a")], []),
        ([add("t", "a"), alter("t", "a", nullable=False), alter("t", "a", type=NUMBER)],
         ["ALTER TABLE t ADD COLUMN a INTEGER NOT NULL"]),
        ([add("t", "a"), alter("t", "a", name="b")], ["ALTER TABLE t ADD COLUMN b TEXT"]),
        ([alter("t", "a", nullable=False), alter("t", "a", nullable=True)], ["ALTER TABLE t ALTER COLUMN a DROP NOT NULL"]),
        ([alter("t", "a", name="b"), alter("t", "b", name="c")], ["ALTER TABLE t RENAME a TO c"]),
        ([alter("t", "a", name="b"), alter("t", "b", name="a")], []),
        ([alter("t", "a", name="b"), ops.DropColumnOp("t", "b")], ["ALTER TABLE t DROP COLUMN a"]),
        ([ops.RenameTableOp("t", "u"), ops.RenameTableOp("u", "v")], ["ALTER TABLE t RENAME TO v"]),
        ([ops.RenameTableOp("t", "u"), ops.RenameTableOp("u", "t")], []),
        ([ops.RenameTableOp("t", "u"), ops.DropTableOp("u")], ["DROP TABLE t"]),
        ([ops.CreateIndexOp("i", "t", ["a"]), ops.DropIndexOp("i", "t")], []),
        # nothing else needs these, whatever comes between
        ([ops.CreateIndexOp("i", "t", ["a"]), ops.CreateIndexOp("j", "t", ["a"]), ops.DropIndexOp("i", "t")],
         ["CREATE INDEX j ON t (a)"]),
        ([ops.CreateCheckConstraintOp("k", "t", "a > 0"), alter("t", "a", name="b"), ops.DropConstraintOp("k", "t")],
         ["ALTER TABLE t RENAME a TO b"]),
        ([key("f", "t", "a"), alter("t", "a", type=NUMBER), ops.DropConstraintOp("f", "t", "foreignkey")],
         ["ALTER TABLE t ALTER COLUMN a TYPE INTEGER"]),
        ([with_key("t"), ops.CreateIndexOp("i", "t", ["id"]), ops.DropConstraintOp("t_a_fkey", "t")],
         [MADE.format("a INTEGER, "), "CREATE INDEX i ON t (id)"]),
        ([table("t", sa.Column("a", TEXT, nullable=False)), alter("t", "a", name="b", nullable=True)],
         [MADE.format("b TEXT, ")]),
        ([ops.CreateIndexOp("i", "t", ["a"]), ops.DropColumnOp("t", "a")], ["ALTER TABLE t DROP COLUMN a"]),
        ([ops.CreateUniqueConstraintOp("u", "t", ["a"]), ops.DropConstraintOp("u", "t")], []),
        ([ops.CreateTableCommentOp("t", "a"), ops.CreateTableCommentOp("t", "b")], ["COMMENT ON TABLE t IS 'b'"]),
        ([add("t", "a"), add("u", "b"), ops.DropColumnOp("t", "a")], ["ALTER TABLE u ADD COLUMN b TEXT"]),
    ],
)  # fmt: skip
def test_two_are_one(several: Sequence[ops.MigrateOperation], left: list[str]) -> None:
    assert reduced(*several) == left


@pytest.mark.parametrize(
    "several",
    [
        # what the rows hold would be another thing
        [add("t", "a", server_default="1"), alter("t", "a", server_default=None)],
        [add("t", "a"), alter("t", "a", server_default="1")],
        [alter("t", "a", type=NUMBER), alter("t", "a", type=TEXT)],
        # a name that PostgreSQL makes up would be another one
        [table("t"), ops.RenameTableOp("t", "u")],
        [add("t", "a", nullable=False), alter("t", "a", name="b")],
        # a type or a sequence would be left, or missing
        [table("t", sa.Column("a", sa.Enum("x", name="e"))), ops.DropTableOp("t")],
        [table("t"), add("t", "a", sa.Enum("x", name="e"))],
        # NOT NULL stays behind when a primary key goes
        [ops.CreatePrimaryKeyOp("p", "t", ["a"]), ops.DropConstraintOp("p", "t")],
        # in one CREATE TABLE, PostgreSQL makes one constraint of the two
        [table("t"), ops.CreateUniqueConstraintOp("u", "t", ["id"])],
        # a foreign key may need it
        [ops.CreateIndexOp("i", "t", ["a"], unique=True), ops.CreateForeignKeyOp("f", "v", "t", ["b"], ["a"]),
         ops.DropIndexOp("i", "t")],
        # the name that PostgreSQL makes up would be another one, or it is not known which it has made up
        [key("t_a_fkey", "t", "a"), key(None, "t", "a"), ops.DropConstraintOp("t_a_fkey", "t")],
        [with_key("t", sa.ForeignKeyConstraint(["a"], ["v.id"])), ops.DropConstraintOp("t_a_fkey", "t")],
        [with_key("t", sa.ForeignKeyConstraint(["a"], ["v.id"])), ops.DropConstraintOp("t_a_fkey1", "t")],
        # the name is there once more in between
        [ops.CreateIndexOp("i", "t", ["a"]), ops.DropColumnOp("t", "b"), ops.CreateIndexOp("i", "t", ["c"], if_not_exists=True),
         ops.DropIndexOp("i", "t")],
        # SQLAlchemy numbers a primary key only where it is no foreign key
        [table("t"), key("f", "t", "id")],
        [table("t", sa.ForeignKeyConstraint(["id"], ["u.id"], name="f")), ops.DropConstraintOp("f", "t")],
        # a constraint and an index of one name
        [ops.CreateCheckConstraintOp("x", "t", "a > 0"), ops.CreateIndexOp("x", "t", ["a"]), ops.DropConstraintOp("x", "t")],
        # it may do nothing
        [ops.CreateTableOp("t", [sa.Column("id", NUMBER)], if_not_exists=True), ops.DropTableOp("t")],
        # raw SQL may be anything
        [add("t", "a"), ops.ExecuteSQLOp("SELECT 1"), ops.DropColumnOp("t", "a")],
    ],
)  # fmt: skip
def test_these_stay_two(several: Sequence[ops.MigrateOperation]) -> None:
    assert len(reduced(*several)) == len([one for op in several for one in reduced(op)])


@pytest.mark.parametrize(
    "made",
    [
        key("f", "t", "a"),
        ops.CreateCheckConstraintOp("f", "t", "a > 0"),
        ops.CreateForeignKeyOp("f", "t", "u", ["b"], ["a"]),
    ],
)
def test_a_type_is_not_changed_before_what_stands_against_it_is_dropped(made: ops.MigrateOperation) -> None:
    on = "u" if getattr(made, "local_cols", None) == ["b"] else "t"
    several = [
        made, ops.ExecuteSQLOp("SELECT 1"), alter(on, "a", nullable=True), ops.DropConstraintOp("f", "t"),
        alter(on, "a", type=TEXT),
    ]  # fmt: skip
    assert reduced(*several)[2:] == [line for one in several[2:] for line in reduced(one)]


def test_what_cannot_stand_for_others_leaves_them_and_the_rest_is_reduced() -> None:
    several = [table("t"), add("t", "a"), add("v", "a"), ops.DropColumnOp("v", "a")]
    items = [Operation(one, ("r",)) for one in several]
    left = reduce(items, Ties(), lambda op: not isinstance(op, ops.CreateTableOp))
    assert left == items[:2]


def test_nothing_moves_across_a_revision_that_is_carried() -> None:
    one, other = Operation(add("t", "a"), ("1",)), Operation(ops.DropColumnOp("t", "a"), ("3",))
    assert reduce([one, Verbatim("2"), other], Ties()) == [one, Verbatim("2"), other]
    assert reduce([Verbatim("0"), one, other], Ties()) == [Verbatim("0")]


def test_a_table_that_something_refers_to_goes_after_what_refers_to_it() -> None:
    links = Ties(frozenset({frozenset({("", "a"), ("", "b")})}))
    drop_key, drop_table = ops.DropConstraintOp("fk", "a", type_="foreignkey"), ops.DropTableOp("b")
    new = add("a", "x")
    assert reduced(drop_key, drop_table, new, ops.DropColumnOp("a", "x"), ties=links) == reduced(
        drop_key, drop_table, ties=links
    )


@pytest.mark.parametrize("goes", [ops.DropTableOp("orders"), ops.DropColumnOp("orders", "x")])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_name_that_goes_along_with_something_is_free_only_then(goes: ops.MigrateOperation, is_there: bool) -> None:
    ties = Ties(frozenset(), {("", "u1"): ("", "orders")} if is_there else {})
    begun = [] if is_there else [ops.CreateUniqueConstraintOp("u1", "orders", ["x"]), ops.ExecuteSQLOp("SELECT 1")]
    left = reduced(
        *begun, table("t", sa.Column("a", TEXT)), ops.CreateIndexOp("i", "t", ["id"]), goes,
        ops.CreateUniqueConstraintOp("u1", "t", ["a"]), ties=ties,
    )  # fmt: skip
    assert left[-2:] == [*reduced(goes), "ALTER TABLE t ADD CONSTRAINT u1 UNIQUE (a)"]


def test_an_index_is_dropped_from_the_table_that_it_is_on_by_then() -> None:
    ties = Ties(frozenset(), {("", "i"): ("", "people")})
    left = reduced(
        ops.DropIndexOp("i"), ops.CreateIndexOp("i", "orders", ["x"], if_not_exists=True),
        alter("orders", "x", name="z"), add("orders", "x"), ops.DropIndexOp("i"), ops.DropColumnOp("orders", "z"), ties=ties,
    )  # fmt: skip
    assert left[-2:] == ["DROP INDEX i", "ALTER TABLE orders DROP COLUMN z"]


# --- on a database, with rows ------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["people", "orders", "new", "Odd: 5%"])
COLUMNS = st.sampled_from(["id", "a", "b", "c", "Odd: 5%"])
TYPES = st.sampled_from([sa.Text(), sa.Integer(), sa.Numeric(5, 1), sa.String(9)])
PARTS = st.sampled_from(["i1", "i2"])


def _alterations() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={
        "modify_nullable": st.booleans(), "modify_comment": st.sampled_from([None, "it's 5%"]), "modify_type": TYPES,
        "modify_server_default": st.sampled_from([None, "1", "2"]), "modify_name": COLUMNS,
    })  # fmt: skip


OPERATIONS = st.one_of(
    st.builds(lambda name, more: table(name, *(sa.Column(n, t) for n, t in more.items())), NAMES,
              st.dictionaries(st.sampled_from(["a", "b"]), TYPES, max_size=2)),
    st.builds(ops.DropTableOp, NAMES),
    st.builds(ops.RenameTableOp, NAMES, NAMES),
    st.builds(lambda t, c, kind, null, default: add(t, c, kind, nullable=null, server_default=default), NAMES, COLUMNS, TYPES,
              st.booleans(), st.sampled_from([None, "1"])),
    st.builds(ops.DropColumnOp, NAMES, COLUMNS),
    st.builds(lambda t, c, kw: ops.AlterColumnOp(t, c, **kw), NAMES, COLUMNS, _alterations()),
    st.builds(lambda i, t, c, u: ops.CreateIndexOp(i, t, [c], unique=u), PARTS, NAMES, COLUMNS, st.booleans()),
    st.builds(ops.DropIndexOp, PARTS),
    st.builds(lambda t, c: ops.CreateUniqueConstraintOp("u1", t, [c]), NAMES, COLUMNS),
    st.builds(lambda t: ops.CreateCheckConstraintOp("k1", t, "id > 0"), NAMES),
    st.builds(lambda t, c, u: ops.CreateForeignKeyOp("f1", t, u, [c], ["id"]), NAMES, COLUMNS, NAMES),
    st.builds(lambda t, c, u: ops.CreateForeignKeyOp(None, t, u, [c], ["id"]), NAMES, COLUMNS, NAMES),
    st.builds(lambda t, u: table(t, sa.Column("a", NUMBER), sa.Column("b", NUMBER),
                                 sa.ForeignKeyConstraint(["a"], [f"{u}.id"]), sa.UniqueConstraint("b")), NAMES, NAMES),
    st.builds(ops.DropConstraintOp, st.sampled_from(["u1", "k1", "f1"]), NAMES),
    st.builds(lambda t, c, kind: ops.DropConstraintOp(f"{t}_{c}_{kind}", t), NAMES, COLUMNS,
              st.sampled_from(["fkey", "key"])),
    st.builds(ops.CreateTableCommentOp, NAMES, st.sampled_from(["one", "two"])),
    st.builds(ops.DropTableCommentOp, NAMES),
)  # fmt: skip

START = """
CREATE TABLE people (id integer PRIMARY KEY, a text DEFAULT 'x', b integer);
CREATE TABLE orders (id integer PRIMARY KEY, c integer CONSTRAINT f0 REFERENCES people (id));
CREATE INDEX i2 ON people (b);
INSERT INTO people VALUES (1, '1', 1), (2, '2', NULL);
INSERT INTO orders VALUES (1, 1), (2, 2);
"""
TIES = Ties(frozenset({frozenset({("", "people"), ("", "orders")})}), {("", "i2"): ("", "people")})


@pytest.fixture(scope="module")
def on_start(cluster: Cluster) -> Iterator[Callable[[], Any]]:
    """A transaction on a database with rows, which is taken back."""
    cluster.create("reducer")
    engine = sa.create_engine(cluster.url("reducer"))
    with engine.begin() as connection:
        connection.exec_driver_sql(START)

    @contextmanager
    def begun() -> Iterator[sa.Connection]:
        with engine.connect() as connection:
            connection.begin()
            yield connection
            connection.rollback()

    yield begun
    engine.dispose()
    cluster.drop("reducer")


def rows_of(connection: sa.Connection) -> dict[str, list[str]]:
    names = (
        connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        .scalars()
        .all()
    )
    # in the order of the columns, with their names; as JSON, since SQLAlchemy cannot read a row in which there is no column
    return {
        name: sorted(connection.execute(sa.text(f"SELECT to_json(t)::text FROM {quoted(name)} t")).scalars())
        for name in names
    }


def _same(drawn: Sequence[ops.MigrateOperation], begun: Callable[[], Any]) -> None:
    ran: list[ops.MigrateOperation] = []
    with begun() as connection:
        context = MigrationContext.configure(connection)
        for one in drawn:
            savepoint = connection.begin_nested()
            try:
                parts = [*taken_apart(one, context)]
                Operations(context).invoke(one)
            except (SQLAlchemyError, ValueError):
                savepoint.rollback()
            else:
                savepoint.commit()
                ran += parts
        expected = read_catalog(connection), rows_of(connection)
    left = reduce([Operation(one, ("r",)) for one in ran], TIES)
    assert len(left) <= len(ran)
    with begun() as connection:
        for item in left:
            assert isinstance(item, Operation)
            Operations(MigrationContext.configure(connection)).invoke(item.op)
        differences = compare(expected[0], read_catalog(connection), column_order=True)
        assert [str(one) for one in differences] == []
        assert rows_of(connection) == expected[1]


def test_rows_of_a_table_without_columns_are_compared(on_start: Callable[[], Any]) -> None:
    _same(
        [table("new"), ops.DropColumnOp("orders", "c"), ops.DropTableOp("new"), ops.DropColumnOp("orders", "id")],
        on_start,
    )


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=st.lists(OPERATIONS, min_size=4, max_size=14))
def test_any_operations_do_the_same_when_they_are_reduced(drawn: list[Any], on_start: Callable[[], Any]) -> None:
    _same(drawn, on_start)


@pytest.mark.long
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=st.lists(OPERATIONS, min_size=4, max_size=30))
def test_many_more_operations_do_the_same(drawn: list[Any], on_start: Callable[[], Any]) -> None:
    _same(drawn, on_start)
