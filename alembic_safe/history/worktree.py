"""Is everything committed that a squash is about to move?"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from alembic_safe.errors import NextStep, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def require_committed(folders: Sequence[Path]) -> bool:
    """Stop where git knows of changes in the folders of the revisions that are in no commit.

    :return: whether git watches over them at all.
    :raises Refused: naming the files.
    """
    watched = False
    changed: list[str] = []
    for folder in folders:
        if not folder.exists():
            continue
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=all", "--", "."],  # noqa: S607
                capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            watched = True
            changed += [line for line in done.stdout.splitlines() if "__pycache__" not in line]
    if changed:
        raise Refused(
            "There are changes in the folder of the revisions that no commit has: after a squash nobody could tell them apart.",
            detail=changed[:10],
            next_steps=[NextStep("commit them, or put them aside", "git stash")],
        )
    return watched
