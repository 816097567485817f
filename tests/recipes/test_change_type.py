"""A column gets another type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic_safe import merged_from, renamed_from
from alembic_safe.authoring.recipes.conversions import is_free, type_sql
from alembic_safe.authoring.recipes.naming import quoted_if_needed
from alembic_safe.errors import Refused
from alembic_safe.inspecting.comparison import compare
from tests.recipe_cases import assert_same, milestone, walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

ROWS = "INSERT INTO orders (id, amount) VALUES (1, 5), (2, 7)"


def orders(type_: Any, *more: Any, **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("amount", type_, **kw)]
    sa.Table("orders", metadata, *columns, *more)
    return metadata


def test_a_wider_type_stands_beside_the_old_one_until_they_change_names(case: Case) -> None:
    texts = walk(case, orders(sa.Integer), orders(sa.BigInteger), ROWS)
    assert "op.sync_columns('orders', 'amount', 'amount_new')" in texts["expand"]
    assert "op.swap_columns('orders', 'amount', 'amount_new')" in texts["contract"]
    assert "prepare_threshold=None" in texts["contract"]
    assert case.run("SELECT amount FROM orders ORDER BY id") == [(5,), (7,)]


@pytest.mark.long
def test_what_stands_on_it_is_there_under_its_name(case: Case) -> None:
    kw: dict[str, Any] = {"nullable": False, "index": True, "unique": True, "comment": "pence"}
    more = sa.CheckConstraint("amount > 0", name="positive")
    walk(
        case,
        orders(sa.Integer, more, **kw),
        orders(sa.Numeric, sa.CheckConstraint("amount > 0::numeric", name="positive"), **kw),
        ROWS,
    )


def test_a_value_that_does_not_convert_is_found_before_by_what_the_expand_says(case: Case) -> None:
    case.begin(orders(sa.Text), "INSERT INTO orders (id, amount) VALUES (1, '5'), (2, 'five')")
    texts = case.revise(orders(sa.Integer, info={"up": "amount::integer", "down": "amount::text"}))
    (line,) = re.findall(r"SELECT count\(.*\) FROM orders;", " ".join(texts["expand"].split()))
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        case.run(line)
    case.run("UPDATE orders SET amount = '6' WHERE id = 2")
    assert case.run(line) == [(2,)]


@pytest.mark.long
def test_with_both_ways_said_any_type_will_do(case: Case) -> None:
    info = {"up": "'no ' || amount", "down": "substr(amount, 4)::integer"}
    case.begin(orders(sa.Integer), ROWS)
    case.revise(orders(sa.Text, info=info))
    case.upgrade()
    case.run("INSERT INTO orders (id, amount_new) VALUES (3, 'no 9'); UPDATE orders SET amount = 6 WHERE id = 1")
    assert case.run("SELECT amount, amount_new FROM orders ORDER BY id") == [(6, "no 6"), (7, "no 7"), (9, "no 9")]
    case.ship()
    case.upgrade()
    assert case.run("SELECT amount FROM orders ORDER BY id") == [("no 6",), ("no 7",), ("no 9",)]
    case.downgrade("-1")
    assert case.run("SELECT amount FROM orders ORDER BY id") == [(6,), (7,), (9,)]


@pytest.mark.parametrize("info", [{}, {"up": "amount::integer"}])
def test_what_nobody_said_how_to_convert_is_refused_by_name(case: Case, info: dict[str, str]) -> None:
    case.begin(orders(sa.Text))
    with case.unchanged(), pytest.raises(Refused, match=r"orders\.amount becomes integer") as stopped:
        case.revise(orders(sa.Integer, info=info))
    assert "down" in str(stopped.value)
    assert 'info={"up": "amount::integer", "down": "amount::text"}' in str(stopped.value)


def priced(*columns: sa.Column[Any]) -> sa.MetaData:
    metadata = sa.MetaData()
    unit = sa.Column("unit", sa.Text, nullable=False)
    sa.Table(
        "wares",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        *(columns or (unit, sa.Column("price", sa.Integer))),
    )
    return metadata


IN_EURO = "CASE WHEN unit = 'cent' THEN price / 100.0 ELSE price END"
WARES = "INSERT INTO wares (id, unit, price) VALUES (1, 'cent', 150), (2, 'euro', 2)"


@pytest.mark.parametrize("word", ["up", "down"])
@pytest.mark.parametrize("renamed", [False, True])
def test_a_way_that_reads_another_column_is_refused_by_name(case: Case, word: str, *, renamed: bool) -> None:
    name = "euros" if renamed else "price"
    info = {"up": "price", "down": name, word: f"CASE WHEN unit = 'cent' THEN {name} END"}
    unit = sa.Column("unit", sa.Text, nullable=False)
    info |= renamed_from("price") if renamed else {}
    case.begin(priced(), WARES)
    with case.unchanged(), pytest.raises(Refused, match=f"and {word} reads unit as well") as stopped:
        case.revise(priced(unit, sa.Column(name, sa.Numeric(10, 2), info=info)))
    assert "merged_from" in str(stopped.value)
    assert "fill" in str(stopped.value)


@pytest.mark.long
def test_where_the_other_column_goes_too_one_takes_the_place_of_both(case: Case) -> None:
    info = merged_from(
        ("price", "unit"), up=IN_EURO, down=("euros * 100", "CASE WHEN euros IS NOT NULL THEN 'cent' END")
    )
    walk(case, priced(), priced(sa.Column("euros", sa.Numeric(10, 2), info=info)), WARES)
    assert [str(one) for (one,) in case.run("SELECT euros FROM wares ORDER BY id")] == ["1.50", "2.00"]


@pytest.mark.long
def test_a_column_of_its_own_may_read_every_other_one_once(case: Case) -> None:
    unit, price = sa.Column("unit", sa.Text, nullable=False), sa.Column("price", sa.Integer)
    euros = sa.Column("euros", sa.Numeric(10, 2), nullable=False, info={"fill": IN_EURO})
    walk(case, priced(), priced(unit, price, euros), WARES)
    assert [str(one) for (one,) in case.run("SELECT euros FROM wares ORDER BY id")] == ["1.50", "2.00"]
    case.revise(
        priced(sa.Column("unit", sa.Text, nullable=False), sa.Column("euros", euros.type, nullable=False)), "third"
    )
    case.ship()
    case.upgrade()
    assert [str(one) for (one,) in case.run("SELECT euros FROM wares ORDER BY id")] == ["1.50", "2.00"]


@pytest.mark.long
def test_what_touches_no_row_is_ordinary(case: Case) -> None:
    assert set(walk(case, orders(sa.String(20)), orders(sa.Text), ROWS)) == {""}


def test_which_changes_postgresql_makes_without_a_row() -> None:
    free = [("character varying(20)", "character varying(40)"), ("character varying(20)", "text"),
            ("text", "character varying"),
            ("numeric(10,2)", "numeric(12,2)"), ("numeric(10,2)", "numeric"), ("cidr", "inet"), ("integer", "integer"),
            ("timestamp(3) without time zone", "timestamp without time zone"), ("numeric(10,0)", "numeric(12)"),
            ("interval(3)", "interval(6)")]  # fmt: skip
    not_free = [("character varying(40)", "character varying(20)"), ("text", "character varying(9)"), ("integer", "bigint"),
                ("numeric(10,2)", "numeric(10,3)"), ("timestamp without time zone", "timestamp with time zone"),
                ("character(3)", "character(4)"), ("integer", "text")]  # fmt: skip
    assert [pair for pair in free if not is_free(*pair)] == []
    assert [pair for pair in not_free if is_free(*pair)] == []


def test_types_are_called_as_postgresql_calls_them() -> None:
    called = {
        sa.String(20): "character varying(20)", sa.DateTime(): "timestamp without time zone", sa.BigInteger(): "bigint",
        sa.Numeric(10, 2): "numeric(10, 2)", sa.DateTime(timezone=True): "timestamp with time zone",
        postgresql.ARRAY(sa.Integer): "integer[]", sa.Float(53): "double precision",
        postgresql.INTERVAL(precision=6): "interval(6)",
    }  # fmt: skip
    assert {type_: type_sql(type_) for type_ in called} == called


STANDING = """
CREATE VIEW plain WITH (security_barrier = true, check_option = local)
  AS SELECT id, amount AS "the Amount" FROM orders WHERE amount > 0;
