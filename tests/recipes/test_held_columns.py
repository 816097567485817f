"""Something else needs a column that goes: said when the files are made, and not by the contract."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic import command

from alembic_safe import commands, moved_from, renamed_from
from alembic_safe.errors import Refused
from tests.recipe_cases import deploy, walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.recipe_cases import Case

TOUCH = "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE UPDATE"
HOLDING = {
    "view big": "CREATE VIEW big AS SELECT id, total FROM orders",
    "materialized view big": "CREATE MATERIALIZED VIEW big AS SELECT total FROM orders",
    "trigger t on table orders": f"{TOUCH} OF total ON orders FOR EACH ROW EXECUTE FUNCTION touch()",
    "policy p on table orders": "CREATE POLICY p ON orders USING (total > 0)",
    "function sums()": "CREATE FUNCTION sums() RETURNS bigint BEGIN ATOMIC SELECT sum(total) FROM orders; END",
    "rule r on table orders": "CREATE RULE r AS ON UPDATE TO orders WHERE NEW.total > 5 DO ALSO DELETE FROM orders",
    "publication of table orders in publication p": "CREATE PUBLICATION p FOR TABLE orders (id, total)",
    "default value for column n of table counted": "CREATE SEQUENCE s OWNED BY orders.total;"
    " CREATE TABLE counted (n int DEFAULT nextval('s'))",
}
"""What the server says of it, and what makes it."""
GOING = {
    "an index with a predicate": "CREATE INDEX i ON orders (id) WHERE total > 0",
    "a check": "ALTER TABLE orders ADD CONSTRAINT c CHECK (total > 0 AND id > 0)",
    "statistics": "CREATE STATISTICS s ON total, id FROM orders",
    "a query of whole rows": "CREATE VIEW big AS SELECT count(*) FROM orders",
    "a trigger of every column": f"{TOUCH} ON orders FOR EACH ROW EXECUTE FUNCTION touch()",
    "a sequence": "CREATE SEQUENCE s OWNED BY orders.total; ALTER TABLE orders ALTER total SET DEFAULT nextval('s')",
}
ROWS = "INSERT INTO orders VALUES (1, 10), (2, NULL)"


def orders(*more: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True), *more)
    return metadata


def total() -> sa.Column[int]:
    return sa.Column("total", sa.Integer)


def renamed() -> sa.MetaData:
    return orders(sa.Column("amount", sa.Integer, info=renamed_from("total")))


def refused(case: Case, new: sa.MetaData) -> str:
    with case.unchanged(), pytest.raises(Refused) as raised:
        case.revise(new)
    return str(raised.value)


@pytest.mark.parametrize(("shown", "make"), HOLDING.items(), ids=HOLDING)
@pytest.mark.parametrize("new", [orders, renamed], ids=["goes", "is renamed"])
def test_what_the_contract_would_not_drop_in_passing_is_named(
    case: Case, new: Callable[[], sa.MetaData], shown: str, make: str
) -> None:  # fmt: skip
    case.begin(orders(total()), f"{ROWS}; {make}")
    said = refused(case, new())
    assert (
        f"orders.total goes in the contract, which takes nothing else along, and this depends on it: {shown}." in said
    )
    assert ("over amount in a revision behind the copy" in said) == (new is renamed)
    with case.engine.begin() as c, pytest.raises(sa.exc.DBAPIError, match=r"other objects depend on it"):
        c.execute(sa.text("ALTER TABLE orders DROP COLUMN total RESTRICT"))


@pytest.mark.parametrize("make", GOING.values(), ids=GOING)
def test_what_goes_with_the_column_is_no_obstacle(case: Case, make: str) -> None:
    case.begin(orders(total()), f"{ROWS}; {make}")
    case.revise(orders())
    case.upgrade()
    case.ship()
    case.upgrade()
    assert case.run("SELECT * FROM orders ORDER BY 1") == [(1,), (2,)]


@pytest.mark.long
def test_a_view_is_made_again_behind_the_copy_of_a_rename(case: Case) -> None:
    case.begin(orders(total()), f"{ROWS}; {HOLDING['view big']}")
    refused(case, renamed())
    case.run("DROP VIEW big")
    case.revise(renamed())
    command.revision(case.config, "view")
    path = next(path for path in case.files if "view" in path.name)
    view = "op.execute('CREATE VIEW big AS SELECT id, amount AS total FROM orders')"
    text = (
        path.read_text().replace("    pass", f"    {view}", 1).replace("    pass", "    op.execute('DROP VIEW big')", 1)
    )
    path.write_text(text)
    deploy(case)
    case.ship()
    path = next(path for path in case.files if "contract" in path.name)
    at = case.run("SELECT version_num FROM alembic_version")[0][0]
    text = path.read_text()
    down = next(line for line in text.splitlines() if line.startswith("down_revision"))
    path.write_text(text.replace(down, f"down_revision = '{at}'"))
    deploy(case)
    assert case.run("SELECT * FROM big ORDER BY id") == [(1, 10), (2, None)]
    case.check(renamed())
    case.downgrade("base")
    assert case.run("SELECT id, total FROM orders ORDER BY id") == [(1, 10), (2, None)]


def test_a_view_on_a_partition_is_in_the_way_of_its_parents_column(case: Case) -> None:
    metadata = sa.MetaData()
    sa.Table("parted", metadata, sa.Column("id", sa.Integer), total(), postgresql_partition_by="RANGE (id)")
    case.begin(metadata, "CREATE TABLE part PARTITION OF parted DEFAULT; CREATE VIEW big AS SELECT total FROM part")
    after = sa.MetaData()
    sa.Table("parted", after, sa.Column("id", sa.Integer), postgresql_partition_by="RANGE (id)")
    assert "depends on it: view big." in refused(case, after)


def test_a_milestone_says_it_likewise_also_of_a_table_that_is_renamed(case: Case) -> None:
    case.begin(sa.MetaData())
    case.revise(orders(total()), "first")
    path = case.files[0]
    view = f"    op.execute({HOLDING['view big']!r})\n\n\ndef downgrade() -> None:\n    op.execute('DROP VIEW big')"
    path.write_text(path.read_text().replace("\n\ndef downgrade() -> None:", view, 1))
    case.upgrade()
    new = sa.MetaData()
    columns = sa.Column("id", sa.Integer, primary_key=True), sa.Column("amount", sa.Integer, info=renamed_from("total"))
    sa.Table("sales", new, *columns, info=renamed_from("orders"))
    case.config.attributes["models"] = new
    out = io.StringIO()
    with case.unchanged(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = commands.run("milestone", ("-m", "second"), case.config)
    said = " ".join(out.getvalue().split())
    assert code == 3, said
    assert "sales.total goes in the contract, which takes nothing else along, and this depends on it: view big." in said


def test_a_column_that_moves_is_one_that_goes(case: Case) -> None:
    def models(*more: Any) -> sa.MetaData:
        metadata = orders(*([] if more else [total()]))
        order = sa.Column("order_id", sa.ForeignKey("orders.id"), unique=True, nullable=False)
        sa.Table("bills", metadata, sa.Column("id", sa.Integer, primary_key=True), order, *more)
        return metadata

    case.begin(models(), HOLDING["view big"])
    info = moved_from("orders.total", on={"id": "order_id"})
    assert "depends on it: view big." in refused(case, models(sa.Column("total", sa.Integer, info=info)))


@pytest.mark.parametrize("last", [True, False])
def test_a_generated_column_that_goes_as_well_goes_first(case: Case, last: bool) -> None:
    names = ("b", "c") if last else ("c", "b")
    more = {"b": sa.Column("b", sa.Integer), "c": sa.Column("c", sa.Integer, sa.Computed("b * 2", persisted=True))}
    walk(case, orders(*(more[name] for name in names)), orders(), "INSERT INTO orders (id, b) VALUES (1, 2)")


def test_a_foreign_key_that_goes_as_well_is_no_obstacle(case: Case) -> None:
    def models(*, there: bool) -> sa.MetaData:
        metadata = orders(*([sa.Column("total", sa.Integer, unique=True)] if there else []))
        refers = [sa.ForeignKey("orders.total")] if there else []
        sa.Table(
            "refs", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("total", sa.Integer, *refers)
        )
        return metadata

    walk(case, models(there=True), models(there=False), ROWS)


def test_a_foreign_key_of_a_table_that_stays_is_in_the_way(case: Case) -> None:
    case.begin(orders(total()), "CREATE UNIQUE INDEX i ON orders (total)")
    case.run("CREATE TABLE refs (total int REFERENCES orders (total))")
    assert "depends on it: constraint refs_total_fkey on table refs." in refused(case, orders())
