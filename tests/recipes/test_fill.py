"""A column takes no NULL any more while something else becomes of it: who fills its rows, and when?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe import merged_from, renamed_from, split_from
from alembic_safe.errors import Findings, Refused
from tests.recipe_cases import assert_same, deploy, milestone, stop_everywhere

if TYPE_CHECKING:
    from tests.recipe_cases import Case


def things(*columns: sa.Column[Any]) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("things", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns)
    return metadata


def column(name: str, type_: Any = sa.Text, fill: str = "", **info: Any) -> sa.Column[Any]:
    """A column that takes no NULL where it is said what rows get instead."""
    return sa.Column(name, type_, nullable=not fill, info={"fill": fill, **info} if fill else info)


DOWN = "nullif(concat_ws(' ', first, last), '')"
FIRST, LAST = ({"up": f"nullif(split_part(name, ' ', {n}), '')", "down": DOWN} for n in (1, 2))
MERGED = {"up": DOWN, "down": (FIRST["up"], LAST["up"])}
CHANGES: dict[str, tuple[sa.MetaData, sa.MetaData, str, list[tuple[str, ...]]]] = {
    "another type": (
        things(column("v", sa.Integer)), things(column("v", sa.BigInteger, "0")), "v", [("5",), ("0",), ("0",)],
    ),
    "other labels": (
        things(column("v", sa.Enum("5", "b", "c", name="kind"))),
        things(column("v", sa.Enum("5", "c", name="kind"), "'c'", enum={"b": "5"})), "v", [("5",), ("c",), ("c",)],
    ),
    "another name": (
        things(column("v")), things(column("w", sa.Text, "'no' || id", **renamed_from("v"))), "v",
        [("5",), ("no2",), ("no3",)],
    ),
    "another name and type": (
        things(column("v", sa.Integer)), things(column("w", sa.BigInteger, "id", **renamed_from("v"))), "v",
        [("5",), ("2",), ("3",)],
    ),
    "two columns of one": (
        things(column("name")),
        things(column("first", sa.Text, "'?'", **split_from("name", **FIRST)),
               column("last", sa.Text, "'no' || id", **split_from("name", **LAST))),
        "name", [("5", "x"), ("?", "no2"), ("?", "no3")],
    ),
    "one column of two": (
        things(column("first"), column("last")),
        things(column("name", sa.Text, "'no' || id", **merged_from(("first", "last"), **MERGED))), "first",
        [("5",), ("no2",), ("no3",)],
    ),
}  # fmt: skip


def columns_of(case: Case, models: sa.MetaData) -> list[tuple[str, ...]]:
    names = [one.name for one in models.tables["things"].columns if one.name != "id"]
    shown = ", ".join(f"{name}::text" for name in names)
    return case.run(f"SELECT {shown} FROM things ORDER BY id")


@pytest.mark.parametrize(
    "how", [*(pytest.param(one, marks=pytest.mark.long) for one in ("autogenerate", "milestone")), "safe-upgrade"]
)
@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.cases("other labels", "two columns of one")
def test_rows_are_filled_when_the_column_has_taken_its_place(case: Case, what: str, how: str) -> None:
    old, new, name, wanted = CHANGES[what]
    value = " ".join(wanted[0])
    rows = f"INSERT INTO things (id, {name}) VALUES (1, '{value}'), (2, NULL)"
    if how == "milestone":
        milestone(case, old, new, rows)
    else:
        case.begin(old, rows)
        case.revise(new)
    before, (at,) = case.catalog, case.run("SELECT to_regclass('alembic_version')")[0]
    start = case.run("SELECT version_num FROM alembic_version")[0][0] if at else "base"

    if how == "safe-upgrade":
        deploy(case)
    else:
        case.upgrade()
    copied = case.catalog
    # the old application writes NULL until it is gone
    case.run(f"INSERT INTO things (id, {name}) VALUES (3, '{value}'); UPDATE things SET {name} = NULL WHERE id = 3")
    case.run(f"UPDATE things SET {name} = '{value}' WHERE id = 2; UPDATE things SET {name} = NULL WHERE id = 2")
    case.check(new)
    case.ship()
    case.upgrade()
    assert_same(case.created(new), case.catalog, "the end")
    assert columns_of(case, new) == wanted
    case.check(new)

    case.downgrade("-1")
    assert_same(copied, case.catalog, "back behind the copy")
    assert case.run(f"SELECT count(*), min({name}::text) FILTER (WHERE id = 1) FROM things") == [(3, value)]
    case.run(f"INSERT INTO things (id, {name}) VALUES (4, NULL)")
    case.downgrade(start)
    assert_same(before, case.catalog, "back")
    case.upgrade()
    assert_same(case.created(new), case.catalog, "the end, again")
    assert columns_of(case, new)[:3] == wanted


@pytest.mark.long
@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.cases("other labels", "another name and type", "two columns of one")
def test_a_contract_that_stops_goes_on_and_back(case: Case, what: str) -> None:
    old, new, name, _ = CHANGES[what]
    case.begin(old, f"INSERT INTO things (id, {name}) VALUES (2, NULL)")
    case.revise(new)
    case.upgrade()
    case.ship()
    assert stop_everywhere(case, new, "contract") > 4


def test_without_a_value_for_them_rows_stop_the_contract_and_not_the_old_application(case: Case) -> None:
    new = things(sa.Column("w", sa.Text, nullable=False, info=renamed_from("v")))
    case.begin(things(column("v")), "INSERT INTO things (id, v) VALUES (1, 'x'), (2, NULL)")
    texts = case.revise(new)
    assert "Makes things.w NOT NULL" in texts["contract"]
    case.upgrade()
    case.run("INSERT INTO things (id, v) VALUES (3, NULL); UPDATE things SET v = 'y' WHERE id = 3")
    case.ship()
    with pytest.raises(Findings, match=r"things\.w cannot become NOT NULL: 1 rows hold NULL there"):
        case.upgrade()
    case.run("UPDATE things SET v = 'z' WHERE id = 2")
    case.upgrade()
    assert columns_of(case, new) == [("x",), ("z",), ("y",)]


def test_a_formula_that_leaves_no_row_without_a_value_is_proven_in_the_copy(case: Case) -> None:
    said = {**renamed_from("v"), "up": "coalesce(v, '?')", "down": "w"}
    new = things(sa.Column("w", sa.Text, nullable=False, info=said))
    case.begin(things(column("v")), "INSERT INTO things (id, v) VALUES (1, 'x'), (2, NULL)")
    assert "w holds no NULL" in case.revise(new)["copy"]
    case.upgrade()
    case.run("INSERT INTO things (id, v) VALUES (3, NULL)")
    case.ship()
    case.upgrade()
    assert columns_of(case, new) == [("x",), ("?",), ("?",)]


GOES: dict[str, tuple[sa.MetaData, sa.MetaData]] = {
    "renamed": (
        things(column("v")), things(column("w", **renamed_from("v")) , column("d", sa.Text, "'no' || coalesce(v, '?')")),
    ),
    "renamed, with another type": (
        things(column("v", sa.Integer)),
        things(column("d", sa.Text, "'no' || coalesce(v::text, '?')"), column("w", sa.BigInteger, **renamed_from("v"))),
    ),
    "split": (
        things(column("v")),
        things(column("first", **split_from("v", up="split_part(v, ' ', 1)", down="concat_ws(' ', first, last)")),
               column("last", **split_from("v", up="split_part(v, ' ', 2)", down="concat_ws(' ', first, last)")),
               column("d", sa.Text, "'no' || coalesce(v, '?')")),
    ),
    "dropped": (things(column("v")), things(column("d", sa.Text, "'no' || coalesce(v, '?')"))),
}  # fmt: skip
"""What becomes of v in the change in which a column is filled from it."""


@pytest.mark.parametrize("what", GOES)
def test_a_column_is_filled_before_what_its_fill_reads_goes(case: Case, what: str) -> None:
    old, new = GOES[what]
    case.begin(old, "INSERT INTO things (id, v) VALUES (1, '5'), (2, NULL)")
    case.revise(new)
    case.upgrade()
    case.run("INSERT INTO things (id, v) VALUES (3, '7')")
    case.ship()
    assert stop_everywhere(case, new, "contract") > 3
    assert case.run("SELECT d FROM things ORDER BY id") == [("no5",), ("no?",), ("no7",)]


def test_a_fill_reads_a_column_by_the_name_that_it_gets_at_once(case: Case) -> None:
    old = things(column("a", sa.Integer), sa.Column("g", sa.Integer, sa.Computed("a + 1", persisted=True)))
    new = things(
        column("aa", sa.Integer, **renamed_from("a")), sa.Column("g", sa.Integer, sa.Computed("aa + 1", persisted=True)),
        column("z", sa.Integer, "a + 5"),
    )  # fmt: skip
    case.begin(old, "INSERT INTO things (id, a) VALUES (1, 2)")
    case.revise(new)
    case.upgrade()
    case.run("INSERT INTO things (id, aa) VALUES (2, 3)")
    case.ship()
    case.upgrade()
    assert case.run("SELECT z FROM things ORDER BY id") == [(7,), (8,)]


def test_a_fill_from_the_column_whose_place_it_takes_is_refused_before_a_file_is_written(case: Case) -> None:
    case.begin(things(column("v")))
    with pytest.raises(Refused, match=r"things\.w is filled when v is gone, so its fill cannot read that"):
        case.revise(things(column("w", sa.Text, "coalesce(v, '?')", **renamed_from("v"))))
