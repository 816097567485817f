"""How is a squash taken back, so that no file is lost that somebody has written?"""

# What an undo deletes is either, byte by byte, what the certificate says that the squash wrote, or in a commit of git.
from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.database.brought_back import brought_back
from alembic_safe.database.envpy import unread_script_of
from alembic_safe.database.revision_files import require_one_history, shown
from alembic_safe.database.squash_map import SquashedMap
from alembic_safe.database.squash_moving import clear, move
from alembic_safe.database.squashed import ARCHIVE, CERTIFICATE, archive_folder, file_hash, original_files
from alembic_safe.database.vendored import vendored_folder
from alembic_safe.errors import Findings, Missing, NextStep, Refused, SafeError
from alembic_safe.history.afterwards import squash_named, squashes
from alembic_safe.history.bootstrap import BOOTSTRAP
from alembic_safe.history.certificate import read_certificate
from alembic_safe.history.shortcut import shortcut_named, take_away
from alembic_safe.history.worktree import last_committed, lines, real, watched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory

    from alembic_safe.history.certificate import Certificate
    from alembic_safe.history.worktree import Change, Watched

_COMMIT = "git add --all && git commit"
_STASHED = 5
"""So many files are named in a command at most."""


@dataclass(frozen=True)
class Undone:
    """A squash that was taken back.

    :param back: where the originals are again.
    :param there: which of them git had brought back before.
    :param shortcut: where it was, if it was a shortcut: then they were never away.
    """

    revision: str
    back: tuple[Path, ...]
    there: tuple[Path, ...] = ()
    shortcut: Path | None = None


@dataclass(frozen=True)
class _Own:
    """What a squash has done to the files, as its certificate proves it.

    :param places: where each of its originals belongs, with the file in the archive.
    :param files: the files that are, byte by byte, what it wrote or moved.
    :param taken: a squash whose place it took, whose originals are its own since then; ``None``: there was none.
    """

    revision: str
    archive: Path
    places: dict[Path, Path]
    files: frozenset[Path]
    taken: Path | None = None

    def has(self, change: Change) -> bool:
        """Whether a change in the work tree is the squash's own."""
        if change.path.exists() or change.path.is_symlink():
            return change.path in self.files
        if change.path in self.places:  # whether that of the archive is as it was is asked for that
            return self.places[change.path].is_file()
        return change.path == self.taken or change.path.is_relative_to(self.archive.resolve())


def undo(config: Config, word: str) -> Undone:
    """Put the originals of a squash back in its place, and take it out, in one step.

    :raises Missing: when its archive is not there, or not all of it.
    :raises Findings: when another file is where an original belongs.
    :raises Refused: when something is not committed that is not the squash's own.
    """
    script, back = _without_brought_back(config)
    clear(Path(script.dir, ARCHIVE))
    short = shortcut_named(script, word)
    if short is not None:
        archive = archive_folder(script, short.revision)
        own = _own(script, short, read_certificate(script, short.revision))
        _require_kept(_in(archive), own, watched([archive]))
        return Undone(short.revision, (), shortcut=take_away(script, short))
    squash = squash_named(script, word)
    certificate = read_certificate(script, squash.revision)
    own, path = _own(script, squash, certificate), real(Path(squash.path))
    _require_complete(own, certificate)
    _require_alike(own, path, [real(Path(one.path)) for one, found in back if found.path == squash.path])
    locations = [Path(folder) for folder in script._version_locations]  # noqa: SLF001 - what Alembic itself lists
    known = watched([*locations, own.archive])
    if known is not None:
        _require_own_changes(known, own, [own, *_others(script, squash)], path)
    there = tuple(place for place in own.places if place.exists() and place != path)
    add = [(archived, place) for place, archived in own.places.items() if place not in there]
    moved = {real(archived) for archived, _ in add}
    _require_kept([path, *(one for one in _in(own.archive) if one not in moved)], own, known)
    move(own.archive.parent, locations, add, [path])
    shutil.rmtree(own.archive, ignore_errors=True)
    return Undone(squash.revision, tuple(place for _, place in add), there)


def _without_brought_back(config: Config) -> tuple[ScriptDirectory, list[tuple[Script, Script]]]:
    """Return the files without those that are back beside a squash, which no other command takes, and these."""
    script = unread_script_of(config)
    load = script._load_revisions  # noqa: SLF001 - Alembic's own generator, on this one instance
    back: list[tuple[Script, Script]] = []

    def revisions() -> Iterator[Script]:
        live = list(load())
        back[:] = brought_back(script, live)
        gone = {one for one, _ in back}
        yield from (one for one in live if one not in gone)

    script._load_revisions = revisions  # type: ignore[method-assign]  # noqa: SLF001
    script.revision_map = SquashedMap(script)
    require_one_history(script)
    return script, back


