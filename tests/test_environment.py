"""Which database this is: the weighing of marker, declarations and circumstances, and the pipeline's whole job."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from alembic_safe.database.environment import Journals, Marker, Place, judge_identity
from alembic_safe.settings import Declaration
from tests.guard_targets import Made
from tests.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster import Cluster

HERE = Place(
    host="db.internal", port=5432, is_loopback=False, database="shop", role="deploy", database_oid=16400,
    server_version=160014, in_recovery=False, read_only=False, may_create=True, has_tables=True, journals=(),
    system_identifier="7001",
)  # fmt: skip
PRODUCTION = Marker(
    "production", protected=True, system_identifier="7001", database_oid=16400, set_by="maria",
    set_at=datetime(2026, 3, 2, tzinfo=timezone.utc),
)  # fmt: skip
DEVELOPMENT = replace(PRODUCTION, environment="development", protected=False)
CI = Declaration("ci", protected=False, source="ALEMBIC_SAFE_ENVIRONMENT")
LIVE = Declaration("live", protected=True, source="alembic.ini")


def counts_as(place: Place, *markers: Marker, by: tuple[Declaration, ...] = (), met_empty: bool = False) -> str:
    """Return what a database counts as, in one word or two."""
    identity = judge_identity(place, markers, by, met_empty=met_empty)
    if identity.undeclared:
        return "undeclared"
    return f"{identity.environment}{', protected' if identity.protected else ''}"


@pytest.mark.parametrize(
    ("expected", "place", "markers", "by", "met_empty"),
    [
        ("production, protected", HERE, (PRODUCTION,), (), False),
        ("production, protected", HERE, (PRODUCTION,), (CI,), True),
        ("production, protected", HERE, (PRODUCTION, DEVELOPMENT), (CI,), False),
        ("live, protected", HERE, (DEVELOPMENT,), (LIVE,), False),
        ("development", HERE, (DEVELOPMENT,), (CI,), False),
        ("development", replace(HERE, database_oid=2), (DEVELOPMENT,), (), False),
        # a copy of a protected database, told by either number; no variable makes it less
        ("undeclared", replace(HERE, database_oid=2), (PRODUCTION,), (), False),
        ("undeclared", replace(HERE, system_identifier="9"), (PRODUCTION,), (CI,), True),
        ("undeclared", replace(HERE, is_loopback=True, database_oid=2), (PRODUCTION,), (), False),
        ("live, protected", replace(HERE, database_oid=2), (PRODUCTION,), (LIVE,), False),
        # a role that may not ask for the system's number: the database's own must do
        ("production, protected", replace(HERE, system_identifier=None), (PRODUCTION,), (), False),
        ("undeclared", replace(HERE, system_identifier=None, database_oid=2), (PRODUCTION,), (), False),
        ("ci", HERE, (), (CI,), False),
        ("live, protected", HERE, (), (CI, LIVE), True),
        ("live, protected", HERE, (), (LIVE, CI), True),
        ("development", HERE, (), (), True),
        ("undeclared", HERE, (), (), False),
        ("development", replace(HERE, is_loopback=True), (), (), False),
        ("live, protected", replace(HERE, is_loopback=True), (), (LIVE,), False),
        ("unknown, protected", replace(HERE, is_loopback=True, hidden=(Journals("alembic_safe"),)), (), (CI,), True),
        ("unknown, protected", replace(HERE, hidden=(Journals("x"),)), (DEVELOPMENT,), (), False),
    ],
)  # fmt: skip
def test_the_most_careful_reading_of_what_is_known_counts(
    expected: str, place: Place, markers: tuple[Marker, ...], by: tuple[Declaration, ...], met_empty: bool
) -> None:
    assert counts_as(place, *markers, by=by, met_empty=met_empty) == expected


@pytest.fixture
def pipeline(tmp_path: Path, cluster: Cluster, database: str) -> Project:
    """A project with settings of ours, whose database is the empty one of a service container named postgres."""
    return Project.create(tmp_path / "job", cluster.url(database, host="postgres"), settings="release = r1")


def test_a_pipeline_that_declares_itself_goes_up_down_and_up(
    pipeline: Project, cluster: Cluster, database: str
) -> None:
    """Three processes against a service container, as a job of GitLab or GitHub runs them."""
    for args in (("upgrade", "head"), ("downgrade", "base"), ("upgrade", "head")):
        pipeline.run(*args, check=0, ALEMBIC_SAFE_ENVIRONMENT="ci")
    assert Made(cluster, database).heads() == {"a3"}


def test_a_pipeline_that_declares_nothing_is_told_the_line_to_add(
    pipeline: Project, cluster: Cluster, database: str
) -> None:
    """The first process meets an empty database; the second one meets tables, and cannot know whose."""
    made = Made(cluster, database)
    pipeline.run("upgrade", "head", check=0)
    before = made.state()
    done = pipeline.run("downgrade", "base", check=3)
    line = next(line.strip() for line in done.stderr.splitlines() if "export ALEMBIC_SAFE_ENVIRONMENT=" in line)
    assert made.state() == before
    name, _, value = line.partition("export ")[2].partition("=")
    pipeline.run("downgrade", "base", check=0, **{name: value})
    assert made.heads() == frozenset()


def test_the_process_that_met_it_empty_goes_up_and_down_by_itself(
    pipeline: Project, cluster: Cluster, database: str
) -> None:
    """A test suite that migrates its service container up and down in one process is one story."""
    from alembic import command

    command.upgrade(pipeline.config, "head")
    command.downgrade(pipeline.config, "base")
    command.upgrade(pipeline.config, "head")
    assert Made(cluster, database).heads() == {"a3"}


def test_members_of_extensions_do_not_make_a_database_full(pipeline: Project, cluster: Cluster, database: str) -> None:
    """A container image may bring extensions with tables; here the embedded server's own member stands for one."""
    with cluster.connect(database) as c:
        c.execute("CREATE TABLE brought_along (id int)")
        c.execute("ALTER EXTENSION plpgsql ADD TABLE brought_along")
    assert "development" in pipeline.run("safe-guard", check=0).stdout
    with cluster.connect(database) as c:
        c.execute("CREATE TABLE of_somebody (id int)")
    assert "undeclared" in pipeline.run("safe-guard", check=0).stdout
