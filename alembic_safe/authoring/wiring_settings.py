"""Which lines give a project its section of settings, in alembic.ini or pyproject.toml?"""

from __future__ import annotations

import configparser
import sys
from typing import TYPE_CHECKING

from alembic_safe.authoring.wiring_text import ByHand, Edit, TooUnusual, Wiring, newline_of
from alembic_safe.settings import SECTION, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    _Reader = Callable[[str], dict[str, object]]

WHY = "the guard is active where a project has settings; without them it waits for a marked database"


def wire_toml(text: str) -> Wiring:
    """Return a ``pyproject.toml`` with the section ``[tool.alembic_safe]`` at its end.

    :param text: the whole file, with its own line ends; may be empty.
    """
    return _wired(text, f"tool.{SECTION}", '"', _toml_sections)


def wire_ini(text: str) -> Wiring:
    """Return an ``alembic.ini`` with the section ``[alembic_safe]`` at its end.

    :param text: the whole file, with its own line ends.
    """
    return _wired(text, SECTION, "", _ini_sections)


def _wired(text: str, section: str, quote: str, read: _Reader) -> Wiring:
    lines = _section(section, quote)
    try:
        before = read(text)
        after = text if section in before else text + _gap(text) + lines.replace("\n", newline_of(text))
        added = read(after)
    except TooUnusual as unusual:
        return Wiring(text, text, by_hand=ByHand(unusual.why, lines))
    if after == text:
        return Wiring(text, text)
    # read back: everything that was there reads as before, and the section is the only addition
    if {key: value for key, value in added.items() if key != section} != before or section not in added:
        why = "a section at its end would change what stands before it"
        return Wiring(text, text, by_hand=ByHand(why, lines))
    return Wiring(text, after, (Edit(f"section [{section}]", WHY),))


def _gap(text: str) -> str:
    if not text:
        return ""
    return newline_of(text) * (1 if text.endswith(("\n", "\r")) else 2)


def _section(section: str, quote: str) -> str:
    default = Settings()
    return (
        "# alembic-safe. What a database is, each deployment says for itself, never this file:\n"
        "# ALEMBIC_SAFE_ENVIRONMENT=production, or once: alembic safe-guard set production\n"
        f"[{section}]\n"
        "# where backups are written, relative to the project\n"
        f"backup_dir = {quote}{default.backup_dir}{quote}\n"
        "# how long a revision goes on trying for its locks\n"
        f"# lock_budget = {quote}10m{quote}\n"
    )


def _ini_sections(text: str) -> dict[str, object]:
    # read as Alembic reads it, but without interpolation: values are compared as they are written
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise TooUnusual(
            f"it cannot be read: {str(error).splitlines()[0]}", getattr(error, "lineno", 0) or 0
        ) from error
    sections: dict[str, object] = {name: list(parser.items(name)) for name in parser.sections()}
    return sections | {"DEFAULT": list(parser.defaults().items())}


def _toml_sections(text: str) -> dict[str, object]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TooUnusual(f"it cannot be read: {error}") from error
    tools = data.pop("tool", {})
    if not isinstance(tools, dict):
        raise TooUnusual("its [tool] is not a table")
    return {**data, **{f"tool.{name}": value for name, value in tools.items()}}
