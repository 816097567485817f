"""Which folders hold the revision files, also where it is env.py that says so?"""

# Some projects keep a history for each dialect, and say in env.py which: context.script.version_locations = [...].
# Alembic reads the files behind env.py, so that is enough for it; we read them before.
from __future__ import annotations

import ast
import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

if TYPE_CHECKING:
    from alembic.config import Config

_ATTRIBUTE = "version_locations"
_KNOWN = "alembic_safe.version_locations"
"""Under this key of a configuration's attributes stands what env.py was found to say."""


class _Configured(Exception):
    """env.py came to ``context.configure()``."""


def directory_of(config: Config) -> ScriptDirectory:
    """Return the project's script directory as Alembic has it when it reads the revision files.

    Where env.py assigns to ``version_locations``, it is run in offline mode up to ``context.configure()``, once for each
    configuration; no database is asked.
    """
    script = ScriptDirectory.from_config(config)
    if _KNOWN not in config.attributes:
        config.attributes[_KNOWN] = _said_by_env(config, script) if _assigns(Path(script.env_py_location)) else None
    script.version_locations = config.attributes[_KNOWN] or script.version_locations
    return script


def _assigns(env_py: Path) -> bool:
    """Whether something is assigned to an attribute of this name."""
    try:
        tree = ast.parse(env_py.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False  # who runs it says what is wrong with it
    return any(
        isinstance(node, ast.Attribute) and node.attr == _ATTRIBUTE and isinstance(node.ctx, ast.Store)
        for node in ast.walk(tree)
    )


def _said_by_env(config: Config, script: ScriptDirectory) -> list[str] | None:
    """Return the folders that env.py gives to its script directory; ``None`` where it gives none."""
    asked = ScriptDirectory.from_config(config)
    options: dict[str, Any] = {"as_sql": True, "dont_mutate": True}
    with EnvironmentContext(config, asked, fn=lambda *_: (), **options) as env:
        env.configure = _stop  # type: ignore[method-assign]
        # what fails here fails again where env.py is run for its own sake, and is told there
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            asked.run_env()
    return None if asked.version_locations == script.version_locations else list(asked.version_locations)


def _stop(*_: object, **__: object) -> None:
    raise _Configured
