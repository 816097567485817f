"""A table goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.recipe_cases import walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case


def models(*names: str) -> sa.MetaData:
    metadata = sa.MetaData()
    for name in names:
        columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text, index=True)]
        if name == "notes" and "teams" in names:
            columns.append(sa.Column("team", sa.ForeignKey("teams.id")))
        sa.Table(name, metadata, *columns)
    return metadata


def test_a_table_is_retired_in_the_contract(case: Case) -> None:
    rows = "INSERT INTO notes VALUES (1, 'kept'); INSERT INTO users VALUES (1)"
    texts = walk(case, models("users", "notes"), models("users"), rows)
    assert "op.retire_table('notes'" in texts["contract"]
    assert "pass" in texts["expand"]


@pytest.mark.long
def test_tables_that_refer_to_each_other_go_together(case: Case) -> None:
    rows = "INSERT INTO teams VALUES (7); INSERT INTO notes VALUES (1, 'kept', 7)"
    walk(case, models("users", "teams", "notes"), models("users"), rows)


@pytest.mark.long
def test_its_rows_come_back(case: Case) -> None:
    case.begin(models("users", "notes"), "INSERT INTO notes VALUES (1, 'kept')")
    case.revise(models("users"))
    case.ship()
    case.upgrade()
    assert case.run("SELECT to_regclass('notes')") == [(None,)]
    case.downgrade("-1")
    assert case.run("SELECT text FROM notes") == [("kept",)]
