"""Which `env.py` and which revisions `safe-upgrade` works with: several contexts, asyncio, roles, names of any kind."""

from __future__ import annotations

import sys

import pytest
from psycopg import sql

from tests.deploys import columns, heads, outcomes, rows, safe_upgrade
from tests.project import ENV_PY, Project

ASYNC_ENV_PY = """\
import asyncio

from alembic import context
from sqlalchemy.ext.asyncio import async_engine_from_config
from sqlalchemy.pool import NullPool


def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def online():
    engine = async_engine_from_config(context.config.get_section("alembic"), prefix="sqlalchemy.", poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(online())
"""
SEVERAL = """\
from alembic import context
from sqlalchemy import create_engine, pool

for url, table in {contexts!r}:
    with create_engine(url, poolclass=pool.NullPool).connect() as connection:
        context.configure(connection=connection, version_table=table)
        with context.begin_transaction():
            context.run_migrations(table=table)
"""
HOSTILE = 'a "b" .%s é\'; -- '


def with_context(arguments: str, before: str = "") -> str:
    """Return env.py with further arguments of context.configure(), or statements before it."""
    line = "        context.configure(connection=connection, target_metadata=target_metadata"
    assert line in ENV_PY
    return ENV_PY.replace(line, before + line + arguments)


def test_two_databases_in_one_env_py_are_deployed_one_by_one(tmp_path, cluster, database, make_database):
    other = make_database()
    env = SEVERAL.format(contexts=[(cluster.url(name), "alembic_version") for name in (database, other)])
    app = Project.create(tmp_path / "app", cluster.url(database), env_py=env, plain=False)
    app.revision("a1", None, "one").write_text(
        "revision = 'a1'\ndown_revision = None\nfrom alembic import op\n"
        "def upgrade(table):\n    op.execute('CREATE TABLE t (id int)')\n"
    )
    ended = safe_upgrade(app)
    for name in (database, other):
        assert heads(cluster, name) == ["a1"]
        assert outcomes(cluster, name) == ["done"]
        assert f"{name} is at a1." in ended.text
    assert safe_upgrade(app).text.count("nothing is pending") == 2


def test_two_version_tables_in_one_database_have_a_story_each(tmp_path, cluster, database):
    env = SEVERAL.format(contexts=[(cluster.url(database), table) for table in ("left", "right")])
    app = Project.create(tmp_path / "app", cluster.url(database), env_py=env, plain=False)
    app.revision("a1", None, "one").write_text(
        "revision = 'a1'\ndown_revision = None\nfrom alembic import op\n"
        "def upgrade(table):\n    op.execute(f'CREATE TABLE of_{table} (id int)')\n"
    )
    safe_upgrade(app)
    assert heads(cluster, database, '"left"') == heads(cluster, database, '"right"') == ["a1"]
    written = rows(cluster, database, "SELECT version_table, revision FROM alembic_safe.revisions ORDER BY id")
    assert [(r["version_table"], r["revision"]) for r in written] == [("left", "a1"), ("right", "a1")]
    assert safe_upgrade(app).text.count("nothing is pending") == 2


def test_a_failure_in_the_second_database_says_what_the_first_one_got(tmp_path, cluster, database, make_database):
    other = make_database()
    env = SEVERAL.format(contexts=[(cluster.url(name), "alembic_version") for name in (database, other)])
    app = Project.create(tmp_path / "app", cluster.url(database), env_py=env, plain=False)
    app.revision("a1", None, "one").write_text(
        "revision = 'a1'\ndown_revision = None\nfrom alembic import op\n"
        "def upgrade(table):\n    op.execute('CREATE TABLE t (id int)')\n"
    )
    rows(cluster, other, "CREATE TABLE t (id int)")
    ended = safe_upgrade(app, "--rehearse", "off", check=6)
    assert heads(cluster, database) == ["a1"]
    assert heads(cluster, other) == []
    assert f"Done before, and not taken back: {database} is at a1." in ended.text
    assert "does-not-run:a1" in safe_upgrade(app, check=3).text  # on a shadow that has the table, too
    rows(cluster, other, "DROP TABLE t")
    safe_upgrade(app)
    assert heads(cluster, other) == ["a1"]


