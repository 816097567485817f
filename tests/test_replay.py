"""Replay: the project's own env.py and revision files on a shadow, with everything that env.py says still true."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.util import CommandError
from sqlalchemy import make_url

from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.envpy import script_of
from alembic_safe.database.replay import ReplayStep, replay, run_on_shadow
from alembic_safe.database.shadow import Shadow, open_shadow
from alembic_safe.database.shadow_needs import needs_of
from alembic_safe.errors import ReplayFailed
from alembic_safe.settings import Settings
from tests import warm
from tests.deploys import SLEEPING, rows
from tests.patience import eventually
from tests.project import ENV_PY, Project
from tests.shadows import no_shadow_stays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster import Cluster


@contextmanager
def shadow_of(project: Project, *, protected: bool = False) -> Iterator[Shadow]:
    """A shadow for the project's own database."""
    target = Endpoint.from_url(make_url(project.url))
    with target.connect() as connection:
        needs = needs_of(connection)
    with open_shadow(target, Settings.load(project.config), needs=needs, protected=protected) as shadow:
        yield shadow


def replayed(project: Project, shadow: Shadow, **kw: Any) -> Any:
    return replay(project.config, script_of(project.config), shadow, **kw)


def column(endpoint: Endpoint, query: str) -> list[Any]:
    with endpoint.connect() as connection:
        return [row[0] for row in connection.execute(query.encode())]


def tables(endpoint: Endpoint) -> list[str]:
    return column(
        endpoint,
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid >= 16384 AND c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1",
    )


def target_of(project: Project) -> Endpoint:
    return Endpoint.from_url(make_url(project.url))


def dump(cluster: Cluster, database: str) -> str:
    text = cluster.run("pg_dump", "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", "-s", "-d", database)
    return "\n".join(line for line in text.splitlines() if not line.startswith("\\"))


def with_env(project: Project, env_py: str) -> Project:
    (project.folder / "migrations" / "env.py").write_text(env_py)
    return project


def test_a_replay_makes_what_a_stock_upgrade_makes_and_leaves_the_target_alone(
    cluster: Cluster, project: Project
) -> None:
    with shadow_of(project) as shadow:
        done = replayed(project, shadow)
        assert tables(target_of(project)) == []
        assert [context.heads for context in done.contexts] == [("a3",)]
        made = dump(cluster, shadow.endpoint.database)
    project.run("upgrade", "head", check=0)
    assert made == dump(cluster, target_of(project).database)


def test_each_revision_is_announced_before_it_runs(project: Project) -> None:
    seen: list[ReplayStep] = []
    with shadow_of(project) as shadow:
        replayed(project, shadow, on_step=seen.append)
    assert [(step.number, step.total, step.revision, step.message) for step in seen] == [
        (1, 3, "a1", "users"), (2, 3, "a2", "names"), (3, 3, "a3", "mails"),
    ]  # fmt: skip


def test_a_replay_goes_to_any_revision_and_down_again(project: Project) -> None:
    with shadow_of(project) as shadow:
        stands = [
            replayed(project, shadow, to=to).contexts[0].heads
            for to in ("a2", "heads", "a1", "+1", "-1", "base", "base")
        ]
        assert stands == [("a2",), ("a3",), ("a1",), ("a2",), ("a1",), (), ()]
        assert tables(shadow.endpoint) == ["public.alembic_version"]


def test_an_unknown_revision_is_alembics_own_error(project: Project) -> None:
    with shadow_of(project) as shadow, pytest.raises(CommandError, match="nowhere"):
        replayed(project, shadow, to="nowhere")


def test_a_revision_that_fails_is_named_with_its_line_its_sql_and_the_users_frames_only(project: Project) -> None:
    (project.folder / "shop_seed.py").write_text("def seed(op):\n    op.execute('SELECT * FROM nowhere')\n")
    project.revision("a4", "a3", "seeds", "shop_seed.seed(op)", extra="import sys, pathlib\n"
                     "sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))\nimport shop_seed\n")  # fmt: skip
    with shadow_of(project) as shadow, pytest.raises(ReplayFailed) as caught:
        replayed(project, shadow)
    text = caught.value.text()
    assert caught.value.exit_code == 8
    assert "a4 (seeds)" in caught.value.summary
    assert 'relation "nowhere" does not exist' in caught.value.summary
    lines = (project.folder / "migrations" / "versions" / "a4_seeds.py").read_text().splitlines()
    assert f"a4_seeds.py:{lines.index('    shop_seed.seed(op)') + 1} in upgrade" in text
    assert "shop_seed.py:2 in seed" in text
    assert "SELECT * FROM nowhere" in text
    assert "site-packages" not in text
    assert "alembic_safe" not in text
    assert tables(target_of(project)) == []