CREATE VIEW "on it" AS SELECT "the Amount" + 1 AS more, (SELECT max(amount) FROM orders) FROM plain;
COMMENT ON VIEW plain IS 'what''s open'; COMMENT ON COLUMN plain."the Amount" IS 'pence';
GRANT SELECT ON plain TO pg_monitor; GRANT UPDATE ("the Amount") ON plain TO pg_monitor;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER on_amount AFTER UPDATE OF amount ON orders FOR EACH ROW WHEN (NEW.amount > 7) EXECUTE FUNCTION note();
CREATE TRIGGER instead INSTEAD OF INSERT ON "on it" FOR EACH ROW EXECUTE FUNCTION note();
CREATE POLICY mine ON orders FOR SELECT TO pg_monitor USING (amount > 0); ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE STATISTICS both_of ON id, amount FROM orders;
ALTER TABLE orders REPLICA IDENTITY USING INDEX told
"""


def test_what_names_the_column_names_the_new_one_behind_the_swap(case: Case) -> None:
    def told(type_: Any) -> sa.MetaData:
        return orders(type_, sa.Index("told", "amount", unique=True), nullable=False)

    case.begin(told(sa.Integer), ROWS + ";" + STANDING)
    before = case.catalog
    case.revise(told(sa.BigInteger))
    case.upgrade()
    case.ship()
    case.upgrade()
    differing = [str(one) for one in compare(before, case.catalog, owners=False)]
    assert differing == ["column public.orders.amount: type: integer -> bigint"]
    assert case.run('SELECT max(more), min(pg_typeof(more)::text) FROM "on it"') == [(8, "bigint")]
    case.downgrade("base")
    assert_same(before, case.catalog, "back")


@pytest.mark.parametrize(
    ("named", "more"),
    [
        ("materialized view sums", "CREATE MATERIALIZED VIEW sums AS SELECT sum(amount) FROM orders"),
        (
            "materialized view m",
            "CREATE VIEW v AS SELECT amount FROM orders; CREATE MATERIALIZED VIEW m AS SELECT amount FROM v",
        ),
        ("generated column twice", "ALTER TABLE orders ADD twice integer GENERATED ALWAYS AS (amount * 2) STORED"),
        (
            r"function f\(\)",
            "CREATE FUNCTION f() RETURNS integer BEGIN ATOMIC SELECT max(amount) FROM orders; END",
        ),
        ("publication p", "CREATE PUBLICATION p FOR TABLE orders (id, amount)"),
        ("rule of orders", "CREATE RULE r AS ON UPDATE TO orders DO ALSO SELECT NEW.amount"),
    ],
    ids=["materialized view", "of a view", "generated", "function", "publication", "rule"],
)
def test_what_nothing_makes_again_is_refused_by_name(case: Case, more: str, named: str) -> None:
    case.begin(orders(sa.Integer), more)
    with case.unchanged(), pytest.raises(Refused, match=named):
        case.revise(orders(sa.BigInteger))


@pytest.mark.long
def test_two_columns_whose_long_names_begin_alike_stand_beside_two_others(case: Case) -> None:
    names = ["n" * 60 + ending for ending in ("abc", "abd")]

    def models(type_: Any) -> sa.MetaData:
        return orders(type_, *(sa.Column(name, type_) for name in names))

    case.begin(models(sa.Integer), "INSERT INTO orders VALUES (1, 5, 6, 7)")
    case.revise(models(sa.BigInteger))
    case.ship()
    case.upgrade()
    assert case.run(f"SELECT amount, {names[0]}, {names[1]} FROM orders") == [(5, 6, 7)]
    case.check(models(sa.BigInteger))


@pytest.mark.long
def test_a_check_keeps_the_names_and_types_that_are_spelled_like_the_column(case: Case) -> None:
    def days(type_: Any) -> sa.MetaData:
        metadata = sa.MetaData()
        sa.Table(
            "days", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("date", type_),
            sa.Column("the date is", sa.Integer), sa.CheckConstraint("date > '2000-01-01'::date", name="recent"),
            sa.CheckConstraint('date IS NULL OR "the date is" > 0', name="told"),
        )  # fmt: skip
        return metadata

    walk(case, days(sa.Date), days(sa.DateTime), "INSERT INTO days VALUES (1, '2020-01-01', 1)")


def test_indexes_with_an_order_and_a_condition_are_built_for_the_new_column(case: Case) -> None:
    def models(type_: Any, *, more: bool = False) -> sa.MetaData:
        metadata = orders(type_, sa.Column("note", sa.Text))
        table = metadata.tables["orders"]
        sa.Index("by_amount", table.c.note, table.c.amount.desc(), postgresql_where=table.c.amount > 0)
        if more:
            sa.Index("by_word", sa.func.lower(sa.cast(table.c.amount, sa.Text)))
            sa.Index("comes", table.c.amount.desc().nulls_last(), postgresql_where=table.c.note != " :x%")
        return metadata

    case.begin(models(sa.Integer), ROWS)
    case.revise(models(sa.BigInteger, more=True))
    case.ship()
    case.upgrade()
    assert_same(case.created(models(sa.BigInteger, more=True)), case.catalog, "the end")


@pytest.mark.cases("another")
@pytest.mark.parametrize("index", ["another", "none"])
def test_an_index_that_leaves_a_column_whose_type_changes_is_no_news_until_the_contract(case: Case, index: str) -> None:
    def models(type_: Any, *columns: str) -> sa.MetaData:
        metadata = orders(type_, sa.Column("note", sa.Text))
        if columns:
            sa.Index("by", *(metadata.tables["orders"].c[name] for name in columns))
        return metadata

    walk(
        case,
        models(sa.Integer, "note", "amount"),
        models(sa.BigInteger, *(["note"] if index == "another" else [])),
        ROWS,
    )


@pytest.mark.parametrize("initially", [None, "DEFERRED"])
@pytest.mark.cases("DEFERRED")
def test_a_unique_constraint_stays_deferrable_there_and_back(case: Case, initially: str | None) -> None:
    def models(type_: Any) -> sa.MetaData:
        return orders(type_, sa.UniqueConstraint("amount", name="one", deferrable=True, initially=initially))

    case.begin(models(sa.Integer), ROWS)
    before = case.catalog
    case.revise(models(sa.BigInteger))
    case.ship()
    case.upgrade()
    assert_same(case.created(models(sa.BigInteger)), case.catalog, "the end")
    case.downgrade("base")
    assert_same(before, case.catalog, "back")


def test_a_unique_constraint_that_includes_the_column_is_built_for_the_new_one(case: Case) -> None:
    def models(type_: Any) -> sa.MetaData:
        return orders(
            type_, sa.Column("n", sa.Integer), sa.UniqueConstraint("n", name="one", postgresql_include=["amount"])
        )

    case.begin(models(sa.Integer), ROWS)
    before = case.catalog
    case.revise(models(sa.BigInteger))
    case.ship()
    case.upgrade()
    assert_same(case.created(models(sa.BigInteger)), case.catalog, "the end")
    case.downgrade("base")
    assert_same(before, case.catalog, "back")


def test_a_column_that_the_primary_key_includes_needs_consent(case: Case) -> None:
    case.begin(
        orders(sa.Integer), "ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (id) INCLUDE (amount)"
    )
    with pytest.raises(Refused, match="as the primary key includes amount"):
        case.revise(orders(sa.BigInteger))


@pytest.mark.long
def test_an_index_that_becomes_another_one_with_its_column_is_no_news_until_the_contract(case: Case) -> None:
    def models(type_: Any, *, unique: bool) -> sa.MetaData:
        metadata = orders(type_, sa.Column("note", sa.Text))
        sa.Index("by_both", *(metadata.tables["orders"].c[name] for name in ("amount", "note")), unique=unique)
        return metadata

    walk(case, models(sa.Integer, unique=False), models(sa.BigInteger, unique=True), ROWS)  # alembic check, too


@pytest.mark.long
def test_a_column_that_may_be_null_from_the_expand_on_may_be_on_the_way_back(case: Case) -> None:
    walk(case, orders(sa.Integer, nullable=False), orders(sa.BigInteger, nullable=True), ROWS)


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new", "default"),
    [
        (sa.Integer(), sa.BigInteger(), "6"),
        (sa.ARRAY(sa.Integer), sa.ARRAY(sa.BigInteger), "{6}"),
        (sa.Text(), sa.CHAR(3), "six"),  # a cast to "character" keeps one letter
    ],
    ids=str,
)
def test_a_default_is_one_of_the_new_type(case: Case, old: Any, new: Any, default: str) -> None:
    info = {"up": f"amount::{type_sql(new)}", "down": f"amount::{type_sql(old)}"}
    walk(case, orders(old, server_default=default), orders(new, server_default=default, info=info))


@pytest.mark.long
def test_two_indexes_whose_long_names_begin_alike_stand_beside_two_others(case: Case) -> None:
    def models(type_: Any) -> sa.MetaData:
        metadata = orders(type_)
        for ending in ("abc", "abd"):
            sa.Index("n" * 60 + ending, metadata.tables["orders"].c.amount, unique=ending == "abd")
        return metadata

    walk(case, models(sa.Integer), models(sa.BigInteger), ROWS)


def test_a_change_that_went_back_and_came_again_loses_nothing_on_the_way_back(case: Case) -> None:
    case.begin(orders(sa.Integer), ROWS)
    case.revise(orders(sa.BigInteger))
    expand = [revision.revision for revision in case.script.walk_revisions()][-1]
    case.upgrade(expand)
    case.downgrade("base")
    case.upgrade()
    case.ship()
    case.upgrade()
    case.downgrade("base")
    assert case.run("SELECT amount FROM orders ORDER BY id") == [(5,), (7,)]


def test_a_column_that_comes_under_the_name_of_the_one_beside_is_left_alone(case: Case) -> None:
    case.begin(orders(sa.Integer), ROWS)
    new = orders(sa.BigInteger, sa.Column("amount_new", sa.Text))
    case.revise(new)
    case.upgrade()
    case.run("UPDATE orders SET amount_new = 'mine'")
    case.ship()
    case.upgrade()
    case.check(new)
    assert case.run("SELECT amount, amount_new FROM orders ORDER BY id") == [(5, "mine"), (7, "mine")]


def checked(type_: Any, *names: str, kind: str = "check") -> sa.MetaData:
    """Something of one kind on the column, and something of the same kind of somebody else's under other names."""
    metadata = orders(type_, sa.Column("other", sa.Integer), sa.Column("of", sa.Integer))
    table = metadata.tables["orders"]
    for name, column in zip(names, ("amount", "other"), strict=False):
        if kind == "check":
            table.append_constraint(sa.CheckConstraint(f"{column} > 0", name=name))
        elif kind == "unique":
            table.append_constraint(sa.UniqueConstraint(column, name=name))
        else:
            sa.Index(name, table.c[column])
    return metadata


