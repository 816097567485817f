"""A column gets another collation, and with it another index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from tests.recipe_cases import assert_same, milestone

if TYPE_CHECKING:
    from tests.recipe_cases import Case

ROWS = "INSERT INTO users (id, name) VALUES (1, 'b'), (2, 'A'), (3, 'a')"


def users(type_: Any, **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", type_, **kw))
    return metadata


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new", "info"),
    [
        (sa.Text(), sa.Text(collation="C"), {}),
        pytest.param(sa.Text(collation="C"), sa.Text(), {}, marks=pytest.mark.long),
        (sa.String(20, collation="C"), sa.String(20, collation="ucs_basic"), {}),
        # the way back may cut a value: somebody has to say it
        pytest.param(
            sa.String(20),
            sa.Text(collation="C"),
            {"up": "name::text", "down": "name::varchar(20)"},
            marks=pytest.mark.long,
        ),
    ],
    ids=["to C", "from C", "from one to another", "with the type"],
)
def test_what_stands_on_it_is_built_beside_it(case: Case, old: Any, new: Any, info: dict[str, str]) -> None:
    kw: dict[str, Any] = {"nullable": False, "unique": True, "index": True}
    texts = milestone(case, users(old, **kw), users(new, info=info, **kw), ROWS)
    assert "op.swap_columns('users', 'name', 'name_new')" in texts["contract"]
    before = case.catalog
    case.upgrade()
    case.run("INSERT INTO users (id, name) VALUES (4, 'B'); UPDATE users SET name = 'c' WHERE id = 1")
    case.ship()
    case.upgrade()
    assert_same(case.created(users(new, **kw)), case.catalog, "the end")
    assert case.run("SELECT id, name FROM users ORDER BY id") == [(1, "c"), (2, "A"), (3, "a"), (4, "B")]
    case.downgrade("-3")
    assert_same(before, case.catalog, "back")


@pytest.mark.long
def test_where_nothing_stands_on_it_it_is_ordinary(case: Case) -> None:
    texts = milestone(case, users(sa.Text()), users(sa.Text(collation="C")), ROWS)
    assert set(texts) == {""}
    case.upgrade()
    assert_same(case.created(users(sa.Text(collation="C"))), case.catalog, "the end")
