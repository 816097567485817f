"""How do proven revision files get among the others all together, and what became of a run that was killed?"""

# A folder beside versions/ holds the files until they are proven. What is about to be moved is written down in it
# first, so that the next run can tell a milestone that is done from one that was cut short in the middle of it.
from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.errors import Missing, NextStep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic.script import ScriptDirectory

    from alembic_safe.authoring.writing import Written

_PREFIX = ".milestone-"
_RUN = "run.json"
_PLAN = "plan.json"
REJECTED = ".rejected"
"""What is hung on the name of a file that did not pass its proof; Alembic does not take it for a revision."""


@dataclass(frozen=True)
class CutShort:
    """A milestone that was killed.

    :param folder: its folder.
    :param revisions: what it was about to move in; empty when it had not come that far.
    :param stamps: whether the database was to be stamped behind it.
    :param files: where its files belong, with the text that it wrote.
    """

    folder: Path
    revisions: tuple[str, ...] = ()
    stamps: bool = False
    files: tuple[tuple[Path, str], ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every file of it is where it belongs, as it was written or changed by a person since."""
        return bool(self.files) and all(path.exists() for path, _ in self.files)


@contextmanager
def aside_folder(script: ScriptDirectory) -> Iterator[Path]:
    """Make a folder for files that are no revisions yet, on the file system of the others; it goes with the block.

    :raises Missing: when this folder may not be written to.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=Path(script.dir).absolute()))
        (folder / _RUN).write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), encoding="utf-8")
    except OSError as error:
        raise Missing(
            f"Revision files cannot be written to {error.filename or script.dir}: {error.strerror}.",
            next_steps=[NextStep("see what would be written", 'alembic milestone -m "..." --dry-run')],
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move_in(folder: Path, files: Sequence[Written], *, stamps: bool) -> None:
    """Move proven files to where they belong: each in one step, and none over another file.

    :param stamps: whether the database is stamped behind it, for the next run should this one be killed.
    :raises Missing: when that cannot be done; what had been moved is taken out again.
    """
    plan = {
        "revisions": [file.revision for file in files],
        "stamps": stamps,
        "files": [[str(file.final), file.text] for file in files],
    }
    _write_durably(folder / _PLAN, json.dumps(plan))
    moved: list[Path] = []
    try:
        for file in files:
            file.final.parent.mkdir(parents=True, exist_ok=True)
            place_file(file.aside, file.final)
            moved.append(file.final)
    except BaseException as error:
        for path in moved:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise Missing(f"{error.filename2 or error.filename} cannot be written: {error.strerror}.") from error
        raise


def take_out(files: Sequence[Written]) -> None:
    """Take files out again that were moved in, where nobody has changed them."""
    _remove_unchanged([(file.final, file.text) for file in files if file.aside.exists()])


def keep_rejected(script: ScriptDirectory, files: Sequence[Written]) -> tuple[Path, ...]:
    """Keep files that did not pass their proof where a person can read them and Alembic does not."""
    kept = []
    for file in files:
        path = Path(script.dir).absolute() / "rejected" / (file.final.name + REJECTED)
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(file.aside, path)
        kept.append(path)
    return tuple(kept)


def cut_short(script: ScriptDirectory) -> tuple[CutShort, ...]:
    """Return what runs left behind that are no longer alive; changes nothing."""
    found = []
    for folder in sorted(Path(script.dir).glob(f"{_PREFIX}*")):
        if _is_alive(folder):
            continue
        try:
            plan = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found.append(CutShort(folder))
            continue
        files = tuple((Path(path), text) for path, text in plan["files"])
        found.append(CutShort(folder, tuple(plan["revisions"]), plan["stamps"], files))
    return tuple(found)


def clear(left: CutShort, *, done: bool) -> None:
    """Clear away what a killed run left: its folder, and its files unless they are done.

    :param done: whether the milestone had reached its end, so that its files stay.
    """
    if not done:
        _remove_unchanged(left.files)
    shutil.rmtree(left.folder, ignore_errors=True)


def _remove_unchanged(files: Sequence[tuple[Path, str]]) -> None:
    for path, text in files:
        with suppress(OSError):
            if path.read_text(encoding="utf-8") == text:
                path.unlink()


def place_file(source: Path, target: Path) -> None:
    """Put a file where it belongs in one step; a link fails where something is already, a rename would not."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, "it exists already", str(target)) from error
        part = target.with_name(f".{target.name}.part")
        shutil.copyfile(source, part)
        part.replace(target)


def _write_durably(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _is_alive(folder: Path) -> bool:
    """Whether the run that made a folder goes on: its process is there, or is on another machine."""
    try:
        run = json.loads((folder / _RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]  # killed between the two steps that make it
        run = {"pid": int(pid) if pid.isdigit() else 0, "host": socket.gethostname()}
    if run["host"] != socket.gethostname():
        return True
    if run["pid"] in (0, os.getpid()):
        return bool(run["pid"])
    try:
        os.kill(run["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
