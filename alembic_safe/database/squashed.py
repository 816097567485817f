"""Which revisions were squashed away, and how does a database on one of them find its way?"""

# A squash has the id of the last revision that it stands for, so a database at or after that one needs nothing. One that
# is on an earlier one needs the originals: they are in an archive beside the squash, and take its place in the map of
# revisions as soon as somebody names one of them, or a database turns out to be on one (door 7).
from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import MigrationStep
from alembic.script import Script
from alembic.script.revision import RevisionMap

from alembic_safe.database.squash_moving import finish
from alembic_safe.database.vendored import VENDORED, load_archived
from alembic_safe.errors import Findings, Missing, NextStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from alembic.runtime.migration import RevisionStep
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

_MEMOIZED = ("heads", "bases", "_real_heads", "_real_bases", "_revision_map")
"""What Alembic's map works out of the revisions, once."""
_RELATIVE = re.compile(r"(?:[^@]*@)?(.*?)(?:[+-]\d+)?")


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


class SquashedMap(RevisionMap):
    """Alembic's map of revisions, which knows what was squashed.

    A replaced id is another name of its squash, until :meth:`expand` puts the originals in its place.
    """

    def __init__(self, directory: ScriptDirectory) -> None:
        super().__init__(self._scripts)
        finish(Path(directory.dir, ARCHIVE))
        self.directory = directory
        self.expanded: frozenset[str] = frozenset()
        self._files: dict[str, tuple[Script, ...]] = {}
        self._worked_out: dict[frozenset[str], dict[str, Any]] = {}
        """What the map is, by the squashes whose originals are in their place."""

    def collapsed(self) -> SquashedMap:
        """Return a map of the same files, which are not loaded again, in which no originals have been asked for."""
        made = SquashedMap(self.directory)
        made._files, made._worked_out = self._files, self._worked_out
        made._take_worked_out()
        return made

    def expand(self, wanted: Iterable[str]) -> None:
        """Make revisions stand for themselves, whose squash has stood for them so far.

        :param wanted: ids, as a database has them; what nobody has squashed is left to Alembic.
        :raises Missing: when the originals are gone.
        """
        for revision in wanted:
            while (squash := self.squash_of(revision)) is not None:
                self._expand({squash})

    def expand_named(self, *words: Any) -> None:
        """Do the same for the revisions in the words of a command: ids or their beginnings, also relative ones."""
        named = [word for given in words for word in ((given,) if isinstance(given, str) else given or ())]
        known = {one: one for ids in self.replacing().values() for one in ids}
        for word in named:
            token = (_RELATIVE.fullmatch(str(word)) or [None, ""])[1]
            found = [one for one in known if token and (one == token or (len(token) > 3 and one.startswith(token)))]
            if len(found) == 1 and token not in self._real:
                self.expand(found)

    def expand_all(self) -> None:
        """Put all originals in the place of their squashes, as far as they are there: for the way down."""
        while todo := {s for s in self.replacing() if original_files(self.directory, s)}:
            self._expand(todo)

    def expand_originals(self, squash: str) -> None:
        """Put the originals of a squash in its place.

        :raises Missing: when they are gone.
        """
        self._expand({squash})

    def shortened(self, steps: Sequence[RevisionStep], heads: Any) -> Sequence[RevisionStep]:
        """Return the steps upwards, for a new database with a shortcut in the place of those that it stands for."""
        if heads or self.directory.__dict__.get(LONG_WAY):
            return steps
        ids = [step.revision.revision for step in steps]
        fitting = [one for one in shortcuts(self.directory) if {one.revision, *replaced_by(one)} <= set(ids)]
        if not fitting:
            return steps
        best = max(fitting, key=lambda one: len(replaced_by(one)))
        alone = RevisionMap(lambda: [best])  # its id is an original's in this one
        gone = {best.revision, *replaced_by(best)}
        short = MigrationStep.upgrade_from_script(alone, alone.get_revision(best.revision))  # type: ignore[arg-type]
        return [short, *(step for step, id_ in zip(steps, ids, strict=True) if id_ not in gone)]

    def squash_of(self, revision: str) -> str | None:
        """Return the squash that stands for a revision, which is no revision of its own here."""
        if revision in self._real:
            return None
        return next((squash for squash, ids in self.replacing().items() if revision in ids), None)

    def replacing(self) -> Mapping[str, tuple[str, ...]]:
        """Return the squashes that stand for others now, with the ids of these."""
        return {key: replaced_by(one) for key, one in self._real.items() if is_squash(one) and key not in self.expanded}

    @property
    def _real(self) -> dict[str, Any]:
        """The revisions without other names of theirs."""
        return {key: one for key, one in self._revision_map.items() if one is not None and key == one.revision}

    def _expand(self, squashes: set[str]) -> None:
        self.expanded |= squashes
        self._take_worked_out()

    def _take_worked_out(self) -> None:
        for name in _MEMOIZED:
            self.__dict__.pop(name, None)
        self.__dict__.update(self._worked_out.get(self.expanded, {}))

    @property
    def _revision_map(self) -> Any:
        if "_revision_map" not in self.__dict__:
            map_: Any = RevisionMap.__dict__["_revision_map"].fget(self)
            for script in list(map_.values()):
                if script is not None and is_squash(script) and script.revision not in self.expanded:
                    for replaced in replaced_by(script):
                        map_.setdefault(replaced, script)
            self.__dict__["_revision_map"] = map_
            self._worked_out[self.expanded] = {name: self.__dict__[name] for name in _MEMOIZED}
        return self.__dict__["_revision_map"]

    def _scripts(self) -> Iterator[Any]:
        """Yield the revisions: Alembic's generator."""
        live = self._once("", self.directory._load_revisions)  # noqa: SLF001 - what the map is made of otherwise
        _require_distinct(live)
        for script in live:
            yield from self._expanded(script)

    def _expanded(self, script: Script) -> Iterator[Script]:
        if not is_squash(script) or script.revision not in self.expanded:
            yield script
            return
        for original in self._once(script.revision, lambda: originals(self.directory, script.revision)):
            # a squash of a squash has its id twice: that of the inner one stands for itself until it is asked for
            yield from self._expanded(original) if original.revision != script.revision else (original,)

    def _once(self, squash: str, load: Callable[[], Iterable[Script]]) -> list[Script]:
        """Load files the first time: a database on an original makes the map anew, and that runs them otherwise.

        :param squash: whose originals they are; empty: what is in no archive.
        """
        if squash not in self._files:
            self._files[squash] = tuple(load())
        # a map writes into its revisions which others are behind them
        return [Script(one.module, one.revision, one.path) for one in self._files[squash]]