def test_an_operation_of_ours_that_refuses_is_heard_in_its_own_words(project: Project) -> None:
    project.revision("a4", "a3", "copy", """op.backfill("users", set_={"mail": "random()::text"})""")
    with shadow_of(project) as shadow, pytest.raises(ReplayFailed) as caught:
        replayed(project, shadow)
    assert caught.value.summary == (
        "a4 (copy) does not run on an empty database: op.backfill on public.users: the expression for mail says something"
        " else each time, so a second run could not know which rows have their value."
    )
    text = caught.value.text()
    assert 'Next: say which rows want it:  op.backfill(..., where="mail IS NULL")' in text
    assert "Refused" not in text
    assert text.count("Nothing was changed") == 1


def test_a_revision_that_ends_the_process_ends_only_the_replay(project: Project) -> None:
    project.revision("a4", "a3", "exits", "raise SystemExit(3)")
    with shadow_of(project) as shadow, pytest.raises(ReplayFailed, match="SystemExit"):
        replayed(project, shadow)


def test_each_revision_is_committed_by_itself(project: Project) -> None:
    project.revision("a4", "a3", "fails", "op.execute('SELECT 1 / 0')")
    with shadow_of(project) as shadow:
        with pytest.raises(ReplayFailed):
            replayed(project, shadow)
        assert column(shadow.endpoint, "SELECT version_num FROM alembic_version") == ["a3"]


def test_an_index_built_concurrently_in_an_autocommit_block_is_replayed(project: Project) -> None:
    project.revision("a4", "a3", "index",
                     "with op.get_context().autocommit_block():\n"
                     "    op.create_index('ix_mail', 'users', ['mail'], postgresql_concurrently=True)")  # fmt: skip
    with shadow_of(project) as shadow:
        replayed(project, shadow)
        assert column(shadow.endpoint, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_mail'::regclass") == [
            True
        ]


def test_an_env_py_that_hands_over_a_connection_in_a_transaction_is_replayed(project: Project) -> None:
    with_env(project, ENV_PY.replace("connectable.connect()", "connectable.begin()"))
    with shadow_of(project) as shadow:
        assert replayed(project, shadow).steps == 3
        assert "public.users" in tables(shadow.endpoint)
    assert tables(target_of(project)) == []


def with_labels(project: Project) -> None:
    """Add revisions that only run when each has a transaction of its own: a new label is used in the next one."""
    block = "with op.get_context().autocommit_block():\n    op.execute(\"CREATE TYPE mood AS ENUM ('glad')\")"
    project.revision("a4", "a3", "moods", block)
    project.revision("a5", "a4", "label", "op.execute(\"ALTER TYPE mood ADD VALUE 'sad'\")")
    project.revision("a6", "a5", "uses", "op.execute(\"CREATE TABLE moods AS SELECT 'sad'::mood AS it\")")


def test_revisions_that_cannot_share_a_transaction_are_replayed_from_nothing_one_by_one(project: Project) -> None:
    with_labels(project)
    seen: list[str] = []
    with shadow_of(project) as shadow:
        done = replayed(project, shadow, on_step=lambda step: seen.append(step.revision))
        assert column(shadow.endpoint, "SELECT it::text FROM moods") == ["sad"]
    assert [context.heads for context in done.contexts] == [("a6",)]
    assert seen == ["a1", "a2", "a3", "a4", "a5", "a6"] * 2
    assert done.steps == 6


