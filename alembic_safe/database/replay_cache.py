"""Whether these very revision files have been replayed before, and how the copy of that is had."""

# A replayed shadow is kept as a template: copying it takes a fraction of a replay. Its key is a hash of all that
# a replay depends on: the revision files and what they import of the project, env.py, what env.py configures, the
# server, and the versions of those who write the SQL.
from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
import sysconfig
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from alembic_safe.database.bootstrap import bootstrap_of
from alembic_safe.database.envpy import run_env
from alembic_safe.database.replay import Replayed, ReplayedContext, replay
from alembic_safe.database.replay_connection import place_of
from alembic_safe.database.shadow import open_shadow
from alembic_safe.database.shadow_server import Tag
from alembic_safe.database.squashed import ARCHIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.database.replay import ReplayStep
    from alembic_safe.database.shadow import Shadow, ShadowNote
    from alembic_safe.database.shadow_needs import ShadowNeeds
    from alembic_safe.settings import Settings

TEMPLATE = "alembic_safe_template_"
"""How the name of a kept shadow begins; nothing is concluded from a name."""

_IMPORT = re.compile(r"^[ \t]*(?:from|import)[ \t]+([A-Za-z_]\w*)(.*)$", re.MULTILINE)
_INSTALLED = tuple(
    str(Path(sysconfig.get_paths()[key]).resolve()) for key in ("stdlib", "platstdlib", "purelib", "platlib")
)


@contextmanager
def open_replayed(
    config: Config,
    script: ScriptDirectory,
    target: Endpoint | None,
    settings: Settings,
    *,
    needs: ShadowNeeds | None = None,
    protected: bool = True,
    dry_run: bool = False,
    to: str = "heads",
    on_step: Callable[[ReplayStep], None] | None = None,
    tell: Callable[[ShadowNote], None] | None = None,
) -> Iterator[tuple[Shadow, Replayed]]:
    """Make a shadow on which the revision files have been run: a copy of an earlier replay where there is one.

    The arguments are those of :func:`shadow.open_shadow` and :func:`replay.replay`, and so are the errors.
    """
    with open_shadow(target, settings, needs=needs, protected=protected, dry_run=dry_run, tell=tell) as shadow:
        if settings.shadow_cache < 1:
            yield shadow, replay(config, script, shadow, to=to, on_step=on_step)
            return
        began = time.monotonic()
        key = key_of(config, script, shadow, to)
        # two runs that need the same replay: the second waits, and copies what the first has made
        shadow.server.building(key)
        try:
            replayed = _copied(shadow, key, began)
            if replayed is None:
                replayed = replay(config, script, shadow, to=to, on_step=on_step)
                _keep(shadow, key, replayed, settings.shadow_cache)
        finally:
            shadow.server.built(key)
        yield shadow, replayed


def key_of(config: Config, script: ScriptDirectory, shadow: Shadow, to: str) -> str:
    """Return the hash of everything that a replay depends on; ``env.py`` is run for what it configures.

    :raises Missing: when ``env.py`` cannot be run, or its database cannot be reached.
    """
    facts: list[Any] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        given = context.opts.get("target_metadata")
        several = given if isinstance(given, (list, tuple)) else [given]
        connection: Any = context.connection
        facts.append([
            place_of(connection), context.version_table, context.version_table_schema, repr(kw),
            [_convention(metadata) for metadata in several],
            connection.dialect.driver, dict(connection.engine.url.query).get("options"),
            connection.dialect.default_schema_name,
        ])  # fmt: skip

    run_env(config, script, work)
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


def _copied(shadow: Shadow, key: str, began: float) -> Replayed | None:
    """Put copies of the kept databases in the place of the shadow's empty one; ``None`` where none are kept."""
    kept = [one for one in shadow.server.leftovers() if one.tag.kind == "template" and one.tag.key == key]
    if not kept:
        return None
    facts: dict[str, Any] = json.loads(kept[0].tag.facts)
    by_place = {json.loads(one.tag.facts)["place"]: one.name for one in kept}
    contexts = tuple(ReplayedContext(**{**said, "heads": tuple(said["heads"])}) for said in facts["contexts"])
    places = list(dict.fromkeys(context.place for context in contexts))
    if set(by_place) != set(places):
        return None
    try:
        copies = {place: shadow.server.create(template=by_place[place]) for place in places}
    except psycopg.Error:  # somebody has pruned it meanwhile
        return None
    shadow.adopt(copies)
    contexts = tuple(ReplayedContext(**{**asdict(context), "database": copies[context.place]}) for context in contexts)
    return Replayed(contexts, time.monotonic() - began, copied=True)


def _keep(shadow: Shadow, key: str, replayed: Replayed, limit: int) -> None:
    """Keep a copy of each replayed database as a template; a server that does not let us is no failure."""
    contexts = [asdict(context) for context in replayed.contexts]
    try:
        for number, (place, endpoint) in enumerate(shadow.databases.items()):
            facts = json.dumps({"place": place, "contexts": contexts})
            name = shadow.server.create(template=endpoint.database)
            shadow.server.keep_as_template(name, f"{TEMPLATE}{key}_{number}", Tag.now("template", key, facts))
        shadow.server.prune(templates_kept=max(limit, len(shadow.databases)))
    except psycopg.Error:
        return
