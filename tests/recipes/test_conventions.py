"""Models with a naming convention: what the files say of a constraint is its name, which no convention changes again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe import renamed_from
from tests.recipe_cases import assert_same, milestone, walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(constraint_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
ROWS = "INSERT INTO users (id, age) VALUES (1, 5), (2, 7)"


def users(*parts: Any, age: Any = sa.Integer, named: str = "age", **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData(naming_convention=CONVENTION)  # type: ignore[arg-type]
    columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column(named, age, **kw)]
    sa.Table("users", metadata, *columns, *parts)
    return metadata


def positive(least: int = 0, column: str = "age") -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} > {least}", name="age_positive")


def unique(column: str = "age") -> sa.UniqueConstraint:
    return sa.UniqueConstraint(column, name="age_once")


CHANGES = {
    "not null": ({}, {"nullable": False}),
    "type": ({}, {"age": sa.BigInteger}),
    "name": ({}, {"named": "years", "info": renamed_from("age")}),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.cases("type")
def test_a_column_under_a_check_and_a_key_changes_and_goes_back(case: Case, change: str) -> None:
    old, new = CHANGES[change]
    column = new.get("named", "age")
    walk(case, users(positive(), unique(), **old), users(positive(column=column), unique(column), **new), ROWS)


@pytest.mark.parametrize(
    ("old", "new"),
    [([], [positive()]), ([positive()], [positive(1)]), ([positive()], []), ([], [unique()])],
    ids=["a check comes", "a check changes", "a check goes", "a key comes"],
)
@pytest.mark.cases("a check changes")
def test_a_milestone_goes_back_where_a_constraint_changes(case: Case, old: list[Any], new: list[Any]) -> None:
    models = users(*new)
    milestone(case, users(*old), models, ROWS)
    case.upgrade()
    case.ship()
    case.upgrade()
    assert_same(case.created(models), case.catalog, "in the end")
