"""The project's own ``env.py``: run with a function of ours in the place of Alembic's (door 6)."""

# Naming convention, version table, SET ROLE, arguments of run_migrations(), several contexts: only env.py knows
# them. So whatever we do on a database of the project, we do inside its run.
from __future__ import annotations

import os
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import context as alembic_context
from alembic import op as alembic_op
from alembic.runtime.environment import EnvironmentContext
from alembic.util import CommandError

from alembic_safe.database.env_locations import directory_of
from alembic_safe.database.failures import sqlstate_of
from alembic_safe.database.quiet_logs import BANNERS, kept_back
from alembic_safe.database.reading import Reading
from alembic_safe.database.revision_files import require_one_history, shown
from alembic_safe.errors import Missing, NextStep, SafeError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    Work = Callable[[MigrationContext, dict[str, Any]], None]

KEY = "alembic_safe"
"""Under this key a context's options say that a run is ours; no variable and no option of a person reaches it."""


_DENIED = ("42501", "25006")
"""SQLSTATEs: insufficient_privilege, read_only_sql_transaction."""
_LONGEST_STATEMENT = 300


@dataclass(frozen=True)
class Consents:
    """What a person consented to by name in a command of ours.

    :param command: that command, as it is typed again with one more ``--accept`` behind it.
    :param throw_away: the run is on a shadow: nobody's rows are there, and nothing is asked.
    """

    command: str = ""
    accept: frozenset[str] = frozenset()
    throw_away: bool = False


class OwnRun:
    """Marks a run of ``env.py`` as ours and holds what to do in it.

    :param work: called once for each context that ``env.py`` configures, with the context and with what env.py
        gave to ``run_migrations()``.
    :param consents: what the operations of a revision find consented to; ``None``: the command has no ``--accept``.
    """

    def __init__(self, work: Work, consents: Consents | None = None, *, to_write: bool = False) -> None:
        self.work = work
        self.consents = consents
        self.reading = Reading(to_write=to_write)
        self.kept: set[str] = set()
        """The columns that were retired in this run: ``schema.table.column``."""
        self.contexts = 0

    def __call__(self, context: MigrationContext, kw: dict[str, Any]) -> None:
        """Do the work in one context."""
        self.contexts += 1
        self.reading = Reading(to_write=self.reading.to_write)
        try:
            self.work(context, kw)
        finally:
            self.reading.close()


def own_run_of(context: MigrationContext) -> OwnRun | None:
    """Return the run of ours that a context is a part of; ``None`` under stock Alembic."""
    own = context.opts.get(KEY)
    return own if isinstance(own, OwnRun) else None


@contextmanager
def reading_paused(context: MigrationContext, state: str) -> Iterator[None]:
    """Let a run of ours write without being watched for what it waits for: revisions have timeouts of their own.

    :param state: what is said of the database when a wait behind this is ended.
    """
    own = own_run_of(context)
    if own is None:
        yield
        return
    own.reading.state = state
    with own.reading.paused():
        yield


def script_of(config: Config) -> ScriptDirectory:
    """Return the project's revision files, all of them read.

    :raises Missing: when there is no configuration, no migrations folder, or a revision file cannot be read.
    :raises Findings: when the revision files make no history.
    """
    script = unread_script_of(config)
    require_one_history(script)
    return script


def unread_script_of(config: Config) -> ScriptDirectory:
    """Return the project's revision files, which nobody has read yet: enough to run ``env.py``.

    :raises Missing: when there is no configuration, or no migrations folder.
    """
    ini = config.config_file_name
    try:
        script = directory_of(config)
    except CommandError as error:
        has_ini = ini is not None and Path(ini).exists()
        summary = (
            f"{ini} names no migrations folder that exists: script_location is {_location(config)}."
            if has_ini
            else f"There is no Alembic configuration here: neither {ini or 'alembic.ini'} nor [tool.alembic] in"
            " pyproject.toml."
        )
        raise Missing(
            summary,
            next_steps=[
                NextStep("a new project", "alembic safe-init --template generic"),
                NextStep("an existing one: from its folder, or", "alembic -c path/to/alembic.ini safe-status"),
            ],
        ) from error
    if not Path(script.env_py_location).exists():
        raise Missing(
            f"{shown(script.env_py_location)} does not exist; Alembic reaches the database through it.",
            next_steps=[NextStep("write one", "alembic safe-init --template generic")],
        )
    return script


