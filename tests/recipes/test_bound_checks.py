"""A column whose type brings a check of its labels along: an Enum that is no type of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from tests.recipe_cases import assert_same, milestone, walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

ROWS = "INSERT INTO tasks VALUES (1, 'a'), (2, 'b')"
CONVENTION = {"ck": "ck_%(table_name)s_%(constraint_name)s"}


def tasks(*labels: str, named: str | None = "kind", convention: Any = None, **kw: Any) -> sa.MetaData:
    """Return models with a table that has such a column, or none where there are no labels."""
    metadata = sa.MetaData(naming_convention=convention)
    table = sa.Table("tasks", metadata, sa.Column("id", sa.Integer, primary_key=True))
    if labels:
        type_ = sa.Enum(*labels, name=named, native_enum=False, create_constraint=True)
        table.append_column(sa.Column("kind", type_, **{"nullable": False, **kw}))
    return metadata


@pytest.mark.parametrize(
    ("named", "convention", "called"),
    [("kind", None, "kind"), ("kind", CONVENTION, "ck_tasks_kind"), (None, None, "tasks_kind_check")],
    ids=["a name", "a convention", "no name"],
)
@pytest.mark.cases("a convention")
def test_a_longer_label_changes_type_and_check(case: Case, named: str | None, convention: Any, called: str) -> None:
    kw = {"named": named, "convention": convention}
    texts = walk(case, tasks("a", "b", **kw), tasks("a", "b", "three", **kw), ROWS)
    # nobody waits for the check to read every row
    assert f"op.create_check_not_valid('{called}', 'tasks'" in texts["expand"]
    assert f"op.validate_constraint('{called}', 'tasks')" in texts["expand"]
    assert "create_constraint" not in "".join(texts.values())


@pytest.mark.long
def test_a_shorter_label_goes_both_ways_meanwhile(case: Case) -> None:
    info = {"up": "substr(kind, 1, 1)::varchar(1)", "down": "kind::varchar(5)"}
    walk(case, tasks("a", "b", "three"), tasks("a", "b", info=info), ROWS)


def test_a_column_that_comes_has_its_check_once_it_is_filled(case: Case) -> None:
    texts = walk(case, tasks(), tasks("a", "b", info={"fill": "'a'"}), "INSERT INTO tasks VALUES (1)")
    assert case.run("SELECT kind FROM tasks") == [("a",)]
    assert "validate_constraint('kind', 'tasks')" in texts["expand"] + texts["copy"]


def test_a_column_that_may_be_empty_comes_without_a_lock_under_which_rows_are_read(case: Case) -> None:
    texts = walk(case, tasks(), tasks("a", "b", nullable=True), "INSERT INTO tasks VALUES (1)")
    assert "create_check_not_valid('kind', 'tasks'" in texts["expand"]


@pytest.mark.parametrize("labels", [("a", "b", "three"), ("a", "b", "c")], ids=["longer", "of the same length"])
@pytest.mark.cases("of the same length")
def test_a_milestone_finds_the_labels_whether_or_not_the_type_changes(case: Case, labels: tuple[str, ...]) -> None:
    texts = milestone(case, tasks("a", "b"), tasks(*labels), ROWS)
    assert "op.validate_constraint('kind" in "".join(texts.values())
    case.upgrade()
    case.ship()
    case.upgrade()
    assert_same(case.created(tasks(*labels)), case.catalog, "in the end")
    case.run(f"INSERT INTO tasks VALUES (3, '{labels[-1]}')")
