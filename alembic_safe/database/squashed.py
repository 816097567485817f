"""Which revisions were squashed away, and where are their originals?"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.script import Script

from alembic_safe.database.vendored import VENDORED, load_archived
from alembic_safe.errors import Missing, NextStep

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.script import ScriptDirectory

ARCHIVE = "squashed"
"""The folder beside the revisions that holds the originals, in a folder for each squash."""
TOMBSTONE = "pruned.json"
"""What is left of an archive that was pruned."""
CERTIFICATE = "certificate.json"
SHORTCUT = "shortcut"
"""The folder in an archive of a squash that only new databases take: then the originals are where they were."""
LONG_WAY = "_alembic_safe_long_way"
"""Says of a script directory that a new database takes no shortcut."""
STAGED = "_alembic_safe_staged"
"""Where a script directory has archives that are not in their places yet."""


@dataclass(frozen=True)
class Original:
    """A file in an archive.

    :param revision: its id.
    :param down: the ids before it.
    """

    revision: str
    path: Path
    down: tuple[str, ...]


def archive_folder(directory: ScriptDirectory, squash: str) -> Path:
    """Return where the originals of a squash are."""
    staged: Iterable[Path] = directory.__dict__.get(STAGED, ())
    there = Path(directory.dir, ARCHIVE, squash).absolute()
    return next((one for one in staged if one.name == f".{squash}"), there)


def is_squash(script: Any) -> bool:
    """Whether a revision stands for others."""
    return isinstance(getattr(script.module, "replaces", None), tuple)


def replaced_by(script: Any) -> tuple[str, ...]:
    """Return the ids that a revision stands for, its own aside; empty for an ordinary one."""
    return tuple(script.module.replaces) if is_squash(script) else ()


def original_files(directory: ScriptDirectory, squash: str) -> list[Path]:
    """Return the files of an archive, in the order of their names."""
    folder = archive_folder(directory, squash)
    return sorted(
        path
        for path in folder.rglob("*.py")
        if not {"__pycache__", VENDORED, SHORTCUT} & set(path.relative_to(folder).parts)
    )


def originals(directory: ScriptDirectory, squash: str) -> list[Script]:
    """Load the originals of a squash.

    :raises Missing: when they are gone; with what to go through instead, where that is known.
    """
    files = original_files(directory, squash)
    if not files:
        raise _gone(directory, squash)
    folder = archive_folder(directory, squash)
    loaded = (load_archived(directory, path, folder) for path in files)
    return [script for script in loaded if script is not None]


def digest(files: Iterable[tuple[str, bytes]]) -> str:
    """Return the hash of files, by revision, whatever their line ends are: git may have changed those."""
    hashed = hashlib.sha256()
    for revision, content in sorted(files):
        hashed.update(f"{revision}\0{file_hash(content)}\n".encode())
    return f"sha256:{hashed.hexdigest()}"


def file_hash(content: bytes) -> str:
    """Return the hash of one file, whatever its line ends are."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def shortcuts(directory: ScriptDirectory) -> list[Script]:
    """Load the squashes that only new databases take."""
    files = sorted(Path(directory.dir, ARCHIVE).absolute().glob(f"[!.]*/{SHORTCUT}/*.py"))
    loaded = (Script._from_path(directory, path) for path in files)  # noqa: SLF001 - what Alembic loads files with
    return [script for script in loaded if script is not None]


def the_long_way(directory: ScriptDirectory) -> ScriptDirectory:
    """Let a new database run every revision that has a file in the folder of the revisions; return the directory."""
    directory.__dict__[LONG_WAY] = True
    return directory


def original_source(directory: ScriptDirectory, script: Script) -> str | None:
    """Return the other text that has a revision's id: the original of a squash, or a shortcut; ``None``: there is none."""
    if not is_squash(script):
        folder = archive_folder(directory, script.revision) / SHORTCUT
        path = next(iter(sorted(folder.glob("*.py"))), None)
        return None if path is None else path.read_bytes().decode("utf-8", errors="replace")
    pattern = re.compile(rf"^revision\b[^=\n]*=\s*['\"]{re.escape(script.revision)}['\"]", re.MULTILINE)
    for path in original_files(directory, script.revision):
        text = path.read_bytes().decode("utf-8", errors="replace")
        if pattern.search(text):
            return text
    return None


def _shown(path: str | Path) -> str:
    from alembic_safe.database.revision_files import shown

    return shown(path)


def pruned_on(directory: ScriptDirectory, squash: str) -> str:
    """Return the day on which somebody took the originals of a squash away for good; empty: nobody has."""
    return str(_stone(directory, squash).get("pruned", ""))


def _stone(directory: ScriptDirectory, squash: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((archive_folder(directory, squash) / TOMBSTONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _gone(directory: ScriptDirectory, squash: str) -> Missing:
    folder, stone = archive_folder(directory, squash), _stone(directory, squash)
    if not stone:
        return Missing(
            f"The originals of the squash {squash} are needed, and {_shown(folder)} has none.",
            next_steps=[NextStep("bring them back from git", f"git checkout HEAD -- {_shown(folder)}")],
        )
    return Missing(
        f"This database stands on a revision that the squash {squash} has replaced, and its originals were pruned on"
        f" {stone['pruned']}.",
        next_steps=[
            NextStep(
                f"upgrade it with {stone['through']} of this project first: that has the originals; then with this one"
            )
        ],
    )
