"""Where may settings stand, and what does each of these places say?"""

from __future__ import annotations

import configparser
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.config import Config

PREFIX = "ALEMBIC_SAFE_"
SECTION = "alembic_safe"

_TEST_SWITCHES = "ALEMBIC_SAFE_TEST_"
# a backup_command may run commands of ours itself: what it is told are no settings
_TOLD_TO_BACKUP_COMMAND = frozenset(
    f"{PREFIX}BACKUP_{word}" for word in ("DATABASE", "HOST", "PORT", "USER", "REVISION")
)


def variable_of(key: str) -> str:
    """Return the environment variable of a setting: ``lock_wait`` -> ``ALEMBIC_SAFE_LOCK_WAIT``."""
    return PREFIX + key.upper()


def project_folder(config: Config | None) -> Path:
    """Return the folder that relative paths in the settings start from: that of the configuration file."""
    if config is not None and config.config_file_name and Path(config.config_file_name).exists():
        return Path(config.config_file_name).absolute().parent
    if config is not None and config.toml_file_name:
        return Path(config.toml_file_name).absolute().parent
    return Path.cwd()


def sources(config: Config | None, environ: Mapping[str, str]) -> list[tuple[str, dict[str, object]]]:
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
