"""Wrong URLs, absent files and broken revision files, each as a user meets it: exit code, words, nothing changed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from psycopg import sql
from sqlalchemy.engine import URL

from tests.cluster import closed_port
from tests.project import ENV_PY, Project
from tests.scram import Guarded, guarded_server
from tests.stops import SECRET, assert_done, assert_stopped, everything_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster import Cluster

COMMANDS = (("safe-upgrade",), ("safe-upgrade", "--dry-run"), ("safe-guard",), ("safe-guard", "set", "production"))


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    yield from guarded_server()


def url(cluster: Cluster, database: str, **changes: object) -> str:
    parts = {
        "username": "postgres",
        "password": SECRET,
        "host": "127.0.0.1",
        "port": cluster.port,
        "database": database,
    }
    return URL.create("postgresql+psycopg", **(parts | changes)).render_as_string(hide_password=False)


# --- where the database is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_port_nobody_listens_on_is_named(command: tuple[str, ...], cluster: Cluster, tmp_path: Path) -> None:
    with closed_port() as port:
        done = Project.create(tmp_path / "app", url(cluster, "shop", port=port)).run(*command)
    said = assert_stopped(done, 10, "The database cannot be reached", f"port {port}", "Nothing was changed.")
    assert "?." not in said
    assert "refused Is the server" not in said


def test_a_host_that_does_not_exist_is_named(cluster: Cluster, tmp_path: Path) -> None:
    project = Project.create(tmp_path / "app", url(cluster, "shop", host="db.nowhere.invalid"))
    assert_stopped(project.run("safe-upgrade"), 10, "The database cannot be reached", "db.nowhere.invalid")


def test_a_database_that_does_not_exist_is_named(cluster: Cluster, tmp_path: Path) -> None:
    project = Project.create(tmp_path / "app", url(cluster, "no_such_shop"))
    assert_stopped(project.run("safe-upgrade"), 10, 'database "no_such_shop" does not exist')


def test_a_wrong_password_is_neither_shown_nor_taken(guarded: Guarded, tmp_path: Path) -> None:
    at = url(guarded.cluster, "postgres", username=guarded.user)
    project = Project.create(tmp_path / "app", at)
    for command in (("safe-upgrade",), ("safe-guard", "set", "production")):
        assert_stopped(project.run(*command), 10, "password authentication failed", guarded.user)


@pytest.mark.cases("%(here)s 100%")
@pytest.mark.parametrize("password", ["p%40ss@/w:rd", "%(here)s 100%", "ж'\"\\ b=c&d?e#f"])
def test_a_password_with_characters_of_urls_and_ini_files_gets_there_and_is_not_shown(
    password: str, guarded: Guarded, tmp_path: Path
) -> None:
    with guarded.connect() as connection:
        connection.execute("DROP DATABASE IF EXISTS typed")
        connection.execute("DROP ROLE IF EXISTS typist")
        connection.execute(sql.SQL("CREATE ROLE typist LOGIN PASSWORD {}").format(sql.Literal(password)))
        connection.execute("CREATE DATABASE typed OWNER typist")
    at = url(guarded.cluster, "typed", username="typist", password=password)
    project = Project.create(tmp_path / "app", at, settings="environment = production")
    assert_done(project.run("safe-upgrade", "a1"), "at a1", secret=password)
    said = assert_done(project.run("safe-upgrade"), "at a3", "Backup", secret=password)
    assert at.split("@")[0].rpartition(":")[2] not in said  # nor as the URL has it
    with guarded.connect("typed") as connection:
        journal = str(connection.execute("SELECT d::text FROM alembic_safe.deployments d").fetchall())
        journal += str(connection.execute("SELECT b::text FROM alembic_safe.backups b").fetchall())
    assert password not in journal
    for file in (tmp_path / "app" / "backups").iterdir():
        assert password.encode() not in file.read_bytes()


@pytest.mark.parametrize("driver", ["postgres", "postgresql+no_such_driver"])
def test_a_driver_that_does_not_exist_is_named_with_the_line_and_the_form_of_a_url(
    driver: str, cluster: Cluster, tmp_path: Path
) -> None:
    at = url(cluster, "shop").replace("postgresql+psycopg", driver)
    done = Project.create(tmp_path / "app", at).run("safe-upgrade")
    name = driver.replace("+", ".")
    assert_stopped(done, 2, name, "migrations/env.py:9", "postgresql+psycopg://USER:PASSWORD@HOST:5432/DATABASE")


def test_a_driver_that_is_not_installed_is_named(cluster: Cluster, tmp_path: Path) -> None:
    at = url(cluster, "shop").replace("postgresql+psycopg", "postgresql+pg8000")
    done = Project.create(tmp_path / "app", at).run("safe-plan", "--format", "json")
    assert_stopped(
        done, 10, "No module named 'pg8000'", "migrations/env.py:9", "alembic --raiseerr safe-plan --format json"
    )


def test_a_url_that_is_none_is_not_repeated(tmp_path: Path) -> None:
    done = Project.create(tmp_path / "app", f"postgres:/{SECRET}@db").run("safe-upgrade")
    assert_stopped(done, 2, "Could not parse SQLAlchemy URL", "migrations/env.py:9")


def test_a_port_that_is_no_number_is_a_wrong_url_and_not_repeated(tmp_path: Path) -> None:
    done = Project.create(tmp_path / "app", f"postgresql+psycopg://u:{SECRET}/shop").run("safe-plan")
    words = "the port in the URL is not a number.", "postgresql+psycopg://USER:PASSWORD@HOST:5432/DATABASE"
    assert_stopped(done, 2, "migrations/env.py:9", *words)


def test_a_database_of_another_kind_is_named(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "app", f"sqlite:///{tmp_path}/it.db")
    assert_stopped(project.run("safe-upgrade"), 10, "This database is sqlite", "alembic upgrade head")
    assert_stopped(project.run("safe-guard"), 10, "This database is sqlite")


# --- the project's files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executable", ["alembic", "alembic-safe"])
def test_no_alembic_ini_is_said_with_both_ways_on(executable: str, project: Project) -> None:
    (project.folder / "alembic.ini").unlink()
    for command in (("safe-upgrade",), ("safe-guard",)):
        done = project.run(*command, executable=executable)
        assert_stopped(
            done, 10, "There is no Alembic configuration here", "alembic.ini", "alembic -c path/to/alembic.ini"
        )


def test_no_env_py_is_said(project: Project) -> None:
    (project.folder / "migrations" / "env.py").unlink()
    assert_stopped(project.run("safe-upgrade"), 10, "migrations/env.py does not exist", "alembic safe-init")


def test_a_migrations_folder_that_does_not_exist_is_named(project: Project) -> None:
    shutil.rmtree(project.folder / "migrations")
    assert_stopped(project.run("safe-upgrade"), 10, "no migrations folder", f"{project.folder}/migrations")


ENV_FAILURES = {
    "a syntax error": ("def (:\n", 10, ("SyntaxError: invalid syntax", "migrations/env.py:1")),
    "an import of what is not there": (
        "import os\nimport no_such_models\n", 10,
        ("ModuleNotFoundError: No module named 'no_such_models'", "migrations/env.py:2"),
    ),
    "a missing file": ("open('secrets.json')\n", 10, ("No such file or directory: 'secrets.json'", "migrations/env.py:1")),
    "a missing variable": ("import os\nos.environ['NO_SUCH_URL']\n", 10, ("KeyError: 'NO_SUCH_URL'", "env.py:2")),
    "no run of migrations": ("x = 1\n", 2, ("never called context.run_migrations()", "alembic safe-init")),
    "a statement that fails": (
        ENV_PY.replace(
            "        context.configure(c",
            "        connection.exec_driver_sql('SET ROLE no_such_role')\n        context.configure(c",
        ),
        10, ('role "no_such_role" does not exist', "migrations/env.py:11"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ENV_FAILURES)
def test_an_env_py_that_fails_is_named_with_the_line(
    case: str, project: Project, cluster: Cluster, database: str
) -> None:
    text, code, words = ENV_FAILURES[case]
    (project.folder / "migrations" / "env.py").write_text(text)
    for command in (("safe-upgrade",), ("safe-guard",)):
        assert_stopped(project.run(*command), code, *words)
    assert everything_in(cluster, database) == [("public", None, None, (None,), None)]


def test_the_way_on_from_a_failing_env_py_shows_the_traceback(project: Project) -> None:
    (project.folder / "migrations" / "env.py").write_text("import no_such_models\n")
    done = project.run("--raiseerr", "safe-guard")
    assert "Traceback" in done.stderr
    assert "import no_such_models" in done.stderr


def test_an_env_py_that_ends_its_own_transaction_is_told_so_by_a_look_as_well(project: Project) -> None:
    """As the stock multidb template does."""
    text = ENV_PY.replace("connectable.connect() as connection:", "connectable.connect() as connection:\n"
                          "        own = connection.begin()").replace(
        "            context.run_migrations()\n\n\ndef run_migrations_off",
        "            context.run_migrations()\n        own.commit()\n\n\ndef run_migrations_off")  # fmt: skip
    (project.folder / "migrations" / "env.py").write_text(text)
    assert_stopped(project.run("safe-status"), 2, "in a transaction already", "alembic safe-init")


def test_a_connection_that_is_already_in_a_transaction_is_refused_where_we_would_write(
    project: Project, cluster: Cluster, database: str
) -> None:
    env_py = ENV_PY.replace("connectable.connect()", "connectable.begin()")
    (project.folder / "migrations" / "env.py").write_text(env_py)
    for command in (("safe-upgrade",), ("safe-guard", "set", "production")):
        assert_stopped(
            project.run(*command), 2, "in a transaction already", "connectable.connect()", "alembic safe-init"
        )
    assert_done(project.run("safe-guard"), "Guard")
    assert_done(project.run("safe-upgrade", "--dry-run"), "a3", "Nothing was changed.")
    assert everything_in(cluster, database) == [("public", None, None, (None,), None)]


def test_statements_of_env_py_before_the_run_are_answered_with_the_line_that_ends_their_transaction(
    project: Project,
) -> None:
    setting = "        connection.exec_driver_sql('SET search_path TO public')\n"
    behind = "        context.configure(connection"
    (project.folder / "migrations" / "env.py").write_text(ENV_PY.replace(behind, setting + behind))
    assert_stopped(project.run("safe-upgrade"), 2, "in a transaction already", "connection.commit()")
    (project.folder / "migrations" / "env.py").write_text(
        ENV_PY.replace(behind, setting + "        connection.commit()\n" + behind)
    )
    assert_done(project.run("safe-upgrade"), "at a3")


# --- the revision files ----------------------------------------------------------------------------------------------


def _syntax_error(project: Project) -> None:
    project.revision("a4", "a3", "bad", extra="x = (")


def _import_error(project: Project) -> None:
    project.revision("a4", "a3", "bad", extra="import no_such_models")


def _no_parent(project: Project) -> None:
    project.revision("a4", "zz", "orphan")


def _no_dependency(project: Project) -> None:
    project.revision("a4", "a3", "needy", extra="depends_on = 'yy'")


def _twins(project: Project) -> None:
    project.revision("a3", "a2", "twin")


def _circle(project: Project) -> None:
    project.revision("a1", "a3", "users")


def _no_id(project: Project) -> None:
    (project.folder / "migrations" / "versions" / "notes.py").write_text("x = 1\n")


BROKEN = {
    _syntax_error: (10, ("migrations/versions/a4_bad.py:", "SyntaxError: '(' was never closed")),
    _import_error: (10, ("migrations/versions/a4_bad.py:", "No module named 'no_such_models'")),
    _no_parent: (10, ("migrations/versions/a4_orphan.py names zz as its down_revision", "alembic history")),
    _no_dependency: (10, ("migrations/versions/a4_needy.py names yy as its depends_on",)),
    _twins: (4, ("a3: migrations/versions/a3_mails.py, migrations/versions/a3_twin.py", "id of its own")),
    _circle: (4, ("in a circle", "migrations/versions/a1_users.py", "migrations/versions/a3_mails.py")),
    _no_id: (4, ("notes.py",)),
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__.strip("_"))
def test_revision_files_that_make_no_history_are_named(
    broken, project: Project, cluster: Cluster, database: str
) -> None:
    code, words = BROKEN[broken]
    broken(project)
    assert_stopped(project.run("safe-upgrade"), code, *words)
    assert everything_in(cluster, database) == [("public", None, None, (None,), None)]


def test_a_revision_nobody_knows_is_named(project: Project, cluster: Cluster, database: str) -> None:
    assert_stopped(project.run("safe-upgrade", "nope"), 2, "nope", "alembic history")
    assert everything_in(cluster, database) == [("public", None, None, (None,), None)]


def test_several_heads_are_named_with_two_ways_on_that_work(project: Project, cluster: Cluster, database: str) -> None:
    (project.folder / "migrations" / "script.py.mako").write_text(
        "revision = ${repr(up_revision)}\ndown_revision = ${repr(down_revision)}\n\n\n"
        "def upgrade():\n    pass\n\n\ndef downgrade():\n    pass\n"
    )
    project.revision("b3", "a2", "other", 'op.add_column("users", sa.Column("other", sa.Text))')
    said = assert_stopped(project.run("safe-upgrade"), 4, "2 heads: a3, b3", "Nothing was changed.")
    assert 'alembic merge heads -m "merge"' in said
    assert "alembic safe-upgrade heads" in said
    assert everything_in(cluster, database) == [("public", None, None, (None,), None)]
    assert_done(project.run("safe-upgrade", "heads"), "a3", "b3")
    project.run("merge", "heads", "-m", "merge", check=0)
    assert_done(project.run("safe-upgrade"), "1 pending")


def test_a_file_whose_line_ends_or_form_changed_after_it_was_applied_is_no_edit(project: Project) -> None:
    project.run("safe-upgrade", check=0)
    file = next((project.folder / "migrations" / "versions").glob("a2_*.py"))
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert_done(project.run("safe-upgrade"), "nothing pending")
    text = file.read_text().replace('"', "'").replace("'''", '"""')
    file.write_text(
        "# formatted\n" + text.replace("sa.Column('name', sa.Text)", "sa.Column(\n    'name',\n    sa.Text,\n)")
    )
    assert_done(project.run("safe-upgrade"), "nothing pending")
    file.write_text(file.read_text().replace("sa.Text", "sa.String"))
    said = assert_stopped(project.run("safe-upgrade"), 3, "a2_names.py was changed after it was applied", "edited:a2")
    assert "alembic safe-upgrade --accept edited:a2" in said
    assert_done(project.run("safe-upgrade", "--accept", "edited:a2"), "nothing pending")


@pytest.mark.parametrize(
    "args", [("--no-such-option",), ("--lock-wait", "soon"), ("--backup-scope", "half"), ("a1", "a2")]
)
def test_wrong_words_are_exit_2_and_named(args: tuple[str, ...], project: Project) -> None:
    done = project.run("safe-upgrade", *args)
    assert done.returncode == 2
    assert args[-1] in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_that_nobody_foresaw_is_told_in_three_lines_and_its_traceback_on_request(
    project: Project, cluster: Cluster, database: str
) -> None:
    # a version table that is no table: neither Alembic nor we know what to do with it
    with cluster.connect(database) as connection:
        connection.execute("CREATE TABLE alembic_version (another_name text)")
    said = assert_stopped(project.run("safe-upgrade"), 1, "Unexpected:", "version_num")
    assert "alembic --raiseerr safe-upgrade" in said
    assert "Traceback" in project.run("--raiseerr", "safe-upgrade", check=1).stderr