def _location(config: Config) -> str:
    return config.get_main_option("script_location") or "not set"


def run_env(
    config: Config,
    script: ScriptDirectory,
    work: Work,
    *,
    to_write: bool = False,
    consents: Consents | None = None,
    prepare: Callable[[EnvironmentContext], None] | None = None,
) -> None:
    """Run the project's ``env.py`` with a function of ours.

    :param prepare: called with the environment before ``env.py`` runs in it (a replay swaps the connection there).
    :param to_write: the run changes the target: each revision gets a transaction of its own, and a connection that
        is in a transaction already is refused.
    :param consents: what a person consented to by name, for the operations that run in it.
    :raises Missing: when the database cannot be reached or ``env.py`` fails.
    :raises WrongUsage: when ``env.py`` hands over a connection that is in a transaction.
    """
    own = OwnRun(work, consents, to_write=to_write)
    options: dict[str, Any] = {KEY: own, "dont_mutate": True}
    with _outer_run_kept(), EnvironmentContext(config, script, fn=lambda *_: (), **options) as env:
        if to_write:
            _force_transaction_per_migration(env, script)
        if prepare is not None:
            prepare(env)
        with kept_back(BANNERS), _as_our_errors(script):
            script.run_env()
        other = _other_kind(env)
    if not own.contexts and other:
        raise Missing(
            f"This database is {other}; alembic-safe's commands know PostgreSQL.",
            next_steps=[NextStep("Alembic's own commands work on it as before", "alembic upgrade head")],
        )
    if not own.contexts:
        raise WrongUsage(
            f"{shown(script.env_py_location)} ran, and never called context.run_migrations().",
            next_steps=[NextStep("see what env.py should look like", "alembic safe-init")],
        )


@contextmanager
def _outer_run_kept() -> Iterator[None]:
    """Give ``alembic.context`` and ``alembic.op`` back to the run around this one: Alembic leaves them empty."""
    outer = [getattr(module, "_proxy", None) for module in (alembic_context, alembic_op)]
    try:
        yield
    finally:
        for proxy in outer:
            if proxy is not None:
                proxy._install_proxy()  # noqa: SLF001 - what Alembic itself calls at the beginning


def _other_kind(env: EnvironmentContext) -> str:
    """Return the name of a database that is no PostgreSQL, where our functions are never called."""
    context = env._migration_context  # noqa: SLF001 - get_context() raises where env.py configured none
    return "" if context is None or context.dialect.name == "postgresql" else context.dialect.name


def _force_transaction_per_migration(env: EnvironmentContext, script: ScriptDirectory) -> None:
    configure = env.configure

    def configure_ours(connection: Any = None, *args: Any, **kw: Any) -> None:
        if connection is not None and connection.dialect.name == "postgresql" and connection.in_transaction():
            raise _in_transaction(script)
        kw["transaction_per_migration"] = True
        configure(connection, *args, **kw)

    # on the instance: alembic.context finds the method there, and a subclass would not be asked
    env.configure = configure_ours  # type: ignore[method-assign]


def _in_transaction(script: ScriptDirectory) -> WrongUsage:
    return WrongUsage(
        f"{shown(script.env_py_location)} hands over a connection that is in a transaction already, so revisions could not"
        " be committed one by one.",
        detail=[
            "Instead of connectable.begin():  with connectable.connect() as connection:",
            "Behind statements of its own, before context.configure():  connection.commit()",
        ],
        next_steps=[NextStep("let it be shown, and mended where it is a usual one", "alembic safe-init")],
    )