def _require_distinct(live: Sequence[Script]) -> None:
    """Stop where the files of two branches of git do not fit: one squashed, the other went on with the originals."""
    squashes = {one.revision: one for one in live if is_squash(one)}
    replaced = {id_: squash for squash in squashes.values() for id_ in replaced_by(squash)}
    for script in live:
        squash = squashes.get(script.revision) or replaced.get(script.revision)
        if squash is not None and squash is not script and not is_squash(script):
            raise Findings(
                f"{_shown(script.path)} is back beside the squash {_shown(squash.path)}, which stands for it: a branch of git"
                " still had it.",
                detail=["Both cannot run; its original is in the archive, for the databases that need it."],
                next_steps=[NextStep("take it out again", f"alembic squash --rebase {_shown(script.path)}")],
            )
        parents = [*_tuple(script.module.down_revision), *_tuple(getattr(script.module, "depends_on", None))]
        found = next((parent for parent in parents if parent in replaced), None)
        if found is not None:
            raise Findings(
                f"{_shown(script.path)} follows {found}, which the squash {_shown(replaced[found].path)} stands for now.",
                detail=[f"It comes behind the squash, {replaced[found].revision}, now."],
                next_steps=[NextStep("let it follow the squash", f"alembic squash --rebase {_shown(script.path)}")],
            )


def _tuple(given: Any) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


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
