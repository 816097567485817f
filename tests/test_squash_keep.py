"""`alembic squash --keep`, and values that only the code of a revision can make: what has to run as it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.project import Project
from tests.squash_project import dump, on, rows, tree, with_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster import Cluster

FOLDER = '''
import pathlib

WORD = "100% :root"
TABLE = 'Users: "50%"'


def note(bind, word=WORD):
    """Say it to the outside, and to the database."""
    pathlib.Path("said.txt").write_text(word)
    bind.execute(sa.text('UPDATE "Users: ""50%""" SET "the kind" = :word').bindparams(word=word))
'''


def write(folder: Path, url: str) -> Project:
    """Write a history of which one revision writes a file, and one behind it a key that is another one each time."""
    project = with_template(Project.create(folder, url, plain=False))
    add = project.revision
    add("k1", None, "users", 'op.create_table(T, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))',
        "op.drop_table(T)", extra="T = 'Users: \"50%\"'")  # fmt: skip
    add("k2", "k1", "Ada", 'op.bulk_insert(sa.table(T, sa.column("name", sa.Text)), [{"name": "Ada"}])',
        "op.execute(sa.table(T).delete())", extra="T = 'Users: \"50%\"'")  # fmt: skip
    add("k3", "k2", "said: 100%", 'op.add_column(TABLE, sa.Column("the kind", sa.Text))\nnote(op.get_bind())',
        'op.drop_column(TABLE, "the kind")', extra=FOLDER)  # fmt: skip
    add("k4", "k3", "a table", 'op.create_table("keys", sa.Column("id", sa.Integer, primary_key=True))\n'
        'op.add_column("keys", sa.Column("key", sa.Text))', 'op.drop_table("keys")')  # fmt: skip
    add("k5", "k4", "a key", 'op.execute(f"INSERT INTO keys (key) VALUES (\'{secrets.token_urlsafe(9)}\')")',
        'op.execute("DELETE FROM keys")', extra="import secrets")  # fmt: skip
    add("k6", "k5", "the end", 'op.alter_column(T, "name", new_column_name="full name")',
        'op.alter_column(T, "full name", new_column_name="name")', extra="T = 'Users: \"50%\"'")  # fmt: skip
    return project


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[tuple[Project, Project, str]]:
    """The history, the same squashed with ``--keep k3``, and what that said."""
    cluster.create("squash_keep")
    folder = tmp_path_factory.mktemp("keep")
    before = write(folder / "before", cluster.url("squash_keep"))
    after = write(folder / "after", cluster.url("squash_keep"))
    told = after.run("squash", "-m", "All of it", "--keep", "k3", check=0).stdout
    yield before, after, " ".join(told.split())
    cluster.drop("squash_keep")


@pytest.mark.long
def test_a_kept_revision_runs_on_a_new_database_as_it_is_written(
    kept: tuple[Project, Project, str], cluster: Cluster, make_database: Callable[..., str]
) -> None:
    before, after, told = kept
    assert "carried: files in k3 (.write_text()" in told
    assert "carried as it is written: k3 (kept, as asked)" in told
    said = after.folder / "said.txt"
    said.unlink()  # the proof ran it, too
    old, new = make_database(), make_database()
    on(before, cluster.url(old)).run("upgrade", "head", check=0)
    here = on(after, cluster.url(new))
    here.run("upgrade", "head", check=0)
    assert said.read_text() == "100% :root"
    assert dump(cluster, new) == dump(cluster, old)
    query = 'SELECT "full name", "the kind", (SELECT length(key) FROM keys) FROM "Users: ""50%"""'
    assert rows(cluster, new, query) == rows(cluster, old, query) == [("Ada", "100% :root", 12)]
    keys = [rows(cluster, database, "SELECT key FROM keys") for database in (old, new)]
    assert keys[0] != keys[1]
    here.run("downgrade", "base", check=0)
    assert rows(cluster, new, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 2200") == [
        ("alembic_version",)
    ]


def test_what_is_before_it_is_made_anew_and_what_is_behind_it_folded(kept: tuple[Project, Project, str]) -> None:
    _, after, told = kept
    (file,) = (after.folder / "migrations" / "versions").glob("*.py")
    text = file.read_text()
    first, heading, behind = text.partition("# from here on in the order of the files")
    assert heading
    assert '"name": "Ada"' in first
    assert "op.add_column" not in behind.partition("def downgrade")[0]  # k4's table has its column from the start
    assert '"""said: 100% (k3, as it was written)."""' in first
    assert "secrets" in text
    assert "made anew each time: keys.key" in told
    assert "alembic_safe." not in text


@pytest.mark.long
def test_it_is_checked_squashed_again_and_undone(
    kept: tuple[Project, Project, str], tmp_path: Path, cluster: Cluster, database: str
) -> None:
    import shutil

    shutil.copytree(kept[1].folder, tmp_path / "copy")
    project = on(Project(tmp_path / "copy", ""), cluster.url(database))
    before = tree(project.folder / "migrations" / "versions")
    assert "1 squash: as certified, and proven again" in project.run("squash", "--check", check=0).stdout
    project.revision("k7", "k6", "later", 'op.add_column("keys", sa.Column("later", sa.Text))',
                     'op.drop_column("keys", "later")')  # fmt: skip
    assert "--keep k6" in project.run("squash", "-m", "again", check=3).stderr
    project.run("squash", "-m", "again", "--keep", "k6", check=0)
    project.run("upgrade", "head", check=0)
    assert "100% :root" in str(rows(cluster, database, 'SELECT "the kind" FROM "Users: ""50%"""'))
    project.run("squash", "--undo", "k7", check=0)
    found = tree(project.folder / "migrations" / "versions")
    assert {name: found[name] for name in before} == before


@pytest.mark.long
def test_without_a_word_it_stops_before_anything_runs_and_names_both_ways(tmp_path: Path, cluster: Cluster,
                                                                          database: str) -> None:  # fmt: skip
    project = write(tmp_path / "app", cluster.url(database))
    versions = tree(project.folder / "migrations")
    told = project.run("squash", "-m", "x", check=3).stderr
    assert 'alembic squash -m "..." --keep k3' in told
    assert 'alembic squash -m "..." --accept outside:k3' in told
    assert not (project.folder / "said.txt").exists()
    assert "k9" in project.run("squash", "-m", "x", "--keep", "k9", check=2).stderr
    assert "k5 is none of the revisions" in project.run("squash", "k4", "-m", "x", "--keep", "k5", check=2).stderr
    assert tree(project.folder / "migrations") == versions
    # in a later range everything is carried, so there is nothing to ask; --keep takes a revision out of the folding
    told = project.run("squash", "k1:k4", "-m", "x", "--keep", "k4", "--dry-run", check=0).stdout
    assert "k4 (kept, as asked)" in " ".join(told.split())
    assert "carried: files in k3" in told


def test_a_value_that_only_its_code_can_make_is_made_by_that(tmp_path: Path, cluster: Cluster, database: str) -> None:
    project = write(tmp_path / "app", cluster.url(database))
    told = project.run("squash", "-m", "all", "--accept", "outside:k3", check=0).stdout
    text = " ".join(told.split())
    assert "left to the archive: files in k3" in text
    way = "keys.key is another one each time; --accept fixed:keys.key writes this one for all"
    assert f"carried as it is written: k5 ({way})" in text
    (project.folder / "said.txt").unlink()
    project.run("upgrade", "head", check=0)
    assert not (project.folder / "said.txt").exists()
    assert rows(cluster, database, 'SELECT "the kind", length(key) FROM "Users: ""50%""", keys') == [("100% :root", 12)]


@pytest.mark.long
def test_a_value_that_only_its_code_can_make_is_the_same_for_all_where_that_is_right(
    tmp_path: Path, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    project = write(tmp_path / "app", cluster.url(make_database()))
    way = ("--accept", "outside:k3", "--accept", "fixed:public.keys.key")
    told = " ".join(project.run("squash", "-m", "all", *way, check=0).stdout.split())
    assert "the same for all, as it was made now: keys.key" in told
    assert "made anew each time" not in told
    assert "carried" not in told
    project.run("squash", "--check", check=0)
    found = []
    for database in (make_database(), make_database()):
        on(project, cluster.url(database)).run("upgrade", "head", check=0)
        found += rows(cluster, database, "SELECT id, key FROM keys")
    assert found[0] == found[1]
    assert len(found[0][1]) == 12


@pytest.mark.long
def test_what_cannot_be_made_in_one_go_is_carried(
    project: Project, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    with_template(project)
    # the columns of an heir stand in an order in which no CREATE TABLE puts them
    project.revision("a4", "a3", "heirs", 'op.execute("CREATE TABLE top (a int)")\n'
                     'op.execute("CREATE TABLE heir (b int) INHERITS (top)")', "")  # fmt: skip
    project.revision("a5", "a4", "later", 'op.execute("ALTER TABLE top ADD COLUMN late int")', "")
    told = project.run("squash", "-m", "x", check=8).stderr
    assert "column order: a, b, late -> a, late, b" in told
    assert "the same command with --keep REVISION" in told
    old, new = make_database(), make_database()
    on(project, cluster.url(old)).run("upgrade", "head", check=0)
    on(project, project.url).run("squash", "-m", "x", "--keep", "head", check=0)
    here = on(project, cluster.url(new))
    here.run("upgrade", "head", check=0)
    assert dump(cluster, new) == dump(cluster, old)
    # these downgrades leave what they have made, so what is carried cannot be taken back
    (file,) = (project.folder / "migrations" / "versions").glob("*.py")
    assert "raise NotImplementedError('table public.heir is left after the downgrades" in file.read_text()


@pytest.mark.long
def test_another_number_of_rows_each_time_stops_it(project: Project) -> None:
    with_template(project)
    rows_ = "SELECT n FROM generate_series(1, {time.time_ns() // 1000 % 9973 + 1}) n"
    project.revision("a4", "a3", "rows", f'import time\nop.execute(f"INSERT INTO users (id) {rows_}")')
    before = tree(project.folder / "migrations")
    told = " ".join(project.run("squash", "-m", "x", check=3).stderr.split())
    assert "another number of rows each time" in told
    assert "table public.users: " in told
    assert tree(project.folder / "migrations") == before
