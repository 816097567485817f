"""An enum loses a label, has one under another name, or in another place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe import renamed_from
from alembic_safe.errors import ConsentMissing, Refused
from alembic_safe.inspecting.comparison import compare
from tests.recipe_cases import assert_same, milestone, walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

ROWS = "INSERT INTO orders (id, status) VALUES (1, 'open'), (2, 'finished')"


def orders(*labels: str, info: dict[str, Any] | None = None, more: tuple[Any, ...] = (), **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    status = sa.Column("status", sa.Enum(*labels, name="order_status"), info=info or {}, **kw)
    sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True), status, *more)
    return metadata


def test_a_label_under_another_name_is_an_enum_beside_the_old_one_until_both_change_names(case: Case) -> None:
    new = orders("open", "done", info={"enum": {"finished": "done"}})
    texts = walk(case, orders("open", "finished"), new, ROWS)
    assert "op.create_enum_type('order_status_new', ['open', 'done'])" in texts["expand"]
    assert "holds 'finished' where the models say 'done'" in texts["copy"]
    assert "op.swap_enum_types('order_status', 'order_status_new')" in texts["contract"]
    assert "op.drop_enum_type('order_status_new', ['open', 'finished'])" in texts["contract"]
    assert case.run("SELECT status::text FROM orders ORDER BY id") == [("open",), ("done",)]


def everything(labels: tuple[str, ...], info: dict[str, Any], a: str, schema: str = 'Sho"p') -> sa.MetaData:
    """Two tables of one enum, in another schema, under hostile names; arrays, a default, an index, a check.

    :param a: the label of default, index and check.
    """
    metadata = sa.MetaData(schema=schema)
    type_ = sa.Enum(*labels, name="Or.der %s", schema=schema)
    column: Any = sa.column("Sta'tus: x")
    sa.Table(
        "select", metadata, sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("Sta'tus: x", type_, nullable=False, server_default=a, comment="how far", info=info),
        sa.Column("tags", sa.ARRAY(type_), server_default=sa.text("'{open}'")),
        sa.CheckConstraint(column != a, name='never "it"'),
        sa.Index("ix %s", "Sta'tus: x", postgresql_where=sa.column("Sta'tus: x") != a),
        sa.Column("before", type_, server_default="open"),
        sa.Index("ix_both", "id", "Sta'tus: x", unique=True),
        sa.Index("ix_three", "before", "Sta'tus: x"),
        sa.CheckConstraint(sa.column("before") != column, name="moves"),
    )  # fmt: skip
    sa.Table("ünder", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("Or.der %s", type_))
    return metadata


def test_everything_that_stands_on_columns_of_it_is_there_in_the_other_labels(case: Case) -> None:
    said = {"it's": "it is :x %"}
    rows = """
        INSERT INTO "Sho""p"."select" VALUES (1, 'open', '{}', NULL), (2, 'closed', '{it''s,NULL,open}', 'it''s');
        INSERT INTO "Sho""p"."ünder" VALUES (1, 'it''s'), (2, NULL)"""
    old = everything(("open", "it's", "closed", "gone"), {}, "it's")
    info = {"enum": {**said, "gone": "closed"}}
    walk(case, old, everything(("it is :x %", "new", "open", "closed"), info, "it is :x %"), rows)
    found = case.run('SELECT "Sta\'tus: x"::text, tags::text[] FROM "Sho""p"."select" ORDER BY id')
    assert found == [("open", []), ("closed", ["it is :x %", None, "open"])]
    assert case.run('SELECT "Or.der %s"::text FROM "Sho""p"."ünder" ORDER BY id') == [("it is :x %",), (None,)]
    assert case.run("SELECT typname FROM pg_type WHERE typtype = 'e'") == [("Or.der %s",)]


@pytest.mark.long
def test_labels_in_another_order_need_nothing_said(case: Case) -> None:
    texts = walk(case, orders("finished", "open"), orders("open", "finished"), ROWS)
    assert "up='status::text'" in texts["expand"]
    assert case.run("SELECT max(status)::text FROM orders") == [("finished",)]


def test_a_label_that_goes_is_refused_until_somebody_says_what_becomes_of_its_rows(case: Case) -> None:
    case.begin(orders("open", "finished"))
    with case.unchanged(), pytest.raises(Refused, match="order_status loses 'finished'") as stopped:
        case.revise(orders("open", "done"))
    assert "info={'enum': {'finished': 'open'}}" in str(stopped.value)
    with case.unchanged(), pytest.raises(Refused, match="loses 'finished'"):
        case.revise(orders("open", "done", info={"enum": {"finished": "nowhere"}}))


def test_two_labels_do_not_become_a_new_one(case: Case) -> None:
    case.begin(orders("open", "finished", "paid"))
    with case.unchanged(), pytest.raises(Refused, match="'finished' and 'paid' become 'done', which is new"):
        case.revise(orders("open", "done", info={"enum": {"finished": "done", "paid": "done"}}))


def test_both_applications_write_in_their_own_labels_while_both_columns_live(case: Case) -> None:
    case.begin(orders("open", "finished"), ROWS)
    case.revise(orders("open", "done", info={"enum": {"finished": "done"}}))
    case.upgrade()
    case.run(
        "INSERT INTO orders (id, status_new) VALUES (3, 'done'); UPDATE orders SET status = 'finished' WHERE id = 1"
    )
    found = case.run("SELECT status::text, status_new::text FROM orders ORDER BY id")
    assert found == [("finished", "done")] * 3
    case.check(orders("open", "done"))
    case.ship()
    case.upgrade()
    case.downgrade("-1")
    assert case.run("SELECT status::text, status_new::text FROM orders ORDER BY id") == [("finished", "done")] * 3


def test_a_new_enum_on_a_new_column_lets_both_applications_live(case: Case) -> None:
    case.begin(orders("open", "finished", server_default="finished"), ROWS)
    metadata = sa.MetaData()
    ways = {"up": "replace(status::text, 'finished', 'done')", "down": "replace(state::text, 'done', 'finished')"}
    type_ = sa.Enum("open", "done", name="state")
    state: Any = sa.Column("state", type_, info=renamed_from("status") | ways, server_default="done")
    sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True), state)
    case.revise(metadata)
    case.upgrade()
    case.run("INSERT INTO orders (id, state) VALUES (3, 'done'); UPDATE orders SET status = 'finished' WHERE id = 1")
    assert case.run("SELECT status::text, state::text FROM orders") == [("finished", "done")] * 3
    case.check(metadata)
    case.ship()
    case.upgrade()
    case.check(metadata)
    case.run("INSERT INTO orders (id) VALUES (4)")
    assert case.run("SELECT state::text FROM orders") == [("done",)] * 4
    case.downgrade("base")
    case.run("DELETE FROM orders WHERE id = 4")
    assert case.run("SELECT status::text FROM orders") == [("finished",)] * 3


@pytest.mark.long
def test_a_milestone_gives_a_column_another_enum_with_the_default_of_that_one(case: Case) -> None:
    def models(name: str, *labels: str, **kw: Any) -> sa.MetaData:
        metadata = sa.MetaData()
        column: Any = sa.Column(name, sa.Enum(*labels, name=f"of_{name}"), server_default=labels[-1], **kw)
        sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True), column)
        return metadata

    ways = {"up": "replace(status::text, 'finished', 'done')", "down": "replace(state::text, 'done', 'finished')"}
    new = models("state", "open", "done", info=renamed_from("status") | ways)
    milestone(case, models("status", "open", "finished"), new, ROWS)
    case.upgrade()
    case.ship()
    case.upgrade()
    case.run("INSERT INTO orders (id) VALUES (3)")
    assert case.run("SELECT state::text FROM orders ORDER BY id") == [("open",), ("done",), ("done",)]


@pytest.mark.long
def test_labels_that_only_come_are_added(case: Case) -> None:
    texts = walk(case, orders("open", "finished"), orders("new", "open", "paid", "finished"), ROWS)
    assert set(texts) == {""}
    assert "ADD VALUE \\'paid\\' AFTER \\'open\\'" in texts[""]


def test_what_has_no_other_way_needs_consent(case: Case) -> None:
    case.begin(orders("open", "finished", primary_key=True))
    new = orders("open", "done", primary_key=True, info={"enum": {"finished": "done"}})
    with case.unchanged(), pytest.raises(ConsentMissing, match="order_status gets other labels at once") as stopped:
        case.revise(new)
    assert "status is part of the primary key" in str(stopped.value)
    assert 'info={"at_once": True}' in str(stopped.value)


@pytest.mark.long
def test_what_has_no_other_way_is_done_at_once_and_said(case: Case) -> None:
    old, new = (
        orders(*labels, primary_key=True, info={"enum": {"finished": "done"}, "at_once": True})
        for labels in (("open", "finished"), ("open", "done"))
    )
    texts = walk(case, old, new, ROWS)
    assert set(texts) == {""}
    assert "at once, with every row of its columns written" in texts[""]


def test_a_column_of_it_that_comes_in_the_same_revision_is_refused(case: Case) -> None:
    case.begin(orders("open", "finished"))
    new = orders("open", more=(sa.Column("before", sa.Enum("open", name="order_status")),),
                 info={"enum": {"finished": "open"}})  # fmt: skip
    with case.unchanged(), pytest.raises(Refused, match=r"orders\.before of it comes in the same revision"):
        case.revise(new)


def test_a_column_that_becomes_one_of_it_in_the_same_revision_is_refused(case: Case) -> None:
    case.begin(orders("open", "finished", more=(sa.Column("before", sa.Text),)))
    said = {"up": "before::order_status", "down": "before::text"}
    before: Any = sa.Column("before", sa.Enum("open", name="order_status"), info=said)
    new = orders("open", more=(before,), info={"enum": {"finished": "open"}})
    with case.unchanged(), pytest.raises(Refused, match=r"orders\.before of it comes in the same revision"):
        case.revise(new)


def test_further_labels_while_a_change_of_it_is_open_are_refused(case: Case) -> None:
    case.begin(orders("open", "finished"), ROWS)
    said = {"enum": {"finished": "done"}}
    case.revise(orders("open", "done", info=said))
    case.upgrade()
    case.check(orders("open", "done", info=said))
    for labels in (("open", "done", "paid"), ("done", "open"), ("open", "finished")):
        with (
            case.unchanged(),
            pytest.raises(Refused, match="order_status belongs to the open change 'second'") as stopped,
        ):
            case.revise(orders(*labels, info=said), "third")
        assert f"It leads to 'open', 'done'; the models say {', '.join(map(repr, labels))}." in str(stopped.value)
        with case.unchanged(), pytest.raises(Refused, match="order_status belongs to"):
            case.check(orders(*labels, info=said))
    case.ship()
    case.upgrade()
    assert set(case.revise(orders("open", "done", "paid", info=said), "third")) == {""}


@pytest.mark.long
def test_what_else_changes_about_the_column_comes_with_it(case: Case) -> None:
    old = orders("open", "finished", server_default="finished", comment="how far")
    new = orders(
        "open", "done", info={"enum": {"finished": "done"}}, server_default="done", nullable=False, comment="where"
    )
    walk(case, old, new, ROWS)


@pytest.mark.long
def test_a_column_that_goes_with_its_label_is_no_part_of_it(case: Case) -> None:
    mood = sa.Enum("open", "finished", name="order_status")
    new = orders("open", info={"enum": {"finished": "open"}})
    walk(case, orders("open", "finished", more=(sa.Column("before", mood),)), new, ROWS)


RENAMED = {"enum": {"finished": "done"}}


def there_and_back(case: Case, new: sa.MetaData) -> None:
    """Go to the end and back; hold that there is nothing but the new labels, and then what was before."""
    before = case.catalog
    case.revise(new)
    case.upgrade()
    case.ship()
    case.upgrade()
    case.check(new)
    after = {id_ for id_ in case.catalog.objects if id_.kind != "schema"}
    assert after == before.objects.keys() - {id_ for id_ in before.objects if id_.kind == "schema"}
    case.downgrade("base")
    assert_same(before, case.catalog, "back")


def own() -> tuple[Any, ...]:
    return (sa.Column("status_new", sa.Text),)


@pytest.mark.long
def test_a_column_of_somebody_s_that_has_the_name_is_left_alone(case: Case) -> None:
    case.begin(orders("open", "finished", more=own()), "INSERT INTO orders VALUES (1, 'finished', 'mine')")
    there_and_back(case, orders("open", "done", info=RENAMED, more=own()))
    assert case.run("SELECT status::text, status_new FROM orders") == [("finished", "mine")]


def test_a_column_that_comes_under_the_name_is_left_alone(case: Case) -> None:
    case.begin(orders("open", "finished"), ROWS)
    case.revise(orders("open", "done", info=RENAMED, more=own()))
    case.upgrade()
    case.run("UPDATE orders SET status_new = 'mine'")
    case.ship()
    case.upgrade()
    case.check(orders("open", "done", info=RENAMED, more=own()))
    assert case.run("SELECT status::text, status_new FROM orders ORDER BY id") == [("open", "mine"), ("done", "mine")]


@pytest.mark.parametrize(
    "made",
    ["TYPE order_status_new AS ENUM ('open', 'done')", "DOMAIN order_status_new AS text", "TABLE order_status_new ()",
     "TYPE order_status_new AS (a integer)", "TYPE order_status_new AS RANGE (subtype = text)"],
)  # fmt: skip
def test_a_type_of_somebody_s_that_has_the_name_is_left_alone(case: Case, made: str) -> None:
    case.begin(orders("open", "finished"), f"{ROWS}; CREATE {made}")
    before = case.run("SELECT oid::text FROM pg_type WHERE typname = 'order_status_new'")
    texts = case.revise(with_table(orders("open", "done", info=RENAMED), "TABLE" in made))
    assert "op.create_enum_type('order_status_new2'" in texts["expand"]
    case.upgrade()
    case.ship()
    case.upgrade()
    assert case.run("SELECT status::text FROM orders ORDER BY id") == [("open",), ("done",)]
    assert case.run("SELECT oid::text FROM pg_type WHERE typname = 'order_status_new'") == before
    case.downgrade("base")
    assert case.run("SELECT oid::text FROM pg_type WHERE typname = 'order_status_new'") == before
    assert case.run("SELECT status::text FROM orders ORDER BY id") == [("open",), ("finished",)]


def with_table(metadata: sa.MetaData, there: bool) -> sa.MetaData:
    if there:
        sa.Table("order_status_new", metadata)
    return metadata


STANDING = """
CREATE TABLE others (id integer PRIMARY KEY, "of it" order_status); INSERT INTO others VALUES (1, 'finished');
CREATE VIEW v WITH (security_barrier = true) AS SELECT id, status FROM orders;
CREATE VIEW a AS SELECT v.id, v.status, o."of it" FROM v JOIN others o ON v.status::text = o."of it"::text;
CREATE VIEW "of others" AS SELECT "of it" FROM others;
CREATE VIEW b AS SELECT "of others"."of it" AS more FROM "of others", a;
COMMENT ON COLUMN v.status IS 'how far'; GRANT SELECT ON v TO pg_monitor;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER on_status AFTER UPDATE OF status ON orders FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
  EXECUTE FUNCTION note();
