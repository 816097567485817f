"""A project whose env.py imports alembic-postgresql-enum as well: its operations become phases, and none comes twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.models_project import ENV_WITH_REWRITER, ModelsProject

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster import Cluster

MODELS = """
status = sa.Enum({labels}, name="status")
sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True),
         sa.Column("status", status, info={{"enum": {{"finished": "done"}}}}))
"""


@pytest.fixture
def project(tmp_path: Path, cluster: Cluster, database: str) -> ModelsProject:
    """A project at its first revision, with rows."""
    env_py = ENV_WITH_REWRITER.replace(
        "import alembic_safe\n", "import alembic_postgresql_enum\nimport alembic_safe\n", 1
    )
    made = ModelsProject.make(
        tmp_path / "app", cluster.url(database), MODELS.format(labels="'open', 'finished'"), env_py=env_py
    )
    made.run("revision", "--autogenerate", "-m", "first", check=0)
    made.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        connection.execute("INSERT INTO orders VALUES (1, 'open'), (2, 'finished')")
    return made


@pytest.mark.long
def test_what_it_would_write_at_once_becomes_phases(project: ModelsProject, cluster: Cluster, database: str) -> None:
    project.models(MODELS.format(labels="'open', 'done'"))
    project.run("revision", "--autogenerate", "-m", "done", check=0)
    (contract,) = (project.folder / "migrations" / "contracts").glob("*.py")
    assert "op.swap_enum_types('status', 'status_new')" in contract.read_text()
    assert not any("sync_enum_values" in path.read_text() for path in project.files)
    project.run("upgrade", "head", check=0)
    project.run("check", check=0)  # it would drop status_new, and sync status
    project.run("safe-contract", check=0)
    project.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        assert connection.execute("SELECT status::text FROM orders ORDER BY id").fetchall() == [("open",), ("done",)]
    project.run("check", check=0)


def test_what_it_only_adds_is_added_where_the_models_have_it(project: ModelsProject) -> None:
    project.models(MODELS.format(labels="'open', 'paid', 'finished'"))
    project.run("revision", "--autogenerate", "-m", "paid", check=0)
    assert "ADD VALUE \\'paid\\' AFTER \\'open\\'" in project.text
    assert "add_enum_value(" not in project.text
    project.run("upgrade", "head", check=0)
    project.run("check", check=0)


TEXT = """
sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True),
         sa.Column("status", sa.Text, info={"up": "status::text", "down": "status::status"}))
"""


def test_what_it_would_drop_in_front_of_the_phases_goes_in_the_contract(
    project: ModelsProject, cluster: Cluster, database: str
) -> None:
    project.models(TEXT)
    project.run("revision", "--autogenerate", "-m", "text", check=0)
    (contract,) = (project.folder / "migrations" / "contracts").glob("*.py")
    assert "op.drop_enum_type('status', ['open', 'finished'], if_unused=True)" in contract.read_text()
    assert not any(".drop(op.get_bind())" in path.read_text() for path in project.files_by_time[1:])
    project.run("upgrade", "head", check=0)
    project.run("check", check=0)  # it would drop status
    project.run("safe-contract", check=0)
    project.run("upgrade", "head", check=0)
    with cluster.connect(database) as connection:
        assert connection.execute("SELECT typname FROM pg_type WHERE typtype = 'e'").fetchall() == []
    project.run("check", check=0)
    project.run("downgrade", "-1", check=0)
    with cluster.connect(database) as connection:
        assert connection.execute("SELECT status::text FROM orders ORDER BY id").fetchall() == [
            ("open",),
            ("finished",),
        ]
