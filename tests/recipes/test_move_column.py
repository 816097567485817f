"""A column moves to another table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe import moved_from, renamed_from
from alembic_safe.errors import Refused
from tests.recipe_cases import assert_same, milestone, stop_everywhere, walk
from tests.retire_cases import some

if TYPE_CHECKING:
    from tests.recipe_cases import Case

PHONE = {"phone": moved_from("customers.phone", on={"id": "customer_id"})}
ROWS = """
INSERT INTO customers (id, phone) VALUES (1, '111'), (2, NULL), (3, '333'), (4, '444');
INSERT INTO contacts (id, customer_id) VALUES (10, 1), (20, 2), (30, 3)
"""


def shop(
    old: tuple[Any, ...] = (), new: tuple[Any, ...] = (), *, key: Any = None, kind: Any = sa.Integer, **kw: Any
) -> sa.MetaData:
    """Return customers, and contacts of which each has one, with further columns of each."""
    metadata = sa.MetaData()
    sa.Table("customers", metadata, sa.Column("id", sa.Integer, primary_key=True), *old)
    refers = sa.ForeignKey("customers.id") if key is None else key
    given = {"unique": True, **kw}
    sa.Table(
        "contacts", metadata, sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("customer_id", kind, *([refers] if refers else []), **given), *new,
    )  # fmt: skip
    return metadata


def phone(**kw: Any) -> sa.Column[Any]:
    return sa.Column("phone", sa.Text, **kw)


def moved(**kw: Any) -> sa.Column[Any]:
    return phone(info=PHONE["phone"], **kw)


@pytest.mark.long
def test_a_column_moves_and_both_applications_write(case: Case) -> None:
    texts = walk(case, shop((phone(index=True),)), shop(new=(moved(),)), ROWS)
    said = "'customers', 'contacts', {'phone': 'phone'}, on={'id': 'customer_id'})"
    assert f"op.sync_tables({said}" in texts["expand"]
    assert f"op.copy_moved({said}" in texts["copy"]
    assert f"op.drop_table_sync({said}" in texts["contract"]
    assert case.run("SELECT customer_id, phone FROM contacts ORDER BY id") == [(1, "111"), (2, None), (3, "333")]
    case.run("UPDATE contacts SET phone = 'new' WHERE id = 10")
    case.downgrade("-1")
    assert case.run("SELECT id, phone FROM customers ORDER BY 1") == [(1, "new"), (2, None), (3, "333"), (4, "444")]
    case.run("INSERT INTO contacts (id, customer_id) VALUES (40, 4)")
    case.run("UPDATE customers SET phone = '222' WHERE id = 2; UPDATE contacts SET phone = NULL WHERE id = 30")
    assert case.run("SELECT customer_id, phone FROM contacts ORDER BY id") == [
        (1, "new"), (2, "222"), (3, None), (4, "444")
    ]  # fmt: skip
    assert case.run("SELECT id, phone FROM customers ORDER BY 1") == [(1, "new"), (2, "222"), (3, None), (4, "444")]


@pytest.mark.long
def test_what_is_said_of_the_column_comes_with_it(case: Case) -> None:
    old = (phone(nullable=False), sa.Column("fax", sa.String(20), server_default="none"))
    new = (
        moved(nullable=False, index=True, comment="of the office"),
        sa.Column(
            "telefax", sa.String(20), server_default="?", info=moved_from("customers.fax", on={"id": "customer_id"})
        ),
    )
    rows = "INSERT INTO customers (id, phone) VALUES (1, '1'), (2, '2'), (3, '3'); INSERT INTO contacts VALUES (10, 1), (20, 2)"
    texts = walk(case, shop(old, nullable=False), shop(new=new, nullable=False), rows)
    assert "{'fax': 'telefax', 'phone': 'phone'}" in texts["expand"]
    assert "customers.phone may be left out" in texts["expand"]
    assert case.run("SELECT customer_id, phone, telefax FROM contacts ORDER BY 1") == [
        (1, "1", "none"),
        (2, "2", "none"),
    ]
    case.downgrade("-1")
    # the new application makes a customer, and then the contact
    case.run("INSERT INTO customers (id) VALUES (4); INSERT INTO contacts (id, customer_id, phone) VALUES (40, 4, '4')")
    assert case.run("SELECT phone, fax FROM customers ORDER BY id") == [
        ("1", "none"),
        ("2", "none"),
        ("3", "none"),
        ("4", "none"),
    ]


@pytest.mark.long
def test_a_check_that_the_column_says_itself_comes_by_a_milestone(case: Case) -> None:
    column = sa.Column("phone", sa.Text, sa.CheckConstraint("phone <> ''", name="said"), info=PHONE["phone"])
    new = shop(new=(column,))
    texts = milestone(case, shop((phone(),)), new, ROWS)
    assert "op.validate_constraint('said', 'contacts')" in texts["copy"]
    case.upgrade()
    case.ship()
    case.upgrade()
    assert_same(case.created(new), case.catalog, "the end")
    assert case.run("SELECT customer_id, phone FROM contacts ORDER BY id") == [(1, "111"), (2, None), (3, "333")]


@pytest.mark.long
def test_hostile_names_in_two_schemas(case: Case) -> None:
    long = "Ä\"x%s: '" + "n" * 53

    def models(old: tuple[Any, ...] = (), new: tuple[Any, ...] = ()) -> sa.MetaData:
        metadata = sa.MetaData()
        sa.Table("or.der", metadata, sa.Column("Id %", sa.Integer, primary_key=True), *old, schema='Sho"p')
        refers = sa.ForeignKeyConstraint([long], [metadata.tables['Sho"p.or.der'].c["Id %"]], name="f")
        sa.Table("select", metadata, sa.Column(long, sa.Integer, primary_key=True), refers, *new, schema="O ther")
        return metadata

    info = moved_from('who"', table="or.der", schema='Sho"p', on={"Id %": long})
    rows = """INSERT INTO "Sho""p"."or.der" VALUES (1, 'a'), (2, 'b'); INSERT INTO "O ther"."select" VALUES (2)"""
    walk(case, models((sa.Column('who"', sa.Text),)), models(new=(sa.Column("Ünd %", sa.Text, info=info),)), rows)
    assert case.run("""SELECT "Ünd %" FROM "O ther"."select" """) == [("b",)]


@pytest.mark.long
def test_it_goes_on_and_back_from_wherever_it_stopped(case: Case) -> None:
    new = shop(new=(moved(index=True),))
    case.begin(shop((phone(),)), ROWS)
    case.revise(new)
    case.ship()
    expand, copy, _ = (revision.revision for revision in reversed(list(case.script.walk_revisions())))
    case.upgrade(expand)
    assert stop_everywhere(case, new, "copy") == 3
    case.upgrade(copy)
    assert stop_everywhere(case, new, "contract") == 3


def keyed(name: str = "customer_id", kind: Any = sa.BigInteger, info: dict[str, Any] | None = None) -> sa.MetaData:
    """Return customers and contacts with the moved column, and another key between them."""
    metadata = sa.MetaData()
    sa.Table("customers", metadata, sa.Column("id", kind, primary_key=True))
    sa.Table(
        "contacts", metadata, sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(name, kind, sa.ForeignKey("customers.id"), unique=True, info=info),
        phone(info=moved_from("customers.phone", on={"id": name})),
    )  # fmt: skip
    return metadata


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "several contacts of a customer": (
        shop((phone(),), unique=False), shop(new=(moved(),), unique=False), "customer_id is not unique in contacts",
    ),
    "the old column stays": (shop((phone(),)), shop((phone(),), (moved(),)), r"the models still have that"),
    "no foreign key": (shop((phone(),), key=False), shop(new=(moved(),), key=False), "No foreign key between customers and"),
    "it can be deferred": (
        shop((phone(),), key=sa.ForeignKey("customers.id", deferrable=True)),
        shop(new=(moved(),), key=sa.ForeignKey("customers.id", deferrable=True)), "or it can be deferred",
    ),
    "another type": (
        shop((phone(),)), shop(new=(sa.Column("phone", sa.Integer, info=PHONE["phone"]),)), "customers.phone is TEXT, and",
    ),
    "rows that have no customer": (shop((phone(nullable=False),)), shop(new=(moved(nullable=False),)), "is NOT NULL, and"),
    "a column of a key": (
        shop((phone(unique=True), sa.Column("old", sa.ForeignKey("customers.phone")))),
        shop((sa.Column("old", sa.Text),), (moved(),)), "refers to phone",
    ),
    "keys of two types": (
        shop((phone(),), kind=sa.BigInteger), shop(new=(moved(),), kind=sa.BigInteger), "customers.id is INTEGER, and contacts",
    ),
    "a key that gets another type": (
        shop((phone(),), kind=sa.Integer), keyed(), r"customers\.phone moves to contacts, and contacts\.customer_id, by which",
    ),
    "a key that gets another name": (
        shop((phone(),)), keyed("client_id", sa.Integer, renamed_from("customer_id")), "gets another name in the same revision",
    ),
    "no such key": (
        shop((phone(),)), shop(new=(phone(info=moved_from("customers.phone", on={"nr": "customer_id"})),)),
        "customers has no column nr",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", some(REFUSED, 2))
def test_what_cannot_be_made_safe_is_refused(case: Case, what: str) -> None:
    old, new, said = REFUSED[what]
    case.begin(old)
    with case.unchanged(), pytest.raises(Refused, match=said):
        case.revise(new)


@pytest.mark.long
def test_the_table_is_there_first(case: Case) -> None:
    old = shop((phone(),))
    old.remove(old.tables["contacts"])
    case.begin(old)
    with case.unchanged(), pytest.raises(Refused, match=r"contacts, to which customers\.phone moves, is not there yet"):
        case.revise(shop(new=(moved(),)))


def test_what_was_said_may_stay_and_an_open_move_stands_for_itself(case: Case) -> None:
    old = (phone(), sa.Column("fax", sa.Text))
    fax = sa.Column("fax", sa.Text, info=moved_from("customers.fax", on={"id": "customer_id"}))
    case.begin(shop(old), ROWS)
    case.revise(shop((sa.Column("fax", sa.Text),), (moved(),)))
    case.upgrade()
    case.check(shop((sa.Column("fax", sa.Text),), (moved(),)))
    with case.unchanged(), pytest.raises(Refused, match=r"contacts\.phone is on its way from customers"):
        case.revise(shop(new=(moved(), fax)))
    with case.unchanged(), pytest.raises(Refused, match=r"contacts\.phone belongs to the open change"):
        case.revise(shop((sa.Column("fax", sa.Text),)))
    case.ship()
    case.upgrade()
    assert set(case.revise(shop((sa.Column("fax", sa.Text),), (moved(), sa.Column("age", sa.Integer))))) == {""}


def test_a_table_that_comes_first_by_name_loses_its_column_once(case: Case) -> None:
    def models(old: tuple[Any, ...] = (), new: tuple[Any, ...] = ()) -> sa.MetaData:
        metadata = sa.MetaData()
        sa.Table("accounts", metadata, sa.Column("id", sa.Integer, primary_key=True), *old)
        sa.Table("profiles", metadata, sa.Column("id", sa.ForeignKey("accounts.id"), primary_key=True), *new)
        return metadata

    case.begin(models((phone(index=True),)), "INSERT INTO accounts VALUES (1, '111'); INSERT INTO profiles VALUES (1)")
    texts = case.revise(models(new=(phone(info=moved_from("accounts.phone", on={"id": "id"})),)))
    assert texts["contract"].partition("def downgrade")[0].count("op.retire_column(") == 1
    case.ship()
    case.upgrade()
    assert case.run("SELECT id, phone FROM profiles") == [(1, "111")]