CREATE TRIGGER instead INSTEAD OF INSERT ON a FOR EACH ROW EXECUTE FUNCTION note();
CREATE POLICY mine ON orders FOR SELECT TO pg_monitor USING (status IS NOT NULL); ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE STATISTICS both_of ON id, status FROM orders; CREATE STATISTICS of_others ON id, "of it" FROM others
"""


def two(*labels: str, **kw: Any) -> sa.MetaData:
    metadata = orders(*labels, **kw)
    sa.Table(
        "others", metadata, sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("of it", sa.Enum(*labels, name="order_status")),
    )  # fmt: skip
    return metadata


def test_what_names_the_columns_names_the_new_ones_behind_the_swap(case: Case) -> None:
    case.begin(orders("open", "finished"), f"{ROWS};{STANDING}")
    before = case.catalog
    case.revise(two("open", "done", info=RENAMED))
    case.upgrade()
    case.ship()
    case.upgrade()
    assert case.run("SELECT id, status::text FROM v ORDER BY id") == [(1, "open"), (2, "done")]
    assert case.run('SELECT status::text, "of it"::text FROM a') == [("done", "done")]
    assert case.run("SELECT more::text FROM b") == [("done",)]
    differing = [str(one) for one in compare(before, case.catalog, owners=False)]
    assert differing == ["enum public.order_status: labels: open, finished -> open, done"]
    case.check(two("open", "done", info=RENAMED))
    case.downgrade("base")
    assert_same(before, case.catalog, "back")
    assert case.run("SELECT more::text FROM b") == [("finished",)]


@pytest.mark.parametrize(
    ("named", "more"),
    [
        ("materialized view m", "CREATE MATERIALIZED VIEW m AS SELECT status FROM orders"),
        ("materialized view m", "CREATE VIEW v AS SELECT status FROM orders; CREATE MATERIALIZED VIEW m AS SELECT * FROM v"),
        ("generated column is", 'ALTER TABLE orders ADD "is" boolean GENERATED ALWAYS AS (status IS NULL) STORED'),
        (r"function f\(\)", "CREATE FUNCTION f() RETURNS text BEGIN ATOMIC SELECT max(status)::text FROM orders; END"),
        ("publication p", "CREATE PUBLICATION p FOR TABLE orders (id, status)"),
        ("rule of orders", "CREATE RULE r AS ON UPDATE TO orders DO ALSO SELECT NEW.status"),
        ("rule _RETURN on view v is built on it", "CREATE VIEW v AS SELECT id FROM orders WHERE status = 'open'"),
        ("function f.* is built on it", "CREATE FUNCTION f(order_status) RETURNS integer LANGUAGE sql AS 'SELECT 1'"),
        ("policy p .* is built on it", "CREATE POLICY p ON orders USING (status = 'open')"),
    ],
    ids=["materialized view", "of a view", "generated", "function", "publication", "rule", "label in a view", "argument",
         "label in a policy"],
)  # fmt: skip
def test_what_nothing_makes_again_is_refused_by_name(case: Case, more: str, named: str) -> None:
    case.begin(orders("open", "finished"), more)
    with case.unchanged(), pytest.raises(Refused, match=named):
        case.revise(orders("open", "done", info=RENAMED))


@pytest.mark.long
@pytest.mark.parametrize("is_array", [False, True])
def test_a_default_whose_label_becomes_another_that_was_there_is_what_it_was_on_the_way_back(
    case: Case, is_array: bool
) -> None:
    def boxes(*labels: str, **info: Any) -> sa.MetaData:
        metadata = sa.MetaData()
        type_: Any = sa.Enum(*labels, name="st", metadata=metadata)
        default = f"{{{labels[-1]}}}" if is_array else labels[-1]
        column = sa.Column("s", sa.ARRAY(type_) if is_array else type_, server_default=default, info=info)
        sa.Table("b", metadata, sa.Column("id", sa.Integer, primary_key=True), column)
        return metadata

    new = boxes("n", enum={"o": "n"})
    milestone(case, boxes("n", "o"), new, "INSERT INTO b DEFAULT VALUES")
    first = [revision.revision for revision in case.script.walk_revisions()][-1]
    before = case.catalog
    case.upgrade()
    case.ship()
    case.upgrade()
    assert_same(case.created(new), case.catalog, "the end")
    assert case.run("INSERT INTO b DEFAULT VALUES RETURNING s::text") == [("{n}" if is_array else "n",)]
    case.downgrade(first)
    assert_same(before, case.catalog, "back")