@pytest.mark.parametrize("kind", ["check", "unique", "index"])
@pytest.mark.cases("unique")
def test_the_name_of_what_is_built_beside_must_be_nobody_s(case: Case, kind: str) -> None:
    case.begin(checked(sa.Integer, "of_it", "of_it_new", kind=kind))
    with case.unchanged(), pytest.raises(Refused, match=r"of_it_new .* there already") as stopped:
        case.revise(checked(sa.BigInteger, "of_it", "of_it_new", kind=kind))
    assert "alembic revision --autogenerate" in str(stopped.value)
    with case.unchanged(), pytest.raises(Refused, match="of_it_new"):
        case.revise(checked(sa.BigInteger, "of_it", kind=kind))


@pytest.mark.parametrize("kind", ["unique", "index"])
def test_the_name_of_what_is_built_beside_comes_to_nobody_in_the_same_revision(case: Case, kind: str) -> None:
    case.begin(checked(sa.Integer, "of_it", kind=kind))
    with case.unchanged(), pytest.raises(Refused, match=r"of_it_new .* comes"):
        case.revise(checked(sa.BigInteger, "of_it", "of_it_new", kind=kind))


def documents(data: Any, *parts: Any, **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("data", data, **kw), sa.Column("n", sa.Integer)]
    sa.Table("documents", metadata, *columns, *parts)
    return metadata


