"""Which revisions does a squash take together, and can these be taken together?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic.script.revision import RevisionError
from alembic.util import CommandError

from alembic_safe.database.revision_files import shown
from alembic_safe.database.squashed import replaced_by
from alembic_safe.errors import Findings, NextStep, WrongUsage
from alembic_safe.history.whole_changes import require_whole_changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alembic.script import Script, ScriptDirectory

_SHOWN = 10


@dataclass(frozen=True)
class Extent:
    """Revisions from the first one on, with one way out.

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


def extent_of(script: ScriptDirectory, word: str) -> Extent:
    """Return the revisions from the first one to a given one.

    :param word: as Alembic takes it: an id, its beginning, a label, ``head-20``; empty: the head.
    :raises WrongUsage: when there is no such revision, or nothing before it.
    :raises Findings: when they have another way in or out; with the longest that have not.
    """
    end = _one(script, word.removeprefix("base:") or "head")
    if end is None:
        raise WrongUsage(f"{word}: a squash ends with a revision.", next_steps=_look())
    every = [one for one in script.walk_revisions() if one is not None]
    inside = _up_to(script, end)
    if len(inside) < 2:
        raise WrongUsage(
            f"{end.revision} is the first revision: there is nothing to take together.", next_steps=_look()
        )
    crossing = _crossing(every, inside, end)
    if crossing:
        raise _not_closed(script, every, crossing, end)
    require_whole_changes(script, frozenset(one.revision for one in inside), None)
    steps = script._upgrade_revs(end.revision, ())  # type: ignore[arg-type]  # noqa: SLF001
    by_id = {one.revision: one for one in inside}
    return Extent(tuple(by_id[step.revision.revision] for step in steps), None)


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


def _up_to(script: ScriptDirectory, end: Script) -> list[Script]:
    ancestors = {one.revision for one in script.revision_map._get_ancestor_nodes([end])}  # noqa: SLF001 - the map's own walk
    return [one for one in script.walk_revisions() if one is not None and one.revision in ancestors]


def _crossing(every: Iterable[Script], inside: Sequence[Script], end: Script) -> list[tuple[Script, str]]:
    """Return the edges that leave the revisions otherwise than behind the last one."""
    ids = {one.revision for one in inside}
    return [
        (one, parent)
        for one in every
        for parent in one._all_down_revisions  # noqa: SLF001 - parents and dependencies
        if one.revision not in ids and parent in ids and parent != end.revision
    ]


def _not_closed(
    script: ScriptDirectory, every: Sequence[Script], crossing: Sequence[tuple[Script, str]], end: Script
) -> Findings:
    before = _up_to(script, end)[1:]
    possible = next(
        (one for one in before if len(inside := _up_to(script, one)) > 1 and not _crossing(every, inside, one)), None
    )
    steps = [NextStep("choose another revision; see how they follow each other", "alembic history")]
    if possible is not None:
        steps = [NextStep("the most that can be taken together", f'alembic squash {possible.revision} -m "..."')]
    return Findings(
        f"What leads to {end.revision} cannot become one revision: others begin in the middle of it.",
        detail=[f"{shown(one.path)} follows or depends on {parent}." for one, parent in crossing[:_SHOWN]],
        next_steps=steps,
    )
