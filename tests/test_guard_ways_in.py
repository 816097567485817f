"""The guard at every other way in: direct contexts, odd env.py files, a broken installation, two at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.pool import NullPool

from alembic_safe.database import journal_tables
from tests.guard_channels import ASYNC_ENV_PY
from tests.guarded import mark_as, refused
from tests.project import ENV_PY

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config

    from tests.cluster import Cluster
    from tests.guard_targets import Made
    from tests.project import Project

pytest_plugins = ("tests.guarded_fixtures",)


# --- other ways in -------------------------------------------------------------------------------------------------


def test_ensure_version_makes_no_table_on_a_protected_database(project: Project, made: Made) -> None:
    mark_as(made, "production", protected=True)
    error = refused(made, lambda: command.ensure_version(project.config))
    assert "ensure_version is refused here" in error.summary


@pytest.mark.parametrize("call", [command.current, command.check, lambda c: command.history(c, indicate_current=True)])
def test_a_command_that_looks_makes_no_version_table_on_a_protected_database(
    project: Project, made: Made, call: Callable[[Config], object]
) -> None:
    for file in (project.folder / "migrations" / "versions").glob("*.py"):
        file.unlink()
    env = project.folder / "migrations" / "env.py"
    env.write_text(
        ENV_PY.replace("target_metadata = None", "import sqlalchemy\ntarget_metadata = sqlalchemy.MetaData()")
    )
    mark_as(made, "production", protected=True)
    before = made.state()
    call(project.config)
    assert made.state() == before


def test_a_stamp_of_a_context_of_ones_own_is_refused(production: Project, made: Made) -> None:
    """``MigrationContext.stamp()`` behind ``create_all()`` runs no ``env.py``."""
    script = ScriptDirectory.from_config(production.config)

    def stamp() -> None:
        with sa.create_engine(production.url, poolclass=NullPool).begin() as connection:
            MigrationContext.configure(connection).stamp(script, "a1")

    refused(made, stamp)


def test_a_run_of_a_context_of_ones_own_is_refused(production: Project, made: Made) -> None:
    script = ScriptDirectory.from_config(production.config)

    def run() -> None:
        with sa.create_engine(production.url, poolclass=NullPool).begin() as connection:
            fn = lambda heads, _: script._downgrade_revs("base", heads)  # noqa: E731
            context = MigrationContext.configure(connection, opts={"fn": fn, "script": script})
            context.run_migrations()

    refused(made, run)


def test_steps_in_two_directions_are_all_judged_before_the_first(
    project: Project, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an undeclared database an upgrade passes with a warning, and must not carry a downgrade through with it."""
    command.upgrade(project.config, "a2")
    monkeypatch.setenv("ALEMBIC_SAFE_RELEASE", "r1")
    script = ScriptDirectory.from_config(project.config)

    def run() -> None:
        engine = sa.create_engine(made.cluster.url(made.name, host="db"), poolclass=NullPool)
        with engine.connect() as connection:
            fn = lambda heads, _: [*script._upgrade_revs("head", heads), *script._downgrade_revs("a2", ("a3",))]  # noqa: E731
            opts = {"fn": fn, "script": script, "transaction_per_migration": True}
            MigrationContext.configure(connection, opts=opts).run_migrations()

    refused(made, run)


def test_running_the_migrations_twice_in_one_env_py_is_judged_and_journalled_once_each(
    project: Project, made: Made
) -> None:
    mark_as(made, "development", protected=False)
    env = project.folder / "migrations" / "env.py"
    twice = ENV_PY.replace(
        "            context.run_migrations()\n",
        "            context.run_migrations()\n            context.run_migrations()\n",
        1,
    )
    env.write_text(twice)
    command.upgrade(project.config, "+1")
    with made.connect() as c:
        assert c.execute("SELECT revision FROM alembic_safe.revisions ORDER BY id").fetchall() == [("a1",), ("a2",)]
        c.execute("UPDATE alembic_safe.environment SET environment = 'production', protected = true")
    refused(made, lambda: command.upgrade(project.config, "+1"))


@pytest.mark.parametrize("per_migration", [False, True])
@pytest.mark.parametrize("begins", [False, True])
def test_a_marked_development_database_runs_in_every_transaction_style(
    project: Project, made: Made, per_migration: bool, begins: bool
) -> None:
    """Our looking first must not leave a transaction behind that Alembic then takes for somebody else's."""
    mark_as(made, "development", protected=False)
    env = ENV_PY.replace(
        "target_metadata=target_metadata)",
        f"target_metadata=target_metadata, transaction_per_migration={per_migration})",
    )
    if begins:
        env = env.replace("connectable.connect()", "connectable.begin()")
    (project.folder / "migrations" / "env.py").write_text(env)
    command.upgrade(project.config, "head")
    assert made.heads() == {"a3"}
    command.downgrade(project.config, "a1")
    assert made.heads() == {"a1"}


