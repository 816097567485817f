"""Which revisions does a squash take together, and can these be taken together?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
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

    from alembic_safe.history.request import Request

_SHOWN = 10


@dataclass(frozen=True)
class Extent:
    """Revisions with one way in, or from the first one on, and one way out.

    :param revisions: in the order in which Alembic runs them.
    :param start: the revision before them; ``None``: they begin the history.
    :param depends_on: what they depend on beside it, in other branches.
    :param earlier: a squash of the same id that this one takes the place of; its originals are among the revisions.
    """

    revisions: tuple[Script, ...]
    start: str | None
    depends_on: tuple[str, ...] = ()
    earlier: Script | None = None

    @property
    def end(self) -> Script:
        """The last one; the squash has its id."""
        return self.revisions[-1]

    @property
    def last_file(self) -> Path:
        """The file among those of the revisions that has the id of the last one."""
        return Path((self.earlier or self.end).path)

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
    """Return the revisions from the first one to a given one, or those behind one up to another.

    :param word: as Alembic takes it: an id, its beginning, a label, ``head-20``; empty: the head. Or two of them with a
        colon between; what is before the first is left as it is, the first included.
    :raises WrongUsage: when there is no such revision, or nothing before it.
    :raises Findings: when they have another way in or out; with the longest that have not.
    """
    first, colon, last = word.partition(":")
    if colon and first not in {"", "base"}:
        return _between(script, first, last or "head")
    end = _one(script, (last if colon else first) or "head")
    if end is None:
        raise WrongUsage(f"{word}: a squash ends with a revision.", next_steps=_look())
    every = [one for one in script.walk_revisions() if one is not None]
    inside = _up_to(script, end)
    if len(inside) < 2:
        raise WrongUsage(
            f"{_typed(last if colon else first, end)} is the first revision: there is nothing to take together.",
            next_steps=_look(),
        )
    crossing = _crossing(every, inside, end)
    if crossing:
        raise _not_closed(script, every, crossing, end)
    require_whole_changes(script, frozenset(one.revision for one in inside), None)
    steps = script._upgrade_revs(end.revision, ())  # type: ignore[arg-type]  # noqa: SLF001
    by_id = {one.revision: one for one in inside}
    return Extent(tuple(by_id[step.revision.revision] for step in steps), None)


def require_no_prefix_options(request: Request, extent: Extent) -> None:
    """Stop where a later range is asked for with an option that only a squash from the first revision on has.

    :raises WrongUsage: naming the option.
    """
    if request.shortcut:
        raise WrongUsage(
            f"--shortcut: for a squash that begins with the first revision; this one begins behind {extent.start}.",
            next_steps=[NextStep("without it", f'alembic squash {extent.start}:{extent.end.revision} -m "..."')],
        )


def heads_named(script: ScriptDirectory, first: str, last: str) -> tuple[str, tuple[str, ...]]:
    """Return the ids of where a part of a history begins, and of where it ends.

    :param first: as Alembic takes it; empty: before the first revision.
    :param last: the same, also ``heads``; empty: all heads that come behind the first.
    :raises WrongUsage: when there is no such revision.
    """
    start = _one(script, first or "base")
    begin = "base" if start is None else start.revision
    if last in {"", "heads"}:
        heads = [one for one in script.get_revisions(script.get_heads()) if one is not None]
        return begin, tuple(
            head.revision
            for head in heads
            if start is None or start.revision in {one.revision for one in _up_to(script, head)}
        )
    end = _one(script, last)
    if end is None:
        raise WrongUsage(f"{last}: a squash ends with a revision.", next_steps=_look())
    return begin, (end.revision,)


def revision_of(extent: Extent, script: ScriptDirectory, word: str) -> str:
    """Return the id of one of the revisions that are taken together.

    :param word: as Alembic takes it.
    :raises WrongUsage: when there is no such revision among them.
    """
    found = _one(script, word)
    if found is None or found.revision not in {one.revision for one in extent.revisions}:
        raise WrongUsage(f"{word} is none of the revisions that are squashed.", next_steps=_look())
    return found.revision


def _between(script: ScriptDirectory, first: str, last: str) -> Extent:
    start, end = _one(script, first), _one(script, last)
    if start is None or end is None:
        raise WrongUsage(f"{first}:{last}: a range goes from one revision to another.", next_steps=_look())
    if start.revision == end.revision and {first, last} <= set(replaced_by(start)) | {start.revision}:
        raise WrongUsage(f"{first}:{last}: both are part of the squash {start.revision} already.", next_steps=_look())
    before = {one.revision for one in _up_to(script, start)}
    inside, ways_in = _behind(script, start, end, before)
    if end.revision in before or start.revision not in {parent for one in inside.values() for parent in _parents(one)}:
        raise WrongUsage(f"{_typed(last, end)} does not come behind {_typed(first, start)}.", next_steps=_look())
    if len(inside) < 2:
        only = f"{_typed(last, end)} is the only revision behind {_typed(first, start)}"
        raise WrongUsage(f"{only}: there is nothing to take together.", next_steps=_look())
    every = [one for one in script.walk_revisions() if one is not None]
    crossing = [*ways_in, *_crossing(every, tuple(inside.values()), end)]
    if crossing:
        raise _no_range(script, crossing, start, end)
    require_whole_changes(script, frozenset(inside), start.revision)
    steps = script._upgrade_revs(end.revision, (start.revision,))  # type: ignore[arg-type]  # noqa: SLF001
    ordered = tuple(inside[step.revision.revision] for step in steps if step.revision.revision in inside)
    outside = {d for one in ordered for d in one._resolved_dependencies} - before - inside.keys()  # noqa: SLF001
    return Extent(ordered, start.revision, tuple(sorted(outside)))


def _typed(word: str, found: Script) -> str:
    """Return how a person named a revision, with which one that is where the word does not say it."""
    if not word or word == found.revision:
        return found.revision
    return (
        f"{word} (part of the squash {found.revision})" if word in replaced_by(found) else f"{word} ({found.revision})"
    )


def _behind(
    script: ScriptDirectory, start: Script, end: Script, before: frozenset[str] | set[str]
) -> tuple[dict[str, Script], list[tuple[Script, str]]]:
    """Return the revisions between two, and the edges that come in otherwise than from the first."""
    inside: dict[str, Script] = {}
    ways_in: list[tuple[Script, str]] = []
    todo = [end]
    while todo:
        one = todo.pop()
        if one.revision in inside or one.revision in before:
            continue
        inside[one.revision] = one
        parents = _parents(one)
        if not parents:
            ways_in.append((one, "nothing: it begins a history of its own"))
        for parent in parents:
            if parent in before and parent != start.revision:
                ways_in.append((one, parent))
            elif parent not in before:
                found = script.get_revision(parent)
                todo += [found] if found is not None else []
    return inside, ways_in


def _parents(one: Script) -> tuple[str, ...]:
    return one._versioned_down_revisions  # noqa: SLF001 - without what it only depends on


def _no_range(
    script: ScriptDirectory, crossing: Sequence[tuple[Script, str]], start: Script, end: Script
) -> Findings:  # fmt: skip
    from alembic_safe.history.regions import regions

    found = regions(script, start.revision, end.revision)
    return Findings(
        f"What leads from {start.revision} to {end.revision} cannot become one revision: there is another way in or out.",
        detail=[
            *(f"{shown(one.path)} follows or depends on {parent}." for one, parent in crossing[:_SHOWN]),
            *(f"possible: {one.start}:{one.end}, {one.number} revisions" for one in found.possible),
            *(f"not possible: {one.revision}, {one.why}" for one in found.left[:_SHOWN]),
        ],
        next_steps=[
            NextStep(f"take {one.number} of them together", f'alembic squash {one.start}:{one.end} -m "..."')
            for one in found.possible
        ] + [
            NextStep("take all of these parts", f'alembic squash --regions {start.revision}:{end.revision} -m "..."')
            for _ in found.possible[1:2]
        ] or [NextStep("choose another range; see how they follow each other", "alembic history")],
    )  # fmt: skip


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
        steps = [
            NextStep("the most that can be taken together", f'alembic squash {possible.revision} -m "..."'),
            NextStep("or every part that can be, each by itself", f'alembic squash --regions {end.revision} -m "..."'),
        ]
    return Findings(
        f"What leads to {end.revision} cannot become one revision: others begin in the middle of it.",
        detail=[f"{shown(one.path)} follows or depends on {parent}." for one, parent in crossing[:_SHOWN]],
        next_steps=steps,
    )
