"""What the project and the person decided: one frozen Settings, one precedence."""

from __future__ import annotations

import difflib
import os
from dataclasses import Field, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, get_type_hints

from alembic_safe.errors import NextStep, WrongUsage
from alembic_safe.settings.places import PREFIX, SECTION, project_folder, sources, variable_of
from alembic_safe.settings.values import Bytes, Count, Lines, Seconds, chosen, read, seconds, size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.config import Config

__all__ = [
    "PREFIX",
    "SECTION",
    "UNPROTECTED",
    "Bytes",
    "Count",
    "Declaration",
    "Lines",
    "Seconds",
    "Settings",
    "project_folder",
    "public_fields",
    "seconds",
    "size",
    "variable_of",
]

UNPROTECTED = ("development", "dev", "local", "test", "testing", "ci")
"""Environment names that are not protected; every other name is, an unknown one included."""


@dataclass(frozen=True)
class Declaration:
    """What one source says the project's database is."""

    environment: str
    protected: bool
    source: str


def _setting(
    default: Any, about: str, *, choices: tuple[str, ...] = (), secret: bool = False, in_files_only: bool = False
) -> Any:
    about_it = {"about": about, "choices": choices, "secret": secret, "in_files_only": in_files_only}
    return field(default=default, metadata=about_it)


@dataclass(frozen=True)
class Settings:
    """Every decision that a project or a person can take, with its default.

    Read with :meth:`load`: an option of the command beats ``ALEMBIC_SAFE_*``, which beats ``[alembic_safe]`` in
    ``alembic.ini``, which beats ``[tool.alembic_safe]`` in ``pyproject.toml``, which beats the default here.
    """

    environment: str | None = _setting(None, "the environment this project's database is declared to be")
    protected: bool | None = _setting(None, "whether that environment is protected; unset: its name decides")
    schema: str = _setting("alembic_safe", "schema of the journal and the marker")
    release: str | None = _setting(None, "name of what is deployed; unset: the CI's commit, else a hash of the heads")
    stock_upgrade: str = _setting(
        "refuse", "what plain `alembic upgrade` meets on a protected database", choices=("refuse", "warn"),
        in_files_only=True,  # it lowers the guard, and no variable does that
    )  # fmt: skip
    ahead: str = _setting("accept", "what a database ahead of the files meets", choices=("accept", "refuse"))
    contract: str = _setting(
        "park", "where a contract is written: parked until a later release appends it, or into the chain at once",
        choices=("park", "chain"),
    )  # fmt: skip
    contract_min_age: Seconds = _setting(
        Seconds(900), "how long after an expand its contract waits, on top of another release",
        in_files_only=True,  # as a variable it would let old code meet a contract
    )  # fmt: skip
    copy_workers: Count = _setting(Count(1), "how many connections copy one table at once")
    copy_max_lag: Seconds = _setting(Seconds(10), "copies wait while a standby lags behind for longer")
    copy_max_slot: Bytes = _setting(Bytes(1000**3), "copies wait while a replication slot holds back more WAL")
    copy_wait_while: str | None = _setting(None, "SQL condition of yours; copies wait while it is true")
    copy_window: str | None = _setting(None, "hours of the day (UTC) in which copies run, such as 22:00-05:30")
    lock_wait: Seconds = _setting(Seconds(60), "how long to wait for a deploy lock whose holder shows no life")
    lock_budget: Seconds = _setting(
        Seconds(600), "how long a deployment goes on trying for the locks of one revision, or waits to look"
    )
    replay_max: Seconds = _setting(
        Seconds(30), "the longest attempt of a revision that is repeated after a lock failure"
    )
    backup_dir: str = _setting("backups", "where backups are written, relative to the project")
    backup_scope: str = _setting(
        "database", "what a backup holds: everything, or the tables that the pending revisions name",
        choices=("database", "affected"),
    )  # fmt: skip
    backup_command: str | None = _setting(None, "a command of yours that takes the backup (a snapshot) instead")
    backup_warn_size: Bytes | None = _setting(
        Bytes(20 * 1000**3), "databases above this size ask before they are dumped"
    )
    backup_large: str = _setting("ask", "what happens above backup_warn_size", choices=("ask", "dump"))
    pg_bin: str | None = _setting(None, "folder of pg_dump and pg_restore; unset: PATH, then the embedded server's")
    shadow_url: str | None = _setting(
        None,
        "URL of an empty database; shadows (throw-away databases) are made beside it, it stays untouched",
        secret=True,
    )
    shadow_on_target: bool = _setting(
        default=False, about="whether shadows may be made on the server of a protected or undeclared database"
    )
    shadow_extensions: str = _setting(
        "none", "extensions that every shadow has before the first revision, separated by commas"
    )
    shadow_bootstrap: str | None = _setting(
        None, "SQL file with what is there before the first revision; every replay of the files begins with it"
    )
    shadow_patience: Seconds = _setting(
        Seconds(60), "how long one statement may take on a shadow; what takes longer is not observed; 0: no limit"
    )
    shadow_cache: Count = _setting(Count(3), "how many replayed shadows each server keeps to copy from; 0: none")

    policy: str | None = _setting(
        None,
        "what hazards meet, such as danger=refuse, create-index=ask, large=5GB: see docs/plan.md",
        in_files_only=True,
    )

    rehearse: str = _setting(
        "auto",
        "on what pending revisions are rehearsed before they are deployed",
        choices=("auto", "schema", "backup", "off"),
    )
    invariants: Lines = _setting(Lines(), "queries whose answers a rehearsal must not change, one a line")

    found: tuple[str, ...] = field(default=(), metadata={"internal": True})
    """Where settings of ours were found: the project *has our settings* when this is not empty."""
    declarations: tuple[Declaration, ...] = field(default=(), metadata={"internal": True})
    """What each source declares the database to be; the most severe one counts, so all are kept."""

    @property
    def active(self) -> bool:
        """Whether this project has settings of ours at all; the guard looks at the database's marker otherwise."""
        return bool(self.found)

    @classmethod
    def load(
        cls, config: Config | None = None, *, environ: Mapping[str, str] | None = None, **options: object
    ) -> Settings:
        """Read every source, in one order of precedence.

        :param config: Alembic's own configuration; names the ini file and the ``pyproject.toml``.
        :param environ: the process's environment variables, unless given.
        :param options: values from the command line; ``None`` means "not given".
        :raises WrongUsage: for an unknown or ill-typed key; the message names it and the nearest valid one.
        """
        environ = os.environ if environ is None else environ
        settings = cls()
        for source, values in sources(config, environ):
            settings = settings._with(source, values)
        given = {key: value for key, value in options.items() if value is not None}
        return settings._with("option", given, counts=False)  # noqa: SLF001 - a Settings of our own

    def _with(self, source: str, values: Mapping[str, object], *, counts: bool = True) -> Settings:
        if not values and not source.startswith("["):
            return self
        known = public_fields()
        given: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                raise _unknown(source, key, known)
            if source == "environment" and known[key].metadata["in_files_only"]:
                raise WrongUsage(
                    f"{variable_of(key)}: no variable lowers the guard; {key} is a setting of the project's files."
                )
            given[key] = _typed(source, key, value, known[key])
        if counts:
            given["found"] = (*self.found, source)
        name, protected = given.get("environment"), given.get("protected")
        if name is not None or protected is not None:
            declaration = _declaration(source, name, protected)
            given["declarations"] = (*self.declarations, declaration)
        return replace(self, **given)


