"""Columns that change in different ways, and one index or constraint that needs both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe import renamed_from
from alembic_safe.errors import Refused

if TYPE_CHECKING:
    from tests.recipe_cases import Case


def items(a: Any, *b: Any, part: Any = None, **kw: Any) -> sa.MetaData:
    """Return models with a table of two columns, and what stands on them."""
    metadata = sa.MetaData()
    sa.Table("pairs", metadata, *(sa.Column(name, sa.Integer, primary_key=True) for name in ("x", "y")))
    second = sa.Column(*b, info={} if b[0] == "b" else renamed_from("b"), **kw)
    columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("a", a), second]
    sa.Table("items", metadata, *columns, *([] if part is None else [part]))
    return metadata


PARTS = {
    "unique": lambda b: sa.UniqueConstraint("a", b, name="both"),
    "index": lambda b: sa.Index("both", "a", b),
    "partial index": lambda b: sa.Index("both", "a", postgresql_where=sa.text(f"{b} > 0")),
    "check": lambda b: sa.CheckConstraint(f"a <= {b}", name="both"),
    "foreign key": lambda b: sa.ForeignKeyConstraint(["a", b], ["pairs.x", "pairs.y"], name="both"),
}
ROWS = "INSERT INTO pairs VALUES (1, 2); INSERT INTO items VALUES (1, 1, 2)"


@pytest.mark.parametrize("part", PARTS.values(), ids=list(PARTS))
def test_a_type_and_a_name_that_one_part_needs_take_two_revisions(case: Case, part: Any) -> None:
    case.begin(items(sa.Integer, "b", sa.Integer, part=part("b")), ROWS)
    said = r"both needs items\.b, which gets another name, and items\.a, which gets another type, in the same revision"
    with case.unchanged(), pytest.raises(Refused, match=said):
        case.revise(items(sa.BigInteger, "c", sa.Integer, part=part("c")))


def test_columns_of_parts_of_their_own_change_as_they_like(case: Case) -> None:
    case.begin(items(sa.Integer, "b", sa.Integer, part=sa.UniqueConstraint("a")), ROWS)
    assert case.revise(items(sa.BigInteger, "c", sa.Integer, part=sa.UniqueConstraint("a")))


def test_a_part_that_goes_and_comes_no_more_holds_nobody_up(case: Case) -> None:
    case.begin(items(sa.Integer, "b", sa.Integer, part=sa.UniqueConstraint("a", "b")), ROWS)
    assert case.revise(items(sa.BigInteger, "c", sa.Integer))


def test_a_key_that_one_column_is_renamed_in_while_another_gets_another_type(case: Case) -> None:
    def keyed(a: Any, name: str, **info: Any) -> sa.MetaData:
        metadata = sa.MetaData()
        keys = [sa.Column("a", a, primary_key=True), sa.Column(name, sa.Integer, primary_key=True, info=info)]
        sa.Table("items", metadata, *keys)
        return metadata

    case.begin(keyed(sa.Integer, "b"), "INSERT INTO items VALUES (1, 2)")
    with case.unchanged(), pytest.raises(Refused, match=r"items_pkey needs items\.b, which gets another name"):
        case.revise(keyed(sa.BigInteger, "c", **renamed_from("b")))


def referring(key: Any, name: str, *, own: bool = False, column: str = "id", said: str = "") -> sa.MetaData:
    """Return models with a key, and a column that refers to it.

    :param own: whether it is in the same table.
    :param said: the former name of the key.
    """
    metadata = sa.MetaData()
    info = {} if name == "team" else renamed_from("team")
    target = "members" if own else "teams"
    refers = sa.Column(name, sa.ForeignKey(f"{target}.{column}", ondelete="CASCADE"), index=True, info=info)
    keyed = sa.Column(column, key, primary_key=True, info=renamed_from(said) if said else {})
    if own:
        sa.Table("members", metadata, keyed, refers)
    else:
        sa.Table("teams", metadata, keyed)
        sa.Table("members", metadata, sa.Column("id", sa.Integer, primary_key=True), refers)
    return metadata


@pytest.mark.parametrize("own", [False, True], ids=["another table", "its own table"])
def test_a_column_is_not_renamed_while_the_key_that_it_refers_to_gets_another_type(case: Case, *, own: bool) -> None:
    case.begin(referring(sa.Integer, "team", own=own))
    shown = "members" if own else "teams"
    said = rf"members_team_fkey needs members\.team, which gets another name, and {shown}\.id, which gets another type"
    with case.unchanged(), pytest.raises(Refused, match=said):
        case.revise(referring(sa.BigInteger, "team_id", own=own))


def test_a_column_is_not_renamed_while_the_key_that_it_refers_to_is_renamed_at_once(case: Case) -> None:
    case.begin(referring(sa.Integer, "team"))
    with (
        case.unchanged(),
        pytest.raises(Refused, match=r"members_team_fkey needs members\.team, which gets another name"),
    ):
        case.revise(referring(sa.Integer, "team_id", column="number", said="id"))


def test_the_two_revisions_lead_there(case: Case) -> None:
    part = PARTS["check"]
    case.begin(items(sa.Integer, "b", sa.Integer, part=part("b")), ROWS)
    for a, message in ((sa.Integer, "name"), (sa.BigInteger, "type")):
        models = items(a, "c", sa.Integer, part=part("c"))
        case.revise(models, message)
        case.upgrade()
        case.ship()
        case.upgrade()
    case.check(models)
    assert case.run("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'both'") == [
        ("CHECK ((a <= c))",)
    ]


def moods(*labels: str, how: str = "how", when: str = "at", part: bool = True) -> sa.MetaData:
    metadata = sa.MetaData()
    said = {"enum": {"bad": "sad"}} if "sad" in labels else {}
    said |= {} if how == "how" else renamed_from("how")
    columns = [
        sa.Column("id", sa.Integer, primary_key=True), sa.Column(how, sa.Enum(*labels, name="mood"), info=said),
        sa.Column(when, sa.Integer, info={} if when == "at" else renamed_from("at")),
    ]  # fmt: skip
    sa.Table("days", metadata, *columns, *([sa.Index("both", how, when)] if part else []))
    return metadata


def test_labels_and_a_name_that_one_index_needs_take_two_revisions(case: Case) -> None:
    case.begin(moods("good", "bad"), "INSERT INTO days VALUES (1, 'bad', 2)")
    said = r"both needs days\.at, which gets another name, and days\.how, which gets other labels, in the same revision"
    with case.unchanged(), pytest.raises(Refused, match=said):
        case.revise(moods("good", "sad", when="day"))


def test_an_enum_with_other_labels_keeps_the_names_of_its_columns(case: Case) -> None:
    case.begin(moods("good", "bad", part=False))
    with case.unchanged(), pytest.raises(Refused, match=r"and days\.mood of it comes in the same revision"):
        case.revise(moods("good", "sad", how="mood", when="day", part=False))