@pytest.mark.parametrize(
    ("column", "kw", "definition"),
    [
        (
            "data",
            {"postgresql_using": "gin", "postgresql_ops": {"data": "jsonb_path_ops"}},
            "gin (data jsonb_path_ops)",
        ),
        ("n", {"postgresql_include": ["data"]}, "btree (n) INCLUDE (data)"),
    ],
    ids=["operator class", "included"],
)
def test_a_new_index_says_of_the_new_column_what_it_says_of_the_name(
    case: Case, column: str, kw: dict[str, Any], definition: str
) -> None:
    new = documents(
        postgresql.JSONB, sa.Index("by_data", column, **kw), info={"up": "data::jsonb", "down": "data::json"}
    )
    case.begin(documents(sa.JSON), """INSERT INTO documents VALUES (1, '{"a": 1}', 1)""")
    assert "data_new" in next(line for line in case.revise(new)["copy"].splitlines() if "by_data_new" in line)
    case.upgrade()
    case.ship()
    case.upgrade()
    assert_same(case.created(new), case.catalog, "in the end")
    read = "SELECT pg_get_indexdef('by_data'::regclass)"
    assert case.run(read) == [(f"CREATE INDEX by_data ON public.documents USING {definition}",)]


def test_a_new_unique_constraint_includes_the_new_column(case: Case) -> None:
    new = documents(sa.BigInteger, sa.UniqueConstraint("n", name="once", postgresql_include=["data"]))
    case.begin(documents(sa.Integer), "INSERT INTO documents VALUES (1, 2, 3)")
    assert "postgresql_include=['data_new']" in case.revise(new)["copy"]
    case.upgrade()
    case.ship()
    case.upgrade()
    assert_same(case.created(new), case.catalog, "in the end")


