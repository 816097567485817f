"""What does a replay of revision files depend on, in one hash?"""

# The revision files and what they import of the project, env.py, what env.py configures, the server, and the versions of
# those who write the SQL.
from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
import sysconfig
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic_safe.database.bootstrap import bootstrap_of
from alembic_safe.database.envpy import run_env
from alembic_safe.database.replay_connection import place_of
from alembic_safe.database.squashed import ARCHIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.database.shadow import Shadow

_IMPORT = re.compile(r"^[ \t]*(?:from|import)[ \t]+([A-Za-z_]\w*)(.*)$", re.MULTILINE)
_INSTALLED = tuple(
    str(Path(sysconfig.get_paths()[key]).resolve()) for key in ("stdlib", "platstdlib", "purelib", "platlib")
)


def configured(context: MigrationContext, kw: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a replay depends on of what ``env.py`` configures, for one of its contexts.

    :param kw: as a :data:`alembic_safe.database.envpy.Work` gets it.
    """
    given = context.opts.get("target_metadata")
    several = given if isinstance(given, (list, tuple)) else [given]
    connection: Any = context.connection
    return (
        place_of(connection), context.version_table, context.version_table_schema, repr(kw),
        [_convention(metadata) for metadata in several],
        connection.dialect.driver, dict(connection.engine.url.query).get("options"),
        connection.dialect.default_schema_name,
    )  # fmt: skip


def key_of(
    config: Config, script: ScriptDirectory, shadow: Shadow, to: str, contexts: Sequence[tuple[Any, ...]] = ()
) -> str:
    """Return the hash of everything that a replay depends on.

    :param contexts: every context as :func:`configured` saw it; empty: ``env.py`` is run for that.
    :raises Missing: when ``env.py`` cannot be run, or its database cannot be reached.
    """
    facts: list[Any] = list(contexts)
    if not facts:
        run_env(config, script, lambda context, kw: facts.append(configured(context, kw)))
    files = _files(script)
    bootstrap = bootstrap_of(config, shadow.settings)
    if bootstrap is not None:
        files.add(bootstrap)
    facts += [
        to, shadow.server_version, shadow.rung, asdict(shadow.needs), shadow.extensions,
        sorted(getattr(config.cmd_opts, "x", None) or []), _versions(),
        sorted((str(path), path.stat().st_mtime_ns) for path in files if _installed(path)),
    ]  # fmt: skip
    digest = hashlib.sha256(json.dumps(facts, default=str).encode())
    for path in sorted(files):
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _convention(metadata: Any) -> str:
    return repr(sorted(getattr(metadata, "naming_convention", {}).items(), key=str))


def _versions() -> list[str]:
    return [importlib.metadata.version(name) for name in ("alembic-safe", "alembic", "sqlalchemy", "psycopg")]


def _files(script: ScriptDirectory) -> set[Path]:
    """Return the files that make a replay: the revisions, env.py, and what the revisions import of the project."""
    # listed, not loaded: running 300 modules takes longer than copying a database
    folders = [Path(folder) for folder in script._version_locations]  # noqa: SLF001 - what Alembic itself lists
    archive = Path(script.dir, ARCHIVE)
    pattern = "**/*.py*" if script.recursive_version_locations else "*.py*"
    revisions = {path for folder in folders for path in folder.glob(pattern) if "__pycache__" not in path.parts}
    revisions |= {path for path in archive.rglob("*.py") if "__pycache__" not in path.parts}
    found = {*revisions, Path(script.env_py_location)}
    for top in {name for path in revisions for name in _imported(path)}:
        found |= _sources_of(top)
    return found


def _imported(path: Path) -> Iterable[str]:
    """Yield the top-level names that a revision file imports, also inside its functions."""
    if path.suffix != ".py":
        return
    # parsing 300 revisions takes longer than copying a database; a name too many does no harm
    for first, further in _IMPORT.findall(path.read_text(encoding="utf-8", errors="replace")):
        yield first
        yield from (name.strip().partition(".")[0].partition(" ")[0] for name in further.split(",")[1:])


def _sources_of(top: str) -> set[Path]:
    """Return the Python files of a package of the project's own; of an installed one, the file that is its face."""
    if top in sys.stdlib_module_names or top in ("alembic", "sqlalchemy", "alembic_safe"):
        return set()
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # a word of a docstring, or a module that is no module
        return set()
    if spec is None:
        return set()
    origin = Path(spec.origin).resolve() if spec.has_location and spec.origin else None
    face = {origin} if origin is not None and origin.is_file() else set()
    folders = [Path(folder).resolve() for folder in spec.submodule_search_locations or ()]
    return face.union(*(folder.rglob("*.py") for folder in folders if not _installed(folder)))


def _installed(path: Path) -> bool:
    return any(str(path).startswith(folder + os.sep) for folder in _INSTALLED)
