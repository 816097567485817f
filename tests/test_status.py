"""Does `alembic safe-status` say of a database what is true of it, and name the right way on?"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alembic
import pytest

from alembic_safe import commands
from tests.deploys import rows, safe_upgrade
from tests.project import Project

if TYPE_CHECKING:
    from tests.cluster import Cluster


def look(project: Project, *args: str, check: int) -> str:
    """Return what safe-status prints; the label and its text stand one space apart."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = commands.run("safe-status", args, project.config)
    assert code == check, f"exit {code}\n{out.getvalue()}\n{err.getvalue()}"
    return "\n".join(" ".join(line.split()) for line in out.getvalue().splitlines())


def found(project: Project, *args: str, check: int) -> dict[str, Any]:
    """Return what safe-status says to machines of the one database."""
    return json.loads(look(project, "--json", *args, check=check))["databases"][0]


@pytest.fixture
def legacy(tmp_path: Path, cluster: Cluster, database: str) -> Project:
    """A project without a revision, whose database has a table."""
    rows(cluster, database, "CREATE TABLE orders (id int PRIMARY KEY)")
    project = Project.create(tmp_path / "legacy", cluster.url(database), plain=False)
    template = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
    shutil.copyfile(template, project.folder / "migrations" / "script.py.mako")
    return project


def test_tables_without_a_revision_are_unknown_and_never_in_order(legacy, database):
    said = look(legacy, check=4)
    assert f"UNKNOWN {database} has tables and no revision. Nothing was changed." in said
    assert "Next find or write theirs alembic safe-baseline" in said
    assert "nothing is wrong" not in said
    assert found(legacy, check=4)["verdict"] == "UNKNOWN"
    assert commands.run("safe-baseline", (), legacy.config) == 0
    assert "nothing is wrong" in look(legacy, "--drift", check=0)


def test_tables_without_a_revision_on_a_protected_database_have_the_same_way_on(legacy, database):
    legacy.settings("environment = production")
    said = look(legacy, check=4)
    assert f"UNKNOWN {database} has tables and no revision. Nothing was changed." in said
    assert "Next find or write theirs alembic safe-baseline" in said
    assert "--drift" not in said


def test_pending_revisions_of_a_database_with_tables_and_no_revision_are_not_what_comes_next(
    project, cluster, database
):
    rows(cluster, database, "CREATE TABLE users (id int PRIMARY KEY, name text)")
    said = look(project, check=4)
    assert f"PENDING 3 revisions pending, and {database} has tables and no revision. Nothing was changed." in said
    assert "Next find or write theirs alembic safe-baseline" in said
    assert "safe-upgrade\n" not in said
    assert found(project, check=4)["verdict"] == "PENDING"


def test_tables_of_a_first_revision_that_is_half_done_are_no_unknown_ones(project):
    project.revision("a1", None, "users", 'with op.step("one"):\n    op.execute("CREATE TABLE t (id int)")\n'
                     'with op.step("two"):\n    1 / 0')  # fmt: skip
    safe_upgrade(project, check=7)
    said = look(project, check=4)
    assert "a1 is half done" in said
    assert "safe-baseline" not in said


def test_an_empty_database_has_the_deploy_for_its_next_step(project):
    said = look(project, check=4)
    assert "PENDING 3 revisions pending, otherwise in order. Nothing was changed." in said
    assert "Next deploy what is pending alembic safe-upgrade" in said


def test_nothing_is_called_right_that_nobody_could_look_at(project, cluster, database):
    project.run("upgrade", "a3", check=0)
    rows(cluster, database, "ALTER TABLE users ADD COLUMN by_hand text")
    said = look(project, check=0)
    assert "OK nothing is pending; whether it was changed by hand is unknown. Nothing was changed." in said
    assert "Next replay the files and compare alembic safe-status --drift" in said
    assert "nothing is wrong" not in said
    assert "has been changed by hand: 1 difference" in look(project, "--drift", check=4)


def test_what_is_pending_is_not_otherwise_in_order_where_nobody_could_look(project):
    project.run("upgrade", "a2", check=0)
    said = look(project, check=4)
    assert "PENDING 1 revision pending; whether it was changed by hand is unknown. Nothing was changed." in said
    assert "Next deploy what is pending alembic safe-upgrade" in said
    assert "replay the files and compare alembic safe-status --drift" in said


def test_no_replay_is_proposed_where_none_would_help(project, cluster, database):
    project.run("upgrade", "a3", check=0)
    project.settings("environment = production")
    rows(cluster, database, "UPDATE alembic_version SET version_num = 'elsewhere'")
    assert "--drift" not in look(project, check=4)


def test_a_deployed_database_is_in_order(project, database):
    safe_upgrade(project)
    assert f"OK {database} is at head, and nothing is wrong. Nothing was changed." in look(project, check=0)
