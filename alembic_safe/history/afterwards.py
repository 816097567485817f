"""What becomes of a squash later: undone, or followed by a revision of another branch of git?"""

from __future__ import annotations

import ast
import re
import shutil
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.util import CommandError

from alembic_safe.database.env_locations import directory_of
from alembic_safe.database.envpy import script_of
from alembic_safe.database.revision_files import shown
from alembic_safe.database.squash_moving import clear, move
from alembic_safe.database.squashed import ARCHIVE, archive_folder, file_hash, is_squash, original_files, replaced_by
from alembic_safe.errors import Findings, NextStep, WrongUsage
from alembic_safe.history.certificate import read_certificate
from alembic_safe.history.shortcut import shortcut_named, take_away
from alembic_safe.history.worktree import require_committed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory


@dataclass(frozen=True)
class Undone:
    """A squash that was taken back.

    :param back: where the originals are again.
    :param shortcut: where it was, if it was a shortcut: then they were never away.
    """

    revision: str
    back: tuple[Path, ...]
    shortcut: Path | None = None


def squashes(script: ScriptDirectory) -> list[Any]:
    """Return the squashes among the revisions that are not archived, the newest first."""
    return [one for one in script.walk_revisions() if one is not None and is_squash(one)]


def squash_named(script: ScriptDirectory, word: str) -> Any:
    """Return the squash of an id, or of one of the ids that it stands for.

    :raises WrongUsage: when that is none.
    """
    try:
        found = script.get_revisions(word) if word else ()
    except CommandError:
        found = ()
    if len(found) == 1 and is_squash(found[0]):  # an id, its beginning, a label, "head", or an id that it stands for
        return found[0]
    known = ", ".join(one.revision for one in squashes(script)) or "none"
    look = NextStep("see the revisions", "alembic history")
    raise WrongUsage(f"{word or 'That'} is no squash; those here: {known}.", next_steps=[look])


def undo(config: Config, word: str) -> Undone:
    """Put the originals of a squash back in its place, and take it out, in one step.

    :raises Missing: when its archive is not there.
    :raises Refused: when something is not committed.
    """
    script = script_of(config)
    clear(Path(script.dir, ARCHIVE))
    locations = [Path(folder) for folder in script._version_locations]  # noqa: SLF001 - what Alembic itself lists
    short = shortcut_named(script, word)
    if short is not None:
        return Undone(short.revision, (), take_away(script, short))
    squash = squash_named(script, word)
    certificate = read_certificate(script, squash.revision)
    require_committed(locations)
    archive = archive_folder(script, squash.revision)
    root = Path(script.dir).absolute()
    add = [
        (path, root / certificate.folders.get(path.name, Path(squash.path).with_name(path.name)))
        for path in original_files(script, squash.revision)
    ]
    move(archive.parent, locations, add, [Path(squash.path)])
    shutil.rmtree(archive, ignore_errors=True)
    return Undone(squash.revision, tuple(final for _, final in add))


@dataclass(frozen=True)
class Rebased:
    """A file of another branch of git that fits again.

    :param taken_out: it was an original, which the archive has; otherwise it follows the squash now.
    """

    path: Path
    squash: str
    taken_out: bool


def rebase(config: Config, path: Path) -> Rebased:
    """Let a revision follow a squash instead of a revision that it stands for, or take an original out that came back.

    :raises WrongUsage: when there is nothing to do for the file.
    :raises Findings: when the original that came back is not the one in the archive.
    """
    script = directory_of(config)
    # as they are in the folder: the map of revisions refuses what is mended here
    live = list(script._load_revisions())  # noqa: SLF001
    one = next((found for found in live if Path(found.path).resolve() == path.resolve()), None)
    if one is None:
        raise WrongUsage(f"{shown(path)} is no revision file here.")
    by_id = {id_: squash for squash in live if is_squash(squash) for id_ in (squash.revision, *replaced_by(squash))}
    squash = by_id.get(one.revision)
    if squash is not None and squash is not one:
        return _taken_out(script, one, squash)
    parents = {
        parent: by_id[parent].revision
        for parent in (*_tuple(one.module.down_revision), *_tuple(getattr(one.module, "depends_on", None)))
        if parent in by_id and parent != by_id[parent].revision
    }
    if not parents:
        raise WrongUsage(f"{shown(path)} follows no revision that was squashed, and is none.")
    _rewrite(path, parents, script.output_encoding)
    return Rebased(path, next(iter(parents.values())), taken_out=False)


def _taken_out(script: ScriptDirectory, one: Script, squash: Script) -> Rebased:
    path = Path(one.path)
    own = file_hash(path.read_bytes())
    if own not in {file_hash(original.read_bytes()) for original in original_files(script, squash.revision)}:
        raise Findings(
            f"{shown(path)} is not the original that was squashed: it was changed on the other branch.",
            detail=[
                f"Databases that ran the archived one do not have that change: {archive_folder(script, squash.revision)}"
            ],
            next_steps=[
                NextStep("see the change", f"git log -p -- {shown(path)}"),
                NextStep("make a revision of it behind the squash, then put the original here and run this again"),
            ],
        )
    path.unlink()
    return Rebased(path, squash.revision, taken_out=True)


def _rewrite(path: Path, parents: dict[str, str], encoding: str) -> None:
    """Change the ids in the assignments of a file and in its docstring, and not another byte."""
    text = path.read_bytes().decode(encoding)
    lines = text.splitlines(keepends=True)
    for first, last in _assignments(text):
        for n in range(first, last):
            for old, new in parents.items():
                lines[n] = re.sub(rf"(['\"]){re.escape(old)}\1", rf"\g<1>{new}\g<1>", lines[n])
    for n, line in enumerate(lines):
        if line.startswith("Revises:"):
            for old, new in parents.items():
                line = re.sub(rf"(?<![\w]){re.escape(old)}(?![\w])", new, line)  # noqa: PLW2901
            lines[n] = line
            break
    # of the same size and in the same second, Python would go on with what it compiled from the text before
    Path(cache_from_source(str(path))).unlink(missing_ok=True)
    path.write_bytes("".join(lines).encode(encoding))


def _assignments(text: str) -> list[tuple[int, int]]:
    """Return the lines in which a file says what it follows: from one, up to before another."""
    return [
        (node.lineno - 1, node.end_lineno or node.lineno)
        for node in ast.parse(text).body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        and any(
            getattr(target, "id", "") in {"down_revision", "depends_on"}
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        )
    ]


def _tuple(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)
