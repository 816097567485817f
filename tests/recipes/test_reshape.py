"""One column becomes several, or several become one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe import merged_from, split_from
from alembic_safe.errors import Refused
from tests.recipe_cases import walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

NAME = "coalesce(first, '') || ' ' || coalesce(last, '')"
UP = {"first": "split_part(name, ' ', 1)", "last": "substr(name, length(split_part(name, ' ', 1)) + 2)"}
ROWS = "INSERT INTO users (id, name) VALUES (1, 'Ada Lovelace'), (2, 'Plato '), (3, NULL)"


def users(*more: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), *more)
    return metadata


def whole(**kw: Any) -> sa.MetaData:
    return users(sa.Column("name", sa.Text, **kw))


def parts(down: str = f"nullif({NAME}, ' ')", **kw: Any) -> sa.MetaData:
    columns = [sa.Column(name, sa.Text, info=split_from("name", up=up, down=down), **kw) for name, up in UP.items()]
    return users(*columns)


def test_a_column_becomes_two_that_both_applications_write(case: Case) -> None:
    texts = walk(case, whole(index=True), parts(), ROWS)
    assert "op.sync_columns('users', 'name', ('first', 'last')" in texts["expand"]
    assert "compare name and first and last once more" in texts["contract"]
    found = case.run("SELECT first, last FROM users ORDER BY id")
    assert found == [("Ada", "Lovelace"), ("Plato", ""), (None, None)]
    case.downgrade("-1")
    case.run("INSERT INTO users (id, name) VALUES (4, 'Hannah Arendt')")
    case.run("INSERT INTO users (id, first, last) VALUES (5, 'Bo', 'Ek')")
    case.run("UPDATE users SET last = 'Byron' WHERE id = 1; UPDATE users SET name = 'Plato of Athens' WHERE id = 2")
    assert case.run("SELECT name, first, last FROM users ORDER BY id") == [
        ("Ada Byron", "Ada", "Byron"), ("Plato of Athens", "Plato", "of Athens"), (None, None, None),
        ("Hannah Arendt", "Hannah", "Arendt"), ("Bo Ek", "Bo", "Ek"),
    ]  # fmt: skip


def merged(**kw: Any) -> sa.MetaData:
    info = merged_from(("first", "last"), up=NAME, down=(UP["first"], UP["last"]))
    return users(sa.Column("name", sa.Text, info=info, **kw))


def test_two_columns_become_one_with_what_was_said_of_it(case: Case) -> None:
    old = users(sa.Column("first", sa.Text, nullable=False), sa.Column("last", sa.Text, server_default="?"))
    rows = "INSERT INTO users (id, first, last) VALUES (1, 'Ada', 'Lovelace'), (2, 'Plato', NULL)"
    walk(case, old, merged(nullable=False, index=True, server_default="no one", comment="whole"), rows)
    assert case.run("SELECT name FROM users ORDER BY id") == [("Ada Lovelace",), ("Plato ",)]
    case.run("INSERT INTO users (id) VALUES (3)")
    case.downgrade("-1")
    assert case.run("SELECT first, last, name FROM users ORDER BY id") == [
        ("Ada", "Lovelace", "Ada Lovelace"), ("Plato", None, "Plato "), ("no", "one", "no one")
    ]  # fmt: skip


@pytest.mark.long
def test_hostile_names_in_another_schema(case: Case) -> None:
    def models(*columns: sa.Column[Any]) -> sa.MetaData:
        metadata = sa.MetaData(schema='Sho"p')
        sa.Table("order", metadata, sa.Column("Id %", sa.Integer, primary_key=True), *columns)
        return metadata

    down = '"a.1" || \':\' || "Ünd %"'
    info = (split_from('who"', up='split_part("who""", \':\', 1)', down=down),
            split_from('who"', up='split_part("who""", \':\', 2)', down=down))  # fmt: skip
    new = models(
        sa.Column("a.1", sa.Text, info=info[0]), sa.Column("Ünd %", sa.String(40), nullable=False, info=info[1])
    )
    walk(
        case, models(sa.Column('who"', sa.Text)), new, """INSERT INTO "Sho""p"."order" VALUES (1, 'a:b'), (2, 'x:y')"""
    )
    assert case.run("""SELECT "a.1", "Ünd %" FROM "Sho""p"."order" ORDER BY 1""") == [("a", "b"), ("x", "y")]


def test_what_is_said_by_halves_is_refused(case: Case) -> None:
    case.begin(whole(), ROWS)
    both = parts()
    both.tables["users"].append_column(sa.Column("name", sa.Text))
    with case.unchanged(), pytest.raises(Refused, match=r"the models still have users\.name"):
        case.revise(both)
    two = parts()
    two.tables["users"].c.last.info = split_from("name", up=UP["last"], down="last")
    with case.unchanged(), pytest.raises(Refused, match="two ways back"):
        case.revise(two)
    one = users(sa.Column("all", sa.Text, info=merged_from(("name", "id"), up="name", down=("name",))))
    with case.unchanged(), pytest.raises(Refused, match="down has 1 expressions"):
        case.revise(one)


def test_a_formula_that_reads_a_further_column_is_refused(case: Case) -> None:
    case.begin(users(sa.Column("name", sa.Text), sa.Column("realm", sa.Text)), ROWS)
    info = [split_from("name", up=up, down="first || last") for up in ("name || realm", "name")]
    new = users(
        *(sa.Column(one, sa.Text, info=it) for one, it in zip(("first", "last"), info, strict=True)),
        sa.Column("realm", sa.Text),
    )
    with (
        case.unchanged(),
        pytest.raises(Refused, match=r"users\.name becomes first and last, and up reads realm as well"),
    ):
        case.revise(new)


def test_what_was_said_may_stay(case: Case) -> None:
    case.begin(parts())
    case.check(parts())
    more = parts()
    more.tables["users"].append_column(sa.Column("age", sa.Integer))
    assert set(case.revise(more)) == {""}
