"""What the project and the person decided: one frozen Settings, one precedence."""

from __future__ import annotations

import configparser
import difflib
import os
import re
import sys
from dataclasses import Field, dataclass, field, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from alembic_safe.errors import NextStep, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.config import Config

PREFIX = "ALEMBIC_SAFE_"
SECTION = "alembic_safe"

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4}
_TEST_SWITCHES = "ALEMBIC_SAFE_TEST_"
# a backup_command may run commands of ours itself: what it is told are no settings
_TOLD_TO_BACKUP_COMMAND = frozenset(
    f"{PREFIX}BACKUP_{word}" for word in ("DATABASE", "HOST", "PORT", "USER", "REVISION")
)


UNPROTECTED = ("development", "dev", "local", "test", "testing", "ci")
"""Environment names that are not protected; every other name is, an unknown one included."""


@dataclass(frozen=True)
class Declaration:
    """What one source says the project's database is."""

    environment: str
    protected: bool
    source: str


class Seconds(float):
    """A duration in seconds; written as ``500ms``, ``60s``, ``10m``, ``24h``, ``30d``."""


class Bytes(int):
    """A size in bytes; written as ``500MB``, ``20GB``."""


class Count(int):
    """A whole number of things, not negative."""


class Lines(tuple[str, ...]):
    """Several texts: a list in pyproject.toml, a line each elsewhere."""

    __slots__ = ()


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
    lock_budget: Seconds = _setting(Seconds(600), "how long to go on trying for the locks of one revision")
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
        for source, values in _sources(config, environ):
            settings = settings._with(source, values)
        given = {key: value for key, value in options.items() if value is not None}
        return settings._with("option", given, counts=False)  # noqa: SLF001 - a Settings of our own

    def _with(self, source: str, values: Mapping[str, object], *, counts: bool = True) -> Settings:
        if not values and not source.startswith("["):
            return self
        known = public_fields()
        read: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                raise _unknown(source, key, known)
            if source == "environment" and known[key].metadata["in_files_only"]:
                raise WrongUsage(
                    f"{variable_of(key)}: no variable lowers the guard; {key} is a setting of the project's files."
                )
            read[key] = _typed(source, key, value, known[key])
        if counts:
            read["found"] = (*self.found, source)
        name, protected = read.get("environment"), read.get("protected")
        if name is not None or protected is not None:
            declaration = _declaration(source, name, protected)
            read["declarations"] = (*self.declarations, declaration)
        return replace(self, **read)


def public_fields() -> dict[str, Field[Any]]:
    """Return the settings a person can write, by name, in the order of the class."""
    return {f.name: f for f in fields(Settings) if not f.metadata.get("internal")}


def variable_of(key: str) -> str:
    """Return the environment variable of a setting: ``lock_wait`` -> ``ALEMBIC_SAFE_LOCK_WAIT``."""
    return PREFIX + key.upper()


def seconds(text: str) -> Seconds:
    """Read a duration such as ``500ms``, ``60s``, ``10m``, ``24h``, ``30d``; a bare number means seconds.

    :raises ValueError: when it is none of these.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", str(text).lower())
    if not match:
        raise ValueError(f"{text!r} is no duration; write 500ms, 60s, 10m, 24h or 30d")
    return Seconds(float(match[1]) * _UNITS[match[2] or "s"])


def size(text: str) -> Bytes:
    """Read a size such as ``500MB`` or ``20GB``; a bare number means bytes.

    :raises ValueError: when it is neither.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(b|kb|mb|gb|tb)?\s*", str(text).lower())
    if not match:
        raise ValueError(f"{text!r} is no size; write 500MB or 20GB")
    return Bytes(Decimal(match[1]) * _SIZES[match[2] or "b"])


def project_folder(config: Config | None) -> Path:
    """Return the folder that relative paths in the settings start from: that of the configuration file."""
    if config is not None and config.config_file_name and Path(config.config_file_name).exists():
        return Path(config.config_file_name).absolute().parent
    if config is not None and config.toml_file_name:
        return Path(config.toml_file_name).absolute().parent
    return Path.cwd()


def _declaration(source: str, name: str | None, protected: bool | None) -> Declaration:
    if source == "environment":
        source = variable_of("environment" if name is not None else "protected")
    if name is None:
        name = "production" if protected else "development"
    return Declaration(name, name.lower() not in UNPROTECTED if protected is None else protected, source)


