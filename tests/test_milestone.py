"""`alembic milestone`: what was pushed becomes one proven revision."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.models_project import ENV_WITH_REWRITER, ModelsProject
from tests.shadows import no_shadow_stays

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster

V1 = """
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("nick", sa.Text, nullable=False),
         sa.Column("fax", sa.Text), sa.Column("mood", sa.Enum("good", "bad", name="mood"), nullable=False))
"""
V2 = """
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("handle", sa.Text, nullable=False),
         sa.Column("mood", sa.Enum("good", "fair", "bad", name="mood"), nullable=False),
         sa.Column("plan", sa.Text, nullable=False))
"""
ROWS = "INSERT INTO users (id, nick, fax, mood) VALUES (1, 'ada', '+1', 'good'), (2, 'bob', NULL, 'bad')"
PUSH = ("dev-push", "--rename", "users.nick:handle", "--accept", "drop-column:users.fax", "--fill", "users.plan='free'")
AFTER = [(1, "ada", "good", "free"), (2, "bob", "bad", "free")]


def rows(
    cluster: Cluster, database: str, query: str = "SELECT id, handle, mood::text, plan FROM users ORDER BY id"
) -> list:
    with cluster.connect(database) as connection:
        return connection.execute(query).fetchall()


def version(cluster: Cluster, database: str) -> list[str]:
    return [row[0] for row in rows(cluster, database, "SELECT version_num FROM alembic_version")]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster):  # type: ignore[no-untyped-def]
    """A project at its first revision, and a database with rows in it to copy from."""
    cluster.create("milestone_begun")
    folder = tmp_path_factory.mktemp("begun") / "app"
    made = ModelsProject.make(folder, cluster.url("milestone_begun"), V1)
    made.run("revision", "--autogenerate", "-m", "users", check=0)
    made.run("upgrade", "head", check=0)
    with cluster.connect("milestone_begun") as connection:
        connection.execute(ROWS)
    yield made
    cluster.drop("milestone_begun")


@pytest.fixture
def app(begun: ModelsProject, make_database: Callable[..., str], cluster: Cluster, tmp_path: Path) -> ModelsProject:
    """A copy of that project on a copy of that database; its name is the last part of ``url``."""
    return begun.copied_to(tmp_path / "app", cluster.url(make_database(template="milestone_begun")))


def name(app: ModelsProject) -> str:
    return app.url.rpartition("/")[2]


def test_a_push_becomes_one_revision_that_leads_an_older_database_with_rows_to_the_same(
    app: ModelsProject, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    older = make_database(template="milestone_begun")
    app.models(V2)
    app.run(*PUSH, check=0)
    done = app.run("milestone", "-m", "handles and plans", check=0)
    assert "is marked as" in done.stdout
    assert len(app.files) == 2
    text = app.text
    assert "op.alter_column('users', 'nick', new_column_name='handle')" in text
    assert "op.retire_column('users', sa.Column('fax'" in text
    assert "drop_column" not in text
    assert "commands auto generated" not in text
    assert text.startswith('"""handles and plans\n\nAdds users.plan.\nRenames users.nick to handle.\n')
    assert version(cluster, name(app)) == [app.revision_of(app.files_by_time[-1])]
    assert rows(cluster, name(app)) == AFTER
    app.run("check", check=0)
    other = app.on(cluster.url(older))
    other.run("upgrade", "head", check=0)
    assert rows(cluster, older) == AFTER
    other.run("check", check=0)
    no_shadow_stays(cluster)
    again = app.run("milestone", "-m", "again", check=0)
    assert "no revision was needed" in again.stdout
    assert len(app.files) == 2


def test_after_a_push_check_and_autogenerate_name_milestone_and_write_nothing(app: ModelsProject) -> None:
    app.models(V2)
    app.run(*PUSH, check=0)
    for words in (("check",), ("revision", "--autogenerate", "-m", "empty")):
        done = app.run(*words, check=4)
        assert "alembic milestone -m" in done.stderr
        assert "No new upgrade operations" not in done.stdout
    assert len(app.files) == 1


@pytest.mark.long
def test_what_a_push_did_and_another_took_back_needs_no_file_and_check_is_clean_again(app: ModelsProject) -> None:
    app.models(V1.replace('sa.Column("fax", sa.Text),', 'sa.Column("fax", sa.Text), sa.Column("age", sa.Integer),'))
    app.run("dev-push", check=0)
    app.models(V1)
    app.run("dev-push", "--accept", "drop-column:users.age", check=0)
    app.run("check", check=4)
    done = app.run("milestone", "-m", "nothing", check=0)
    assert "no revision was needed" in done.stdout
    assert len(app.files) == 1
    app.run("check", check=0)


def test_a_revision_that_arrived_meanwhile_stops_it_before_anything_is_written(
    app: ModelsProject, cluster: Cluster
) -> None:
    app.models(V2)
    app.run(*PUSH, check=0)
    first = app.files[0]
    app.revision("cafe01", app.revision_of(first), "arrived", "op.execute('CREATE TABLE theirs (id int PRIMARY KEY)')",
                 "op.execute('DROP TABLE theirs')")  # fmt: skip
    done = app.run("milestone", "-m", "late", check=3)
    assert "cafe01" in done.stderr
    assert "alembic upgrade head" in done.stderr
    assert len(app.files) == 2
    assert version(cluster, name(app)) == [app.revision_of(first)]


