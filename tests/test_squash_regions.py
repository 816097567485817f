"""`alembic squash --regions`: every part of a history with one way in and one way out becomes a revision, in one run."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from alembic_safe.history.regions import regions_of
from tests.project import Project
from tests.squash_project import dump, on, tree, with_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster import Cluster


def write(folder: Path, url: str) -> Project:
    """Write two bases, a merge, a label, and a revision that depends on the other base."""
    project = with_template(Project.create(folder, url))  # a1 to a3

    def add(id_: str, down: str | None, table: str = "users", extra: str = "") -> None:
        up = f'op.add_column("{table}", sa.Column("{id_}: 5%", sa.Text))'
        project.revision(id_, down, f"{id_}: 5%", up, f'op.drop_column("{table}", "{id_}: 5%")', extra=extra)

    add("b4", "a3")
    add("b5", "b4")
    add("c4", "a3", extra='branch_labels = ("Side 50%",)')
    project.revision("m6", ("b5", "c4"), "a merge")
    add("d7", "m6")
    add("d8", "d7")
    project.revision("z1", None, "z", 'op.create_table("z", sa.Column("id", sa.Integer, primary_key=True))',
                     'op.drop_table("z")')  # fmt: skip
    add("z2", "z1", "z")
    add("z3", "z2", "z", 'depends_on = "m6"')
    return project


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[tuple[Project, Project, str]]:
    """The history, the same with its parts squashed, and what that said."""
    cluster.create("squash_regions")
    folder = tmp_path_factory.mktemp("regions")
    before = write(folder / "before", cluster.url("squash_regions"))
    after = write(folder / "after", cluster.url("squash_regions"))
    done = after.run("squash", "--regions", "-m", "One of several", check=0)
    yield before, after, " ".join(done.stdout.split())
    cluster.drop("squash_regions")


def test_every_part_is_one_file_and_the_rest_is_told_why(parts: tuple[Project, Project, str]) -> None:
    _, after, told = parts
    files = sorted(path.name for path in (after.folder / "migrations" / "versions").glob("*.py"))
    assert files == ["d8_one_of_several.py", "m6_one_of_several.py", "z1_z.py", "z3_one_of_several.py"]
    assert "base:m6, 7 revisions" in told
    assert "m6:d8, 2 revisions" in told
    assert "z1:z3, 2 revisions" in told
    assert "not in a part: z1, which stands alone between others" in told
    assert "together: 3 squashes and what is between them, on an empty database: equal" in told


@pytest.mark.long
@pytest.mark.parametrize("at", ["", "c4", "z2"])
def test_databases_everywhere_find_their_way(
    parts: tuple[Project, Project, str], cluster: Cluster, make_database: Callable[..., str], at: str
) -> None:
    before, after, _ = parts
    old, new = make_database(), make_database()
    for name in (old, new):
        if at:
            on(before, cluster.url(name)).run("upgrade", at, check=0)
    on(before, cluster.url(old)).run("upgrade", "heads", check=0)
    on(after, cluster.url(new)).run("upgrade", "heads", check=0)
    assert dump(cluster, new) == dump(cluster, old)


def test_each_is_undone_alone(parts: tuple[Project, Project, str], tmp_path: Path, cluster: Cluster,
                              database: str) -> None:  # fmt: skip
    before = tree(parts[0].folder / "migrations" / "versions")
    shutil.copytree(parts[1].folder, tmp_path / "copy")
    project = on(Project(tmp_path / "copy", ""), cluster.url(database))
    for squash in ("m6", "z3", "d8"):
        project.run("squash", "--undo", squash, check=0)
    assert tree(project.folder / "migrations" / "versions") == before


@pytest.mark.long
def test_a_part_that_cannot_be_one_stays_and_the_others_do_not(project: Project) -> None:
    with_template(project)
    project.revision("b4", "a3", "aside", "")
    project.revision("b5", "b4", "aside too", "note(op)", extra="from .helper import note")
    project.revision("c4", "a3", "ahead", 'op.add_column("users", sa.Column("c4", sa.Text))')
    project.revision("c5", "c4", "ahead too", 'op.add_column("users", sa.Column("c5", sa.Text))')
    versions = project.folder / "migrations" / "versions"
    path = versions / "b5_aside_too.py"
    # what uses a name that nothing in its file binds can run by chance, and cannot be carried
    path.write_text(
        path.read_text().replace("from .helper import note", "globals()['note'] = lambda op: op.get_bind()")
    )
    before = tree(versions)
    refused = project.run("squash", "--regions", "-m", "x", "--shortcut", check=2)
    assert "--regions and --shortcut" in refused.stderr
    told = " ".join(project.run("squash", "--regions", "a3:", "-m", "x", check=0).stdout.split())
    assert "Stays a3:b5: b5_aside_too.py can neither be folded nor carried" in told
    found = tree(versions)
    assert sorted(set(found) - set(before)) == ["c5_x.py"]
    assert sorted(set(before) - set(found)) == ["c4_ahead.py", "c5_ahead_too.py"]
    assert (
        "c5 is in none of the parts"
        in project.run("squash", "--regions", ":a3", "-m", "x", "--keep", "c5", check=2).stderr
    )
    assert "no two revisions here" in project.run("squash", "--regions", "c5:", "-m", "x", check=4).stderr


def test_what_the_first_revisions_depend_on_is_not_taken_with_them() -> None:
    parents = {"a": ["base"], "b": ["a"], "c": ["b"], "x": ["base"], "y": ["x"], "z": ["y"]}
    found = regions_of(parents, {"y": ["a"]}, "base", "c", "z")
    assert [(one.start, one.end) for one in found.possible] == [("a", "c"), ("x", "z")]
    assert [one.revision for one in found.left] == ["a", "x"]


@pytest.mark.long
def test_machines_get_a_list_of_them(parts: tuple[Project, Project, str], cluster: Cluster, database: str) -> None:
    project = on(parts[0], cluster.url(database))
    done = project.run("squash", "--regions", "-m", "x", "--json", "--dry-run", check=0)
    assert sorted(one["revision"] for one in json.loads(done.stdout)) == ["d8", "m6", "z3"]
