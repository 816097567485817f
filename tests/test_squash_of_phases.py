"""A squash takes a change as a whole or not at all, and leaves nothing of the phases; a database between them goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.deploys import columns, heads, rows, safe_upgrade
from tests.models_project import ENV_WITH_REWRITER, ModelsProject
from tests.phased import SETTLES, park, phase
from tests.squash_project import with_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster import Cluster
    from tests.project import Project

MODELS = """
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("nick", sa.String(20), nullable=False),
         sa.Column("fax", sa.Text))
sa.Table("stale", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text))
"""
LATER = """
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("handle", sa.String(20), nullable=False,
         index=True, info=renamed_from("nick")))
"""


@pytest.fixture
def phased(project: Project) -> Project:
    """Three plain revisions, an expand and a copy."""
    with_template(project)
    add = 'with op.step("add"):\n    op.add_column("users", sa.Column("fullname", sa.Text), if_not_exists=True)'
    project.revision("e1", "a3", "names", add, extra=phase("expand", more=SETTLES))
    project.revision("c1", "e1", "copy", 'op.execute("UPDATE users SET fullname = name")', extra=phase("copy"))
    return project


def files(project: Project) -> list[str]:
    return sorted(str(path.relative_to(project.folder)) for path in (project.folder / "migrations").rglob("*.py"))


def test_a_change_whose_contract_is_parked_is_refused_with_both_ways_out(phased: Project) -> None:
    park(phased, "k1", "c1")
    before = files(phased)
    for end in ("head", "e1"):
        said = phased.run("squash", end, "-m", "all", check=4).stderr
        assert "The change 'names' is still open" in said
        assert "contracts/names.py" in " ".join(said.split())
        assert 'alembic squash a3 -m "..."' in said
        assert "alembic safe-contract names" in said
    assert files(phased) == before


def test_a_part_of_a_change_is_refused_naming_the_rest_and_the_ways_out(phased: Project) -> None:
    phased.revision("k1", "c1", "contract", 'with op.step("no"):\n    pass', extra=phase("contract"))
    said = phased.run("squash", "c1", "-m", "all", check=4).stderr
    assert "a part of it: e1, c1 without k1" in " ".join(said.split())
    assert 'alembic squash a3 -m "..."' in said
    assert 'alembic squash k1 -m "..."' in said


def test_a_range_takes_a_change_as_a_whole_or_not_at_all(phased: Project) -> None:
    phased.revision("k1", "c1", "contract", 'with op.step("no"):\n    pass', extra=phase("contract"))
    phased.revision("a4", "k1", "later")
    for words, part in (("a2:c1", "e1, c1 without k1"), ("e1:a4", "c1, k1 without e1"), ("c1:a4", "k1 without e1, c1")):
        said = phased.run("squash", words, "-m", "some", check=4).stderr
        assert f"a part of it: {part}" in " ".join(said.split())
    assert 'alembic squash a2:k1 -m "..."' in phased.run("squash", "a2:e1", "-m", "some", check=4).stderr


def test_a_range_with_an_open_change_is_refused_with_both_ways_out(phased: Project) -> None:
    park(phased, "k1", "c1")
    before = files(phased)
    said = phased.run("squash", "a1:c1", "-m", "some", check=4).stderr
    assert "The change 'names' is still open" in said
    assert 'alembic squash a1:a3 -m "..."' in said
    assert "alembic safe-contract names" in said
    assert files(phased) == before


def test_what_is_before_an_open_change_is_squashed_as_the_message_says(phased: Project) -> None:
    park(phased, "k1", "c1")
    phased.run("squash", "a3", "-m", "the beginning", check=0)
    assert [path for path in files(phased) if "versions/" in path] == [
        "migrations/versions/a3_the_beginning.py", "migrations/versions/c1_copy.py", "migrations/versions/e1_names.py",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[ModelsProject]:
    """A project with a finished change that the rewriter wrote."""
    cluster.create("squash_phases")
    folder = tmp_path_factory.mktemp("phases")
    project = ModelsProject.make(folder / "app", cluster.url("squash_phases"), MODELS, env_py=ENV_WITH_REWRITER)
    project.run("revision", "--autogenerate", "-m", "first", check=0)
    project.run("upgrade", "head", check=0)
    project.models(LATER, imports="from alembic_safe import renamed_from")
    project.run("revision", "--autogenerate", "-m", "handles", check=0)
    project.run("upgrade", "head", check=0)
    project.run("safe-contract", check=0)
    yield project
    cluster.drop("squash_phases")


@pytest.fixture(scope="module")
def finished(
    whole: ModelsProject, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ModelsProject, ModelsProject, str]:
    """The same, squashed; and what was there before."""
    before = whole
    project = whole.copied_to(tmp_path_factory.mktemp("squashed") / "app", whole.url)
    done = project.run("squash", "-m", "everything", check=0)
    return project, before, done.stdout


def test_nothing_of_the_phases_is_left_in_a_squash_of_finished_changes(
    finished: tuple[ModelsProject, ModelsProject, str],
    cluster: Cluster,
    make_database: Callable[..., str],
    tmp_path: Path,
) -> None:
    project, _, said = finished
    (file,) = project.files
    text = file.read_text()
    for word in (
        "import alembic_safe",
        "alembic_safe_",
        "phase",
        "change =",
        "settles",
        "op.step",
        "sync",
        "retire",
        "stale",
        "nick",
    ):
        assert word not in text.split("def upgrade", 1)[1], word
        assert word not in text.split("replaces", 1)[0].split('"""')[-1], word
    assert "Proof" in said
    new = make_database()
    fresh = project.copied_to(tmp_path / "new", cluster.url(new))
    fresh.run("upgrade", "head", check=0)
    assert columns(cluster, new, "users") == ["id", "handle"]
    schemas = rows(cluster, new, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'alembic%'")
    assert schemas == []
    assert "No new upgrade operations detected" in fresh.run("check", check=0).stdout


@pytest.mark.long
def test_a_protected_database_between_the_phases_goes_on_through_the_originals(
    finished: tuple[ModelsProject, ModelsProject, str],
    cluster: Cluster,
    make_database: Callable[..., str],
    tmp_path: Path,
) -> None:
    project, before, _ = finished
    name = make_database()
    before.copied_to(tmp_path / "old", cluster.url(name)).run("upgrade", "head-2", check=0)
    rows(cluster, name, "INSERT INTO users (id, nick) SELECT i, 'n' || i FROM generate_series(1, 50) i")
    late = project.copied_to(tmp_path / "late", cluster.url(name))
    late.settings("environment = production\nbackup_dir = backups\ncontract_min_age = 0")
    plan = late.run("safe-plan", check=0).stdout
    assert "1 pending, 1 waiting" in plan
    assert "not observed" not in plan
    safe_upgrade(late, "--release", "v1", "--rehearse", "schema")
    rows(cluster, name, "UPDATE alembic_safe.revisions SET release = 'v0'")
    safe_upgrade(late, "--release", "v2", "--rehearse", "schema")
    assert heads(cluster, name) == [project.revision_of(project.files[0])]
    assert columns(cluster, name, "users") == ["id", "handle"]
    assert rows(cluster, name, "SELECT count(*) AS n FROM users WHERE handle = 'n' || id") == [{"n": 50}]


@pytest.mark.long
def test_a_finished_change_is_folded_as_a_whole(
    whole: ModelsProject, cluster: Cluster, make_database: Callable[..., str], tmp_path: Path
) -> None:
    names = [make_database(), make_database()]
    project = whole.copied_to(tmp_path / "app", cluster.url(names[0]))
    first, expand = (
        line.split(",")[0].split()[-1] for line in project.run("history", check=0).stdout.splitlines()[:-3:-1]
    )
    said = " ".join(project.run("squash", f"{first}:head", "-m", "handles", check=0).stdout.split())
    assert f"carried as it is written: {expand} (SyncColumnsOp)" in said
    assert "through the archive to the same database" in said
    for name, at in zip(names, (first, expand), strict=True):
        here = project.copied_to(tmp_path / at, cluster.url(name))
        here.run("upgrade", at, check=0)
        rows(cluster, name, "INSERT INTO users (id, nick) SELECT i, 'n' || i FROM generate_series(1, 50) i")
        here.run("upgrade", "head", check=0)
        assert columns(cluster, name, "users") == ["id", "handle"]
        assert rows(cluster, name, "SELECT count(*) AS n FROM users WHERE handle = 'n' || id") == [{"n": 50}]
        assert heads(cluster, name) == here.run("heads", check=0).stdout.split()[:1]