def test_a_dry_run_prints_the_file_and_writes_nothing(app: ModelsProject, cluster: Cluster) -> None:
    app.models(V2)
    app.run(*PUSH, check=0)
    before = version(cluster, name(app))
    done = app.run("milestone", "-m", "handles", "--dry-run", check=0)
    assert "new_column_name='handle'" in done.stdout
    assert len(app.files) == 1
    assert sorted(path.name for path in (app.folder / "migrations").iterdir() if path.name != "__pycache__") == [
        "env.py", "script.py.mako", "versions",
    ]  # fmt: skip
    assert version(cluster, name(app)) == before
    app.run("check", check=4)


def test_a_message_that_would_break_the_file_is_refused_and_nothing_is_left(app: ModelsProject) -> None:
    app.models(V2)
    app.run(*PUSH, check=0)
    before = app.files
    done = app.run("milestone", "-m", 'three """ in a row', check=2)
    assert "is no Python" in done.stderr
    assert app.files == before
    assert "INFO  [alembic.safe.retire]" not in done.stderr  # what happens on a shadow is nobody's news


@pytest.mark.long
def test_a_database_with_more_than_the_files_is_not_stamped_and_the_rest_is_listed(
    app: ModelsProject, cluster: Cluster
) -> None:
    app.models(V2)
    app.run(*PUSH, check=0)
    with cluster.connect(name(app)) as connection:
        connection.execute("CREATE VIEW by_hand AS SELECT 1 AS one")
    before = version(cluster, name(app))
    done = app.run("milestone", "-m", "handles", "--json", check=4)
    said = json.loads(done.stdout)
    assert said["stamped"] is False
    assert any("by_hand" in line for line in said["different"])
    assert len(app.files) == 2
    assert version(cluster, name(app)) == before


@pytest.mark.long
def test_without_a_stamp_the_file_is_there_and_the_database_as_it_was(app: ModelsProject, cluster: Cluster) -> None:
    app.models(V2)
    app.run(*PUSH, check=0)
    before = version(cluster, name(app))
    done = app.run("milestone", "-m", "handles", "--no-stamp", check=0)
    assert len(app.files) == 2
    assert version(cluster, name(app)) == before
    app.run("stamp", app.revision_of(app.files_by_time[-1]), check=0)
    assert "alembic stamp" in done.stdout
    app.run("check", check=0)


def test_a_protected_database_is_not_stamped_and_the_way_on_is_named(app: ModelsProject) -> None:
    app.models(V1.replace('sa.Column("fax", sa.Text),', 'sa.Column("fax", sa.Text), sa.Column("age", sa.Integer),'))
    done = app.run("milestone", "-m", "ages", check=3, ALEMBIC_SAFE_ENVIRONMENT="production")
    assert "--no-stamp" in done.stderr
    assert len(app.files) == 1


@pytest.mark.long
def test_without_pushes_the_revision_is_yet_to_run_here(app: ModelsProject) -> None:
    app.models(V1.replace('sa.Column("fax", sa.Text),', 'sa.Column("fax", sa.Text), sa.Column("age", sa.Integer),'))
    done = app.run("milestone", "-m", "ages", check=0)
    assert "alembic upgrade head" in done.stdout
    app.run("upgrade", "head", check=0)
    app.run("check", check=0)


@pytest.mark.long
def test_nobody_said_what_was_renamed_and_every_way_on_works(app: ModelsProject) -> None:
    app.models(V1.replace('"fax"', '"phone"'))
    done = app.run("milestone", "-m", "phones", check=3)
    assert "--rename users.fax:phone" in done.stderr
    assert len(app.files) == 1
    gone = app.run("milestone", "-m", "phones", "--accept", "drop-column:users.fax", "--dry-run", check=0)
    assert "op.retire_column('users', sa.Column('fax'" in gone.stdout
    assert "nothing of that name" not in gone.stderr
    words = (
        "milestone",
        "-m",
        "phones",
        "--accept",
        "drop-column:users.fx",
        "--rename",
        "users.fax:phone",
        "--dry-run",
    )
    said = (
        "Note     --accept drop-column:users.fx: nothing of that name is found. Did you mean drop-column:users.fax?\n"
    )
    assert said in app.run(*words, check=0).stderr
    app.run("milestone", "-m", "phones", "--rename", "users.fax:phone", check=0)
    assert "op.alter_column('users', 'fax', new_column_name='phone')" in app.text


