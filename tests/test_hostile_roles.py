"""Roles with too few rights, with settings of their own, and with odd names: named, or it just works."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.engine import URL

from alembic_safe.database.idle import kept_awake
from tests.deploys import heads, safe_upgrade
from tests.project import ENV_PY, Project
from tests.stops import assert_done, assert_stopped, everything_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster import Cluster


@pytest.fixture
def make_role(cluster: Cluster) -> Iterator[Callable[[str], str]]:
    """Make roles that may log in; they go with the test, with what they own."""
    made: list[str] = []

    def make(name: str) -> str:
        with cluster.connect() as connection:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        made.append(name)
        return name

    yield make
    with cluster.connect() as connection:
        databases = [row[0] for row in connection.execute("SELECT datname FROM pg_database WHERE datallowconn")]
    for database in databases:
        with cluster.connect(database) as connection:
            for name in made:
                connection.execute(sql.SQL("REASSIGN OWNED BY {} TO postgres").format(sql.Identifier(name)))
                connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
    with cluster.connect() as connection:
        for name in made:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def lines_after(text: str, start: str, kinds: tuple[str, ...]) -> list[str]:
    """Return the SQL statements that a message prints, whatever line ends the terminal put into them."""
    said = " ".join(text.split())
    said = said[said.index(start) :]
    return re.findall(rf"(?:{'|'.join(kinds)}) [^;]*;", said)


# --- rights ----------------------------------------------------------------------------------------------------------


def test_without_create_on_the_database_the_journal_goes_beside_the_version_table_and_the_grant_is_printed(
    cluster: Cluster, database: str, tmp_path: Path, make_role: Callable[[str], str]
) -> None:
    role = make_role("few rights")
    with cluster.connect(database) as connection:
        connection.execute('GRANT CREATE ON SCHEMA public TO "few rights"')
    project = Project.create(tmp_path / "app", cluster.url(database, user="few%20rights"), settings="environment = ci")
    said = assert_done(project.run("safe-upgrade"), "at a3", "goes into schema public")
    assert f'GRANT CREATE ON DATABASE "{database}" TO "{role}";' in said
    with cluster.connect(database) as connection:
        found = connection.execute(
            "SELECT relname, relnamespace::regnamespace::text FROM pg_class WHERE relname LIKE 'alembic_safe%revisions'"
        )
        assert found.fetchall() == [("alembic_safe_revisions", "public")]
    assert_done(project.run("safe-upgrade"), "nothing pending")


def test_without_any_right_it_says_which_and_the_printed_line_is_enough(
    cluster: Cluster, make_database: Callable[..., str], tmp_path: Path, make_role: Callable[[str], str]
) -> None:
    role = make_role("no right's")
    database = make_database()
    at = URL.create("postgresql+psycopg", role, host="127.0.0.1", port=cluster.port, database=database)
    project = Project.create(tmp_path / "app", at.render_as_string())
    before = everything_in(cluster, database)
    done = project.run("safe-upgrade")
    assert_stopped(done, 10, "may make tables neither in a schema of our own nor in public", role)
    assert everything_in(cluster, database) == before
    lines = lines_after(done.stderr, "One of these", ("GRANT", "CREATE SCHEMA"))
    assert len(lines) == 2
    with cluster.connect(database) as connection:
        connection.execute(lines[0])
        # making the application's own tables is a right of its own
        connection.execute('GRANT CREATE ON SCHEMA public TO "no right\'s"')
    assert_done(project.run("safe-upgrade"), "at a3")


def test_a_role_that_may_not_read_what_others_made_is_told_which_right_it_lacks(
    project: Project, cluster: Cluster, database: str, tmp_path: Path, make_role: Callable[[str], str]
) -> None:
    project.run("safe-upgrade", check=0)
    role = make_role("stranger")
    other = Project.create(tmp_path / "other", cluster.url(database, user=role))
    other.revision("a4", "a3", "more", 'op.create_table("more", sa.Column("id", sa.Integer, primary_key=True))')
    before = everything_in(cluster, database)
    assert_stopped(other.run("safe-upgrade"), 10, "permission denied for table alembic_version", "--grants")
    with cluster.connect(database) as connection:
        connection.execute("GRANT SELECT, UPDATE, INSERT, DELETE ON alembic_version TO stranger")
    assert_stopped(other.run("safe-upgrade"), 10, "permission denied for table revisions", "--grants")
    assert everything_in(cluster, database) == before


def test_a_backup_role_that_reads_the_application_is_named_and_its_pg_dump_works_after_the_printed_grants(
    project: Project, cluster: Cluster, database: str, make_role: Callable[[str], str]
) -> None:
    project.run("upgrade", "a1", check=0)
    role = make_role("nightly backup")
    with cluster.connect(database) as connection:
        connection.execute('GRANT SELECT ON ALL TABLES IN SCHEMA public TO "nightly backup"')
        connection.execute('GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO "nightly backup"')
    dump = ("-h", "127.0.0.1", "-p", str(cluster.port), "-U", role, "-f", os.devnull, database)
    cluster.run("pg_dump", *dump)
    done = project.run("safe-upgrade", check=0)
    said = assert_done(done, f"{role} may read every table of the application", "--exclude-schema=alembic_safe")
    assert "at a3" in said
    with pytest.raises(AssertionError, match="permission denied for"):
        cluster.run("pg_dump", *dump)
    cluster.run("pg_dump", "--exclude-schema=alembic_safe", *dump)
    lines = lines_after(done.stdout, "Let it read", ("GRANT", "ALTER DEFAULT"))
    with cluster.connect(database) as connection:
        for line in lines:
            connection.execute(line)
    cluster.run("pg_dump", *dump)
    project.revision("a4", "a3", "more", 'op.add_column("users", sa.Column("more", sa.Text))')
    said = assert_done(project.run("safe-upgrade"), "at a4")
    assert role not in said  # once is enough
    cluster.run("pg_dump", *dump)


def test_a_backup_role_reads_a_journal_in_the_applications_schema_after_the_printed_grants(
    cluster: Cluster, database: str, tmp_path: Path, make_role: Callable[[str], str]
) -> None:
    for role in ("deployer", "nightly"):
        make_role(role)
    with cluster.connect(database) as connection:
        connection.execute("GRANT CREATE ON SCHEMA public TO deployer")
    project = Project.create(tmp_path / "app", cluster.url(database, user="deployer"))
    project.run("upgrade", "a1", check=0)
    with cluster.connect(database) as connection:
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO nightly")
        connection.execute("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO nightly")
    done = project.run("safe-upgrade", check=0)
    assert_done(done, "nightly may read every table", "--exclude-table='alembic_safe_*'")
    dump = ("-h", "127.0.0.1", "-p", str(cluster.port), "-U", "nightly", "-f", os.devnull, database)
    with pytest.raises(AssertionError, match="permission denied for"):
        cluster.run("pg_dump", *dump)
    cluster.run("pg_dump", "--exclude-table=alembic_safe_*", *dump)
    with cluster.connect(database) as connection:
        for line in lines_after(done.stdout, "Let it read", ("GRANT", "ALTER DEFAULT")):
            connection.execute(line)
    cluster.run("pg_dump", *dump)


# --- settings that a role or a database brings along -----------------------------------------------------------------


def set_for(cluster: Cluster, database: str, **settings: str) -> None:
    """Give a database settings that every session in it begins with."""
    with cluster.connect(database) as connection:
        for name, value in settings.items():
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(database), sql.Identifier(name), sql.Literal(value)
                )
            )


@pytest.mark.long
def test_timeouts_set_on_the_role_do_not_cost_us_the_deploy_lock(
    project: Project, cluster: Cluster, database: str
) -> None:
    set_for(cluster, database, idle_session_timeout="1500ms", lock_timeout="50ms", tcp_keepalives_idle="5")
    project.revision("a4", "a3", "slow", 'op.execute("SELECT pg_sleep(2)")')
    assert_done(project.run("safe-upgrade", "--backup"), "at a4")


@pytest.mark.long
def test_a_backup_may_take_longer_than_a_session_of_the_role_may_be_idle(
    project: Project, cluster: Cluster, database: str
) -> None:
    project.settings("backup_command = sleep 2")
    safe_upgrade(project, "a1")
    set_for(cluster, database, idle_session_timeout="1500ms")
    assert "Backup" in safe_upgrade(project, "--backup").text
    assert heads(cluster, database) == ["a3"]


def test_a_pooled_connection_that_was_kept_awake_goes_back_as_it_came(cluster: Cluster, database: str) -> None:
    set_for(cluster, database, idle_session_timeout="7s")
    asked = sa.text("SHOW idle_session_timeout")
    engine = sa.create_engine(cluster.url(database), poolclass=sa.NullPool)
    with engine.connect() as connection:
        with pytest.raises(ZeroDivisionError), kept_awake(connection):  # noqa: PT012 - what holds inside the block
            assert connection.scalar(asked) == "0"
            connection.rollback()
            assert connection.scalar(asked) == "0"
            _ = 1 // 0
        assert not connection.in_transaction()
        assert connection.scalar(asked) == "7s"


def test_a_statement_timeout_of_the_role_stops_a_revision_and_nothing_else(
    project: Project, cluster: Cluster, database: str
) -> None:
    set_for(cluster, database, statement_timeout="2s")
    project.revision("a4", "a3", "slow", 'op.execute("SELECT pg_sleep(600)")')
    done = project.run("safe-upgrade", "--backup")
    assert_stopped(done, 6, "a4 (slow) failed", "statement timeout", "a4_slow.py", "the database stands at a3")


@pytest.mark.long
def test_an_idle_in_transaction_timeout_of_the_role_does_not_end_a_revision_that_thinks(
    project: Project, cluster: Cluster, database: str
) -> None:
    set_for(cluster, database, idle_in_transaction_session_timeout="1500ms")
    project.revision(
        "a4", "a3", "thinking", 'op.execute("SELECT 1")\nimport time\ntime.sleep(2)\nop.execute("SELECT 2")'
    )
    assert_done(project.run("safe-upgrade"), "at a4")


def test_an_odd_search_path_of_the_role_neither_hides_nor_doubles_anything(
    project: Project, cluster: Cluster, database: str
) -> None:
    with cluster.connect(database) as connection:
        connection.execute('CREATE SCHEMA "Odd, path"')
        connection.execute('CREATE TABLE "Odd, path".environment (id int)')
        connection.execute(
            sql.SQL('ALTER DATABASE {} SET search_path = "not there", "Odd, path", pg_catalog, public').format(
                sql.Identifier(database)
            )
        )
    project.settings("environment = production")
    assert_done(project.run("safe-upgrade", "a1"), "at a1")
    assert_done(project.run("safe-upgrade"), "at a3")
    assert_done(project.run("safe-upgrade"), "nothing pending")
    assert_done(project.run("safe-guard"), "protected: set by")
    with cluster.connect(database) as connection:
        journals = connection.execute(
            "SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relname = 'deployments'"
        )
        assert journals.fetchall() == [("alembic_safe",)]


def test_standard_conforming_strings_off_changes_no_name_and_no_text(
    cluster: Cluster, make_database: Callable[..., str], tmp_path: Path
) -> None:
    database = make_database("back\\slash's")
    with cluster.connect(database) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET standard_conforming_strings = off").format(sql.Identifier(database))
        )
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET escape_string_warning = off").format(sql.Identifier(database))
        )
    at = URL.create("postgresql+psycopg", "postgres", host="127.0.0.1", port=cluster.port, database=database)
    settings = "environment = production\nschema = it's \\n odd"
    project = Project.create(tmp_path / "app", at.render_as_string(), settings=settings)
    assert_done(project.run("safe-upgrade", "a2"), "at a2")
    assert_done(project.run("safe-upgrade"), "at a3", "Backup")
    assert_done(project.run("safe-guard"), "protected: set by")
    with cluster.connect(database) as connection:
        source = connection.execute("SELECT source FROM \"it's \\n odd\".revisions WHERE revision = 'a3'").fetchone()
        assert source == (next((project.folder / "migrations" / "versions").glob("a3_*")).read_text(),)


# --- names -----------------------------------------------------------------------------------------------------------

ODD_NAMES = ('Odd "name" 100% a.b, é', "x" * 63, "select ' -- $$ 漢字", "%(version)s %s {0} \\ back")

NAMED_ENV_PY = ENV_PY.replace(
    "target_metadata=target_metadata)", "target_metadata=target_metadata,\n"
    "                          version_table=VERSIONS, version_table_schema=NAME)"
).replace("config = context.config\n", "config = context.config\nNAME = {name!r}\nVERSIONS = 'v ' + NAME[:55]\n")  # fmt: skip


@pytest.mark.parametrize("name", [ODD_NAMES[0], *(pytest.param(n, marks=pytest.mark.long) for n in ODD_NAMES[1:])])
def test_a_name_is_a_name_whatever_it_holds(
    name: str, cluster: Cluster, make_database: Callable[..., str], make_role: Callable[[str], str], tmp_path: Path
) -> None:
    make_role(name)
    database = make_database(name)
    with cluster.connect(database) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {0} AUTHORIZATION {0}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {0} TO {0}").format(sql.Identifier(name)))
    at = URL.create("postgresql+psycopg", name, host="127.0.0.1", port=cluster.port, database=name).render_as_string()
    journal = ("j " + name)[:63]
    project = Project.create(
        tmp_path / "app", at, env_py=NAMED_ENV_PY.replace("{name!r}", repr(name)), plain=False,
        settings=f"environment = production\nschema = {journal.replace('%', '%%')}",
    )  # fmt: skip
    made = f"op.create_table({name!r}, sa.Column({name!r}, sa.Integer, primary_key=True), schema={name!r})"
    project.revision("a1", None, "made", made)
    schema = f"sa.sql.quoted_name({name!r}, True)"  # Alembic splits a plain one at its dots
    project.revision("a2", "a1", "more", f'op.add_column({name!r}, sa.Column("Two words", sa.Text), schema={schema})')
    assert_done(project.run("safe-upgrade", "a1"), "at a1", name)
    said = assert_done(project.run("safe-upgrade", "--backup-scope", "affected"), "at a2", "Backup")
    assert_done(project.run("safe-upgrade"), "nothing pending")
    assert_done(project.run("safe-guard"), "protected: set by")
    done = project.run("downgrade", "base")
    assert done.returncode == 3
    assert name in " ".join(done.stderr.split())
    assert "createdb" in said
    with cluster.connect(database) as connection:
        query = sql.SQL("SELECT revision FROM {}.revisions ORDER BY id").format(sql.Identifier(journal))
        assert connection.execute(query).fetchall() == [("a1",), ("a2",)]
        # where quoting the name for one more layer would have left a trace
        schemas = connection.execute(
            "SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^(pg_|public|information)'"
        )
        assert {row[0] for row in schemas} == {name, journal}
