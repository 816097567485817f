"""Which databases do the attacks on the guard start from?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic import command
from psycopg import sql

from tests.guard_targets import Made

if TYPE_CHECKING:
    from tests.cluster import Cluster
    from tests.project import Project


from tests.guarded import mark_as


@pytest.fixture
def made(cluster: Cluster, database: str) -> Made:
    """The project's database."""
    return Made(cluster, database)


@pytest.fixture
def production(project: Project, made: Made) -> Project:
    """The project, without settings of ours; its database stands at a2, has a row, and is marked as production."""
    command.upgrade(project.config, "a2")
    with made.connect() as c:
        c.execute("INSERT INTO users (name) VALUES ('ada')")
    mark_as(made, "production", protected=True)
    return project


@pytest.fixture
def drop_roles(cluster: Cluster):
    """Roles live longer than databases: they go behind the test."""
    yield
    with cluster.connect() as c:
        names = [row[0] for row in c.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'deploy\\_%'")]
        databases = [
            row[0] for row in c.execute("SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate")
        ]
    for database in databases:
        with cluster.connect(database) as c:
            for name in names:
                c.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
    with cluster.connect() as c:
        for name in names:
            c.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