def _own(script: ScriptDirectory, squash: Script, certificate: Certificate) -> _Own:
    root, archive, path = Path(script.dir).absolute(), archive_folder(script, squash.revision), Path(squash.path)
    names = dict.fromkeys([*certificate.files, *(one.name for one in original_files(script, squash.revision))])
    places = {real(root / certificate.folders.get(name, path.with_name(name))): archive / name for name in names}
    vendored = vendored_folder(archive)
    certified = [
        (path, certificate.squash_hash),
        *((archive / name, hash_) for name, hash_ in certificate.files.items()),
        *((place, certificate.files.get(archived.name, "")) for place, archived in places.items()),
        *((vendored / name, hash_) for name, hash_ in certificate.vendored.items()),
        (archive / BOOTSTRAP, certificate.bootstrap),
    ]
    files = {real(one) for one, hash_ in certified if hash_ and one.is_file() and _hash(one) == hash_}
    # its seal was looked at when it was read
    own = frozenset({*files, real(archive / CERTIFICATE)})
    return _Own(
        squash.revision, archive, places, own, real(root / certificate.earlier) if certificate.earlier else None
    )


def _others(script: ScriptDirectory, squash: Script) -> Iterator[_Own]:
    """Yield what the other squashes have done: several may have been made in one run, and be undone one by one."""
    for one in squashes(script):
        if one.revision != squash.revision:
            try:
                certificate = read_certificate(script, one.revision)
            except SafeError:
                continue
            yield _own(script, one, certificate)


def _in(archive: Path) -> list[Path]:
    files = (path for path in archive.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(real(path) for path in files if "__pycache__" not in path.parts)


def _hash(path: Path) -> str:
    return file_hash(path.read_bytes())


def _require_complete(own: _Own, certificate: Certificate) -> None:
    """Stop where an original is neither in the archive nor in its place."""
    gone = [
        (place, archived)
        for place, archived in own.places.items()
        if not archived.is_file() and not (place in own.files and certificate.files.get(archived.name))
    ]
    if gone:
        place, archived = gone[0]
        source = place if last_committed(real(archived)) is None and last_committed(place) is not None else archived
        raise Missing(
            f"Not all originals of the squash {own.revision} are in its archive.",
            detail=[f"{shown(archived)}: missing" for _, archived in gone],
            next_steps=[NextStep("bring them back from git", f"git checkout HEAD -- {shlex.quote(shown(source))}")],
        )


def _require_alike(own: _Own, squash: Path, back: Sequence[Path]) -> None:
    """Stop where something else is in the place of an original, or an original came back in another place."""
    for place in dict.fromkeys([*own.places, *back]):
        archived = own.places.get(place)
        if place == squash or not place.exists() or place in own.files:
            continue
        if archived is not None and archived.is_file() and _hash(place) == _hash(archived):
            continue
        what = (
            "is where no original of it was" if archived is None else "is where an original belongs, and is another one"
        )
        raise Findings(
            f"{shown(place)} {what}: after an undo of the squash {own.revision} nobody could tell which one is right.",
            next_steps=[
                NextStep("see what its originals are", f"ls {shlex.quote(shown(own.archive))}")
                if archived is None
                else NextStep("see the difference", f"diff {shlex.quote(shown(archived))} {shlex.quote(shown(place))}"),
                NextStep("put it elsewhere, then undo the squash again"),
            ],
        )


def _require_own_changes(known: Watched, own: _Own, every: Sequence[_Own], squash: Path) -> None:
    """Stop where something is in no commit that is not what a squash did, as its certificate proves it."""
    others = tuple(change for change in known.changes if not any(one.has(change) for one in every))
    if not others:
        return
    edited = [change for change in others if change.path == squash or change.path.is_relative_to(own.archive.resolve())]
    if len(others) == len(known.changes) and squash in known.committed:
        steps = [NextStep("commit them, or put them aside", "git stash --include-untracked")]
    else:
        steps = [NextStep("commit all of it, the squash too; it can be undone then as well", _COMMIT)]
        if not edited and len(others) <= _STASHED and all(change.path.exists() for change in others):
            files = " ".join(shlex.quote(shown(change.path)) for change in others)
            steps.append(NextStep("or put these alone aside", f"git stash push --include-untracked -- {files}"))
    said = "are not as the squash wrote them" if len(edited) == len(others) else "are not the squash's own"
    raise Refused(
        "There are changes in the folder of the revisions that no commit has, and that"
        f" {said}: after an undo nobody could tell them apart.",
        detail=lines(others),
        next_steps=steps,
    )


def _require_kept(going: Iterable[Path], own: _Own, known: Watched | None) -> None:
    """Stop where a file would be deleted that nothing else has: not the squash's own, and in no commit."""
    committed = known.committed if known is not None else frozenset()
    lost = [path for path in going if path not in own.files and path not in committed]
    if lost:
        files = " ".join(shlex.quote(shown(path)) for path in lost[:_STASHED])
        raise Refused(
            f"An undo deletes what the squash {own.revision} wrote, and this is not as it was written, and no commit has it.",
            detail=[shown(path) for path in lost],
            next_steps=[
                NextStep("commit it, then undo the squash", f"git add -f {files} && git commit")
                if known is not None
                else NextStep("let git have it, then undo the squash", f"git init && {_COMMIT}")
            ],
        )
