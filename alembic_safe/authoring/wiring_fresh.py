"""How does a project without a migrations folder get one?"""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from alembic_safe.errors import Missing, NextStep, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterable

TEMPLATES = ("generic", "pyproject", "async", "pyproject_async", "multidb")
"""Alembic's own templates, those that 1.18 to 1.20 bring along."""
FOLDER = "migrations"


def script_folder(config: Config) -> Path | None:
    """Return the folder that the configuration names, whether or not it exists; ``None`` when it names none."""
    with contextlib.suppress(CommandError):
        location = config.get_alembic_option("script_location")
        # "package:folder" is a place inside an installed package: Alembic finds that, and it is never made here
        if location and ":" not in location:
            return Path(location)
    return None


def missing_environment(config: Config) -> Missing | None:
    """Return the error for a project that has no environment to wire; ``None`` for one that has."""
    folder = script_folder(config)
    if folder is None:
        try:
            named = config.get_alembic_option("script_location")
        except CommandError:
            named = None
        if named:
            return None
        summary, name = "There is no Alembic environment here: no configuration names a migrations folder.", FOLDER
    elif not folder.is_dir():
        summary, name = f"The migrations folder {_relative(folder)} does not exist.", _typed(folder)
    elif not (folder / "env.py").exists():
        return Missing(
            f"{_relative(folder / 'env.py')} does not exist; Alembic reaches the database through it.",
            next_steps=[NextStep("write Alembic's stock one, wired", "alembic safe-init --template generic")],
        )
    else:
        return None
    return Missing(
        summary,
        next_steps=[
            NextStep("make it", f"alembic init {name}"),
            NextStep("then wire it", "alembic safe-init"),
            NextStep("both in one step", "alembic safe-init --template generic"),
            NextStep("it is elsewhere: name its configuration", "alembic -c path/to/alembic.ini safe-init"),
        ],
    )


def create_environment(config: Config, template: str) -> tuple[Config, tuple[str, ...]]:
    """Make an environment from one of Alembic's templates, and return its configuration and what was made.

    :param template: one of :data:`TEMPLATES`.
    :raises WrongUsage: when the project has an environment already, or Alembic refuses.
    """
    folder = script_folder(config) or Path(FOLDER)
    if missing_environment(config) is None:
        raise WrongUsage(
            f"{_relative(folder)} has an env.py already; --template is for a project that has none.",
            next_steps=[NextStep("wire the one that is there", "alembic safe-init")],
        )
    before = {path: path.read_bytes() for path in _configuration(config) if path.exists()}
    if folder.is_dir() and any(folder.iterdir()):
        made = _complete(config, folder, template)
    else:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                command.init(config, _relative(folder), template=template)
        except CommandError as error:
            raise WrongUsage(str(error)) from error
        made = [folder]
    fresh = Config(config.config_file_name, config.toml_file_name, config.config_ini_section, cmd_opts=config.cmd_opts)
    changed = [path for path in _configuration(config) if path.exists() and before.get(path) != path.read_bytes()]
    return fresh, tuple(str(path) for path in [*made, *changed])


def _complete(config: Config, folder: Path, template: str) -> list[Path]:
    # `alembic init` refuses a folder that holds anything: what is missing in it is copied, what is there stays
    made = []
    for name in ("env.py", "script.py.mako"):
        source = Path(config.get_template_directory()) / template / name
        if not (folder / name).exists():
            shutil.copyfile(source, folder / name)
            made.append(folder / name)
    return made


def _configuration(config: Config) -> Iterable[Path]:
    return [Path(name) for name in (config.config_file_name, config.toml_file_name) if name]


def _relative(folder: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(folder.absolute().relative_to(Path.cwd()))
    return str(folder)


def _typed(folder: Path) -> str:
    import shlex

    return shlex.quote(_relative(folder))
