"""A column whose type brings a check of its labels along: an Enum that is no type of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe import renamed_from
from alembic_safe.inspecting.comparison import compare
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


def of_type(type_: Any, *parts: Any, name: str = "kind", **info: Any) -> sa.MetaData:
    """Return models with a table that has a column of a type, and whatever else."""
    metadata = sa.MetaData()
    column = sa.Column(name, type_, nullable=False, info=info)
    sa.Table("tasks", metadata, sa.Column("id", sa.Integer, primary_key=True), column, *parts)
    return metadata


def words(*labels: str) -> sa.Enum:
    return sa.Enum(*labels, name="kind_ck", native_enum=False, create_constraint=True)


OF_THE_SERVER = sa.Enum("a", "b", "c", name="kinds")
WAYS = {"up": "kind::kinds", "down": "kind::text"}
NEW_LABEL = "INSERT INTO tasks VALUES (3, 'c')"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (words("a", "b"), OF_THE_SERVER),
        (words("a", "b"), sa.Enum("a", "b", "c", name="kinds", create_constraint=True)),
        (sa.Enum("a", native_enum=False, create_constraint=True), OF_THE_SERVER),
    ],
    ids=["two labels", "a check that is not made", "one label without a name"],
)
@pytest.mark.cases("two labels")
def test_the_labels_of_before_go_when_the_enum_becomes_a_type_of_the_server(case: Case, old: Any, new: Any) -> None:
    rows = "INSERT INTO tasks VALUES (1, 'a'), (2, 'a')"
    texts = walk(case, of_type(old), of_type(new, **WAYS), rows)
    assert "create_check" not in texts["copy"]
    name = "kind_ck" if old.name else "tasks_kind_check"
    assert f"The check {name} goes with what tasks.kind is now; until the contract" in texts["expand"].replace(
        "\n", " "
    )
    case.run(NEW_LABEL)


def test_the_labels_of_before_go_with_a_column_that_gets_another_name_as_well(case: Case) -> None:
    new = of_type(OF_THE_SERVER, name="sort", up="kind::kinds", down="sort::text", **renamed_from("kind"))
    texts = walk(case, of_type(words("a", "b")), new, ROWS)
    assert "create_check" not in texts["copy"]
    assert "The check kind_ck goes with what tasks.kind is now" in texts["expand"]
    case.run(NEW_LABEL)


def test_a_zero_or_one_that_becomes_a_boolean_leaves_its_check_behind(case: Case) -> None:
    check = sa.CheckConstraint("kind IN (0, 1)", name="kind_bool")
    new = of_type(sa.Boolean(create_constraint=True, name="kind_bool"), up="kind = 1", down="kind::integer::smallint")
    walk(case, of_type(sa.SmallInteger, check), new, "INSERT INTO tasks VALUES (1, 0), (2, 1)")
    assert case.run("SELECT kind FROM tasks ORDER BY id") == [(False,), (True,)]


@pytest.mark.parametrize("said", ["kind in ('a', 'b')", "length(kind) < 3"], ids=["in the models", "by hand"])
@pytest.mark.cases("by hand")
def test_a_check_that_is_not_the_types_stays(case: Case, said: str) -> None:
    by_hand = "length" in said
    check = [] if by_hand else [sa.CheckConstraint(said, name="mine")]
    of_new = [] if by_hand else [sa.CheckConstraint(said.replace("kind", "kind::text"), name="mine")]
    case.begin(of_type(sa.String(10), *check), ROWS)
    case.run(f"ALTER TABLE tasks ADD CONSTRAINT mine CHECK ({said})" if by_hand else "SELECT")
    texts = case.revise(of_type(OF_THE_SERVER, *of_new, **WAYS))
    assert "op.create_check_not_valid('mine_new', 'tasks'" in texts["copy"]


def test_a_check_by_hand_stays_where_text_becomes_other_text(case: Case) -> None:
    case.begin(of_type(sa.String(10)), ROWS)
    case.run("ALTER TABLE tasks ADD CONSTRAINT mine CHECK (kind IN ('a', 'b'))")
    before = case.catalog
    case.revise(of_type(sa.String(20)))
    case.upgrade()
    differing = [str(one) for one in compare(before, case.catalog, owners=False)]
    assert differing == ["column public.tasks.kind: type: character varying(10) -> character varying(20)"]


def test_a_push_and_its_milestone_leave_the_labels_of_before_behind(case: Case) -> None:
    new = of_type(OF_THE_SERVER, **WAYS)
    texts = milestone(case, of_type(words("a", "b")), new, ROWS)
    before = case.run("SELECT version_num FROM alembic_version")[0][0]
    case.upgrade()
    case.check(new)
    case.ship()
    case.upgrade()
    assert_same(case.created(new), case.catalog, "in the end")
    assert "The check kind_ck goes with what tasks.kind is now" in texts["expand"]
    case.run(NEW_LABEL)
    case.run("DELETE FROM tasks WHERE kind = 'c'")
    case.downgrade(before)
    assert_same(case.created(of_type(words("a", "b"))), case.catalog, "the way back")
