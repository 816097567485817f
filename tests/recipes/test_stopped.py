"""Every phase of every change, stopped behind each of its steps: it goes on to the end from there, and is taken back.

test_change_key.py has the keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

import alembic_safe
from tests.application_cases import CASES
from tests.recipe_cases import milestone, stop_everywhere

if TYPE_CHECKING:
    from tests.recipe_cases import Case


def models(text: str) -> sa.MetaData:
    words: dict[str, Any] = {"sa": sa, "postgresql": postgresql, "metadata": sa.MetaData(), **vars(alembic_safe)}
    exec(text, words)
    return words["metadata"]  # type: ignore[no-any-return]


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("change key")])
def test_a_phase_that_stops_goes_on_and_back(case: Case, name: str) -> None:
    change = CASES[name]
    old, new = models(change.before), models(change.after)
    rows = "; ".join(part for part in (change.unsaid, change.seed.replace("ROWS", "50")) if part)
    if "milestone" in change.seen_by:
        texts = milestone(case, old, new, rows)
        case.downgrade("base+1")
    else:
        case.begin(sa.MetaData())
        case.revise(old, "first")
        case.upgrade()
        case.run(rows)
        texts = case.revise(new)
    case.ship()
    for phase in ("", "expand", "copy", "contract"):
        if phase in texts:
            if phase:
                stop_everywhere(case, new, phase, change.unsaid)
            case.upgrade("+1")


def items(*parts: sa.schema.SchemaItem, leaving: bool = False) -> sa.MetaData:
    metadata = sa.MetaData()
    columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("a", sa.Integer), sa.Column("b", sa.Integer)]
    sa.Table("items", metadata, *columns, *parts)
    if leaving:
        sa.Table("leaving", metadata, sa.Column("id", sa.Integer, primary_key=True))
    return metadata


@pytest.mark.cases("two indexes")
@pytest.mark.parametrize("everything", [False, True], ids=["two indexes", "everything"])
def test_what_has_taken_a_name_does_not_go_when_a_contract_goes_on(case: Case, everything: bool) -> None:
    """Of several that are replaced, the first has its name long before the contract is at its end."""
    old: list[sa.schema.SchemaItem] = [sa.Index("one", "a"), sa.Index("two", "a")]
    new: list[sa.schema.SchemaItem] = [sa.Index("one", "a", "b"), sa.Index("two", "b", "a")]
    if everything:
        old += [
            sa.UniqueConstraint("a", name="three"), sa.Index("four", "b"), sa.UniqueConstraint("b", name="five"),
            sa.UniqueConstraint("a", "b", name="six"), sa.Index("seven", "b", "a"),
        ]  # fmt: skip
        new += [
            sa.UniqueConstraint("a", "id", name="three"), sa.UniqueConstraint("b", "id", name="four"),
            sa.Index("five", "b", "a", "id"), sa.CheckConstraint("a > 0", name="six"),
            sa.CheckConstraint("b > 0", name="seven"),
        ]  # fmt: skip
    models = items(*new)
    milestone(case, items(*old, leaving=everything), models, "INSERT INTO items VALUES (1, 1, 1), (2, 2, 2)")
    case.upgrade()
    case.ship()
    assert stop_everywhere(case, models, "contract") > len(new)