@pytest.mark.parametrize("per_migration", ["True", "False"])
def test_a_transaction_that_env_py_began_before_it_configured_goes_around_all_revisions(
    project: Project, per_migration: str
) -> None:
    env = ENV_PY.replace("context.configure(", f"context.configure(transaction_per_migration={per_migration}, ")
    env = env.replace(
        "        context.configure(", "        connection.exec_driver_sql('SELECT 1')\n        context.configure("
    )
    assert "SELECT 1" in env
    assert "per_migration" in env
    with_env(project, env)
    project.revision(
        "a4", "a3", "notes", "op.execute('CREATE TABLE ids AS SELECT xmin::text AS it FROM alembic_version')"
    )
    with shadow_of(project) as shadow:
        assert replayed(project, shadow).steps == 4
        written = column(shadow.endpoint, "SELECT it FROM ids UNION SELECT xmin::text FROM alembic_version")
    assert len(written) == 1


ASYNC_ENV_PY = """\
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import async_engine_from_config

config = context.config


def do_run_migrations(connection):
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()


async def run_async_migrations():
    connectable = async_engine_from_config(config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool)
    async with connectable.connect() as connection:
        await connection.run_sync(do_run_migrations)
    await connectable.dispose()


asyncio.run(run_async_migrations())
"""


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_an_async_env_py_is_replayed(tmp_path: Path, cluster: Cluster, database: str, driver: str) -> None:
    project = Project.create(
        tmp_path / "app", cluster.url(database, driver=f"postgresql+{driver}"), env_py=ASYNC_ENV_PY
    )
    with shadow_of(project) as shadow:
        assert replayed(project, shadow).steps == 3
        assert "public.users" in tables(shadow.endpoint)
    assert tables(target_of(project)) == []


def test_a_percent_sign_of_a_drivers_own_sql_stands_for_itself(tmp_path: Path, cluster: Cluster, database: str) -> None:
    """Under asyncpg it is no parameter, and the same revision runs on a shadow that psycopg leads to."""
    url = cluster.url(database, driver="postgresql+asyncpg")
    project = Project.create(tmp_path / "app", url, env_py=ASYNC_ENV_PY)
    project.revision(
        "a4",
        "a3",
        "percent",
        """\
name = op.get_bind().exec_driver_sql("SELECT format('%I', 'per%cent' || $$100%%$$)").scalar_one()
assert name == '"per%cent100%%"', name
assert op.get_bind().execute(sa.text("SELECT '%s' || :more"), {"more": "%"}).scalar_one() == "%s%"
op.execute("COMMENT ON TABLE users IS '100%'")""",
    )
    with shadow_of(project) as shadow:
        assert replayed(project, shadow).steps == 4
    assert "is at a4" in project.run("safe-upgrade").stdout


