"""A history that begins with tables that no revision made: what was there is said, and every replay begins with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.project import Project
from tests.squash_project import with_template

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster import Cluster

LEGACY = """
-- what pg_dump --schema-only wrote
\\restrict a1
CREATE SCHEMA "The Old";
CREATE TABLE "The Old"."it's; old" (id integer PRIMARY KEY, note text DEFAULT 'a;b');
"""


@pytest.fixture
def project(tmp_path: Path, cluster: Cluster, database: str) -> Project:
    project = Project.create(tmp_path / "app", cluster.url(database), plain=False)
    project.revision(
        "a1", None, "more of the old", "op.add_column(\"it's; old\", sa.Column('seen', sa.Date), schema='The Old')",
        "op.drop_column(\"it's; old\", 'seen', schema='The Old')",
    )  # fmt: skip
    project.revision("a2", "a1", "new", "op.create_table('new', sa.Column('id', sa.Integer))", "op.drop_table('new')")
    (project.folder / "legacy.sql").write_text(LEGACY)
    return project


def missing_in(project: Project) -> list[str]:
    """What safe-diff finds that an empty database would need to be at the head."""
    done = project.run("safe-diff", "--from", "empty", "--to", "head", "--json", check=0)
    return [change["object"] for change in json.loads(done.stdout)["changes"]]


def test_what_was_there_is_asked_for_by_name(project: Project) -> None:
    done = project.run("safe-diff", "--from", "empty", "--to", "head", check=8)
    assert "a1 (more of the old) does not run on an empty database" in done.stderr
    assert "export ALEMBIC_SAFE_SHADOW_BOOTSTRAP=FILE.sql" in done.stderr


def test_every_replay_begins_with_what_was_there(project: Project, cluster: Cluster, database: str) -> None:
    project.settings("shadow_bootstrap = legacy.sql")
    found = missing_in(project)
    assert any("The Old" in one for one in found)
    assert any("new" in one for one in found)
    # a copy of the kept replay is one of these very files: another script is another replay
    script = project.folder / "legacy.sql"
    script.write_text(LEGACY + "CREATE TABLE later (id integer);")
    assert any("later" in one for one in missing_in(project))
    script.write_text(LEGACY)
    assert not any("later" in one for one in missing_in(project))
    # the target is what the script and the files say
    with cluster.connect(database) as connection:
        connection.execute(LEGACY.replace("\\restrict a1", ""))
    project.run("upgrade", "head", check=0)
    project.run("safe-diff", "--from", "head", "--to", "database", "--exit-code", check=0)


def test_a_squash_takes_what_was_there_from_the_setting(project: Project) -> None:
    with_template(project)
    project.settings("shadow_bootstrap = legacy.sql")
    project.run("squash", "-m", "all", check=0)
    (file,) = (project.folder / "migrations" / "versions").glob("*.py")
    assert "The Old" in file.read_text()
    assert "a;b" not in file.read_text()  # the table itself is made by the script
    project.run("squash", "--check", check=0)
    assert any("new" in one for one in missing_in(project))


def test_a_script_that_is_not_there_or_does_not_run_is_said(project: Project) -> None:
    project.settings("shadow_bootstrap = nowhere.sql")
    assert "nowhere.sql" in project.run("safe-diff", "--from", "empty", "--to", "head", check=10).stderr
    (project.folder / "nowhere.sql").write_text("CREATE TABLE x (id nothing);")
    done = project.run("safe-diff", "--from", "empty", "--to", "head", check=8)
    assert "nowhere.sql does not run on an empty database" in done.stderr


@pytest.mark.parametrize(
    ("sql", "way_on"),
    [
        ("CREATE EXTENSION nobody_has_it", "export ALEMBIC_SAFE_SHADOW_URL="),
        ("CREATE TABLE t (mail nobodys_type)", "export ALEMBIC_SAFE_SHADOW_EXTENSIONS="),
        ("CREATE TABLE nobodys.t (id integer)", "export ALEMBIC_SAFE_SHADOW_BOOTSTRAP="),
    ],
)
def test_what_the_shadow_lacks_is_told_from_a_revision_that_is_wrong(
    tmp_path: Path, cluster: Cluster, database: str, sql: str, way_on: str
) -> None:
    project = Project.create(tmp_path / "app", cluster.url(database), plain=False)
    project.revision("a1", None, "first", f'op.execute("{sql}")', "pass")
    assert way_on in project.run("safe-diff", "--from", "empty", "--to", "head", check=8).stderr
