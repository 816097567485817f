"""A list of words over a varchar is printed in two ways: no push, milestone or way back takes that for a difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from alembic_safe import renamed_from
from tests.pushed import PushProject, outcome
from tests.recipe_cases import Case, assert_same, milestone, walk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster


@pytest.fixture
def case(tmp_path: Path, cluster: Cluster, make_database: Callable[..., str]) -> Case:
    return Case(tmp_path / "app", cluster, make_database(), make_database)


def models(*columns: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("c", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns)
    return metadata


def word(length: int = 10, name: str = "k", **info: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), **info)


def check(words: str, name: str = "k") -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{name} in ({words})", name="ck")


def partial(name: str) -> sa.Index:
    return sa.Index("ix", "id", postgresql_where=sa.text(f"{name} not in ('x', 'y')"))


def kind(*labels: str) -> sa.Column[str]:
    return sa.Column("kind", sa.Enum(*labels, name="kind", native_enum=False, create_constraint=True))


CHANGES = {
    "one word more": (models(word(), check("'a', 'b'")), models(word(), check("'a', 'b', 'c'"))),
    "a longer column": (models(word(), check("'a', 'b'")), models(word(20), check("'a', 'b'"))),
    "a renamed column": (
        models(word(), check("'a', 'b'"), partial("k")),
        models(word(10, "l", info=renamed_from("k")), check("'a', 'b'", "l"), partial("l")),
    ),
    "a column that goes": (models(word(), check("'a', 'b'")), models()),
    "a label more": (models(kind("a", "b")), models(kind("a", "b", "cc"))),
}


FIRST, *MORE = CHANGES


@pytest.mark.parametrize("change", [FIRST, *(pytest.param(one, marks=pytest.mark.long) for one in MORE)])
def test_a_milestone_leads_to_the_models_and_back(case: Case, change: str) -> None:
    old, new = CHANGES[change]
    column = next(column.name for column in old.tables["c"].columns if column.name != "id")
    texts = milestone(case, old, new, f"INSERT INTO c ({column}) VALUES ('a')")
    assert len(texts) == 1 or "expand" in texts, f"one change of one kind was written as {sorted(texts)}"
    before, [(first,)] = case.catalog, case.run("SELECT version_num FROM alembic_version")
    case.upgrade()
    case.check(new)
    if "contract" in texts:
        case.ship()
        case.upgrade()
    assert_same(case.created(new), case.catalog, "the end")
    case.downgrade(first)
    assert_same(before, case.catalog, "the way back")


@pytest.mark.parametrize("change", ["a renamed column", "a column that goes"])
@pytest.mark.cases("a renamed column")
def test_phases_of_an_autogenerate_lead_to_the_models_and_back(case: Case, change: str) -> None:
    walk(case, *CHANGES[change], rows="INSERT INTO c (k) VALUES ('a')")


def test_a_push_of_one_word_more_is_done_and_the_next_finds_nothing(
    tmp_path: Path, cluster: Cluster, database: str
) -> None:
    app = PushProject.create(tmp_path, cluster.url(database))
    body = """
sa.Table("c", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("k", sa.String(10)),
         sa.Column("e", sa.Enum({words}, name="e", native_enum=False, create_constraint=True), server_default="aa"),
         sa.CheckConstraint("k in ({words})", name="ck"))
"""
    app.push(body.format(words="'aa', 'bb'"))
    app.rows("INSERT INTO c (k) VALUES ('aa')")
    assert outcome(app.push(body.format(words="'aa', 'bb', 'cc'"))) == "done"
    app.rows("INSERT INTO c (k, e) VALUES ('cc', 'cc')")
    assert outcome(app.push()) == "nothing"
    with pytest.raises(psycopg.errors.CheckViolation):
        app.rows("INSERT INTO c (k) VALUES ('dd')")
