"""Databases on the way are led on by the archive as by the files, with rows in them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.script import ScriptDirectory

from alembic_safe.database.shadow import open_shadow
from alembic_safe.database.squash_map import SquashedMap
from alembic_safe.errors import ProofFailed
from alembic_safe.history import rows
from alembic_safe.history.proof import Sides
from alembic_safe.history.through import prove_through
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.settings import Settings
from tests.project import Project
from tests.squash_project import with_template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster import Cluster

STEPS = ("a1", "a2", "a3", "a4", "a5", "a6")


def written(folder: Path, url: str) -> Project:
    """Write a history: a4 fills a column with other values each time, a5 does not take the rows that are made up."""
    project = with_template(Project.create(folder, url))
    project.revision("a4", "a3", "tokens", 'op.add_column("users", sa.Column("token", sa.Uuid))\n'
                     """op.execute("UPDATE users SET token = gen_random_uuid(), name = 'Eve'")""",
                     'op.drop_column("users", "token")')  # fmt: skip
    project.revision("a5", "a4", "only Ada", """op.create_check_constraint("ada", "users", "name = 'Ada'")""",
                     'op.drop_constraint("ada", "users")')  # fmt: skip
    project.revision("a6", "a5", "plans", 'op.create_table("plans", sa.Column("id", sa.Integer, primary_key=True))',
                     'op.drop_table("plans")')  # fmt: skip
    return project


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[tuple[Sides, Project, str]]:
    """The files, the same squashed, and what the squash said."""
    folder = tmp_path_factory.mktemp("way")
    cluster.create("squash_way")
    files, squashed = (written(folder / name, cluster.url("squash_way")) for name in ("files", "squashed"))
    said = squashed.run("squash", "-m", "all", check=0).stdout
    with open_shadow(None, Settings(shadow_url=cluster.url("squash_way"))) as shadow:
        yield Sides(
            files.config,
            lambda: ScriptDirectory.from_config(files.config),
            lambda: ScriptDirectory.from_config(squashed.config),
            lambda: ScriptDirectory.from_config(squashed.config),
            "a6",
            shadow.beside,
        ), squashed, said  # fmt: skip
    cluster.drop("squash_way")


def test_rows_that_the_files_do_not_take_are_left_out_where_they_stop(sides: tuple[Sides, Project, str]) -> None:
    said = " ".join(sides[2].split())
    assert "5 of 5 revisions before the last, with 4 generated rows: through the archive to the same database" in said
    assert "(1 of them without rows: on such rows the files themselves stop, before and after alike)" in said


def test_values_that_are_other_ones_each_time_are_no_difference(sides: tuple[Sides, Project, str]) -> None:
    found = prove_through(sides[0], STEPS, ("a3", "a4"), lambda _: None)
    assert [(one.revision, one.rows, bool(one.stopped)) for one in found] == [("a3", 2, False), ("a4", 0, True)]


def test_an_archive_that_leads_on_through_another_file_is_found(sides: tuple[Sides, Project, str]) -> None:
    path = sides[1].folder / "migrations" / "squashed" / "a6" / "a2_names.py"
    with edited({path: "sa.String"}, "sa.Text"), pytest.raises(ProofFailed, match="not led on as before") as stopped:
        prove_through(sides[0], STEPS, ("a1",), lambda _: None)
    assert stopped.value.detail == ("before only: a2", "after only: a2")


def test_a_file_that_does_something_else_where_it_lies_now_is_found(sides: tuple[Sides, Project, str]) -> None:
    archived = sides[1].folder / "migrations" / "squashed" / "a6" / "a6_plans.py"
    original = sides[0].config.get_main_option("script_location")
    assert original is not None
    both = (archived, Path(original) / "versions" / "a6_plans.py")
    other = "def upgrade():\n    'squashed' in __file__ and op.execute('CREATE TABLE extra (id integer)')\n"
    with (
        edited(dict.fromkeys(both, other), "def upgrade():\n"),
        pytest.raises(ProofFailed, match="from a2 on, with rows") as stopped,
    ):
        prove_through(sides[0], STEPS, ("a2",), lambda _: None)
    assert stopped.value.detail == ("table public.extra: extra",)


@contextmanager
def edited(texts: dict[Path, str], old: str) -> Iterator[None]:
    """Put other text in the place of one in files, and take it back."""
    before = {path: path.read_text() for path in texts}
    try:
        for path, text in before.items():
            assert old in text
            path.write_text(text.replace(old, texts[path]))
        yield
    finally:
        for path, text in before.items():
            path.write_text(text)


@pytest.mark.long
def test_files_that_do_not_go_on_in_a_second_run_are_no_obstacle(tmp_path: Path, cluster: Cluster) -> None:
    """Alembic makes an enum once in a run, whoever asks again: a database that stands between the two cannot go on."""
    cluster.create("squash_twice")
    project = with_template(Project.create(tmp_path / "twice", cluster.url("squash_twice"), plain=False))
    mood = 'sa.Column("mood", sa.Enum("sad", "ok", name="mood"))'
    project.revision("b1", None, "days", f'op.create_table("days", sa.Column("id", sa.Integer), {mood})',
                     'op.drop_table("days")')  # fmt: skip
    project.revision("b2", "b1", "pets", f'op.create_table("pets", sa.Column("id", sa.Integer), {mood})',
                     'op.drop_table("pets")')  # fmt: skip
    project.revision("b3", "b2", "ages", 'op.add_column("pets", sa.Column("age", sa.Integer))',
                     'op.drop_column("pets", "age")')  # fmt: skip
    done = project.run("squash", "-m", "all", check=0)
    assert "on the way: 2 of 2 revisions" in done.stdout
    assert "1 of them without rows" in done.stdout
    cluster.drop("squash_twice")


def test_originals_that_were_found_once_are_not_put_in_order_again(tmp_path: Path) -> None:
    """The proof leads database after database on, and each one finds the originals by itself."""
    project = Project.create(tmp_path, "postgresql+psycopg://nobody@localhost/none", plain=False)
    versions, archive = tmp_path / "migrations" / "versions", tmp_path / "migrations" / "squashed" / "a3"
    for rev, down in (("a1", None), ("a2", "a1"), ("a3", "a2")):
        project.revision(rev, down)
    versions.rename(archive.parent.with_name("originals"))
    archive.parent.mkdir()
    archive.parent.with_name("originals").rename(archive)
    versions.mkdir()
    project.revision("a3", None, extra='replaces = ("a1", "a2")')
    project.revision("a4", "a3")
    known = ScriptDirectory.from_config(project.config).revision_map
    assert isinstance(known, SquashedMap)
    known.expand(["a1"])
    again = known.collapsed()
    assert [again.get_revision(one) is again.get_revision("a3") for one in ("a1", "a2")] == [True, True]
    assert again.bases == ("a3",)
    again.expand(["a2"])
    assert [again.get_revision(one) is known.get_revision(one) for one in ("a1", "a3", "a4")] == [True, True, True]
    assert (again.bases, again.heads, known.bases) == (("a1",), ("a4",), ("a1",))


def test_the_rows_of_many_tables_are_read_as_they_lie_in_each(
    cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_AT_ONCE", 2)
    with cluster.connect(database) as connection:
        connection.execute(r'''
CREATE TABLE "50% ""off""" (z text, "a,b" text, made text GENERATED ALWAYS AS (z || '!') STORED);
INSERT INTO "50% ""off""" VALUES ('{x,"y"}', NULL), ('NULL', '\\'), ('', ' ');
CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES; INSERT INTO bare DEFAULT VALUES;
CREATE TABLE empty (id int);
CREATE TABLE parted (at date, n int[]) PARTITION BY RANGE (at);
CREATE TABLE late PARTITION OF parted FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE TABLE early PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
INSERT INTO parted VALUES ('2021-05-05', '{1,2}'), ('2020-05-05', NULL);
CREATE TABLE heir (extra int) INHERITS (empty); INSERT INTO heir VALUES (1, 2)''')
        found = {one.id.name: one for one in rows.read_contents(connection, read_catalog(connection)).tables}
    assert {name: (one.columns, one.rows) for name, one in found.items()} == {
        '50% "off"': (("z", "a,b"), (('{x,"y"}', None), ("NULL", "\\\\"), ("", " "))),
        "bare": ((), ((), ())),
        "parted": (("at", "n"), (("2021-05-05", "{1,2}"), ("2020-05-05", None))),
        "heir": (("id", "extra"), (("1", "2"),)),
    }