@pytest.mark.long
def test_a_partial_index_over_a_text_that_becomes_an_enum_is_built_as_the_models_say_it(case: Case) -> None:
    def letters(type_: Any, info: dict[str, str]) -> sa.MetaData:
        metadata = sa.MetaData()
        columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("Kind", type_, nullable=False, info=info)]
        letters = sa.Table("letters", metadata, *columns)
        sa.Index("open_letters", letters.c.id, postgresql_where=letters.c.Kind == "new")
        return metadata

    kind = sa.Enum("new", "read", name="kind")
    new = letters(kind, {"up": '"Kind"::kind', "down": '"Kind"::text'})
    walk(case, letters(sa.String(8), {}), new, "INSERT INTO letters VALUES (1, 'new'), (2, 'read')")


DELETED = {"up": "CASE WHEN deleted THEN '2000-01-01 00:00+00'::timestamptz END", "down": "deleted IS NOT NULL"}


@pytest.mark.cases("deleted_at")
@pytest.mark.parametrize("to", ["deleted", "deleted_at"])
def test_a_milestone_converts_as_the_models_say_where_the_server_has_no_cast(case: Case, to: str) -> None:
    def files(name: str, type_: Any, **info: str) -> sa.MetaData:
        metadata = sa.MetaData()
        sa.Table("files", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column(name, type_, info=info))
        return metadata

    said = DELETED if to == "deleted" else renamed_from("deleted") | DELETED | {"down": "deleted_at IS NOT NULL"}
    new = files(to, sa.DateTime(timezone=True), **said)
    texts = milestone(case, files("deleted", sa.Boolean), new, "INSERT INTO files VALUES (1, true), (2, false)")
    assert "CASE WHEN deleted THEN" in texts["expand"]
    case.upgrade()
    beside = "deleted_new" if to == "deleted" else to
    case.run(f"INSERT INTO files (id, {beside}) VALUES (3, now()); INSERT INTO files (id, deleted) VALUES (4, false)")
    assert case.run(f"SELECT deleted, {beside} IS NULL FROM files ORDER BY id") == [
        (True, False), (False, True), (True, False), (False, True)
    ]  # fmt: skip
    case.ship()
    case.upgrade()
    assert_same(case.created(new), case.catalog, "the end")
    assert case.run(f"SELECT {to} IS NULL FROM files ORDER BY id") == [(False,), (True,), (False,), (True,)]


