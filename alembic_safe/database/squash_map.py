"""Which revision does an id stand for where some were squashed, and how does a database on one of these find its way?"""

# A squash has the id of the last revision that it stands for, so a database at or after that one needs nothing. One that
# is on an earlier one needs the originals: they are in an archive beside the squash, and take its place in the map of
# revisions as soon as somebody names one of them, or a database turns out to be on one (door 7).
from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import MigrationStep
from alembic.script import Script
from alembic.script.revision import RevisionMap

from alembic_safe.database.brought_back import require_distinct
from alembic_safe.database.squash_moving import finish
from alembic_safe.database.squashed import (
    ARCHIVE,
    LONG_WAY,
    is_squash,
    original_files,
    originals,
    replaced_by,
    shortcuts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from alembic.runtime.migration import RevisionStep
    from alembic.script import ScriptDirectory

_MEMOIZED = ("heads", "bases", "_real_heads", "_real_bases", "_revision_map")
"""What Alembic's map works out of the revisions, once."""
_RELATIVE = re.compile(r"(?:[^@]*@)?(.*?)(?:[+-]\d+)?")


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
        require_distinct(self.directory, live)
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