def test_an_async_env_py_with_asyncpg_deploys_fails_and_goes_on(tmp_path, cluster, database):
    url = cluster.url(database, driver="postgresql+asyncpg")
    app = Project.create(tmp_path / "app", url, env_py=ASYNC_ENV_PY, settings="environment = production")
    app.revision("b1", "a3", "wrong", 'op.execute("CREATE TABLE gone (id int)")\nop.execute("SELECT nothing_like_it")')
    ended = safe_upgrade(app, check=6)
    assert "nothing_like_it" in ended.text
    assert "stands at a3" in ended.text
    assert columns(cluster, database, "gone") == []
    app.revision("b1", "a3", "right", 'op.execute("CREATE TABLE there (id int)")')
    (app.folder / "migrations" / "versions" / "b1_wrong.py").unlink()
    assert "Backup" in safe_upgrade(app).text
    assert heads(cluster, database) == ["b1"]
    assert outcomes(cluster, database) == ["failed", "done"]
    assert "nothing is pending" in safe_upgrade(app).text


def test_psycopg2_is_nowhere_needed(project):
    safe_upgrade(project)
    assert "psycopg2" not in sys.modules


SESSION = """\
from sqlalchemy.orm import Session
session = Session(bind=op.get_bind())
session.execute(sa.text("INSERT INTO users (id, name) VALUES (1, 'x')"))
session.flush()"""
BLOCK = """\
op.execute("INSERT INTO users (id, name) VALUES (1, 'x')")
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY users_name ON users (name)")"""
CURSOR = """\
cursor = op.get_bind().connection.cursor()
cursor.execute("INSERT INTO users (id, name) VALUES (1, 'x')")"""
BULK = """\
users = sa.table("users", sa.column("id"), sa.column("name"))
op.bulk_insert(users, [{"id": 1, "name": "x"}])"""
BIND = "op.get_bind().execute(sa.text(\"INSERT INTO users (id, name) VALUES (1, 'x')\"))"


@pytest.mark.parametrize(
    "body", [BIND, SESSION, CURSOR, BULK, BLOCK], ids=["bind", "session", "cursor", "bulk", "block"]
)
def test_a_revision_may_reach_the_database_in_every_way(project, cluster, database, body):
    project.revision("b1", "a3", "rows", body)
    safe_upgrade(project)
    assert rows(cluster, database, "SELECT id, name FROM users") == [{"id": 1, "name": "x"}]
    assert heads(cluster, database) == ["b1"]
    assert rows(cluster, database, "SELECT 1 FROM pg_index WHERE NOT indisvalid") == []


def test_a_session_that_commits_in_a_revision_is_told_as_half_done_when_it_fails_later(project, cluster, database):
    project.revision(
        "b1", "a3", "commits",
        "from sqlalchemy.orm import Session\nsession = Session(bind=op.get_bind())\n"
        'session.execute(sa.text("INSERT INTO users (id) VALUES (1)"))\nop.get_bind().commit()\n1 / 0',
    )  # fmt: skip
    ended = safe_upgrade(project, check=7)
    assert "INSERT INTO users" in ended.text
    assert len(rows(cluster, database, "SELECT 1 FROM users")) == 1


def test_names_of_any_kind_are_deployed_to_and_backed_up(tmp_path, cluster, make_database):
    database, name = make_database(f"D {HOSTILE}"), sql.Identifier(f"S {HOSTILE}")
    with cluster.connect(database) as c:
        c.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    env = ENV_PY.replace(
        'engine_from_config(config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool)',
        "__import__('sqlalchemy').create_engine('postgresql+psycopg://', poolclass=pool.NullPool, connect_args="
        + repr({"host": "127.0.0.1", "port": cluster.port, "user": "postgres", "dbname": database})
        + ")",
    ).replace(
        "target_metadata=target_metadata)",
        f"version_table={'V ' + HOSTILE!r}, version_table_schema={'S ' + HOSTILE!r})", 1,
    )  # fmt: skip
    app = Project.create(
        tmp_path / "app", "postgresql://", env_py=env, settings="environment = production", plain=False
    )
    table = "T " + HOSTILE + "x" * 40
    app.revision("a1", None, HOSTILE.strip(), f"op.create_table({table!r}, sa.Column({HOSTILE!r}, sa.Integer))")
    app.revision("a2", "a1", "more", f"op.add_column({table!r}, sa.Column('%', sa.Integer))")
    safe_upgrade(app, "a1")
    ended = safe_upgrade(app)
    assert "Backup" in ended.text
    found = rows(cluster, database, "SELECT revision, version_table FROM alembic_safe.revisions ORDER BY id")
    assert [r["revision"] for r in found] == ["a1", "a2"]
    assert columns(cluster, database, table) == [HOSTILE, "%"]
    assert "nothing is pending" in safe_upgrade(app).text


