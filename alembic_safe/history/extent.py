"""Which revisions does a squash take together, and can these be taken together?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic.script.revision import RevisionError
from alembic.util import CommandError

from alembic_safe.database.revision_files import shown
from alembic_safe.database.squashed import is_squash, replaced_by
from alembic_safe.errors import Findings, NextStep, WrongUsage
from alembic_safe.history.whole_changes import require_whole_changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alembic.script import Script, ScriptDirectory

_SHOWN = 10


@dataclass(frozen=True)
class Extent:
    """Revisions with one way in and one way out.

    :param revisions: in the order in which Alembic runs them.
    :param start: the revision before them; ``None``: they begin the history.
    """

    revisions: tuple[Script, ...]
    start: str | None

    @property
    def end(self) -> Script:
        """The last one; the squash has its id."""
        return self.revisions[-1]

    @property
    def replaces(self) -> tuple[str, ...]:
        """Every id that the squash stands for beside its own, those of squashes among them included."""
        found = [id_ for one in self.revisions for id_ in (*replaced_by(one), one.revision)]
        return tuple(id_ for id_ in dict.fromkeys(found) if id_ != self.end.revision)

    @property
    def labels(self) -> tuple[str, ...]:
        """The branch labels that stand in the files."""
        return tuple(label for one in self.revisions for label in one._orig_branch_labels or ())  # noqa: SLF001

    @property
    def splits(self) -> tuple[str, ...]:
        """Where branches begin or meet."""
        return tuple(one.revision for one in self.revisions[:-1] if one._is_real_branch_point or one.is_merge_point)  # noqa: SLF001


def extent_of(script: ScriptDirectory, words: str) -> Extent:
    """Return what ``[START:]END`` means.

    :param words: revisions as Alembic takes them: ids, their beginnings, labels, ``head-20``; ``base:head`` by default.
    :raises WrongUsage: when there is no such range.
    :raises Findings: when it has more than one way in or out; with the largest that has not.
    """
    first, colon, last = words.rpartition(":")
    start = _one(script, first) if colon and first not in ("", "base") else None
    end = _one(script, last or "head")
    if end is None:
        raise WrongUsage(f"{words}: a squash ends with a revision.", next_steps=_look())
    every = [one for one in script.walk_revisions() if one is not None]
    inside = _between(script, start, end)
    if len(inside) < 2:
        raise WrongUsage(
            f"From {start.revision if start else 'base'} to {end.revision} there is"
            f" {len(inside)} revision: nothing to take together.",
            next_steps=_look(),
        )
    crossing = _crossing(every, inside, start, end)
    if crossing:
        raise _not_closed(script, every, words, crossing, start, end)
    require_whole_changes(script, frozenset(one.revision for one in inside), start.revision if start else None)
    steps = script._upgrade_revs(end.revision, start.revision if start else ())  # type: ignore[arg-type]  # noqa: SLF001
    order = [step.revision.revision for step in steps]
    by_id = {one.revision: one for one in inside}
    return Extent(tuple(by_id[id_] for id_ in order if id_ in by_id), start.revision if start else None)


def _one(script: ScriptDirectory, word: str) -> Script | None:
    try:
        number = script.as_revision_number(word) if "-" in word or "+" in word else word
        found = script.get_revisions(number or "base")
    except (CommandError, RevisionError) as error:
        raise WrongUsage(f"{word}: {str(error).rstrip('.')}.", next_steps=_look()) from error
    if len(found) > 1:
        raise WrongUsage(f"{word} is {len(found)} revisions; a squash ends with one.", next_steps=_look())
    return found[0] if found else None


def _look() -> list[NextStep]:
    return [NextStep("see the revisions", "alembic history")]


def _between(script: ScriptDirectory, start: Script | None, end: Script) -> list[Script]:
    ancestors = {one.revision for one in script.revision_map._get_ancestor_nodes([end])}  # noqa: SLF001 - the map's own walk
    if start is not None:
        if start.revision not in ancestors:
            raise WrongUsage(f"{start.revision} is not before {end.revision}.", next_steps=_look())
        ancestors -= {one.revision for one in script.revision_map._get_ancestor_nodes([start])}  # noqa: SLF001
    return [one for one in script.walk_revisions() if one is not None and one.revision in ancestors]


def _crossing(
    every: Iterable[Script], inside: Sequence[Script], start: Script | None, end: Script
) -> list[tuple[Script, str]]:
    """Return the edges that enter or leave a range otherwise than by its one way in and its one way out."""
    ids = {one.revision for one in inside}
    found = []
    for one in every:
        for parent in one._all_down_revisions:  # noqa: SLF001 - parents and dependencies
            if one.revision not in ids and parent in ids and parent != end.revision:
                found.append((one, parent))
            if one.revision in ids and parent not in ids and (start is None or parent != start.revision):
                found.append((one, parent))
    return found


def _not_closed(
    script: ScriptDirectory,
    every: Sequence[Script],
    words: str,
    crossing: Sequence[tuple[Script, str]],
    start: Script | None,
    end: Script,
) -> Findings:
    possible = next(
        (
            one
            for one in every
            if one.revision != end.revision
            and one in _between(script, start, end)
            and len(inside := _between(script, start, one)) > 1
            and not _crossing(every, inside, start, one)
        ),
        None,
    )
    first = f"{start.revision}:" if start else ""
    steps = (
        [NextStep("the longest that can be taken together from there", f"alembic squash {first}{possible.revision}")]
        if possible
        else []
    )
    return Findings(
        f"{words} cannot become one revision: it has another way in or out.",
        detail=[f"{shown(one.path)} follows or depends on {parent}." for one, parent in crossing[:_SHOWN]],
        next_steps=steps
        or [NextStep("choose another range; see how the revisions follow each other", "alembic history")],
    )


def is_nested(extent: Extent) -> bool:
    """Whether squashes are among the revisions."""
    return any(is_squash(one) for one in extent.revisions)
