"""How do a squash and its archive get into their places all at once, whenever the process is killed?"""

# The folder of the revisions is made anew beside the old one, of hard links, and the two change their names in one step
# of the kernel. Where that cannot be (another system, several folders), what is to be done is written down first, and
# whoever opens the script directory next finishes it.
from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.errors import Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PLAN = ".moving.json"
"""What a move that is not finished has to do, in the archive's folder."""
_NEW = ".versions-"
_AT_FDCWD = -100 if sys.platform != "darwin" else -2
_SWAP = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS


def move(
    archives: Path,
    locations: Sequence[Path],
    add: Sequence[tuple[Path, Path]],
    remove: Sequence[Path],
    *,
    leftover: Sequence[Path] = (),
) -> None:
    """Put files into the folders of revisions and take others out, in one step.

    :param archives: the folder of all archives: that of the revisions is beside it, on the same file system.
    :param locations: the folders of the revisions.
    :param add: files, each with the place where it belongs.
    :param remove: files that go; copies of them are elsewhere.
    :param leftover: folders that go afterwards.
    :raises Missing: when that cannot be done; nothing has changed then.
    """
    paths = [path.resolve() for path in [*remove, *(final for _, final in add)]]
    folders = [folder for folder in locations if any(path.is_relative_to(folder.resolve()) for path in paths)]
    try:
        if len(folders) == 1 and _swapped(archives, folders[0].resolve(), add, remove):
            _forget(leftover)
            return
        _write_durably(
            archives / PLAN,
            {
                "add": [[str(source), str(final)] for source, final in add],
                "remove": [str(path) for path in remove],
                "leftover": [str(path) for path in leftover],
            },
        )
        finish(archives)
    except OSError as error:
        raise Missing(f"{error.filename2 or error.filename} cannot be written: {error.strerror}.") from error


def put(folder: Path, place: Path) -> None:
    """Let a folder take a place; what was there before is where the folder was, and goes with it.

    In one step where the system can do that: an archive that a squash stands on is there at every moment.
    """
    exchange = _exchange()
    if place.exists() and not (exchange is not None and exchange(os.fsencode(folder), os.fsencode(place))):
        aside = folder.with_name(f".old-{place.name}")
        place.rename(aside)
        folder.rename(place)
        aside.rename(folder)
    elif not place.exists():
        folder.rename(place)


def finish(archives: Path) -> None:
    """Do what a move that was killed had still to do; nothing where there is none."""
    plan = archives / PLAN
    try:
        todo = json.loads(plan.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    for source, final in todo["add"]:
        if Path(source).exists():
            Path(final).parent.mkdir(parents=True, exist_ok=True)
            part = Path(final).with_name(f".{Path(final).name}.part")
            shutil.copy2(source, part)
            part.replace(final)
    added = {final for _, final in todo["add"]}
    for path in todo["remove"]:
        if path not in added:
            Path(path).unlink(missing_ok=True)
    plan.unlink()
    _forget(Path(path) for path in todo["leftover"])


def clear(archives: Path) -> None:
    """Take away what runs have left that were killed before or after the one step; they changed nothing, or are done."""
    for folder in archives.glob(".*"):
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


def _swapped(archives: Path, versions: Path, add: Sequence[tuple[Path, Path]], remove: Sequence[Path]) -> bool:
    """Make the folder anew and exchange the two; false where the system cannot do that."""
    exchange = _exchange()
    if exchange is None:
        return False
    new = archives / f"{_NEW}{os.getpid()}"
    shutil.rmtree(new, ignore_errors=True)
    gone = {path.resolve() for path in remove}

    def unwanted(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if (Path(folder) / name).resolve() in gone or name == "__pycache__"]

    try:
        shutil.copytree(versions, new, symlinks=True, ignore=unwanted, copy_function=_link)
        for source, final in add:
            target = new / final.resolve().relative_to(versions)
            target.unlink(missing_ok=True)  # a hard link: writing to it would change the old folder, too
            shutil.copy2(source, target)
        for path in new.rglob("*"):
            _sync(path)
        if not exchange(os.fsencode(new), os.fsencode(versions)):
            return False
        _sync(versions.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return True


def _exchange() -> Callable[[bytes, bytes], bool] | None:
    """Return a function that lets two paths change places in one step, where this system has such a thing."""
    if os.name == "nt":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "renameat2" if sys.platform.startswith("linux") else "renameatx_np", None)
    if call is None:
        return None

    def exchange(one: bytes, other: bytes) -> bool:
        if call(_AT_FDCWD, one, _AT_FDCWD, other, _SWAP) == 0:
            return True
        number = ctypes.get_errno()
        if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV, errno.EBUSY):
            return False  # a file system that cannot, or a folder that is mounted by itself
        raise OSError(number, os.strerror(number), os.fsdecode(other))

    return exchange


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _sync(path: Path) -> None:
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_durably(path: Path, plan: dict[str, object]) -> None:
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(plan, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _forget(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
