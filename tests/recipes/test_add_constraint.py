"""A foreign key, a unique constraint or a check comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic.operations import ops

import alembic_safe
from tests.recipe_cases import assert_same, milestone, walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

ROWS = "INSERT INTO teams VALUES (7); INSERT INTO users VALUES (1, 'Ada', 7), (2, 'Bob', NULL)"


def users(*more: Any, **naming: str) -> sa.MetaData:
    metadata = sa.MetaData(naming_convention=naming or None)
    sa.Table("teams", metadata, sa.Column("id", sa.Integer, primary_key=True))
    columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("nick", sa.Text), sa.Column("team", sa.Integer)]
    sa.Table("users", metadata, *columns, *more)
    return metadata


@pytest.mark.parametrize("name", [None, "of_team"])
def test_a_foreign_key_is_checked_beside_the_writers(case: Case, name: str | None) -> None:
    key = sa.ForeignKeyConstraint(["team"], ["teams.id"], name=name, ondelete="SET NULL")
    texts = walk(case, users(), users(key), ROWS)
    assert set(texts) == {"expand"}
    made = texts["expand"]
    assert made.index("op.create_foreign_key_not_valid(") < made.index("op.validate_constraint(")
    assert made.count("with op.step(") == 2


@pytest.mark.long
@pytest.mark.parametrize("name", [None, "one_nick"])
def test_a_unique_constraint_stands_on_an_index_that_was_built_beside_the_writers(case: Case, name: str | None) -> None:
    texts = walk(case, users(), users(sa.UniqueConstraint("nick", name=name)), ROWS)
    assert f"op.add_constraint_using_index('{name or 'users_nick_key'}', 'users'" in texts["expand"]


@pytest.mark.long
def test_the_naming_convention_names_it(case: Case) -> None:
    naming = {"uq": "uq_%(table_name)s_%(column_0_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s"}
    new = users(sa.UniqueConstraint("nick"), sa.ForeignKeyConstraint(["team"], ["teams.id"]), **naming)
    texts = walk(case, users(**naming), new, ROWS)
    assert "'uq_users_nick'" in texts["expand"]
    assert "'fk_users_team'" in texts["expand"]


def test_a_check_that_says_something_else_is_read_beside_the_writers(case: Case) -> None:
    def above(limit: int) -> sa.MetaData:
        metadata = sa.MetaData()
        check = sa.CheckConstraint(f"size > {limit}", name="above")
        sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("size", sa.Integer), check)
        return metadata

    texts = milestone(case, above(0), above(1), "INSERT INTO users VALUES (7, 5)")
    assert "op.create_check_not_valid('above" in texts["expand"]
    assert not any("ADD CONSTRAINT" in text.partition("def downgrade")[0] for text in texts.values())
    case.upgrade()
    case.ship()
    case.upgrade()
    found = case.run(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND conrelid = 'users'::regclass"
    )
    assert found == [("above", "CHECK ((size > 1))")]


@pytest.mark.long
def test_a_check_that_leaves_a_column_whose_type_changes_has_its_name_in_the_end(case: Case) -> None:
    def above(type_: Any, column: str) -> sa.MetaData:
        metadata = sa.MetaData()
        columns = [
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("size", type_),
            sa.Column("age", sa.Integer),
        ]
        sa.Table("users", metadata, *columns, sa.CheckConstraint(f"{column} > 0", name="above"))
        return metadata

    milestone(case, above(sa.Integer, "size"), above(sa.BigInteger, "age"), "INSERT INTO users VALUES (7, 5, 6)")
    case.upgrade()
    case.ship()
    case.upgrade()
    found = case.run(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND conrelid = 'users'::regclass"
    )
    assert found == [("above", "CHECK ((age > 0))")]


@pytest.mark.long
def test_a_check_comes_for_new_rows_first(case: Case) -> None:
    def and_a_check(context: Any, revision: Any, directives: list[Any]) -> None:
        # autogenerate does not see checks: somebody else's hook, which runs first, has added it
        if case.files:
            return  # `alembic check` afterwards
        made = ops.CreateCheckConstraintOp("positive", "users", sa.text("team > 0"))
        directives[0].upgrade_ops.ops.append(made)
        directives[0].downgrade_ops.ops.insert(0, made.reverse())
        alembic_safe.rewriter(context, revision, directives)

    case.config.attributes["hook"] = and_a_check
    texts = walk(case, users(), users(sa.CheckConstraint("team > 0", name="positive")), ROWS)
    assert "op.create_check_not_valid('positive', 'users', 'team > 0')" in texts["expand"]


def test_a_constraint_goes_in_the_contract_and_what_it_guarded_is_said(case: Case) -> None:
    key = sa.ForeignKeyConstraint(["team"], ["teams.id"], ondelete="CASCADE")
    texts = walk(case, users(key, sa.UniqueConstraint("nick")), users(), ROWS)
    assert "ON DELETE CASCADE" in texts["contract"]
    assert (
        "op.drop_constraint(op.f('users_team_fkey'), 'users', type_='foreignkey', if_exists=True)" in texts["contract"]
    )


@pytest.mark.long
def test_a_unique_constraint_is_replaced_under_its_name(case: Case) -> None:
    old, new = (users(sa.UniqueConstraint(*columns, name="one")) for columns in (["nick"], ["nick", "team"]))
    texts = walk(case, old, new, ROWS)
    assert "op.rename_constraint('one_new', 'one', 'users', replace=True)" in texts["contract"]


@pytest.mark.parametrize("table", ["t" * 40, "t" * 20, "ü" * 20])
def test_a_long_name_is_the_one_that_postgresql_would_choose(case: Case, table: str) -> None:
    column = "ä" * 10 + "c" * 25

    def models(*, unique: bool) -> sa.MetaData:
        metadata = sa.MetaData()
        columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column(column, sa.Text, unique=unique)]
        sa.Table(table, metadata, *columns)
        return metadata

    case.begin(models(unique=False))
    case.revise(models(unique=True))
    case.upgrade()
    assert_same(case.created(models(unique=True)), case.catalog, "the end")
