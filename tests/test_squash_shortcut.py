"""A squash that only new databases take leaves every original where it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.squash_project import dump, on, rows, tree, with_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster import Cluster

from tests.project import Project

COUNT = "SELECT count(*) FROM users"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[tuple[Project, dict[str, bytes], str]]:
    """A project with a shortcut over its first three revisions, its files before that, and what was said."""
    cluster.create("squash_short")
    project = with_template(Project.create(tmp_path_factory.mktemp("short") / "app", cluster.url("squash_short")))
    project.revision("a4", "a3", "rows", """op.execute("INSERT INTO users VALUES (1, 'Ada')")""",
                     'op.execute("DELETE FROM users")')  # fmt: skip
    before = tree(project.folder / "migrations" / "versions")
    said = project.run("squash", "a3", "--shortcut", "-m", "The first three", check=0).stdout
    yield project, before, said
    cluster.drop("squash_short")


def test_the_folder_of_the_revisions_is_as_it_was(app: tuple[Project, dict[str, bytes], str]) -> None:
    project, before, said = app
    folder = project.folder / "migrations"
    assert tree(folder / "versions") == before
    assert set(tree(folder / "squashed")) == {"a3/certificate.json", "a3/shortcut/a3_the_first_three.py"}
    assert "3 files where they are; a new database runs this one in their place" in " ".join(said.split())
    assert project.run("history", check=0).stdout.count("->") == 4
    assert project.run("heads", check=0).stdout.strip() == "a4 (head)"


@pytest.mark.long
def test_a_new_database_takes_it_and_others_do_not(
    app: tuple[Project, dict[str, bytes], str], cluster: Cluster, make_database: Callable[..., str]
) -> None:
    project = app[0]
    script = project.run("upgrade", "head", "--sql", check=0).stdout
    assert [line for line in script.splitlines() if "Running upgrade" in line] == [
        "-- Running upgrade  -> a3", "-- Running upgrade a3 -> a4"]  # fmt: skip
    new, on_the_way, step_by_step = make_database(), make_database(), make_database()
    on(project, cluster.url(new)).run("upgrade", "head", check=0)
    assert project.run("current", check=0).stdout.strip() == "a4 (head)"
    on(project, cluster.url(on_the_way)).run("upgrade", "a2", check=0)
    assert project.run("current", check=0).stdout.strip() == "a2"
    project.run("upgrade", "head", check=0)
    on(project, cluster.url(step_by_step))
    for _ in range(4):
        project.run("upgrade", "+1", check=0)
    assert dump(cluster, new) == dump(cluster, on_the_way) == dump(cluster, step_by_step)
    assert rows(cluster, new, COUNT) == rows(cluster, on_the_way, COUNT) == [(1,)]
    on(project, cluster.url(new)).run("downgrade", "base", check=0)  # through the originals
    project.run("safe-upgrade", "--no-backup", "--yes", check=0, ALEMBIC_SAFE_ENVIRONMENT="development")
    assert "a4 (head)" in project.run("current", check=0).stdout
    assert "edited" not in project.run("safe-status").stdout
    on(project, cluster.url("squash_short"))


@pytest.mark.long
def test_check_proves_it_again_and_undo_takes_it_away(app: tuple[Project, dict[str, bytes], str]) -> None:
    project, before, _ = app
    assert "1 squash: as certified, and proven again" in project.run("squash", "--check", check=0).stdout
    path = project.folder / "migrations" / "versions" / "a2_names.py"
    path.write_text(path.read_text() + "# more")
    assert "a2_names.py: changed" in project.run("squash", "--check", check=4).stderr
    path.write_bytes(before["a2_names.py"])
    assert "leaves them where they are" in " ".join(
        project.run("squash", "a3", "--shortcut", "--vendor", "-m", "x", check=2).stderr.split()
    )
    project.run("squash", "a3", "--shortcut", "-m", "Again", check=0)
    assert set(tree(project.folder / "migrations" / "squashed")) == {"a3/certificate.json", "a3/shortcut/a3_again.py"}
    project.run("squash", "--undo", "a3", check=0)
    assert tree(project.folder / "migrations" / "squashed") == {}
    assert tree(project.folder / "migrations" / "versions") == before