@pytest.mark.long
def test_the_projects_template_names_hooks_and_directives_are_honoured(app: ModelsProject) -> None:
    ini = app.folder / "alembic.ini"
    lines = (
        "file_template = %%(year)d/%%(slug)s_%%(rev)s\nrecursive_version_locations = true\n"
        "[post_write_hooks]\nhooks = mark\nmark.type = exec\nmark.executable = " + str(app.folder / "mark.sh") + "\n"
        "mark.options = REVISION_SCRIPT_FILENAME\n"
    )
    ini.write_text(ini.read_text() + lines)
    (app.folder / "mark.sh").write_text('#!/bin/sh\necho "# hooked" >> "$1"\n')
    (app.folder / "mark.sh").chmod(0o755)
    mako = app.folder / "migrations" / "script.py.mako"
    mako.write_text(mako.read_text().replace("from alembic import op", "# house style\nfrom alembic import op"))
    (app.folder / "migrations" / "env.py").write_text(ENV_WITH_REWRITER)
    app.models(V1.replace('sa.Column("fax", sa.Text),', ""))
    app.run("milestone", "-m", "No fax", check=0)
    path = app.files_by_time[-1]
    assert path.parent.name.isdigit()
    assert path.name.startswith("expand_no_fax_")
    (contract,) = (app.folder / "migrations" / "contracts").rglob("*.py")
    for text in (path.read_text(), contract.read_text()):
        assert "# house style" in text
        assert text.endswith("# hooked\n")
    assert "op.retire_column('users', sa.Column('fax'" in contract.read_text()


@pytest.mark.long
def test_a_file_that_does_not_do_what_it_is_for_is_kept_aside(app: ModelsProject, cluster: Cluster) -> None:
    spoiled = ENV_WITH_REWRITER.replace("import alembic_safe\n", "from alembic.operations import ops\n\n\n"
        "def spoil(context, revision, directives):\n"
        "    directives[0].upgrade_ops.ops.append(ops.ExecuteSQLOp('CREATE TABLE surplus (id int)'))\n\n", 1)  # fmt: skip
    (app.folder / "migrations" / "env.py").write_text(spoiled.replace("=alembic_safe.rewriter", "=spoil"))
    app.models(V1.replace('sa.Column("fax", sa.Text),', ""))
    done = app.run("milestone", "-m", "no fax", check=8)
    assert "surplus" in done.stderr
    assert len(app.files) == 1
    kept = list((app.folder / "migrations" / "rejected").glob("*.py.rejected"))
    assert len(kept) == 1
    assert "surplus" in kept[0].read_text()
    app.run("history", check=0)
    no_shadow_stays(cluster)


@pytest.mark.long
def test_a_new_label_that_the_same_revision_uses_is_committed_before_it(
    app: ModelsProject, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    older = make_database(template="milestone_begun")
    mood = 'sa.Column("mood", sa.Enum("good", "bad", name="mood"), nullable=False)'
    assert mood in V1
    app.models(
        V1.replace(
            mood, 'sa.Column("mood", sa.Enum("good", "bad", "odd", name="mood"), nullable=False, server_default="odd")'
        )
    )
    app.run("milestone", "-m", "odd moods", check=0)
    assert "autocommit_block" in app.text
    other = app.on(cluster.url(older))
    other.run("upgrade", "head", check=0)
    with cluster.connect(older) as connection:
        connection.execute("INSERT INTO users (id, nick) VALUES (3, 'eve')")
    assert rows(cluster, older, "SELECT mood::text FROM users WHERE id = 3") == [("odd",)]


@pytest.mark.long
def test_with_several_heads_one_is_named_and_the_others_stay(app: ModelsProject) -> None:
    first = app.revision_of(app.files[0])
    for branch in ("aaaa01", "bbbb01"):
        app.revision(branch, first, branch, f"op.execute('CREATE TABLE {branch} (id int PRIMARY KEY)')",
                     f"op.execute('DROP TABLE {branch}')")  # fmt: skip
    app.run("upgrade", "heads", check=0)
    models = V1.replace('sa.Column("fax", sa.Text),', "")
    models += '\nfor name in ("aaaa01", "bbbb01"):\n    sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True,'
    models += " autoincrement=False))\n"
    app.models(models)
    done = app.run("milestone", "-m", "no fax", check=2)
    assert "--head aaaa01" in done.stderr
    app.run("milestone", "-m", "no fax", "--head", "aaaa01", "--depends-on", "bbbb01", check=0)
    assert "down_revision: Union[str, Sequence[str], None] = 'aaaa01'" in app.text
    assert "depends_on: Union[str, Sequence[str], None] = 'bbbb01'" in app.text
    app.run("upgrade", "heads", check=0)
    app.run("check", check=0)
    assert len(app.files) == 4


@pytest.mark.long
def test_a_revision_can_be_spliced_in_beside_a_head(app: ModelsProject) -> None:
    first = app.revision_of(app.files[0])
    app.revision("aaaa01", first, "branch", "op.execute('CREATE TABLE branch (id int PRIMARY KEY)')",
                 "op.execute('DROP TABLE branch')")  # fmt: skip
    app.run("upgrade", "heads", check=0)
    branch = '\nsa.Table("branch", metadata, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))\n'
    app.models(V1.replace('sa.Column("fax", sa.Text),', "") + branch)
    app.run("milestone", "-m", "no fax", "--head", first, "--splice", check=0)
    assert f"down_revision: Union[str, Sequence[str], None] = '{first}'" in app.text
    app.run("upgrade", "heads", check=0)
    app.run("check", check=0)