@contextmanager
def _as_our_errors(script: ScriptDirectory) -> Iterator[None]:  # noqa: C901 - one branch for each kind of failure
    """Turn what goes wrong in the project's own code into an error that names the place."""
    from sqlalchemy.exc import DBAPIError, InvalidRequestError, SQLAlchemyError

    try:
        yield
    except (SafeError, KeyboardInterrupt, SystemExit, CommandError):
        raise
    except DBAPIError as error:
        if error.statement is None:
            raise _unreachable(error) from error
        if _raised_in(error, script) is not None:
            raise _not_run(error, script) from error
        raise (_right_missing(error) or error) from error
    except OSError as error:
        if not isinstance(error, (ConnectionError, TimeoutError)) and _raised_in(error, script) is None:
            raise  # a file of ours, not the network of a driver
        raise (_not_run(error, script) if _is_of_env(error, script) else _unreachable(error)) from error
    except SQLAlchemyError as error:
        if _raised_in(error, script) is None:
            raise
        if isinstance(error, InvalidRequestError) and "transaction" in str(error):
            # env.py holds on to a transaction of its own, which a look of ours has ended
            raise _in_transaction(script) from error
        raise _wrong_url(f"{_where(error, script)}: {_one_line(error)}.") from error
    except Exception as error:
        if _raised_in(error, script) is None:
            raise (_right_missing(error) or error) from error
        raise _not_run(error, script) from error


def _not_run(error: BaseException, script: ScriptDirectory) -> SafeError:
    reason = _reason(error)
    last = traceback.extract_tb(reason.__traceback__)[-1:]
    if isinstance(reason, ValueError) and last and last[0].name == "_parse_url":
        # SQLAlchemy's int(); the word is not repeated: where no host was said, it is a password
        return _wrong_url(f"{_where(error, script)}: the port in the URL is not a number.")
    return Missing(
        f"env.py could not be run: {type(reason).__name__}: {_one_line(reason)} ({_where(error, script)}).",
        next_steps=[NextStep("see the traceback", "alembic --raiseerr safe-status")],
    )


def _wrong_url(summary: str) -> WrongUsage:
    example = "postgresql+psycopg://USER:PASSWORD@HOST:5432/DATABASE"
    return WrongUsage(summary, next_steps=[NextStep("a URL looks like this", example)])


def _unreachable(error: BaseException) -> Missing:
    # libpq puts a question on a line of its own behind the reason
    lines = [line.strip() for line in str(_reason(error)).splitlines() if line.strip()] or [type(error).__name__]
    said = "".join(f"{line} " if line.endswith((".", "?", ":")) else f"{line}. " for line in lines).strip()
    return Missing(
        f"The database cannot be reached: {said}",
        next_steps=[NextStep("check the URL that env.py uses, and that the server runs and lets this host in")],
    )


def _right_missing(error: Exception) -> Missing | None:
    """Return what to say when a statement of ours, not of a revision, was denied, on env.py's connection or our own."""
    if sqlstate_of(error) not in _DENIED:
        return None
    statement = getattr(error, "statement", None)
    return Missing(
        f"The role that env.py connects as lacks a right: {_one_line(_reason(error))}.",
        detail=["It was needed for:", "  " + " ".join(statement.split())[:_LONGEST_STATEMENT]] if statement else [],
        next_steps=[NextStep("see what a deploy role needs", "alembic safe-init --grants ROLE")],
        state="Nothing was changed by this statement; what was committed before it stands.",
    )


def _reason(error: BaseException) -> BaseException:
    from sqlalchemy.exc import DBAPIError

    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _one_line(error: BaseException) -> str:
    # psycopg and asyncpg put the reason first, and advice on further lines behind it
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _is_of_env(error: OSError, script: ScriptDirectory) -> bool:
    """Whether env.py itself missed a file, and not a driver the server; asyncpg does not wrap what the network says."""
    if isinstance(error, (ConnectionError, TimeoutError)):
        return False
    modules = {Path(frame.filename).parent.name for frame in traceback.extract_tb(error.__traceback__)}
    return _raised_in(error, script) is not None and not modules & {"asyncio", "asyncpg"}


def _raised_in(error: BaseException, script: ScriptDirectory) -> tuple[str, int] | None:
    """Return file and line of env.py that the error passed through before it reached any code of ours."""
    own = str(Path(__file__).parent.parent) + os.sep
    env_py = Path(script.env_py_location).absolute()
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).absolute() == env_py:
        return error.filename, error.lineno or 0  # it was never run, so it has no frame
    found = None
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).absolute() == env_py:
            found = frame.filename, frame.lineno or 0
        elif found is not None and frame.filename.startswith(own):
            return None
    return found


def _where(error: BaseException, script: ScriptDirectory) -> str:
    found = _raised_in(error, script)
    return f"{shown(found[0])}:{found[1]}" if found else shown(script.env_py_location)
