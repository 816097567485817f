"""An index comes, goes, or becomes another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe import renamed_from
from tests.recipe_cases import assert_same, milestone, walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

ROWS = "INSERT INTO users VALUES (1, 'Ada', 'a'), (2, 'Bob', 'b')"


def users(*indexes: Any, schema: str | None = None) -> sa.MetaData:
    metadata = sa.MetaData()
    columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("nick", sa.Text), sa.Column("mail", sa.Text)]
    sa.Table("users", metadata, *columns, *indexes, schema=schema)
    return metadata


@pytest.mark.long
def test_an_index_is_built_beside_readers_and_writers_in_one_file(case: Case) -> None:
    texts = walk(case, users(), users(sa.Index("by_nick", "nick")), ROWS)
    assert set(texts) == {"expand"}
    assert "op.create_index_concurrently('by_nick', 'users', ['nick'], unique=False)" in texts["expand"]
    assert texts["expand"].startswith('"""second\n'), "a single file is no expand of anything"


@pytest.mark.long
def test_an_index_goes_in_the_contract_and_comes_back_as_it_was(case: Case) -> None:
    kw = {"unique": True, "postgresql_where": sa.text("mail > 'a'"), "postgresql_include": ["mail"]}
    texts = walk(case, users(sa.Index("by_nick", "nick", **kw)), users(), ROWS)
    assert "op.drop_index_concurrently('by_nick', 'users')" in texts["contract"]
    assert "pass" in texts["expand"]


def test_an_index_is_replaced_with_no_moment_without_one(case: Case) -> None:
    old, new = users(sa.Index("by_nick", "nick")), users(sa.Index("by_nick", "nick", "mail"))
    texts = walk(case, old, new, ROWS)
    assert "op.create_index_concurrently('by_nick_new', 'users', ['nick', 'mail'], unique=False)" in texts["expand"]
    assert "op.rename_index('by_nick_new', 'by_nick', 'users')" in texts["contract"]


def test_the_index_of_a_new_table_is_an_ordinary_one(case: Case) -> None:
    texts = walk(case, sa.MetaData(), users(sa.Index("by_nick", "nick")))
    assert set(texts) == {""}
    assert "op.create_index('by_nick'" in texts[""]


@pytest.mark.long
def test_an_index_in_a_schema_off_the_search_path_under_hostile_names(case: Case) -> None:
    name = 'O"rd 50% x:y'
    index = sa.Index("ix " + name, "nick", unique=True)
    walk(case, users(schema=name), users(index, schema=name))


def test_an_expression_keeps_its_order_where_it_is_built_for_another_column(case: Case) -> None:
    def counts(type_: Any) -> sa.MetaData:
        metadata = sa.MetaData()
        sa.Table(
            "counts", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", type_),
            sa.Index("by_n", sa.text("(n + 1) DESC"), sa.text("abs(n) DESC NULLS LAST"), sa.text("(n - 1) NULLS FIRST")),
        )  # fmt: skip
        return metadata

    walk(case, counts(sa.Integer), counts(sa.BigInteger), "INSERT INTO counts VALUES (1, 1)")
    assert (
        "((n + 1)) DESC, abs(n) DESC NULLS LAST, ((n - 1)) NULLS FIRST"
        in case.run("SELECT pg_get_indexdef('by_n'::regclass)")[0][0]
    )


def test_an_expression_keeps_its_colons_and_percent_signs(case: Case) -> None:
    def index() -> sa.Index:
        return sa.Index(
            "by_part", sa.text("split_part(nick, ' \\:a%', 1)"), postgresql_where=sa.text("mail <> ' \\:b%'")
        )

    case.begin(users(), ROWS)
    case.revise(users(index()))
    case.upgrade()
    assert_same(case.created(users(index())), case.catalog, "the end")


@pytest.mark.long
@pytest.mark.parametrize("included", [["b"], ["b", "a"]])
def test_an_index_comes_back_that_became_one_on_fewer_of_the_columns_that_get_another_type(
    case: Case, included: list[str]
) -> None:
    def both(type_: Any, index: sa.Index) -> sa.MetaData:
        metadata = sa.MetaData()
        columns = [sa.Column(name, type_) for name in ("a", "b")]
        sa.Table(
            "t", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns, sa.Column("c", sa.Integer), index
        )
        return metadata

    new = both(sa.BigInteger, sa.Index("ix", "a", "c"))
    old = both(sa.Integer, sa.Index("ix", *(["a"] if "a" not in included else []), "c", postgresql_include=included))
    milestone(case, old, new, "INSERT INTO t (a, b, c) VALUES (1, 2, 3)")
    first = [revision.revision for revision in case.script.walk_revisions()][-1]
    before = case.catalog
    case.upgrade()
    case.check(new)
    case.ship()
    case.upgrade()
    assert_same(case.created(new), case.catalog, "the end")
    case.downgrade(first)
    assert_same(before, case.catalog, "back")
    case.upgrade()
    assert_same(case.created(new), case.catalog, "the end, again")


def letters(where: Any = None, *, sent: str = "sent_at", **kw: Any) -> sa.MetaData:
    """Return models with an index whose predicate is an expression over the columns."""
    metadata = sa.MetaData()
    columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("mail", sa.Text), sa.Column("open", sa.Boolean)]
    table = sa.Table("letters", metadata, *columns, sa.Column(sent, sa.DateTime, **kw))
    if where is not None:
        sa.Index(f"once_{sent}", table.c.mail, unique=True, postgresql_where=where(table.c))
    return metadata


@pytest.mark.parametrize(
    "where",
    [lambda c: c.sent_at.is_(None), lambda c: c.open, lambda c: ~c.open & (c.id > 5)],
    ids=["null", "bool", "and"],
)
def test_the_predicate_of_an_index_is_an_expression_of_the_models(case: Case, where: Any) -> None:
    texts = walk(case, letters(), letters(where), "INSERT INTO letters VALUES (1, 'a', true, NULL)")
    assert "postgresql_where=" in texts["expand"]


def test_an_index_gets_another_predicate(case: Case) -> None:
    new = letters(lambda c: c.sent_at.is_not(None))
    milestone(case, letters(lambda c: c.sent_at.is_(None)), new, "INSERT INTO letters VALUES (1, 'a', true, NULL)")
    case.upgrade()
    case.ship()
    case.upgrade()
    assert_same(case.created(new), case.catalog, "in the end")


def test_a_column_in_the_predicate_of_an_index_is_renamed(case: Case) -> None:
    new = letters(lambda c: c.posted_at.is_(None), sent="posted_at", info=renamed_from("sent_at"))
    walk(case, letters(lambda c: c.sent_at.is_(None)), new, "INSERT INTO letters VALUES (1, 'a', true, NULL)")
