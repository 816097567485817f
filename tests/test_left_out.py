"""Tables that env.py keeps from autogenerate are nobody's difference, and no push makes a part of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.project import Project
from tests.squash_project import with_template

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster import Cluster

ENV_PY = """\
import sqlalchemy as sa
from alembic import context
from sqlalchemy import create_engine, pool

config = context.config
models = sa.MetaData()
sa.Table("users", models, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text),
         sa.Column("mail", sa.Text))
sa.Table("pets", models, sa.Column("id", sa.Integer, primary_key=True))
sa.Table('Or.gs "1"', models, sa.Column("id", sa.Integer, primary_key=True), schema="elsewhere")
more = sa.MetaData()
sa.Table("logs", more, sa.Column("id", sa.Integer, primary_key=True))


def ours(object, name, type_, reflected, compare_to):
    return type_ != "table" or (not object.schema and not name.startswith("theirs_"))


with create_engine(config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool).connect() as connection:
    for metadata, table in CONTEXTS:
        context.configure(connection=connection, target_metadata=metadata, include_object=ours, version_table=table)
        with context.begin_transaction():
            context.run_migrations()
"""
ONE = '[(models, "alembic_version")]'
TWO = '[(models, "alembic_version"), (more, "logs_version")]'


def written(folder: Path, url: str, contexts: str) -> Project:
    return Project.create(folder, url, env_py=ENV_PY.replace("CONTEXTS", contexts))


@pytest.fixture
def project(tmp_path: Path, cluster: Cluster, database: str) -> Project:
    """A database at its head, with a table of somebody else's."""
    project = written(tmp_path / "app", cluster.url(database), ONE)
    project.run("upgrade", "head")
    with cluster.connect(database) as connection:
        connection.execute("CREATE TABLE theirs_1 (id serial PRIMARY KEY)")
    return project


def test_they_are_no_difference(project: Project) -> None:
    said = project.run("safe-diff").stdout
    assert "+ table public.pets" in said
    assert "theirs_1" not in said
    assert "elsewhere" not in said


@pytest.mark.long
def test_a_push_makes_no_sequence_of_a_table_that_it_does_not_make(project: Project) -> None:
    done = project.run("dev-push")
    assert "elsewhere" not in done.stdout
    assert "There is no difference" in project.run("safe-diff").stdout
    with_template(project)
    assert "is marked as" in project.run("milestone", "-m", "pets").stdout


def test_the_models_of_all_contexts_are_compared(tmp_path: Path, cluster: Cluster, database: str) -> None:
    project = written(tmp_path / "app", cluster.url(database), TWO)
    said = project.run("safe-diff", "--from", "empty").stdout
    assert "+ table public.pets" in said
    assert "+ table public.logs" in said


def test_a_database_of_several_schemas_is_not_taken_for_one(tmp_path: Path, cluster: Cluster, database: str) -> None:
    project = written(tmp_path / "app", cluster.url(database), ONE)
    env = project.folder / "migrations" / "env.py"
    env.write_text(
        env.read_text()
        .replace("for metadata, table in", "for schema in ('tenant_a', 'tenant_b'):\n        metadata, table =")
        .replace(f"{ONE}:", f"{ONE}[0]\n        connection.exec_driver_sql(f'SET search_path TO {{schema}}')\n"
                            "        connection.commit()")
    )  # fmt: skip
    with cluster.connect(database) as connection:
        connection.execute("CREATE SCHEMA tenant_a")
        connection.execute("CREATE SCHEMA tenant_b")
    refused = project.run("safe-diff", check=2)
    assert "for the schemas tenant_a, tenant_b" in " ".join(refused.stdout.split() + refused.stderr.split())
