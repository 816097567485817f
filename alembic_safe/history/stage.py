"""What would the script directory be with a squash in it that is not in its place yet?"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.script import Script
from alembic.script.revision import RevisionMap

from alembic_safe.database.env_locations import directory_of
from alembic_safe.database.squash_map import SquashedMap
from alembic_safe.database.squashed import (
    ARCHIVE,
    STAGED,
    archive_folder,
    file_hash,
    original_files,
    originals,
)
from alembic_safe.database.vendored import vendored_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.history.extent import Extent


@dataclass(frozen=True)
class Staged:
    """A squash beside its place.

    :param archive: the folder with copies of the originals, as deep in the tree as it will be.
    :param squash: the file.
    :param final: where that belongs.
    :param moved: the files that it replaces, and where each is in the archive.
    """

    revision: str
    archive: Path
    squash: Path
    final: Path
    moved: tuple[tuple[Path, Path], ...]

    @property
    def final_archive(self) -> Path:
        """Where the archive belongs."""
        return self.archive.with_name(self.revision)


def stage_folder(script: ScriptDirectory, revision: str) -> Path:
    """Return the folder in which an archive is made; its name says that it is no archive yet."""
    return Path(script.dir, ARCHIVE, f".{revision}").absolute()


def new_folder(script: ScriptDirectory, revision: str) -> Path:
    """Return the folder in which the squash is written, made anew."""
    folder = _new(script, revision)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _new(script: ScriptDirectory, revision: str) -> Path:
    return Path(script.dir, ARCHIVE, f".new-{revision}").absolute()


def forget(script: ScriptDirectory, revision: str) -> None:
    """Take away what is beside its place, and the folder of all archives where nothing is in it."""
    for folder in (stage_folder(script, revision), _new(script, revision)):
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        Path(script.dir, ARCHIVE).rmdir()


def copy_originals(script: ScriptDirectory, extent: Extent) -> tuple[tuple[Path, Path], ...]:
    """Copy the files of an extent to the folder of its archive, byte by byte."""
    folder = stage_folder(script, extent.end.revision)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    there = []
    if extent.earlier is not None:
        # its originals are in the folder that this archive takes the place of: they come along
        there = original_files(script, extent.end.revision)
        for path in there:
            shutil.copy2(path, folder / path.name)
        came_along = vendored_folder(archive_folder(script, extent.end.revision))
        if came_along.is_dir():
            shutil.copytree(came_along, vendored_folder(folder))
    moved = []
    for one in extent.revisions:
        source = Path(one.path)
        if source in there:
            continue
        target = folder / source.name
        if target.exists():
            target = folder / f"{one.revision}_{source.name}"
        shutil.copy2(source, target)
        moved.append((source, target))
    return tuple(moved)


def with_originals(script: ScriptDirectory, squash: str) -> ScriptDirectory:
    """Let the originals of a squash be revisions like all others, in its place; return the directory."""
    load = script._load_revisions  # noqa: SLF001 - Alembic's own generator, on this one instance

    def revisions() -> Iterator[Script]:
        yield from (one for one in load() if one.revision != squash)
        yield from originals(script, squash)

    script._load_revisions = revisions  # type: ignore[method-assign]  # noqa: SLF001
    script.revision_map = SquashedMap(script)
    return script


def with_squash(config: Config, *staged: Staged) -> ScriptDirectory:
    """Return a script directory in which one squash, or several, are where they belong."""
    script = directory_of(config)
    gone = {path.resolve() for one in staged for path, _ in one.moved}
    made = {one.revision for one in staged}
    load = script._load_revisions  # noqa: SLF001 - Alembic's own generator, on this one instance

    def revisions() -> Iterator[Script]:
        yield from (one for one in load() if Path(one.path).resolve() not in gone and one.revision not in made)
        loaded = (Script._from_path(script, one.squash) for one in staged)  # noqa: SLF001 - what Alembic loads files with
        yield from (squash for squash in loaded if squash is not None)

    script._load_revisions = revisions  # type: ignore[method-assign]  # noqa: SLF001
    script.__dict__[STAGED] = tuple(one.archive for one in staged)
    script.revision_map = SquashedMap(script)
    return script


def without_archive(script: ScriptDirectory) -> ScriptDirectory:
    """Return the same script directory as stock Alembic without us has it: a squash is an ordinary revision."""
    script.revision_map = RevisionMap(script._load_revisions)  # noqa: SLF001
    return script


def hashes(files: tuple[tuple[Path, Path], ...]) -> dict[str, str]:
    """Return the hash of each file in an archive, by its name there."""
    return {archived.name: file_hash(archived.read_bytes()) for _, archived in files}
