"""Is a change by hand seen, undone by the SQL that is told with it, and everything else left alone?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from alembic import command
from psycopg import sql

from alembic_safe.commands import load
from alembic_safe.errors import Findings
from tests.guard_targets import Made
from tests.guarded import mark_as
from tests.hand_edits import EDITS, ROLE, SCHEMA, HandEdit
from tests.project import ENV_PY, Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster import Cluster


WITH_MODELS = ENV_PY.replace(
    "target_metadata = None",
    "import sqlalchemy as sa\ntarget_metadata = sa.MetaData()\nsa.Table('users', target_metadata,"
    " sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.Text), sa.Column('mail', sa.Text),"
    " sa.Column('nick', sa.Text))",
)


def run(project: Project, name: str, *args: str) -> int:
    """Run a command of ours in this process, and return its exit code."""
    return load(name).main(list(args), obj=project.config, standalone_mode=False) or 0


@pytest.fixture(scope="module")
def deployed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A production database that safe-upgrade has brought to a4, to be copied; and its project."""
    name = "drift_production"
    cluster.create(name)
    with cluster.connect() as c:
        c.execute(sql.SQL("DROP ROLE IF EXISTS {0}").format(sql.Identifier(ROLE)))
        c.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(ROLE)))
    folder = tmp_path_factory.mktemp("drift") / "app"
    project = Project.create(folder, cluster.url(name))
    project.revision("a4", "a3", "shops", SCHEMA)
    mark_as(Made(cluster, name), "production", protected=True)
    run(project, "safe-upgrade", "--no-backup", "--confirm", name)
    yield folder, name
    cluster.drop(name)
    with cluster.connect() as c:
        c.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(ROLE)))


@pytest.fixture
def production(
    deployed: tuple[Path, str], make_database: Callable[..., str], cluster: Cluster, tmp_path: Path
) -> Project:
    """The project on a copy of the production database."""
    folder, template = deployed
    project = Project.create(tmp_path / "app", cluster.url(make_database(template=template)))
    for file in (folder / "migrations" / "versions").glob("*.py"):
        (project.folder / "migrations" / "versions" / file.name).write_text(file.read_text())
    return project


@pytest.fixture
def made(production: Project, cluster: Cluster) -> Made:
    return Made(cluster, production.url.rsplit("/", 1)[1])


@pytest.fixture
def made_of_project(cluster: Cluster, database: str) -> Made:
    return Made(cluster, database)


def status(project: Project, capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, object]:
    """Return what safe-status says of the one database."""
    capsys.readouterr()
    run(project, "safe-status", "--json", *args)
    return json.loads(capsys.readouterr().out)["databases"][0]


