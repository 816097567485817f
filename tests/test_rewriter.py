"""The hook on directives: drops are retired and renames keep their rows, phase by phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.models_project import ENV_WITH_REWRITER, ModelsProject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster

V1 = """
sa.Table("teams", metadata, sa.Column("id", sa.Integer, primary_key=True))
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("nick", sa.String(20), nullable=False,
         index=True, unique=True), sa.Column("team", sa.ForeignKey("teams.id")), sa.Column("fax", sa.Text))
sa.Table("stale", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text))
"""
V2 = """
sa.Table("teams", metadata, sa.Column("id", sa.Integer, primary_key=True))
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("handle", sa.String(40), nullable=False,
         index=True, unique=True, info=renamed_from("nick")),
         sa.Column("team_id", sa.ForeignKey("teams.id"), info=renamed_from("team")))
"""
MARK = "from alembic_safe import renamed_from"
ROWS = """
INSERT INTO teams VALUES (7);
INSERT INTO users VALUES (1, 'ada', 7, '+1'), (2, 'bob', NULL, NULL);
INSERT INTO stale VALUES (1, 'kept');
"""


@pytest.fixture
def project(tmp_path: Path, cluster: Cluster, database: str) -> ModelsProject:
    """A project at its first revision, with rows, whose ``env.py`` names the rewriter."""
    made = ModelsProject.make(tmp_path / "app", cluster.url(database), V1, env_py=ENV_WITH_REWRITER)
    made.run("revision", "--autogenerate", "-m", "first", check=0)
    made.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        connection.execute(ROWS)
    return made


def contract_of(project: ModelsProject) -> str:
    """The text of the one parked contract."""
    (path,) = (project.folder / "migrations" / "contracts").glob("*.py")
    return path.read_text()


def ship(project: ModelsProject) -> None:
    """Bring the parked contract into the chain, as it stands."""
    for path in (project.folder / "migrations" / "contracts").glob("*.py"):
        path.rename(project.folder / "migrations" / "versions" / path.name)


def test_a_renamed_column_keeps_its_rows_and_its_dependants_get_the_new_names(
    project: ModelsProject, cluster: Cluster, database: str
) -> None:
    project.models(V2, imports=MARK)
    project.run("revision", "--autogenerate", "-m", "handles", check=0)
    assert [path.name.split("_", 1)[1] for path in project.files_by_time[1:]] == [
        "expand_handles.py", "copy_handles.py"
    ]  # fmt: skip
    contract = contract_of(project)
    assert "op.retire_column('users', sa.Column('nick'" in contract
    assert "op.retire_column('users', sa.Column('fax'" in contract
    assert "op.retire_table('stale'" in contract
    assert not any("drop_column" in path.read_text() or "drop_table" in path.read_text() for path in project.files)
    project.run("upgrade", "head", check=0)
    assert "No new upgrade operations detected" in project.run("check", check=0).stdout
    ship(project)
    project.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        assert connection.execute("SELECT id, handle, team_id FROM users ORDER BY id").fetchall() == [
            (1, "ada", 7), (2, "bob", None),
        ]  # fmt: skip
        names = {
            row[0] for row in connection.execute("SELECT conname FROM pg_constraint WHERE conrelid = 'users'::regclass")
        }
        assert {name for name in names if not name.endswith("_not_null")} == {"users_pkey", "users_team_id_fkey"}
        assert connection.execute("SELECT to_regclass('ix_users_handle')::text, to_regclass('ix_users_nick')").fetchone() == (
            "ix_users_handle", None,
        )  # fmt: skip
    assert "No new upgrade operations detected" in project.run("check", check=0).stdout


def test_the_downgrade_brings_names_and_values_back(project: ModelsProject, cluster: Cluster, database: str) -> None:
    project.models(V2, imports=MARK)
    first = project.revision_of(project.files[0])
    project.run("revision", "--autogenerate", "-m", "handles", check=0)
    ship(project)
    project.run("upgrade", "head", check=0)
    project.run("downgrade", first, check=0)
    with cluster.connect(database) as connection:
        assert connection.execute("SELECT id, nick, team FROM users ORDER BY id").fetchall() == [
            (1, "ada", 7), (2, "bob", None),
        ]  # fmt: skip
        assert connection.execute("SELECT fax FROM users WHERE id = 1").fetchone() == ("+1",)
        assert connection.execute("SELECT text FROM stale").fetchone() == ("kept",)
    for path in project.files:
        if project.revision_of(path) != first:
            path.unlink()
    project.models(V1)
    assert "No new upgrade operations detected" in project.run("check", check=0).stdout


def test_what_nobody_called_a_rename_is_retired_and_added(
    project: ModelsProject, cluster: Cluster, database: str
) -> None:
    project.models(
        V2.replace(', info=renamed_from("nick")', "").replace("nullable=False", "nullable=True"), imports=MARK
    )
    project.run("revision", "--autogenerate", "-m", "handles", check=0)
    assert "op.retire_column('users', sa.Column('nick'" in contract_of(project)
    assert not any("sync_columns('users', 'nick'" in path.read_text() for path in project.files)
    ship(project)
    project.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        kept = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'alembic_safe_retired'"
        ).fetchall()
    assert any("nick" in row[0] for row in kept)


def test_a_downgrade_that_would_drop_what_was_added_retires_it(project: ModelsProject) -> None:
    project.models(V1.replace('sa.Column("fax", sa.Text)', 'sa.Column("fax", sa.Text), sa.Column("age", sa.Integer)'))
    project.run("revision", "--autogenerate", "-m", "ages", check=0)
    assert "op.add_column('users', sa.Column('age'" in project.text
    assert "op.retire_column('users', sa.Column('age'" in project.text


@pytest.mark.long
def test_a_renamed_table_keeps_its_rows(project: ModelsProject, cluster: Cluster, database: str) -> None:
    renamed = V1.replace('sa.Table("stale", metadata,', 'sa.Table("fresh", metadata, info=renamed_from("stale"), *[')
    renamed = renamed.replace('sa.Column("text", sa.Text))', 'sa.Column("text", sa.Text)])')
    project.models(renamed, imports=MARK)
    project.run("revision", "--autogenerate", "-m", "fresh", check=0)
    assert "op.rename_table('stale', 'fresh')" in project.text
    project.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        assert connection.execute("SELECT text FROM fresh").fetchone() == ("kept",)
        assert connection.execute("SELECT to_regclass('fresh_pkey')::text").fetchone() == ("fresh_pkey",)
    project.run("check", check=0)


@pytest.mark.long
def test_the_projects_own_hook_runs_behind_ours_whichever_chains_the_other(
    make_database: Callable[..., str], cluster: Cluster, tmp_path: Path
) -> None:
    def hooked(chain: str) -> str:
        own = (
            "from alembic.autogenerate.rewriter import Rewriter\nimport alembic_safe\nown = Rewriter()\n\n\n"
            "def note(context, revision, directives):\n    directives[0].message += ' (noted)'\n"
        )
        return ENV_WITH_REWRITER.replace("import alembic_safe\n", own, 1).replace("=alembic_safe.rewriter", f"={chain}")

    for number, chain in enumerate(("alembic_safe.rewriter.chain(note)", "own.chain(alembic_safe.rewriter)")):
        project = ModelsProject.make(tmp_path / str(number), cluster.url(make_database()), V1, env_py=hooked(chain))
        project.run("revision", "--autogenerate", "-m", "first", check=0)
        project.run("upgrade", "head", check=0)
        project.models(V2, imports=MARK)
        project.run("revision", "--autogenerate", "-m", "second", check=0)
        assert "op.retire_table('stale'" in contract_of(project)
        expand = next(path.read_text() for path in project.files if "expand" in path.name)
        assert ("expand: second (noted)" in expand) is (number == 0)
