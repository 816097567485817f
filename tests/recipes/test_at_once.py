"""What PostgreSQL has no other way for is said in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic_safe import renamed_from

if TYPE_CHECKING:
    from tests.recipe_cases import Case


def users(*more: Any, name: str = "users", **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("span", postgresql.INT4RANGE)]
    sa.Table(name, metadata, *columns, *more, **kw)
    return metadata


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (users(sa.Column("twice", sa.Integer, sa.Computed("id * 2", persisted=True))), "users.twice is written into every row"),
        (users(sa.Column("number", sa.Integer, sa.Identity())), "users.number is written into every row"),
        (users(name="members", info=renamed_from("users")), "users is renamed to members at once"),
    ],
    ids=["generated", "identity", "table"],
)  # fmt: skip
def test_the_file_says_what_it_costs(case: Case, new: sa.MetaData, said: str) -> None:
    case.begin(users())
    texts = case.revise(new)
    assert set(texts) == {""}
    assert said in " ".join(texts[""].split())
