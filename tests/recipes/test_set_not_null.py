"""A column takes no NULL any more, or takes it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.recipe_cases import walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

ROWS = "INSERT INTO users (id, nick) VALUES (1, 'Ada'), (2, NULL), (3, 'Bob')"


def users(**nick: object) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("nick", sa.Text, **nick))
    return metadata


def test_null_is_filled_in_the_copy_and_again_in_the_contract(case: Case) -> None:
    texts = walk(case, users(), users(nullable=False, info={"fill": "'user ' || id"}), ROWS)
    assert "op.backfill('users', set_={'nick': \"'user ' || id\"}, where='nick IS NULL')" in texts["copy"]
    assert "op.prove_not_null('users', 'nick')" in texts["contract"]
    assert case.run("SELECT nick FROM users ORDER BY id") == [("Ada",), ("user 2",), ("Bob",)]


@pytest.mark.long
def test_null_is_written_until_the_contract(case: Case) -> None:
    case.begin(users(), ROWS)
    case.revise(users(nullable=False, info={"fill": "'nobody'"}))
    case.upgrade()
    case.run("INSERT INTO users VALUES (4, NULL); UPDATE users SET nick = NULL WHERE id = 1")
    case.ship()
    case.upgrade()
    assert case.run("SELECT nick FROM users ORDER BY id") == [("nobody",), ("nobody",), ("Bob",), ("nobody",)]


@pytest.mark.long
def test_a_column_may_be_null_from_the_expand_on(case: Case) -> None:
    texts = walk(case, users(nullable=False), users(), "INSERT INTO users VALUES (1, 'Ada')")
    assert set(texts) == {"expand"}
    assert "settles = ()" in texts["expand"]
