"""A column comes that rows must have a value for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe.authoring.recipes.add_column import is_stable
from alembic_safe.errors import Refused
from tests.recipe_cases import assert_same, milestone, walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

ROWS = "INSERT INTO users VALUES (1, 'Ada'), (2, 'Bob')"


def users(*more: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("nick", sa.Text), *more)
    return metadata


def test_without_a_value_it_is_refused_by_name(case: Case) -> None:
    case.begin(users(), ROWS)
    with case.unchanged(), pytest.raises(Refused, match=r"users\.age comes as NOT NULL") as stopped:
        case.revise(users(sa.Column("age", sa.Integer, nullable=False)))
    assert 'info={"fill": ' in str(stopped.value)


def test_one_value_for_every_row_is_a_default_until_the_contract(case: Case) -> None:
    texts = walk(case, users(), users(sa.Column("age", sa.Integer, nullable=False, info={"fill": "0"})), ROWS)
    assert set(texts) == {"expand", "contract"}
    assert case.run("SELECT DISTINCT age FROM users") == [(0,)]


@pytest.mark.long
def test_a_value_of_the_row_is_filled_in_batches_and_again_in_the_contract(case: Case) -> None:
    new = users(sa.Column("low", sa.Text, nullable=False, index=True, info={"fill": "lower(nick)"}))
    case.begin(users(), ROWS)
    texts = case.revise(new)
    case.upgrade()
    case.run("INSERT INTO users (id, nick) VALUES (3, 'OLD')")
    case.ship()
    case.upgrade()
    assert case.run("SELECT low FROM users ORDER BY id") == [("ada",), ("bob",), ("old",)]
    assert texts["copy"].index("op.backfill") < texts["copy"].index("op.create_index_concurrently")


@pytest.mark.long
def test_what_is_filled_ends_as_the_models_say(case: Case) -> None:
    walk(case, users(), users(sa.Column("low", sa.Text, nullable=False, info={"fill": "lower(nick)"})), ROWS)


def test_a_value_for_each_case_is_one(case: Case) -> None:
    column = sa.Column("kind", sa.Text, nullable=False, info={"fill": "case when id > 1 then 'late' else 'early' end"})
    walk(case, users(), users(column), ROWS)
    assert case.run("SELECT kind FROM users ORDER BY id") == [("early",), ("late",)]


def test_a_default_that_differs_from_row_to_row_writes_no_table_anew(case: Case) -> None:
    default = sa.text("gen_random_uuid()")
    texts = walk(case, users(), users(sa.Column("uid", sa.Uuid, nullable=False, server_default=default)), ROWS)
    assert set(texts) == {"expand", "copy"}
    assert case.run("SELECT count(DISTINCT uid) FROM users") == [(2,)]


def test_an_identity_counts_every_row_and_writes_no_table_anew(case: Case) -> None:
    column = sa.Column("number", sa.BigInteger, sa.Identity(always=True, start=5, increment=5), nullable=False)
    case.begin(users(), ROWS)
    texts = case.revise(users(column))
    assert set(texts) == {"expand", "copy"}
    case.upgrade("+1")
    case.run("INSERT INTO users (id, nick) VALUES (3, 'old')")
    assert case.run("SELECT id, number FROM users WHERE number > 0") == [(3, 5)]
    case.upgrade()
    assert sorted(number for (number,) in case.run("SELECT number FROM users")) == [5, 10, 15]
    assert case.run("INSERT INTO users (id, nick) VALUES (4, 'new') RETURNING number") == [(20,)]
    assert_same(case.created(users(column._copy())), case.catalog, "the end")
    case.downgrade("-1")
    assert case.run("INSERT INTO users (id, nick) VALUES (5, 'old') RETURNING number") == [(25,)]
    case.upgrade()
    assert case.run("INSERT INTO users (id, nick) VALUES (6, 'new') RETURNING number") == [(30,)]


@pytest.mark.long
def test_an_identity_of_a_hostile_name_ends_as_the_models_say(case: Case) -> None:
    def table(*more: Any) -> sa.MetaData:
        metadata = sa.MetaData(schema='Off "it')
        key = sa.Column("id", sa.Integer, primary_key=True, autoincrement=False)
        sa.Table("O\"r'd 50% x:y", metadata, key, *more)
        return metadata

    column = sa.Column("ä'" + "n" * 59, sa.Integer, sa.Identity(), nullable=False)
    walk(case, table(), table(column), """INSERT INTO "Off ""it"."O""r'd 50% x:y" VALUES (1), (2)""")


def by_milestone(case: Case, old: sa.MetaData, new: sa.MetaData) -> dict[str, str]:
    """Have a milestone write the files; hold that they lead to the models, and back to what was."""
    texts = milestone(case, old, new, ROWS)
    before, [(start,)] = case.catalog, case.run("SELECT version_num FROM alembic_version")
    for _ in range(2):
        case.upgrade()
        case.ship()
        case.upgrade()
        assert_same(case.created(new), case.catalog, "the end")
        case.check(new)
        case.downgrade(start)
        assert_same(before, case.catalog, "back")
    return texts


def modes(*labels: str) -> sa.Enum:
    return sa.Enum(*labels, name="mode")


@pytest.mark.long
@pytest.mark.parametrize(
    "fill", ["'x'", "CASE WHEN id > 1 THEN 'x'::mode ELSE 'y' END"], ids=["constant", "of the row"]
)
def test_a_type_that_is_called_like_its_column_is_made_first(case: Case, fill: str) -> None:
    column = sa.Column("mode", modes("x", "y"), nullable=False, info={"fill": fill})
    texts = by_milestone(case, users(), users(column))
    assert "CREATE TYPE" in texts[""]


def test_a_label_of_a_type_that_is_called_like_a_new_column_comes_first(case: Case) -> None:
    old = users(sa.Column("kind", modes("x")))
    column = sa.Column("mode", modes("x", "y"), nullable=False, info={"fill": "'y'"})
    texts = walk(
        case, old, users(sa.Column("kind", modes("x", "y")), column), "INSERT INTO users VALUES (1, 'Ada', 'x')"
    )
    assert "ADD VALUE" in texts[""]
    assert case.run("SELECT mode FROM users") == [("y",)]


@pytest.mark.cases("constant")
@pytest.mark.parametrize(
    ("named", "kw"),
    [
        ("n_ck", {}), (None, {}), ("n_ck", {"nullable": False, "server_default": "0"}),
        ("n_ck", {"nullable": False, "info": {"fill": "0"}}), ("n_ck", {"nullable": False, "info": {"fill": "id * 2"}}),
    ],
    ids=["nullable", "no name", "default", "constant", "of the row"],
)  # fmt: skip
def test_a_check_that_a_new_column_says_itself_comes_by_a_milestone(case: Case, named: str | None, kw: Any) -> None:
    column = sa.Column("n", sa.Integer, sa.CheckConstraint("n >= 0 AND n % 1 = 0", name=named), **kw)
    texts = by_milestone(case, users(), users(column))
    # nobody waits for it to read every row
    assert f"op.validate_constraint('{named or 'users_n_check'}', 'users')" in "".join(texts.values())


@pytest.mark.long
def test_a_check_that_a_column_of_a_new_table_says_itself_comes_by_a_milestone(case: Case) -> None:
    new = users()
    sa.Table(
        "fresh", new, sa.Column("id", sa.Integer, sa.CheckConstraint("id > 0", name="id_ck"), primary_key=True),
        sa.Column("n", sa.Integer, sa.CheckConstraint("n >= 0")),
    )  # fmt: skip
    assert set(by_milestone(case, users(), new)) == {""}


@pytest.mark.long
def test_a_column_that_may_be_null_or_has_a_stable_default_is_ordinary(case: Case) -> None:
    new = users(sa.Column("a", sa.Text), sa.Column("b", sa.DateTime, nullable=False, server_default=sa.text("now()")))
    assert set(walk(case, users(), new, ROWS)) == {""}


def test_only_what_is_surely_the_same_in_every_row_is_stable() -> None:
    for text in (
        "0",
        "'x'::text",
        "'{}'::jsonb",
        "now()",
        "timezone('utc', now())",
        "CURRENT_TIMESTAMP",
        "true",
        "'it''s'",
    ):
        assert is_stable(text), text
    for text in ("random()", "clock_timestamp()", "nextval('s')", "nick", "1 + random()", "f()", "now(), random()", ""):
        assert not is_stable(text), text


def test_a_new_table_keeps_colons_and_percent_signs_in_its_ordinary_revision(case: Case) -> None:
    def models() -> sa.MetaData:
        metadata = sa.MetaData()
        sa.Table(
            "fresh", metadata, sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("j", sa.JSON, server_default=sa.text("""'{"a"\\:1, "p"\\: "50%"}'""")),
            sa.Column("g", sa.Integer, sa.Computed("id % 7", persisted=True)),
            sa.CheckConstraint("id % 2 = 0 OR id::text <> ' \\:x%'", name="even"),
        )  # fmt: skip
        return metadata

    case.revise(models())
    case.upgrade()
    assert_same(case.created(models()), case.catalog, "the end")
