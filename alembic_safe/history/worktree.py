"""What is in the folders of the revisions that no commit of git has?"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.database.revision_files import shown
from alembic_safe.errors import NextStep, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SHOWN = 10


@dataclass(frozen=True)
class Change:
    """A file that is not as the last commit has it.

    :param path: without links in its folders.
    :param code: the two letters that ``git status --porcelain`` has for it.
    """

    path: Path
    code: str

    @property
    def line(self) -> str:
        """How a person reads it."""
        return f"{self.code} {shown(self.path)}"


@dataclass(frozen=True)
class Watched:
    """What git knows of the files in some folders.

    :param changes: what is in no commit.
    :param committed: the files that are as the last commit has them.
    """

    changes: tuple[Change, ...]
    committed: frozenset[Path]


def real(path: Path) -> Path:
    """Return the path of a file without links in its folders; the file may be one, or may be gone."""
    return path.parent.resolve() / path.name


def watched(folders: Iterable[Path]) -> Watched | None:
    """Ask git for the files in folders; ``None`` where it does not watch over any of them."""
    changes: dict[Path, Change] = {}
    tracked: set[Path] = set()
    asked = False
    for folder in folders:
        status = _git(folder, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", ".")
        top = _git(folder, "rev-parse", "--show-toplevel")
        listed = _git(folder, "ls-files", "-z", "--", ".")
        if status is None or top is None or listed is None:
            continue
        asked = True
        root = Path(top.rstrip("\n"))
        for entry in filter(None, status.split("\0")):
            path = real(root / entry[3:])
            if "__pycache__" not in path.parts:
                changes[path] = Change(path, entry[:2])
        tracked |= {real(folder / name) for name in filter(None, listed.split("\0"))}
    return Watched(tuple(changes.values()), frozenset(tracked - changes.keys())) if asked else None


def last_committed(path: Path) -> bytes | None:
    """Return what the last commit has of a file; ``None``: it has none."""
    there = next(folder for folder in path.parents if folder.is_dir())
    name = path.relative_to(there).as_posix()
    done = _run(there, "show", f"HEAD:./{name}")
    return done.stdout if done is not None and done.returncode == 0 else None


def require_committed(folders: Sequence[Path], deed: str) -> bool:
    """Stop where git knows of changes in the folders of the revisions that are in no commit.

    :param deed: what is to be done, such as ``a squash``.
    :return: whether git watches over them at all.
    :raises Refused: naming the files.
    """
    found = watched(folders)
    if found is not None and found.changes:
        raise Refused(
            f"There are changes in the folder of the revisions that no commit has: after {deed} nobody could tell them apart.",
            detail=lines(found.changes),
            # without what is untracked, the stash would part a squash from the files that it stands for
            next_steps=[NextStep("commit them, or put them aside", "git stash --include-untracked")],
        )
    return found is not None


def lines(changes: Sequence[Change]) -> list[str]:
    """Return what is said of changes, the first of many."""
    more = [f"and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
    return [*(one.line for one in changes[:_SHOWN]), *more]


def _git(folder: Path, *words: str) -> str | None:
    done = _run(folder, *words) if folder.is_dir() else None
    return os.fsdecode(done.stdout) if done is not None and done.returncode == 0 else None


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes] | None:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *words],  # noqa: S607
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
