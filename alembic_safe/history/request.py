"""What is asked of a squash, and what does it tell?"""

from __future__ import annotations

from dataclasses import dataclass, field
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from alembic_safe.database.replay import ReplayStep
    from alembic_safe.database.shadow import ShadowNote
    from alembic_safe.history.effects import Effect
    from alembic_safe.history.extent import Extent
    from alembic_safe.history.folded import Folded
    from alembic_safe.history.proof import Proven
    from alembic_safe.history.regions import Left
    from alembic_safe.history.vendoring import Imported


@dataclass(frozen=True)
class Request:
    """One squash.

    :param words: the last revision, as Alembic names it; empty: the head.
    :param bootstrap: a file of SQL with what is there before the first revision, or ``module:function``.
    :param accept: findings that a person has consented to, by name.
    :param prove_all: bring a database at every replaced revision to the end, instead of a sample.
    :param dry_run: prove, and write nothing.
    :param shortcut: leave the originals where they are; only new databases take the squash.
    :param vendor: copy what the originals import from the application into the archive.
    :param keep: revisions that are carried as they are written, as Alembic names them.
    :param regions: take every part with one way in and one way out, each as one revision.
    """

    words: str
    message: str
    accept: frozenset[str] = frozenset()
    bootstrap: str = ""
    prove_all: bool = False
    dry_run: bool = False
    vendor: bool = False
    shortcut: bool = False
    keep: tuple[str, ...] = ()
    regions: bool = False

    @property
    def again(self) -> str:
        """The command that asks for the same, as far as it names revisions."""
        words = [
            "alembic squash",
            *(["--regions"] if self.regions else []),
            *([quote(self.words)] if self.words else []),
        ]
        return " ".join([*words, '-m "..."'])


@dataclass(frozen=True)
class Read:
    """What was found in the files, and in what they make.

    :param writing: revisions that write rows.
    :param seconds: how long they take on an empty database.
    :param rows: how many rows they leave there, by table.
    :param changing: columns whose values are other ones each time, as words.
    :param no_way_back: why the originals cannot be taken back to base; empty where they can.
    :param imported: what they import from the application; :param vendored: whether it is copied for them.
    :param carried: revisions of which the squash has everything, what they do outside of the database included.
    :param fixed: columns that would have other values each time, and are to have those of this run, as words.
    """

    writing: tuple[str, ...]
    seconds: float
    rows: tuple[tuple[str, int], ...]
    changing: tuple[str, ...]
    effects: tuple[Effect, ...]
    no_way_back: str
    imported: tuple[Imported, ...] = ()
    vendored: bool = False
    carried: frozenset[str] = frozenset()
    fixed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """What the squash is made of.

    :param calls: pieces that are operations of Alembic's; :param statements: pieces that are SQL.
    :param not_calls: for which piece there is no operation, though one was tried, and what came of it.
    :param before: how many operations the revisions invoke that are folded; 0: everything is made anew.
    :param carried: which of these are carried as they are written, and why.
    :param level: how far they were reduced: 0: as far as possible; 1: not at all; 2: every revision is carried.
    """

    calls: int
    statements: int
    by_section: tuple[tuple[str, int, int], ...]
    not_calls: tuple[tuple[str, str], ...]
    before: int = 0
    carried: tuple[tuple[str, str], ...] = ()
    level: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a squash did.

    :param path: its file; :param archive: where the originals are.
    :param before: seconds that the originals take on an empty database; :param after: the squash.
    """

    revision: str
    replaced: int
    path: Path
    archive: Path
    lines: int
    made: Made
    proven: tuple[Proven, ...]
    before: float
    after: float
    seconds: float
    dry_run: bool
    text: str = field(repr=False, default="")
    shortcut: bool = False


@dataclass(frozen=True)
class Show:
    """What hears of the steps as they are done."""

    parts: Callable[[Sequence[Extent], Sequence[Left]], None]
    left: Callable[[Left], None]
    began: Callable[[Extent, bool], None]
    read: Callable[[Read], None]
    made: Callable[[Made], None]
    proved: Callable[[Proven], None]
    note: Callable[[ShadowNote], None]
    step: Callable[[ReplayStep], None]
    point: Callable[[str, int, int], None]
    folded: Callable[[Folded], None]