@pytest.mark.parametrize(
    ("old", "new", "info", "missing"),
    [
        (sa.Boolean(), sa.DateTime(timezone=True), {}, "up and down are missing"),
        (sa.Boolean(), sa.DateTime(timezone=True), {"up": "now() + amount::text::interval"}, "down is missing"),
        (sa.Boolean(), sa.DateTime(timezone=True), {"down": "amount IS NULL"}, "up is missing"),
        (sa.Text(), sa.String(10), {}, "up and down are missing"),
        (sa.Text(), sa.Integer(), {}, "up and down are missing"),
        (sa.Float(), sa.Numeric(12, 2), {}, "up and down are missing"),
        (sa.DateTime(), sa.DateTime(timezone=True), {}, "up and down are missing"),
        (sa.Integer(), sa.Text(), {"down": "amount::integer"}, "up is missing"),
    ],
    ids=str,
)
@pytest.mark.cases(
    "BOOLEAN-DATETIME-{}-up and down are missing", "INTEGER-TEXT-{'down': 'amount::integer'}-up is missing"
)
def test_a_milestone_refuses_a_conversion_that_nobody_has_said_as_autogenerate_does(
    case: Case, old: Any, new: Any, info: dict[str, str], missing: str
) -> None:
    with pytest.raises(AssertionError) as caught:
        milestone(case, orders(old), orders(new, info=info))
    said = " ".join(str(caught.value).split())
    case.downgrade("base")
    case.begin(orders(old))
    for path in case.files:
        path.unlink()
    with pytest.raises(Refused) as refused:
        case.revise(orders(new, info=info))
    assert missing in refused.value.summary
    assert refused.value.summary in said
    assert " ".join(refused.value.detail[1].split()) in said


