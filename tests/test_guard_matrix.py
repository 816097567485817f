"""Every command, on every kind of database, through every way of running it: what the table says, happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.guard_channels import project_for, run_cell
from tests.guard_matrix import CHANNELS, COMMANDS, TARGETS, cells, covering
from tests.guard_targets import JOURNALS, Made, Targets, system_identifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster import Cluster
    from tests.guard_matrix import Cell

FEW = covering()
REST = [cell for cell in cells() if cell not in set(FEW)]


@pytest.fixture(scope="module")
def kept_targets(cluster: Cluster) -> Iterator[Targets]:
    """The templates of the kinds, made once for each worker."""
    made = Targets(cluster)
    yield made
    made.stop()


@pytest.fixture
def targets(kept_targets: Targets) -> Iterator[Targets]:
    """Makes databases of every kind; they go with the test."""
    yield kept_targets
    kept_targets.drop()


@pytest.mark.parametrize("cell", FEW, ids=lambda cell: cell.name)
def test_the_guard_holds(cell: Cell, targets: Targets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command, target and channel meets each verdict that it can meet at least once."""
    holds(cell, targets, tmp_path, monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("cell", REST, ids=lambda cell: cell.name)
def test_the_guard_holds_in_every_other_cell(
    cell: Cell, targets: Targets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the table."""
    holds(cell, targets, tmp_path, monkeypatch)


def holds(cell: Cell, targets: Targets, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one cell and compare what happened with what the table expects."""
    made = targets.make(cell.target)
    project = project_for(cell, made, folder / "app")
    before = made.state()
    begin = made.log_everything()
    outcome = run_cell(cell, project, monkeypatch)
    if cell.expected == "refuse":
        # Flask-Migrate catches every CommandError itself and ends with 1
        stock_in_flask = cell.channel == "Flask-Migrate" and cell.command.call is not None
        assert outcome.code == (1 if stock_in_flask else 3), outcome.text
        assert "Nothing was changed." in outcome.text
        assert "Next" in outcome.text
    else:
        assert outcome.code == cell.command.ends, outcome.text
    if cell.expected in ("refuse", "read"):
        unchanged(cell, made, before, begin)
    else:
        left(cell, made, outcome.text, project.folder)


def unchanged(cell: Cell, made: Made, before: tuple[str, str], begin: int) -> None:
    """Nothing in the database differs, and no statement that writes was even sent."""
    if cell.expected == "read" and not cell.target.has_rows:
        # Alembic makes its own empty version table on a development database, with or without us
        assert made.heads() == frozenset()
        return
    if cell.connects:
        assert made.writes_since(begin) == []
    assert made.state() == before


def left(cell: Cell, made: Made, text: str, folder: Path) -> None:
    """The command did what it is for; where a warning is due there is one."""
    if cell.command.leaves is not None:
        assert made.heads() == cell.command.leaves
    if cell.command.does == "save":
        assert len(list(folder.glob("kept/*.dump"))) == 1
    if cell.command.does == "declare":
        with made.connect() as c:
            marker = c.execute(f"SELECT environment, protected FROM {JOURNALS.table('environment')}").fetchone()
        assert marker == ("production", True)
    assert ("runs here without backup" in text) is (cell.expected == "warn"), text


def test_what_must_not_change_is_compared_by_something_that_notices_every_kind_of_change(
    database: str, cluster: Cluster
) -> None:
    made = Made(cluster, database)
    with made.connect() as c:
        seen = [made.state()]
        for statement in (
            "CREATE SCHEMA shop", "CREATE TABLE shop.users (id int)", "INSERT INTO shop.users VALUES (1)",
            "UPDATE shop.users SET id = 2", "ALTER TABLE shop.users ADD name text", "COMMENT ON TABLE shop.users IS 'x'",
            "GRANT SELECT ON shop.users TO PUBLIC", "REVOKE ALL ON FUNCTION pg_catalog.pg_sleep(float8) FROM PUBLIC",
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "CREATE TYPE mood AS ENUM ('ok')",
            "ALTER TYPE mood ADD VALUE 'sad'", "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE INDEX ON shop.users (id)", "ALTER TABLE shop.users ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE shop.users SET (fillfactor = 90)", "CREATE PUBLICATION everything FOR ALL TABLES",
            "DROP TABLE shop.users", "DROP SCHEMA shop",
        ):  # fmt: skip
            c.execute(statement)
            seen.append(made.state())
            assert seen[-1] != seen[-2], statement
        c.execute("VACUUM ANALYZE")
        assert made.state() == seen[-1]


def test_the_covering_selection_has_every_command_target_and_channel() -> None:
    """Made by code, so that a new row of the table cannot be forgotten."""
    assert {cell.command.name for cell in FEW} == {command.name for command in COMMANDS}
    assert {cell.target.name for cell in FEW} == {target.name for target in TARGETS}
    assert {cell.channel for cell in FEW} == set(CHANNELS)


def test_the_physical_copy_is_the_same_system_and_the_same_database(targets: Targets) -> None:
    """Otherwise that column of the table would prove nothing."""
    original = targets.original()
    assert system_identifier(targets.physical) == system_identifier(targets.cluster)
    assert targets.physical.port != targets.cluster.port
    oid = "SELECT oid FROM pg_database WHERE datname = %s"
    with targets.cluster.connect() as a, targets.physical.connect() as b:
        assert a.execute(oid, [original]).fetchone() == b.execute(oid, [original]).fetchone()