def public_fields() -> dict[str, Field[Any]]:
    """Return the settings a person can write, by name, in the order of the class."""
    return {f.name: f for f in fields(Settings) if not f.metadata.get("internal")}


def _declaration(source: str, name: str | None, protected: bool | None) -> Declaration:
    if source == "environment":
        source = variable_of("environment" if name is not None else "protected")
    if name is None:
        name = "production" if protected else "development"
    return Declaration(name, name.lower() not in UNPROTECTED if protected is None else protected, source)


def _unknown(source: str, key: str, known: Mapping[str, object]) -> WrongUsage:
    def spell(name: str) -> str:
        return variable_of(name) if source == "environment" else name

    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    nearest = f" The nearest is {spell(near[0])}." if near else ""
    return WrongUsage(
        f"{source}: there is no setting {spell(key)}.{nearest}",
        detail=[f"Settings: {', '.join(spell(name) for name in known)}."],
        next_steps=[NextStep("when it is mended, see what each of them does", "alembic safe-status --settings")],
    )


def _typed(source: str, key: str, value: object, spec: Field[Any]) -> object:
    hint = get_type_hints(Settings)[key]
    try:
        return chosen(read(hint, value), spec.metadata["choices"])
    except (TypeError, ValueError) as error:
        name = variable_of(key) if source == "environment" else key
        raise WrongUsage(f"{source}: {name} ({spec.metadata['about']}): {error}.") from error
