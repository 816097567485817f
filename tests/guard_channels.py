"""How is a command run in each of the ways that people run Alembic?"""

from __future__ import annotations

import logging
import shutil
import socket
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alembic
import flask_migrate
from alembic.ddl.impl import _impls
from alembic.runtime.plugins import Plugin
from sqlalchemy.pool import NullPool

from alembic_safe.commands import group, load
from tests import another_plugin
from tests.project import ENV_PY, Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from tests.guard_matrix import Cell, Command
    from tests.guard_targets import Made

METADATA = """
import sqlalchemy as sa

target_metadata = sa.MetaData()
if {has_rows}:
    sa.Table("users", target_metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
"""

ASYNC_ENV_PY = ENV_PY.replace(
    ENV_PY[ENV_PY.index("def run_migrations_online") : ENV_PY.index("def run_migrations_offline")],
    """\
import asyncio
from sqlalchemy.ext.asyncio import async_engine_from_config


def do_run_migrations(connection):
    context.configure(connection=connection, target_metadata=target_metadata)
    with context.begin_transaction():
        context.run_migrations()


async def run_async_migrations():
    connectable = async_engine_from_config(config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool)
    async with connectable.connect() as connection:
        await connection.run_sync(do_run_migrations)
    await connectable.dispose()


def run_migrations_online():
    asyncio.run(run_async_migrations())


""",
)

OWN_IMPL = """
from alembic.ddl.postgresql import PostgresqlImpl


class CompanyImpl(PostgresqlImpl):
    __dialect__ = "postgresql"
"""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    :param code: the exit code, of the process or of the exception.
    :param text: everything a person saw.
    """

    code: int
    text: str


def project_for(cell: Cell, made: Made, folder: Path, settings: str = "lock_wait = 5s") -> Project:
    """Write the project whose command runs; its settings declare nothing, they only switch the guard on."""
    driver = "postgresql+asyncpg" if cell.channel == "async env.py" else "postgresql+psycopg"
    url = made.cluster.url(made.name, host=cell.target.host, driver=driver)
    if cell.channel == "async env.py":
        url = url.partition("?")[0]  # asyncpg has no hostaddr: the name is resolved, see named_hosts
    env_py = ASYNC_ENV_PY if cell.channel == "async env.py" else ENV_PY
    env_py = env_py.replace("target_metadata = None", METADATA.format(has_rows=cell.target.has_rows))
    if cell.channel == "own impl":
        env_py = OWN_IMPL + env_py
    project = Project.create(folder, url, env_py=env_py, settings=settings)
    template = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
    shutil.copy(template, project.folder / "migrations" / "script.py.mako")
    versions = project.folder / "migrations" / "versions"
    if cell.command.files == "level":
        for file in versions.glob("a*.py" if not cell.target.has_rows else "a3_*.py"):
            file.unlink()
    if cell.command.files == "forked":
        project.revision("b3", "a2", "other line")
    return project


def run_cell(cell: Cell, project: Project, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Run the cell's command in the cell's way."""
    monkeypatch.chdir(project.folder)
    if cell.channel == "process":
        done = project.run(*cell.command.argv)
        return Outcome(done.returncode, done.stdout + done.stderr)
    with _listening() as heard, _own_registries(), named_hosts(monkeypatch):
        if cell.channel == "Flask-Migrate":
            outcome = _in_flask(cell.command, project)
        else:
            if cell.channel == "another plugin's impl":
                Plugin.setup_plugin_from_module(another_plugin, "another.plugin")
            outcome = _in_process(cell.command, project)
    return Outcome(outcome.code, "\n".join([outcome.text, *heard]))


def _in_process(command: Command, project: Project) -> Outcome:
    config = project.config
    try:
        if command.call is not None:
            command.call(config)
            return Outcome(0, "")
        click_command = load(command.argv[0])
        code = click_command.main(list(command.argv[1:]), obj=config, standalone_mode=False)
    except alembic.util.CommandError as error:
        return Outcome(getattr(error, "exit_code", 255), str(error))
    return Outcome(code or 0, "")


def _in_flask(command: Command, project: Project) -> Outcome:
    import flask
    from flask_sqlalchemy import SQLAlchemy

    migrations = project.folder / "migrations"
    template = Path(flask_migrate.__file__).parent / "templates" / "flask"
    has_rows = "if True:" in (migrations / "env.py").read_text()
    shutil.copy(template / "env.py", migrations)
    own = (project.folder / "alembic.ini").read_text()
    (migrations / "alembic.ini").write_text(
        (template / "alembic.ini.mako").read_text() + own[own.index("[alembic_safe]") :]
    )
    metadata: dict[str, Any] = {}
    exec(METADATA.format(has_rows=has_rows), metadata)
    app = flask.Flask("app")
    app.config |= {"SQLALCHEMY_DATABASE_URI": project.url, "SQLALCHEMY_ENGINE_OPTIONS": {"poolclass": NullPool}}
    db = SQLAlchemy(app, metadata=metadata["target_metadata"])
    flask_migrate.Migrate(app, db, directory=str(migrations))
    app.cli.add_command(group, "safe")
    with warnings.catch_warnings():
        # Flask-Migrate's own env.py asks the old way first
        warnings.filterwarnings("ignore", "'get_engine' is deprecated", DeprecationWarning)
        result = app.test_cli_runner().invoke(args=["db" if command.call else "safe", *command.flask])
    error = result.exception
    code = getattr(error, "exit_code", result.exit_code)
    return Outcome(code, f"{result.output}\n{error or ''}")


@contextmanager
def named_hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the names of the matrix resolve to this machine, as a container network lets them resolve."""
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")  # libpq's own way, for our own connections
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kw: Any) -> Any:
        return resolve("127.0.0.1" if host in ("postgres", "db", "db.internal") else host, *args, **kw)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield


@contextmanager
def _own_registries() -> Iterator[None]:
    """Give back to Alembic and to logging what a project's env.py registered for the whole process."""
    from alembic.runtime.plugins import _all_plugins

    impls, plugins = dict(_impls), dict(_all_plugins)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    disabled = {name for name, logger in root.manager.loggerDict.items() if getattr(logger, "disabled", False)}
    try:
        yield
    finally:
        _impls.clear()
        _impls.update(impls)
        _all_plugins.clear()
        _all_plugins.update(plugins)
        root.handlers[:], root.level = handlers, level
        for name, logger in root.manager.loggerDict.items():
            if isinstance(logger, logging.Logger):
                logger.disabled = name in disabled


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Hear warnings and errors of the loggers, whatever env.py configures: filters stay where handlers do not."""
    heard: list[str] = []

    def hear(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            heard.append(record.getMessage())
        return True

    loggers = [logging.getLogger(name) for name in ("alembic.safe.guard", "flask_migrate")]
    for logger in loggers:
        logger.addFilter(hear)
    try:
        yield heard
    finally:
        for logger in loggers:
            logger.removeFilter(hear)
