"""The project's own ``env.py``: run with a function of ours in the place of Alembic's (door 6)."""

# Naming convention, version table, SET ROLE, arguments of run_migrations(), several contexts: only env.py knows
# them. So whatever we do on a database of the project, we do inside its run.
from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import context as alembic_context
from alembic import op as alembic_op
from alembic.runtime.environment import EnvironmentContext
from alembic.util import CommandError

from alembic_safe.database.env_locations import directory_of
from alembic_safe.database.envpy_failures import as_our_errors, in_transaction
from alembic_safe.database.quiet_logs import BANNERS, kept_back
from alembic_safe.database.reading import Reading
from alembic_safe.database.revision_files import require_one_history, shown
from alembic_safe.errors import Missing, NextStep, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    Work = Callable[[MigrationContext, dict[str, Any]], None]

KEY = "alembic_safe"
"""Under this key a context's options say that a run is ours; no variable and no option of a person reaches it."""


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
        with kept_back(BANNERS), as_our_errors(script):
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
            raise in_transaction(script)
        kw["transaction_per_migration"] = True
        configure(connection, *args, **kw)

    # on the instance: alembic.context finds the method there, and a subclass would not be asked
    env.configure = configure_ours  # type: ignore[method-assign]
