"""A replay sends DDL ahead of its answers: whatever a revision asks for meanwhile is true, and every error is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, inspect, make_url, text
from sqlalchemy.pool import NullPool

from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.envpy import script_of
from alembic_safe.database.replay import replay
from alembic_safe.database.sent_ahead import SentAhead, SentAheadFailed, can_send_ahead
from alembic_safe.database.shadow import open_shadow
from alembic_safe.errors import ReplayFailed
from alembic_safe.settings import Settings
from tests.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster import Cluster

MAKES = "op.create_table('one', sa.Column('id', sa.Integer))\nop.add_column('one', sa.Column('name', sa.Text))\n"


@pytest.fixture
def project(tmp_path: Path, cluster: Cluster, database: str) -> Project:
    return Project.create(tmp_path / "app", cluster.url(database), plain=False)


def made_by(project: Project, upgrade: str) -> list[str]:
    """Replay one revision, and one behind it; return every table with its columns."""
    project.revision("a1", None, "first", upgrade)
    project.revision("a2", "a1", "last", "op.create_table('last', sa.Column('id', sa.Integer))")
    target = Endpoint.from_url(make_url(project.url))
    with open_shadow(target, Settings.load(project.config), protected=False) as shadow:
        replay(project.config, script_of(project.config), shadow)
        with shadow.endpoint.connect() as connection:
            query = (
                "SELECT format('%s(%s)', table_name, string_agg(column_name, ',' ORDER BY ordinal_position))"
                " FROM information_schema.columns WHERE table_schema = 'public' GROUP BY table_name ORDER BY 1"
            )
            return [row[0] for row in connection.execute(query)]


EVERYTHING = ["alembic_version(version_num)", "last(id)", "one(id,name)"]


@pytest.mark.parametrize(
    "asks",
    [
        pytest.param("assert 'name' in {c['name'] for c in sa.inspect(op.get_bind()).get_columns('one')}", id="inspector"),
        pytest.param("op.execute(\"INSERT INTO one (name) VALUES ('x')\")\n"
                     "assert op.get_bind().execute(sa.text('UPDATE one SET name = name')).rowcount == 1", id="rowcount"),
        pytest.param("cursor = op.get_bind().connection.cursor()\ncursor.execute('INSERT INTO one VALUES (1), (2)')\n"
                     "assert cursor.rowcount == 2\n"
                     "cursor.execute('SELECT id FROM one')\nassert cursor.description", id="driver"),
        pytest.param("raw = op.get_bind().connection.driver_connection\nop.add_column('one', sa.Column('x', sa.Integer))\n"
                     "op.drop_column('one', 'x')\n"
                     "assert raw.execute('INSERT INTO one (id) VALUES (1)').rowcount == 1", id="driver kept"),
        pytest.param("with op.get_bind().connection.cursor().copy('COPY one FROM stdin') as rows:\n"
                     "    rows.write_row([1, 'x'])", id="copy"),
        pytest.param("with op.get_context().autocommit_block():\n"
                     "    op.create_index('ix', 'one', ['name'], postgresql_concurrently=True)", id="autocommit"),
        pytest.param("try:\n    with op.get_bind().begin_nested():\n        op.drop_index('nope', 'one')\n"
                     "except sa.exc.ProgrammingError:\n    pass", id="savepoint"),
        pytest.param("try:\n    with op.get_bind().begin_nested():\n        op.drop_index('nope', 'one')\n"
                     "        op.drop_index('nope2', 'one')\nexcept BaseException as error:\n"
                     "    assert 'nope' in str(error), error", id="caught"),
    ],
)  # fmt: skip
def test_what_a_revision_asks_for_is_answered_as_if_nothing_were_sent_ahead(project: Project, asks: str) -> None:
    assert made_by(project, MAKES + asks) == EVERYTHING


def test_an_error_is_told_where_it_happened_though_more_had_been_sent(project: Project) -> None:
    wrong = (
        MAKES
        + "op.create_table('one', sa.Column('id', sa.Integer))\nop.create_table('more', sa.Column('id', sa.Integer))"
    )
    with pytest.raises(ReplayFailed, match=r"a1 .* does not run on an empty database: DuplicateTable") as caught:
        made_by(project, wrong)
    assert any("op.create_table('one'" in line for line in caught.value.detail)


def test_an_error_that_a_revision_swallows_is_an_error_all_the_same(project: Project) -> None:
    wrong = MAKES + "op.create_table('one', sa.Column('id', sa.Integer))\n"
    swallows = "try:\n    op.get_bind().execute(sa.text('SELECT 1'))\nexcept BaseException:\n    pass"
    with pytest.raises(ReplayFailed, match="DuplicateTable"):
        made_by(project, wrong + swallows)


def test_ddl_is_sent_and_a_query_waits_for_it(cluster: Cluster, database: str) -> None:
    engine = create_engine(cluster.url(database), poolclass=NullPool)
    assert can_send_ahead(engine)
    version = Table("version", MetaData(), Column("id", Integer))
    ahead = SentAhead(engine)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        ahead.begin(connection, version)
        version.create(connection, checkfirst=False)
        assert ahead.was_used
        driver: Any = ahead._driver
        assert driver.pgconn.pipeline_status
        assert inspect(connection).has_table("version")
        assert not driver.pgconn.pipeline_status
        version.create(connection, checkfirst=False)
        with pytest.raises(SentAheadFailed):
            ahead.end()
        assert ahead.failed
    engine.dispose()