@pytest.mark.parametrize(
    "edit",
    [pytest.param(edit, id=edit.name, marks=[] if n % 3 == 0 else pytest.mark.long) for n, edit in enumerate(EDITS)],
)
def test_a_change_by_hand_is_reported_with_the_sql_that_undoes_it(
    edit: HandEdit, production: Project, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(production, capsys)["drift"]["verdict"] == "in sync"
    before = made.schema()
    with made.connect() as c:
        c.execute(edit.sql)
    found = status(production, capsys)
    assert found["verdict"] == "PROBLEM"
    drift = found["drift"]
    assert drift["verdict"] == "drift"
    assert any(item["object"].startswith(edit.object) for item in drift["differences"]), drift
    with made.connect() as c:
        for item in drift["differences"]:
            if item["sql"]:
                c.execute(item["sql"])
    assert status(production, capsys)["drift"]["verdict"] == "in sync"
    assert made.schema() == before


def test_there_are_more_than_twenty_kinds_of_edits() -> None:
    assert len({edit.name for edit in EDITS}) == len(EDITS) >= 20


def test_a_pending_revision_alone_is_no_drift(production: Project, capsys: pytest.CaptureFixture[str]) -> None:
    production.revision("a5", "a4", "later", 'op.execute("CREATE TABLE later (id int)")')
    found = status(production, capsys)
    assert (found["verdict"], found["drift"]["verdict"]) == ("PENDING", "in sync")
    assert status(production, capsys, "--drift")["drift"]["verdict"] == "in sync"


def test_a_replay_of_the_files_finds_the_same_change_as_the_journal(
    production: Project, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    with made.connect() as c:
        c.execute("CREATE INDEX shops_price ON shops (price); ALTER TABLE owners OWNER TO drift_reader")
    by_journal, by_replay = status(production, capsys)["drift"], status(production, capsys, "--drift")["drift"]
    assert "replayed on a shadow" in by_replay["against"]
    assert by_replay["differences"] == by_journal["differences"]
    assert {item["object"] for item in by_replay["differences"]} == {"index public.shops_price", "table public.owners"}


def test_a_deployment_to_a_protected_database_stops_at_drift_and_changes_nothing(
    production: Project, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    production.revision("a5", "a4", "later", 'op.execute("CREATE TABLE later (id int)")')
    with made.connect() as c:
        c.execute("ALTER TABLE shops DISABLE TRIGGER shops_touched")
    before = made.state()
    with pytest.raises(Findings, match="has been changed by hand: 1 difference to what safe-upgrade left on") as caught:
        run(production, "safe-upgrade", "--no-backup", "--confirm", made.name)
    assert caught.value.exit_code == 4
    assert made.state() == before
    assert 'ALTER TABLE "public"."shops" ENABLE TRIGGER "shops_touched";' in capsys.readouterr().out


def test_what_was_drift_before_a_deployment_is_drift_behind_it(
    production: Project, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise one deployment with --drift warn would make every change by hand look meant."""
    production.revision("a5", "a4", "later", 'op.execute("CREATE INDEX owners_mail ON owners (mail)")')
    with made.connect() as c:
        c.execute("CREATE TABLE scratch (id int); DROP VIEW cheap; ALTER TABLE shops ALTER name DROP DEFAULT")
    before = status(production, capsys)["drift"]["differences"]
    run(production, "safe-upgrade", "--no-backup", "--confirm", made.name, "--drift", "warn")
    assert made.heads() == {"a5"}
    found = status(production, capsys)["drift"]
    assert {item["object"] for item in before} == {
        "view public.cheap",
        "column public.shops.name",
        "table public.scratch",
    }
    assert found["differences"] == before


def test_a_database_that_no_deployment_has_described_is_unknown_and_never_in_sync(
    project: Project, cluster: Cluster, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Made(cluster, database)
    project.run("upgrade", "a2", check=0)
    mark_as(made, "production", protected=True)
    found = status(project, capsys)
    assert (found["verdict"], found["drift"]["verdict"]) == (
        "PROBLEM" if found["problems"][1:] else "UNKNOWN",
        "unknown",
    )
    project.revision("a1", None, "users", 'op.execute("SELECT 1 / 0")')
    with pytest.raises(Findings, match=r"is unknown: no deployment has journalled .*could not be replayed on a shadow"):
        run(project, "safe-upgrade", "--no-backup", "--confirm", database, "--drift", "fail")
    assert made.heads() == {"a2"}


@pytest.mark.long
def test_a_first_deployment_finds_drift_by_a_replay_when_it_is_asked_to(
    project: Project, cluster: Cluster, database: str
) -> None:
    made = Made(cluster, database)
    project.run("upgrade", "a2", check=0)
    mark_as(made, "production", protected=True)
    with made.connect() as c:
        c.execute("CREATE TABLE scratch (id int)")
    with pytest.raises(Findings, match="1 difference to what the files say at a2, replayed on a shadow"):
        run(project, "safe-upgrade", "--no-backup", "--confirm", database, "--drift", "fail")
    assert made.heads() == {"a2"}
    run(project, "safe-upgrade", "--no-backup", "--confirm", database)
    assert made.heads() == {"a3"}


def test_a_failed_revision_leaves_the_drift_check_as_it_was(
    production: Project, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    production.revision("a5", "a4", "good", 'op.execute("CREATE TABLE later (id int)")')
    production.revision("a6", "a5", "bad", 'op.execute("SELECT 1 / 0")')
    with made.connect() as c:
        c.execute("DROP VIEW cheap")
    with pytest.raises(Exception, match="a6"):
        run(
            production,
            "safe-upgrade",
            "--no-backup",
            "--confirm",
            made.name,
            "--drift",
            "warn",
            "--accept",
            "does-not-run:a6",
        )
    assert made.heads() == {"a5"}
    assert [item["object"] for item in status(production, capsys)["drift"]["differences"]] == ["view public.cheap"]


def test_a_dry_run_tells_drift_shows_the_plan_stops_as_the_run_would_and_writes_nothing(
    production: Project, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    production.revision("a5", "a4", "later", 'op.execute("CREATE TABLE later (id int)")')
    with made.connect() as c:
        c.execute("DROP VIEW cheap")
    begin = made.log_everything()
    with pytest.raises(Findings, match="has been changed by hand"):
        run(production, "safe-upgrade", "--dry-run")
    assert made.writes_since(begin) == []
    told = capsys.readouterr().out
    assert "- view public.cheap" in told
    assert "a5  later" in told
    run(production, "safe-upgrade", "--dry-run", "--drift", "warn")
    assert made.writes_since(begin) == []


def test_what_was_pushed_is_no_drift_and_the_milestone_is_named(
    project: Project, made_of_project: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.folder / "migrations" / "env.py").write_text(WITH_MODELS)
    command.upgrade(project.config, "head")
    run(project, "dev-push")
    assert made_of_project.heads() == {"a3"}
    for args in ((), ("--drift",)):
        drift = status(project, capsys, *args)["drift"]
        assert drift["verdict"] == "unknown"
        assert "alembic milestone" in drift["why"]