def test_every_database_of_an_environment_has_a_shadow_of_its_own(
    tmp_path: Path, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    one, two = make_database(), make_database()
    env_py = f"""\
from alembic import context
from sqlalchemy import create_engine, pool
for name, url in (("one", {cluster.url(one)!r}), ("two", {cluster.url(two)!r})):
    with create_engine(url, poolclass=pool.NullPool).connect() as connection:
        context.configure(connection=connection, upgrade_token=f"{{name}}_upgrades")
        with context.begin_transaction():
            context.run_migrations(engine_name=name)
"""
    project = Project.create(tmp_path / "app", cluster.url(one), env_py=env_py, plain=False)
    project.revision("m1", None, "first", "").write_text(
        "from alembic import op\nrevision = 'm1'\ndown_revision = None\n"
        "def upgrade(engine_name):\n    op.execute(f'CREATE TABLE only_{engine_name} (id int)')\n"
    )
    with shadow_of(project) as shadow:
        done = replayed(project, shadow)
        assert [context.place.rpartition("/")[2] for context in done.contexts] == [one, two]
        found = {place.rpartition("/")[2]: tables(endpoint) for place, endpoint in shadow.databases.items()}
        assert found == {
            one: ["public.alembic_version", "public.only_one"],
            two: ["public.alembic_version", "public.only_two"],
        }
        assert len({context.database for context in done.contexts}) == 2
        assert replayed(project, shadow).steps == 0  # the second time it is the same two
    assert tables(Endpoint.from_url(make_url(cluster.url(two)))) == []


def test_tenants_in_schemas_share_one_shadow_and_stay_apart(tmp_path: Path, cluster: Cluster, database: str) -> None:
    env_py = f"""\
from alembic import context
from sqlalchemy import create_engine, pool, text
with create_engine({cluster.url(database)!r}, poolclass=pool.NullPool).connect() as connection:
    tenants = text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'tenant%' ORDER BY 1")
    for tenant in connection.execute(tenants).scalars().all():
        connection.execute(text(f'SET search_path TO {{tenant}}'))
        connection.commit()
        connection.dialect.default_schema_name = tenant
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""
    with cluster.connect(database) as c:
        c.execute("CREATE SCHEMA tenant_a")
        c.execute("CREATE SCHEMA tenant_b")
    project = with_env(Project.create(tmp_path / "app", cluster.url(database)), env_py)
    with shadow_of(project) as shadow:
        assert replayed(project, shadow).steps == 6
        assert tables(shadow.endpoint) == [
            "tenant_a.alembic_version", "tenant_a.users", "tenant_b.alembic_version", "tenant_b.users",
        ]  # fmt: skip
    assert tables(target_of(project)) == []


CONVENTION = """\
from sqlalchemy import MetaData
target_metadata = MetaData(naming_convention={'uq': 'unique__%(table_name)s__%(column_0_name)s'})
VERSIONS = {"version_table": "versions", "version_table_schema": "meta", "include_schemas": True}
"""


def test_naming_convention_version_table_and_arguments_of_run_migrations_stay_true(project: Project) -> None:
    with_env(
        project,
        ENV_PY.replace("target_metadata = None", CONVENTION)
        .replace("target_metadata=target_metadata)", "target_metadata=target_metadata, **VERSIONS)")
        .replace("            context.run_migrations()\n\n\ndef run_migrations_off",
                 "            context.run_migrations(flavour='sour')\n\n\ndef run_migrations_off"),
    )  # fmt: skip
    for path in (project.folder / "migrations" / "versions").glob("*.py"):
        path.write_text(path.read_text().replace("grade():", "grade(flavour):"))
    path = project.revision("a4", "a3", "unique", "op.create_unique_constraint(None, 'users', ['mail'])\n"
                            "op.execute(f\"COMMENT ON TABLE users IS '{flavour}'\")")  # fmt: skip
    path.write_text(path.read_text().replace("grade():", "grade(flavour):"))
    with shadow_of(project) as shadow:
        done = replayed(project, shadow)
        assert (done.contexts[0].version_schema, done.contexts[0].version_table) == ("meta", "versions")
        assert column(
            shadow.endpoint, "SELECT conname FROM pg_constraint WHERE conrelid = 'users'::regclass AND contype = 'u'"
        ) == ["unique__users__mail"]
        assert column(shadow.endpoint, "SELECT obj_description('users'::regclass)") == ["sour"]
        assert column(shadow.endpoint, "SELECT version_num FROM meta.versions") == ["a4"]


@pytest.mark.parametrize("protected", [False, True])
def test_what_env_py_says_on_its_session_is_said_on_the_shadow_too(
    cluster: Cluster, project: Project, *, protected: bool
) -> None:
    """SET ROLE, a timeout and a search path; on the target's own server and on a private one."""
    with_env(project, ENV_PY.replace(
        "        context.configure(connection=connection, target",
        "        from sqlalchemy import text\n        connection.execute(text('SET ROLE \"the Owner\"'))\n"
        "        connection.execute(text('SET statement_timeout = 4321'))\n        connection.commit()\n"
        "        context.configure(connection=connection, target"))  # fmt: skip
    project.revision("a4", "a3", "timeout",
                     "op.execute(\"CREATE TABLE said AS SELECT current_setting('statement_timeout') AS it\")")  # fmt: skip
    with cluster.connect() as c:
        c.execute('CREATE ROLE "the Owner"')
    try:
        with cluster.connect(target_of(project).database) as c:
            c.execute('GRANT ALL ON SCHEMA public TO "the Owner"')
        with shadow_of(project, protected=protected) as shadow:
            assert shadow.rung == ("embedded" if protected else "target")
            if not protected:
                with shadow.endpoint.connect() as c:
                    c.execute('GRANT ALL ON SCHEMA public TO "the Owner"')
            replayed(project, shadow)
            assert column(shadow.endpoint, "SELECT tableowner FROM pg_tables WHERE tablename = 'users'") == [
                "the Owner"
            ]
            assert column(shadow.endpoint, "SELECT it FROM said") == ["4321ms"]
    finally:
        with cluster.connect(target_of(project).database) as c:
            c.execute('DROP OWNED BY "the Owner"')
        no_shadow_stays(cluster)
        with cluster.connect() as c:
            c.execute('DROP ROLE "the Owner"')


APPLICATION = """\
from sqlalchemy import create_engine, pool, text
engine = create_engine({url!r}, poolclass=pool.NullPool)
def note(words):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS notes (words text)"))
        connection.execute(text("INSERT INTO notes VALUES (:words)"), dict(words=words))
"""


def test_a_revision_that_works_through_the_applications_own_engine_does_not_reach_the_target(project: Project) -> None:
    (project.folder / "the_application.py").write_text(APPLICATION.format(url=project.url))
    project.revision("a4", "a3", "notes", "the_application.note('migrated')", extra="import sys, pathlib\n"
                     "sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))\nimport the_application\n")  # fmt: skip
    sys.modules.pop("the_application", None)
    with shadow_of(project) as shadow:
        replayed(project, shadow)
        assert column(shadow.endpoint, "SELECT words FROM notes") == ["migrated"]
    assert tables(target_of(project)) == []


def test_a_replay_is_not_stopped_by_the_guard_of_a_protected_target(project: Project) -> None:
    project.settings("environment = production")
    with shadow_of(project, protected=True) as shadow:
        assert replayed(project, shadow).steps == 3
    assert tables(target_of(project)) == []


MODELS = """\
from sqlalchemy import Column, Integer, MetaData, Table, Text
target_metadata = MetaData(naming_convention={'ix': 'index__%(table_name)s'})
texts = [Column(name, Text) for name in ('name', 'mail', 'phone')]
Table('users', target_metadata, Column('id', Integer, primary_key=True), *texts)
Table('left_out', target_metadata, Column('id', Integer, primary_key=True))
"""


def test_work_on_a_shadow_has_everything_that_env_py_configures(project: Project) -> None:
    with_env(project, ENV_PY.replace("target_metadata = None", MODELS).replace(
        "target_metadata=target_metadata)", "target_metadata=target_metadata, "
        "include_object=lambda o, name, *_: name != 'left_out')", 1))  # fmt: skip
    found: list[Any] = []
    with shadow_of(project) as shadow:
        replayed(project, shadow)
        run_on_shadow(
            project.config, script_of(project.config), shadow,
            lambda context, _: found.extend(compare_metadata(context, context.opts["target_metadata"])),
        )  # fmt: skip
    assert [(what, table, column.name) for what, _, table, column in found] == [("add_column", "users", "phone")]


REPLAYING = """
import sys, time
from alembic.config import Config
from sqlalchemy import make_url
from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.envpy import script_of
from alembic_safe.database.replay import replay
from alembic_safe.database.shadow import open_shadow
from alembic_safe.settings import Settings
config = Config(sys.argv[1])
target = Endpoint.from_url(make_url(config.get_main_option("sqlalchemy.url")))
with open_shadow(target, Settings(), protected=False) as shadow:
    print(shadow.endpoint.database, flush=True)
    replay(config, script_of(config), shadow)
"""


def test_a_replay_that_is_killed_leaves_a_shadow_that_the_next_one_drops(cluster: Cluster, project: Project) -> None:
    project.revision("a4", "a3", "slow", "op.execute('SELECT pg_sleep(600)')")
    process = warm.Started(["-c", REPLAYING, str(project.folder / "alembic.ini")], project.folder, os.environ)
    left = process.line()
    eventually(lambda: rows(cluster, left, SLEEPING))
    process.kill()
    process.communicate()
    # the killed run's own statement goes on; until its end the shadow counts as in use
    with shadow_of(project):
        assert left in databases(cluster)
    assert rows(cluster, left, "SELECT pg_terminate_backend(pid) FROM (" + SLEEPING + ") AS still_there")
    eventually(lambda: not rows(cluster, "postgres", f"SELECT FROM pg_stat_activity WHERE datname = '{left}'"))
    with shadow_of(project):
        assert left not in databases(cluster)


def databases(cluster: Cluster) -> set[str]:
    return {row["datname"] for row in rows(cluster, "postgres", "SELECT datname FROM pg_database")}
