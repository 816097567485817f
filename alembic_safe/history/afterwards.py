"""Which revisions are squashes, and how does a file of another branch of git fit behind one of them again?"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.util import CommandError

from alembic_safe.database.brought_back import brought_back, follows_replaced
from alembic_safe.database.env_locations import directory_of
from alembic_safe.database.revision_files import shown
from alembic_safe.database.squashed import archive_folder, file_hash, is_squash, original_files
from alembic_safe.errors import Findings, NextStep, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory


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


@dataclass(frozen=True)
class Rebased:
    """A file of another branch of git that fits again.

    :param taken_out: it was an original, which the archive has; otherwise it follows the squash now.
    """

    path: Path
    squash: str
    taken_out: bool


def rebase(config: Config, paths: Sequence[Path]) -> tuple[Rebased, ...]:
    """Let revisions follow a squash instead of a revision that it stands for, or take originals out that came back.

    :param paths: files; of a folder, every file in it that does not fit.
    :raises WrongUsage: when there is nothing to do for one of them.
    :raises Findings: when an original that came back is not the one in the archive; nothing has changed then.
    """
    script = directory_of(config)
    # as they are in the folder: the map of revisions refuses what is mended here
    live = list(script._load_revisions())  # noqa: SLF001
    back = {Path(one.path).resolve(): squash for one, squash in brought_back(script, live)}
    follow = {Path(one.path).resolve(): parents for one, parents in follows_replaced(live).items()}
    known = {Path(one.path).resolve() for one in live}
    # a file may be named twice, by itself and by its folder
    every = [found for path in paths for found in _named(path, known, {*back, *follow})]
    named = list({found.resolve(): found for found in every}.values())
    _require_originals(script, [(path, back[path.resolve()]) for path in named if path.resolve() in back])
    return tuple(_fitted(script, path, back.get(path.resolve()), follow.get(path.resolve())) for path in named)


def _named(path: Path, known: set[Path], misfits: set[Path]) -> list[Path]:
    if path.is_dir():
        inside = sorted(one for one in misfits if one.is_relative_to(path.resolve()))
        if not inside:
            raise WrongUsage(f"No file in {shown(path)} is back, or follows a revision that was squashed.")
        return inside
    if path.resolve() not in known:
        raise WrongUsage(f"{shown(path)} is no revision file here.")
    if path.resolve() not in misfits:
        raise WrongUsage(f"{shown(path)} follows no revision that was squashed, and is none.")
    return [path]


def _fitted(script: ScriptDirectory, path: Path, squash: Script | None, parents: dict[str, Script] | None) -> Rebased:
    if squash is not None:
        path.unlink()
        return Rebased(path, squash.revision, taken_out=True)
    ids = {parent: behind.revision for parent, behind in (parents or {}).items()}
    _rewrite(path, ids, script.output_encoding)
    return Rebased(path, next(iter(ids.values())), taken_out=False)


def _require_originals(script: ScriptDirectory, back: Sequence[tuple[Path, Script]]) -> None:
    """Stop where one of the files that are to go is not in the archive byte by byte."""
    for path, squash in back:
        own = file_hash(path.read_bytes())
        if own not in {file_hash(original.read_bytes()) for original in original_files(script, squash.revision)}:
            archive = archive_folder(script, squash.revision)
            raise Findings(
                f"{shown(path)} is not the original that was squashed: it was changed on the other branch.",
                detail=[f"Databases that ran the archived one do not have that change: {archive}"],
                next_steps=[
                    NextStep("see the change", f"git log -p -- {shown(path)}"),
                    NextStep("make a revision of it behind the squash, then put the original here and run this again"),
                ],
            )


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
