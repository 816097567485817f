"""A parked contract is written anew from its expand's lines, and is then what it was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from alembic_safe import renamed_from
from alembic_safe.authoring.parking import park_anew, unparked
from alembic_safe.database.envpy import run_env
from tests.recipe_cases import Case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster


@pytest.fixture
def case(tmp_path: Path, cluster: Cluster, make_database: Callable[..., str]) -> Case:
    """A project on an empty database."""
    return Case(tmp_path / "app", cluster, make_database(), make_database)


def models(name: str, *more: sa.Column) -> sa.MetaData:
    metadata = sa.MetaData()
    info = renamed_from("nick") if name != "nick" else {}
    column = sa.Column(name, sa.Text, nullable=False, index=True, server_default="x", info=info)
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), column, *more)
    return metadata


def parked_anew(case: Case) -> None:
    def work(context, kw) -> None:
        del kw
        park_anew(case.config, case.script, context, unparked(case.script))

    run_env(case.config, case.script, work)


def contract(case: Case) -> str:
    (path,) = case.contracts.glob("*.py")
    return path.read_text()


def essence(text: str) -> str:
    """Return a file without what differs by nature: its id, and the moment it was made in."""
    return re.sub(r"(Revision ID: |Create Date: |revision: str = ).*", "", text)


def test_a_deleted_one_is_written_as_it_was(case: Case) -> None:
    fax = sa.Column("fax", sa.Text, nullable=False)
    case.begin(models("nick", fax), "INSERT INTO users VALUES (1, 'Ada', '+1')")
    case.revise(models("handle"))
    case.upgrade()
    assert unparked(case.script) == ()
    before = contract(case)
    next(case.contracts.glob("*.py")).unlink()
    assert [change.id for change in unparked(case.script)] == ["second"]
    parked_anew(case)
    assert essence(contract(case)) == essence(before)
    case.ship()
    case.upgrade()
    assert case.run("SELECT handle FROM users") == [("Ada",)]
    case.check(models("handle"))


def test_one_that_settles_something_else_is_written_anew(case: Case) -> None:
    case.begin(models("nick", sa.Column("fax", sa.Text), sa.Column("tel", sa.Text)))
    case.revise(models("nick", sa.Column("tel", sa.Text)))
    case.upgrade()
    (expand,) = [path for path in case.files if "expand" in path.name]
    expand.write_text(
        expand.read_text().replace("'retire_column public.users.fax',", "'retire_column public.users.tel',")
    )
    assert [change.id for change in unparked(case.script)] == ["second"]
    parked_anew(case)
    assert "op.retire_column('users', sa.Column('tel'" in contract(case)
    assert unparked(case.script) == ()


def test_what_a_person_changed_in_it_stays(case: Case) -> None:
    case.begin(models("nick", sa.Column("fax", sa.Text)))
    case.revise(models("nick"))
    (path,) = case.contracts.glob("*.py")
    path.write_text(path.read_text().replace("def upgrade", "# Ada has looked at this\ndef upgrade"))
    assert unparked(case.script) == ()