def _sources(config: Config | None, environ: Mapping[str, str]) -> list[tuple[str, dict[str, object]]]:
    """Return what every source says, the weakest first."""
    found: list[tuple[str, dict[str, object]]] = []
    toml = _toml_file(config)
    if toml is not None:
        section = _toml_section(toml)
        if section is not None:
            found.append((f"[tool.{SECTION}] in {toml.name}", dict(section)))
    if config is not None and config.config_file_name and config.file_config.has_section(SECTION):
        # configparser mixes [DEFAULT] and Alembic's own "here" into every section
        inherited = {*config.file_config.defaults(), "here"}
        name = Path(config.config_file_name).name
        try:
            pairs = {k: v for k, v in config.file_config.items(SECTION) if k not in inherited}
        except configparser.InterpolationError as error:
            raise WrongUsage(
                f"[{SECTION}] in {name}: {' '.join(str(error).split())}; a percent sign is written %%."
            ) from error
        found.append((f"[{SECTION}] in {name}", dict(pairs)))
    variables: dict[str, object] = {
        name[len(PREFIX) :].lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and not name.startswith(_TEST_SWITCHES) and name not in _TOLD_TO_BACKUP_COMMAND
    }
    if variables:
        found.append(("environment", variables))
    return found


def _toml_file(config: Config | None) -> Path | None:
    """Find the project's pyproject.toml: the one Alembic was given, else the nearest above the ini file."""
    if config is not None and config.toml_file_name and Path(config.toml_file_name).exists():
        return Path(config.toml_file_name)
    start = project_folder(config)
    for folder in (start, *start.parents):
        if (folder / "pyproject.toml").exists():
            return folder / "pyproject.toml"
    return None


def _toml_section(path: Path) -> Mapping[str, object] | None:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        raw = path.read_bytes()
    except IsADirectoryError:
        return None
    except OSError as error:  # it may hold our settings: the guard must not be off because nobody could look
        raise WrongUsage(f"{path.name} cannot be read: {error.strerror}.") from error
    try:
        data = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        if SECTION.encode() not in raw and b"alembic-safe" not in raw:
            return None  # somebody else's broken file is no reason to stop a project that has no settings of ours
        raise WrongUsage(f"{path.name} cannot be read: {error}.") from error
    tool = data.get("tool")
    if not isinstance(tool, dict):
        return None
    section = tool.get(SECTION)
    if section is None and "alembic-safe" in tool:
        raise WrongUsage(f"{path.name} has a section [tool.alembic-safe]; the name is [tool.{SECTION}].")
    if section is not None and not isinstance(section, dict):
        raise WrongUsage(f"{path.name}: [tool.{SECTION}] is not a table.")
    return section


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
        return _chosen(_read(hint, value), spec.metadata["choices"])
    except (TypeError, ValueError) as error:
        name = variable_of(key) if source == "environment" else key
        raise WrongUsage(f"{source}: {name} ({spec.metadata['about']}): {error}.") from error


def _chosen(read: object, choices: tuple[str, ...]) -> object:
    if choices and read not in choices:
        near = difflib.get_close_matches(str(read), choices, n=1, cutoff=0)
        raise ValueError(f"{read!r} is none of {', '.join(choices)}; the nearest is {near[0]}")
    return read


def _read(hint: Any, value: object) -> object:
    kinds = {t for t in getattr(hint, "__args__", (hint,)) if t is not type(None)}
    optional = type(None) in getattr(hint, "__args__", ())
    if optional and (value is None or (isinstance(value, str) and value.strip().lower() in ("", "none"))):
        return None
    if bool in kinds:
        return _boolean(value)
    if Seconds in kinds:
        return seconds(_plain(value))
    if Bytes in kinds:
        return size(_plain(value))
    if Lines in kinds:
        given = value if isinstance(value, (list, tuple)) else _plain(value).splitlines()
        return Lines(line for line in (str(one).strip().rstrip(";") for one in given) if line)
    if Count in kinds:
        return _count(_plain(value))
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{value!r} is no text")
    return value.strip()


def _count(text: str) -> Count:
    if not re.fullmatch(r"\s*[0-9]+\s*", text):
        raise ValueError(f"{text!r} is no whole number")
    return Count(text)


def _plain(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TypeError(f"{value!r} is neither a number nor a text with a unit")
    return str(value)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    read = words.get(str(value).strip().lower())
    if read is None:
        raise ValueError(f"{value!r} is neither true nor false")
    return read
