"""A history of which env.py says where it lies is the history of our commands, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alembic_safe.database.env_locations import directory_of
from tests.project import ENV_PY, Project
from tests.squash_project import with_template

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster import Cluster

SAYS = 'context.script.version_locations = [context.script.dir + "/for, one dialect"]\n'


def written(folder: Path, url: str, env_py: str) -> Project:
    """Write a project whose revisions lie where only env.py knows of them."""
    project = Project.create(folder, url, env_py=env_py)
    (folder / "migrations" / "versions").rename(folder / "migrations" / "for, one dialect")
    return project


@pytest.fixture
def placed(tmp_path: Path, database: str, cluster: Cluster) -> Project:
    return written(tmp_path / "placed", cluster.url(database), ENV_PY.replace("config =", f"{SAYS}config =", 1))


def test_what_env_py_names_is_deployed(placed: Project) -> None:
    done = placed.run("safe-upgrade")
    assert "3 revisions" in done.stdout
    assert "is at a3" in done.stdout
    assert "a3 (head)" in placed.run("current").stdout


def test_what_env_py_names_is_squashed_and_counted(placed: Project) -> None:
    with_template(placed)
    assert "3 revision files" in placed.run("safe-init", check=2).stderr
    done = placed.run("squash", "-m", "all", "--dry-run")
    assert "3 revisions, a1 to a3" in done.stdout


def test_env_py_is_asked_without_a_database_and_once(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    counted = f"with open({str(runs)!r}, 'a') as file:\n    file.write('once ')\n{SAYS}config ="
    project = written(tmp_path / "p", "postgresql://nobody@127.0.0.1:1/none", ENV_PY.replace("config =", counted, 1))
    config = project.config
    assert [directory_of(config).get_current_head() for _ in range(2)] == ["a3", "a3"]
    assert runs.read_text() == "once "


def test_an_env_py_that_cannot_be_asked_is_as_before(tmp_path: Path) -> None:
    broken = ENV_PY.replace("config =", f"raise SystemError\n{SAYS}config =", 1)
    project = Project.create(tmp_path / "p", "postgresql://nobody@127.0.0.1:1/none", env_py=broken)
    assert directory_of(project.config).get_current_head() == "a3"