def test_a_milestone_names_the_formula_that_the_server_refuses(case: Case) -> None:
    info = {"up": "no_such_function(amount)", "down": "amount::integer"}
    with pytest.raises(AssertionError, match=r"(?s)orders.amount becomes text.*no_such_function\(integer\)"):
        milestone(case, orders(sa.Integer), orders(sa.Text, info=info))


def test_an_array_of_a_wider_type_needs_no_words(case: Case) -> None:
    old, new = sa.ARRAY(sa.Integer), sa.ARRAY(sa.BigInteger)
    walk(case, orders(old), orders(new), "INSERT INTO orders (id, amount) VALUES (1, '{5,NULL}'), (2, '{}'), (3, NULL)")
    assert case.run("SELECT amount FROM orders ORDER BY id") == [([5, None],), ([],), (None,)]


@pytest.mark.parametrize("action", ["SET NULL", "SET DEFAULT"])
@pytest.mark.parametrize("name", ["author_id", "Author id"])
@pytest.mark.cases("Author id-SET NULL")
def test_a_foreign_key_that_names_the_columns_it_empties_names_those_that_take_their_place(
    case: Case, name: str, action: str
) -> None:
    def both(type_: Any) -> sa.MetaData:
        metadata, written = sa.MetaData(), quoted_if_needed(name)
        key = [sa.Column(one, sa.Integer, primary_key=True) for one in ("tenant", "id")]
        sa.Table("users", metadata, *key)
        sa.Table(
            "posts", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("tenant", sa.Integer, nullable=False),
            sa.Column(name, type_), sa.ForeignKeyConstraint(
                ["tenant", name], ["users.tenant", "users.id"], ondelete=f"{action} ({written})", name="posts_fk"),
        )  # fmt: skip
        return metadata

    rows = "INSERT INTO users VALUES (1, 1), (1, 2); INSERT INTO posts VALUES (1, 1, 1), (2, 1, 2)"
    walk(case, both(sa.Integer), both(sa.BigInteger), rows)
    case.run("DELETE FROM users WHERE id = 1")
    assert case.run("SELECT * FROM posts ORDER BY id") == [(1, 1, None), (2, 1, 2)]