def test_a_version_table_in_another_schema_is_found_and_its_database_is_not_taken_for_empty(
    tmp_path, cluster, database
):
    rows(cluster, database, "CREATE SCHEMA ops")
    env = with_context(", version_table_schema='ops'")
    app = Project.create(tmp_path / "app", cluster.url(database), env_py=env)
    safe_upgrade(app)
    assert heads(cluster, database, "ops.alembic_version") == ["a3"]
    assert {
        r["version_table"] for r in rows(cluster, database, "SELECT version_table FROM alembic_safe.revisions")
    } == {"ops.alembic_version"}


def test_a_connection_that_is_in_a_transaction_is_refused_with_the_line_to_change(tmp_path, cluster, database):
    begun = ENV_PY.replace("connectable.connect() as", "connectable.begin() as")
    assert begun != ENV_PY
    app = Project.create(tmp_path / "app", cluster.url(database), env_py=begun)
    ended = safe_upgrade(app, check=2)
    assert "with connectable.connect() as connection:" in ended.text
    assert rows(cluster, database, "SELECT 1 FROM pg_class WHERE relname = 'users'") == []
    spoken = with_context("", before='        connection.exec_driver_sql("SELECT 1")\n')
    app = Project.create(tmp_path / "spoken", cluster.url(database), env_py=spoken)
    assert "connection.commit()" in safe_upgrade(app, check=2).text


def test_an_env_py_that_takes_another_role_journals_and_creates_as_that_role(tmp_path, cluster, database):
    owner = sql.Identifier(f"Owner {database}")
    with cluster.connect(database) as c:
        c.execute(sql.SQL("CREATE ROLE {}").format(owner))
        c.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(owner))
        c.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(database), owner))
    env = with_context(
        "", before=f"        connection.exec_driver_sql('SET ROLE \"Owner {database}\"')\n        connection.commit()\n"
    )
    app = Project.create(tmp_path / "app", cluster.url(database), env_py=env)
    try:
        safe_upgrade(app)
        assert {r["role"] for r in rows(cluster, database, "SELECT role FROM alembic_safe.revisions")} == {
            f"Owner {database}"
        }
        assert {r["role"] for r in rows(cluster, database, "SELECT role FROM alembic_safe.deployments")} == {
            f"Owner {database}"
        }
        app.revision("b1", "a3", "wrong", 'op.execute("SELECT nothing_like_it")')
        safe_upgrade(app, check=6)
        assert outcomes(cluster, database) == ["done", "failed"]
    finally:
        with cluster.connect(database) as c:
            c.execute(sql.SQL("DROP OWNED BY {}").format(owner))
            c.execute(sql.SQL("DROP ROLE {}").format(owner))


def test_a_schema_that_somebody_uses_never_becomes_the_journals_own(tmp_path, cluster, database):
    """What lies in a schema of ours counts as ours: autogenerate would be blind to the application's tables there."""
    with cluster.connect(database) as c:
        c.execute("CREATE TABLE customers (id integer PRIMARY KEY)")
    app = Project.create(tmp_path / "app", cluster.url(database), settings="schema = public")
    safe_upgrade(app)
    with cluster.connect(database) as c:
        comment = c.execute("SELECT obj_description('public'::regnamespace, 'pg_namespace')").fetchone()[0]
        tables = {
            row[0] for row in c.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^alembic_'")
        }
    assert "alembic-safe" not in (comment or "")
    assert "alembic_safe_environment" in tables
