"""`alembic squash --undo` where nothing of the squash is committed yet: it works, and loses no file."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.project import Project
from tests.squash_project import commit, git, on, tree, with_template

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster import Cluster

SQUASH = "versions/a3_all_of_it.py"


@pytest.fixture(scope="module")
def squashed_once(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster
) -> Iterator[tuple[Path, dict[str, bytes]]]:
    """The folder of a project whose three revisions were committed and then squashed; and its files before that."""
    cluster.create("squash_undo")
    project = with_template(Project.create(tmp_path_factory.mktemp("undo") / "Some app", cluster.url("squash_undo")))
    before = tree(project.folder / "migrations")
    git(project, "init", "-q")
    commit(project, "begin")
    assert "alembic squash --undo a3" in project.run("squash", "-m", "all of it", check=0).stdout
    yield project.folder, before
    cluster.drop("squash_undo")


@pytest.fixture
def before(squashed_once: tuple[Path, dict[str, bytes]]) -> dict[str, bytes]:
    return squashed_once[1]


@pytest.fixture
def app(squashed_once: tuple[Path, dict[str, bytes]], tmp_path: Path, cluster: Cluster) -> Project:
    """A copy of it in which nothing of the squash is committed."""
    shutil.copytree(squashed_once[0], tmp_path / "Some app")
    return on(Project(tmp_path / "Some app", ""), cluster.url("squash_undo"))


def words(project: Project, *args: str, check: int) -> str:
    """Return what a command says, on both streams, in one line."""
    done = project.run(*args, check=check)
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("staged", [False, True])
def test_straight_after_the_squash_it_takes_everything_back(
    app: Project, before: dict[str, bytes], staged: bool
) -> None:
    if staged:
        git(app, "add", "--all")
    app.run("squash", "--undo", "a3", check=0)
    assert tree(app.folder / "migrations") == before
    git(app, "add", "--all")
    assert git(app, "status", "--porcelain") == ""


def test_with_the_squash_file_committed_and_the_rest_not_it_does_the_same(
    app: Project, before: dict[str, bytes]
) -> None:
    git(app, "add", f"migrations/{SQUASH}")
    git(app, "commit", "-q", "-m", "a part of it")
    app.run("squash", "--undo", "a3", check=0)
    assert tree(app.folder / "migrations") == before


def test_another_change_is_named_alone_and_both_ways_on_lead_on(app: Project, before: dict[str, bytes]) -> None:
    path = app.revision("a4", "a3", "half done")
    now = tree(app.folder / "migrations")
    told = words(app, "squash", "--undo", "a3", check=3)
    assert (
        "are not the squash's own: after an undo nobody could tell them apart. ?? migrations/versions/a4_half_done.py"
        in told
    )
    assert "a1_users.py" not in told
    assert "git stash push --include-untracked -- migrations/versions/a4_half_done.py" in told
    assert tree(app.folder / "migrations") == now
    stash = ("stash", "push", "-q", "--include-untracked", "--", "migrations/versions/a4_half_done.py")
    git(app, *stash)
    assert not path.exists()
    app.run("squash", "--undo", "a3", check=0)
    assert tree(app.folder / "migrations") == before
    git(app, "stash", "pop", "-q")
    assert "a4 (head)" in app.run("heads", check=0).stdout


@pytest.mark.parametrize("name", [SQUASH, "squashed/a3/a2_names.py", "squashed/a3/a note.txt"])
def test_what_somebody_has_written_since_is_not_deleted(app: Project, before: dict[str, bytes], name: str) -> None:
    path = app.folder / "migrations" / name
    path.write_text((path.read_text() if path.exists() else "") + "\n# a remark\n")
    now = tree(app.folder / "migrations")
    told = words(app, "squash", "--undo", "a3", check=3)
    assert "that are not as the squash wrote them: after an undo nobody could tell them apart" in told
    assert f"?? migrations/{name}" in told
    assert "git stash" not in told
    assert "git add --all && git commit" in told
    assert tree(app.folder / "migrations") == now
    commit(app, "as it was told")
    app.run("squash", "--undo", "a3", check=0)
    assert tree(app.folder / "migrations").keys() == before.keys()
    assert git(app, "show", f"HEAD:migrations/{name}").endswith("# a remark\n")


def test_an_original_that_is_nowhere_stops_it(app: Project) -> None:
    (app.folder / "migrations/squashed/a3/a2_names.py").unlink()
    now = tree(app.folder / "migrations")
    told = words(app, "squash", "--undo", "a3", check=10)
    assert "migrations/squashed/a3/a2_names.py: missing" in told
    assert "git checkout HEAD -- migrations/versions/a2_names.py" in told
    assert tree(app.folder / "migrations") == now


def test_a_file_in_the_place_of_an_original_is_not_written_over(app: Project) -> None:
    path = app.revision("b4", "a3", "more").rename(app.folder / "migrations" / "versions" / "a2_names.py")
    text = path.read_text()
    told = words(app, "squash", "--undo", "a3", check=4)
    assert "a2_names.py is where an original belongs, and is another one" in told
    assert path.read_text() == text


@pytest.mark.parametrize("name", [SQUASH, "squashed/a3/a note.txt"])
def test_without_git_only_what_is_as_it_was_written_goes(app: Project, name: str) -> None:
    shutil.rmtree(app.folder / ".git")
    path = app.folder / "migrations" / name
    path.write_text((path.read_text() if path.exists() else "") + "\n# a remark\n")
    now = tree(app.folder / "migrations")
    told = words(app, "squash", "--undo", "a3", check=3)
    assert "is not as it was written, and no commit has it" in told
    assert "git init && git add --all && git commit" in told
    assert tree(app.folder / "migrations") == now


def test_an_edited_shortcut_stays(app: Project, before: dict[str, bytes]) -> None:
    app.run("squash", "--undo", "a3", check=0)
    git(app, "reset", "-q", "--hard")
    app.run("squash", "--shortcut", "-m", "short", check=0)
    path = app.folder / "migrations" / "squashed" / "a3" / "shortcut" / "a3_short.py"
    text = path.read_text()
    path.write_text(text + "\n# a remark\n")
    told = words(app, "squash", "--undo", "a3", check=3)
    assert "no commit has it" in told
    assert "git add -f migrations/squashed/a3/shortcut/a3_short.py && git commit" in told
    assert path.exists()
    path.write_text(text)
    app.run("squash", "--undo", "a3", check=0)
    assert tree(app.folder / "migrations") == before


@pytest.mark.long
def test_of_several_squashes_of_one_run_each_is_undone_by_itself(
    tmp_path: Path, cluster: Cluster, database: str
) -> None:
    project = with_template(Project.create(tmp_path / "parts", cluster.url(database)))
    project.revision("b1", "a3", "aside")
    for id_, down in (("c1", "a3"), ("c2", "c1"), ("c3", "c2")):
        project.revision(id_, down, "ahead", f'op.add_column("users", sa.Column("{id_}", sa.Text))',
                         f'op.drop_column("users", "{id_}")')  # fmt: skip
    before = tree(project.folder / "migrations")
    git(project, "init", "-q")
    commit(project, "begin")
    told = project.run("squash", "--regions", "-m", "parts", check=0).stdout
    undone = [line.split()[-1] for line in told.splitlines() if "squash --undo" in line]
    assert len(undone) == 2
    for squash in undone:
        project.run("squash", "--undo", squash, check=0)
    assert tree(project.folder / "migrations") == before


@pytest.mark.long
def test_a_squash_of_a_squash_is_undone_straight_after_it(app: Project) -> None:
    commit(app, "the first squash")
    app.revision("a4", "a3", "plans", 'op.add_column("users", sa.Column("plan", sa.Text))',
                 'op.drop_column("users", "plan")')  # fmt: skip
    commit(app, "plans")
    before = tree(app.folder / "migrations")
    app.run("squash", "-m", "all four", check=0)
    git(app, "stash", "-q")
    told = words(app, "heads", check=4)
    assert "2 files are back beside the squash migrations/versions/a4_all_four.py" in told
    assert "alembic squash --undo a4" in told
    app.run("squash", "--rebase", "migrations/versions", check=0)
    assert "a4 (head)" in app.run("heads", check=0).stdout
    app.run("squash", "--undo", "a4", check=0)
    assert tree(app.folder / "migrations") == before
    app.run("squash", "--check", check=0)


# --- after `git stash`: the originals are back, and the squash is still there -------------------------------------------


@pytest.fixture
def stashed(app: Project) -> Project:
    git(app, "stash", "-q")
    return app


def test_all_that_came_back_is_named_with_both_ways_on(stashed: Project) -> None:
    for command in ("history", "heads", "safe-status"):
        told = words(stashed, command, check=4)
        assert "3 files are back beside the squash migrations/versions/a3_all_of_it.py, which stands for them" in told
        for name in ("a1_users", "a2_names", "a3_mails"):
            assert f"migrations/versions/{name}.py" in told
        assert "alembic squash --rebase migrations/versions" in told
        assert "alembic squash --undo a3" in told


def test_all_of_them_are_taken_out_again_in_one_step(
    stashed: Project, squashed_once: tuple[Path, dict[str, bytes]]
) -> None:
    told = words(stashed, "squash", "--rebase", "migrations/versions", check=0)
    assert "3 files are out of the way" in told
    assert tree(stashed.folder / "migrations") == tree(squashed_once[0] / "migrations")
    assert "No file in migrations/versions is back" in words(
        stashed, "squash", "--rebase", "migrations/versions", check=2
    )


def test_of_several_none_goes_where_one_is_another(stashed: Project) -> None:
    path = stashed.folder / "migrations" / "versions" / "a3_mails.py"
    path.write_text(path.read_text() + "\n# a remark\n")
    now = tree(stashed.folder / "migrations")
    files = [f"migrations/versions/{name}.py" for name in ("a1_users", "a2_names", "a3_mails")]
    given = [word for file in files for word in ("--rebase", file)]
    assert "a3_mails.py is not the original" in words(stashed, "squash", *given, check=4)
    assert "a3_mails.py is where an original belongs, and is another one" in words(
        stashed, "squash", "--undo", "a3", check=4
    )
    assert tree(stashed.folder / "migrations") == now


def test_the_squash_is_taken_out_and_nothing_else(stashed: Project, before: dict[str, bytes]) -> None:
    told = words(stashed, "squash", "--undo", "a3", check=0)
    assert "3 files that git had brought back" in told
    assert tree(stashed.folder / "migrations") == before
    assert git(stashed, "status", "--porcelain") == ""


def test_an_edited_squash_beside_them_stays(stashed: Project) -> None:
    path = stashed.folder / "migrations" / SQUASH
    path.write_text(path.read_text() + "\n# a remark\n")
    assert "not as the squash wrote them" in words(stashed, "squash", "--undo", "a3", check=3)
    assert path.read_text().endswith("# a remark\n")


def test_an_edited_original_in_the_archive_stays_where_git_brought_another_back(stashed: Project) -> None:
    shutil.rmtree(stashed.folder / ".git")
    path = stashed.folder / "migrations" / "squashed" / "a3" / "a2_names.py"
    path.write_text(path.read_text() + "\n# a remark\n")
    assert "no commit has it" in words(stashed, "squash", "--undo", "a3", check=3)
    assert path.read_text().endswith("# a remark\n")


def test_where_a_part_is_back_the_undo_brings_the_others(stashed: Project, before: dict[str, bytes]) -> None:
    (stashed.folder / "migrations" / "versions" / "a2_names.py").unlink()
    told = words(stashed, "heads", check=4)
    assert "2 files are back" in told
    assert "--undo" not in told
    stashed.run("squash", "--undo", "a3", check=0)
    assert tree(stashed.folder / "migrations") == before


def test_a_squash_is_never_told_to_leave_an_uncommitted_one_behind(app: Project, before: dict[str, bytes]) -> None:
    app.revision("a4", "a3", "and on")
    told = words(app, "squash", "-m", "again", check=3)
    assert "after a squash nobody could tell them apart" in told
    assert "git stash --include-untracked" in told
    git(app, "stash", "-q", "--include-untracked")
    assert tree(app.folder / "migrations") == before
    assert "a3 (head)" in app.run("heads", check=0).stdout


def test_a_file_that_is_named_twice_is_taken_out_once(stashed: Project) -> None:
    folder = "migrations/versions"
    stashed.run("squash", "--rebase", folder, "--rebase", f"{folder}/a1_users.py", check=0)
    assert "a3 (head)" in stashed.run("heads", check=0).stdout