def test_an_offline_script_says_that_nobody_watches(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    command.upgrade(project.config, "head", sql=True)
    assert "alembic-safe" not in capsys.readouterr().out
    project.settings("release = r1")
    command.upgrade(project.config, "head", sql=True)
    lines = [line for line in capsys.readouterr().out.splitlines() if "alembic-safe" in line]
    assert len(lines) == 1
    assert lines[0].startswith("-- ")


# --- a broken installation -----------------------------------------------------------------------------------------

BROKEN = """
import sys
from importlib.abc import MetaPathFinder


class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "alembic_safe.database.guard":
            raise ImportError("a file of the installation is gone")


sys.meta_path.insert(0, Missing())
from alembic.config import main

main(argv=sys.argv[1:])
"""


def broken(project: Project, *args: str) -> subprocess.CompletedProcess[str]:
    """Run stock Alembic where a part of alembic-safe cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", BROKEN, *args], cwd=project.folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("args", [("upgrade", "head"), ("downgrade", "base"), ("stamp", "--purge", "a1")], ids=str)
def test_a_broken_installation_stops_on_a_marked_database(
    production: Project, made: Made, args: tuple[str, ...]
) -> None:
    before = made.state()
    done = broken(production, *args)
    assert done.returncode != 0
    assert "without its guard nothing runs here" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert made.state() == before


def test_a_broken_installation_warns_once_and_lets_an_unmarked_database_pass(project: Project, made: Made) -> None:
    done = broken(project, "upgrade", "head")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("alembic-safe could not be loaded") == 1
    assert made.heads() == {"a3"}


def test_without_psycopg_a_marked_database_is_stopped_and_another_one_passes_with_a_warning(
    project: Project, made: Made
) -> None:
    """The project works through asyncpg, and somebody has removed the driver that we bring along."""
    (project.folder / "migrations" / "env.py").write_text(ASYNC_ENV_PY)
    ini = project.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("postgresql+psycopg", "postgresql+asyncpg"))
    gone = BROKEN.replace('name == "alembic_safe.database.guard"', 'name.partition(".")[0] == "psycopg"')
    project.settings("release = r1")

    def alembic(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", gone, *args], cwd=project.folder, capture_output=True, text=True, check=False
        )

    done = alembic("upgrade", "a2")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("alembic-safe could not be loaded") == 1
    mark_as(made, "production", protected=True)
    before = made.state()
    done = alembic("downgrade", "base")
    assert done.returncode != 0
    assert "without its guard nothing runs here" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert made.state() == before


# --- first contact, twice at once ----------------------------------------------------------------------------------


def test_two_first_declarations_at_once_both_end_well(project: Project, made: Made) -> None:
    command.upgrade(project.config, "a2")
    ends: list[int] = []

    def declare() -> None:
        ends.append(project.run("safe-guard", "set", "production").returncode)

    threads = [threading.Thread(target=declare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [0, 0]
    with made.connect() as c:
        assert c.execute("SELECT count(*) FROM alembic_safe.journal_version").fetchone() == (
            len(journal_tables.VERSIONS),
        )
        assert c.execute("SELECT environment FROM alembic_safe.environment").fetchall() == [("production",)]


# --- what Alembic says itself --------------------------------------------------------------------------------------


def test_a_database_ahead_of_the_files_keeps_alembics_own_error(project: Project, made: Made) -> None:
    command.upgrade(project.config, "head")
    mark_as(made, "development", protected=False)
    next((project.folder / "migrations" / "versions").glob("a3_*.py")).unlink()
    with pytest.raises(CommandError, match="Can't locate revision identified by 'a3'"):
        command.upgrade(project.config, "head")
    assert made.heads() == {"a3"}


def test_a_lost_connection_is_no_refusal(production: Project, cluster: Cluster) -> None:
    """The guard adds nothing to what the driver says."""
    config = production.config
    config.set_main_option("sqlalchemy.url", cluster.url("there_is_no_such_database"))
    with pytest.raises(sa.exc.OperationalError) as caught:
        command.upgrade(config, "head")
    assert isinstance(caught.value.orig, psycopg.Error)
