"""What becomes of a squash: checked, undone, pruned, and met by branches of git that did not know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.squash_project import commit, git, on, rows, tree, with_template

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster import Cluster
    from tests.project import Project


@pytest.fixture
def app(project: Project) -> Project:
    """A project whose first three revisions are one, with a fourth behind them."""
    with_template(project)
    project.revision("a4", "a3", "plans", 'op.add_column("users", sa.Column("plan", sa.Text))',
                     'op.drop_column("users", "plan")')  # fmt: skip
    project.run("squash", "a3", "-m", "the first three", check=0)
    return project


def test_check_proves_again_and_finds_every_edit(app: Project) -> None:
    assert "1 squash: as certified, and proven again" in app.run("squash", "--check", check=0).stdout
    folder = app.folder / "migrations"
    for name in ("squashed/a3/a2_names.py", "versions/a3_the_first_three.py", "squashed/a3/certificate.json"):
        path = folder / name
        before = path.read_text()
        path.write_text(
            before.replace("sa.Text", "sa.String") if name.endswith(".py") else before.replace('"a1"', '"a9"')
        )
        assert path.read_text() != before
        assert "is not what was proven" in app.run("squash", "--check", check=4).stderr
        path.write_text(before)
    path = folder / "squashed/a3/a2_names.py"
    path.write_text(path.read_text().replace("\n", "\r\n"))  # what git may do
    app.run("squash", "--check", check=0)
    (folder / "squashed/a3/a1_users.py").rename(folder / "elsewhere.py")
    assert "a1_users.py: missing" in app.run("squash", "--check", check=4).stderr


def test_undo_leaves_every_file_as_it_was(project: Project) -> None:
    with_template(project)
    before = tree(project.folder / "migrations")
    project.run("squash", "-m", "all", check=0)
    assert tree(project.folder / "migrations") != before
    project.run("squash", "--undo", "a3", check=0)
    assert tree(project.folder / "migrations") == before


@pytest.mark.long
def test_a_squash_of_a_squash_still_knows_every_original(
    app: Project, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    app.run("squash", "-m", "all four", check=0)
    assert [path.name for path in (app.folder / "migrations" / "versions").glob("*.py")] == ["a4_all_four.py"]
    database = make_database()
    other = on(app, cluster.url(database))
    other.run("upgrade", "a2", check=0)
    assert other.run("current", check=0).stdout.strip() == "a2"
    other.run("upgrade", "head", check=0)
    assert other.run("current", check=0).stdout.strip() == "a4 (head)"
    other.run("squash", "--check", check=0)
    other.run("squash", "--undo", "a4", check=0)
    assert other.run("current", check=0).stdout.strip() == "a4 (head)"
    other.run("downgrade", "a1", check=0)
    assert other.run("current", check=0).stdout.strip() == "a1"


@pytest.mark.long
def test_pruning_asks_the_databases_and_leaves_word_for_the_late(
    app: Project, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    late = make_database()
    on(app, cluster.url(late)).run("upgrade", "a2", check=0)
    on(app, app.url)
    prune = ("squash", "--prune", "a3", "--through", "v2.4", "--accept", "prune:a3")
    refused = app.run(*prune, "--url", cluster.url(late), check=3)
    assert "A database still needs the originals" in refused.stderr
    assert "needs --through" in app.run("squash", "--prune", "a3", check=2).stderr
    assert "No other database was asked" in app.run(*prune[:-2], check=3).stderr
    app.run(*prune, check=0)
    assert list(tree(app.folder / "migrations" / "squashed")) == ["a3/pruned.json"]
    assert "a3: its originals were pruned on" in app.run("squash", "--check", check=0).stdout
    assert "nothing to hold it against, or to put back" in " ".join(
        app.run("squash", "--undo", "a3", check=10).stderr.split()
    )
    app.run("upgrade", "head", check=0)
    told = on(app, cluster.url(late)).run("upgrade", "head")
    assert told.returncode == 10
    assert "upgrade it with v2.4 of this project first" in " ".join(told.stderr.split())
    assert rows(cluster, late, "SELECT version_num FROM alembic_version") == [("a2",)]


@pytest.mark.long
def test_advice_goes_no_further_than_the_slowest_database(
    project: Project, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    with_template(project)
    slow = make_database()
    on(project, cluster.url(slow)).run("upgrade", "a2", check=0)
    on(project, project.url)
    project.run("upgrade", "head", check=0)
    found = project.run("squash", "--advise", "--url", cluster.url(slow), check=0).stdout
    assert "3 of them can be taken together, up to a3" in found
    assert 'alembic squash a2 -m "..."' in found


# --- git -------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_branch_whose_revision_follows_a_replaced_one_is_rebased(project: Project) -> None:
    with_template(project)
    git(project, "init", "-q")
    commit(project, "begin")
    git(project, "switch", "-q", "-c", "feature")
    path = project.revision("f1", "a2", "a feature", 'op.add_column("users", sa.Column("f", sa.Text))')
    commit(project, "feature")
    git(project, "switch", "-q", "main")
    project.run("squash", "-m", "all", check=0)
    commit(project, "squash")
    git(project, "merge", "-q", "feature", "-m", "merge")
    stopped = project.run("heads")
    assert stopped.returncode != 0
    command = "alembic squash --rebase migrations/versions/f1_a_feature.py"
    assert command in " ".join((stopped.stdout + stopped.stderr).split())
    before = path.read_text()
    project.run(*command.split()[1:], check=0)
    assert path.read_text() == before.replace("'a2'", "'a3'").replace("Revises: a2", "Revises: a3")
    project.run("upgrade", "head", check=0)
    assert project.run("current", check=0).stdout.strip() == "f1 (head)"


@pytest.mark.long
def test_a_branch_whose_revision_follows_one_in_a_folded_range_is_rebased(project: Project) -> None:
    with_template(project)
    git(project, "init", "-q")
    commit(project, "begin")
    git(project, "switch", "-q", "-c", "feature")
    path = project.revision("f1", "a2", "a feature", 'op.add_column("users", sa.Column("f", sa.Text))')
    commit(project, "feature")
    git(project, "switch", "-q", "main")
    project.run("upgrade", "a1", check=0)
    project.run("squash", "a1:a3", "-m", "names and mails", check=0)
    commit(project, "squash")
    git(project, "merge", "-q", "feature", "-m", "merge")
    command = "alembic squash --rebase migrations/versions/f1_a_feature.py"
    assert command in " ".join(project.run("upgrade", "head").stderr.split())
    project.run(*command.split()[1:], check=0)
    assert "Revises: a3" in path.read_text()
    project.run("upgrade", "head", check=0)
    assert project.run("history", check=0).stdout.splitlines() == [
        "a3 -> f1 (head), a feature", "a1 -> a3, names and mails", "<base> -> a1, users",
    ]  # fmt: skip
    project.run("squash", "--check", check=0)


@pytest.mark.long
def test_an_original_that_a_merge_brings_back_is_taken_out(project: Project) -> None:
    with_template(project)
    versions = project.folder / "migrations" / "versions"
    last = (versions / "a3_mails.py").read_text()
    (versions / "a3_mails.py").unlink()
    git(project, "init", "-q")
    commit(project, "begin")
    git(project, "switch", "-q", "-c", "feature")
    (versions / "a3_mails.py").write_text(last)
    commit(project, "mails")
    git(project, "switch", "-q", "main")
    git(
        project, "cherry-pick", "-x", "feature"
    )  # so that git sees two additions, and a squash that took one of them away
    project.run("squash", "-m", "all", check=0)
    commit(project, "squash")
    git(project, "switch", "-q", "feature")
    git(project, "merge", "-q", "main", "-m", "merge")
    assert (versions / "a3_mails.py").read_text() == last
    stopped = project.run("heads")
    assert stopped.returncode != 0
    assert "a3_mails.py is back beside the squash" in stopped.stderr
    command = "alembic squash --rebase migrations/versions/a3_mails.py"
    assert command in " ".join(stopped.stderr.split())
    (versions / "a3_mails.py").write_text(last.replace("sa.Text", "sa.String"))
    told = " ".join(project.run(*command.split()[1:], check=4).stderr.split())
    assert "it was changed on the other branch" in told
    (versions / "a3_mails.py").write_text(last)
    project.run(*command.split()[1:], check=0)
    assert not (versions / "a3_mails.py").exists()
    project.run("squash", "--check", check=0)
    project.run("upgrade", "head", check=0)
    assert git(project, "status", "--porcelain").split() == ["D", "migrations/versions/a3_mails.py"]


@pytest.mark.long
def test_a_remark_that_git_carries_into_the_archive_is_found(project: Project) -> None:
    with_template(project)
    git(project, "init", "-q")
    commit(project, "begin")
    git(project, "switch", "-q", "-c", "feature")
    old = project.folder / "migrations" / "versions" / "a2_names.py"
    old.write_text(old.read_text() + "\n# a remark of the feature's\n")
    commit(project, "a remark")
    git(project, "switch", "-q", "main")
    project.run("squash", "-m", "all", check=0)
    commit(project, "squash")
    # git takes the move for a rename
    git(project, "merge", "-q", "feature", "-m", "merge")
    assert not old.exists()
    assert "a2_names.py: changed" in project.run("squash", "--check", check=4).stderr


def test_what_is_not_committed_is_refused(project: Project) -> None:
    with_template(project)
    git(project, "init", "-q")
    commit(project, "begin")
    project.revision("a4", "a3", "half done")
    refused = project.run("squash", "-m", "all", check=3)
    assert "a4_half_done.py" in refused.stderr
    assert "no commit has" in refused.stderr
