"""Which parts of a history are squashed in one run, and do their squashes lead to the same together?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from alembic_safe.database.replay import replay
from alembic_safe.errors import Findings, Missing, NextStep, WrongUsage
from alembic_safe.history.chain import state_of
from alembic_safe.history.earlier import with_originals_of_its_end
from alembic_safe.history.extent import extent_of, heads_named
from alembic_safe.history.proof import Proven, differing_columns, require_equal
from alembic_safe.history.regions import BASE, Left, Region, regions
from alembic_safe.history.stage import with_squash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.script import ScriptDirectory

    from alembic_safe.history.chain import State
    from alembic_safe.history.extent import Extent
    from alembic_safe.history.request import Request
    from alembic_safe.history.stage import Staged
    from alembic_safe.history.work import Work


def parts_of(script: ScriptDirectory, request: Request) -> tuple[tuple[Extent, ...], tuple[Left, ...]]:
    """Return the parts with one way in and one way out, the earlier first, and what is in none of them, and why.

    :param request: ``words`` are ``START:END``, or the last revision; ``heads`` where it names none.
    :raises WrongUsage: for a revision that is not there, or one to be kept that no part has.
    :raises Findings: when there is no such part.
    """
    if request.shortcut:
        raise WrongUsage(
            "--regions and --shortcut: a new database takes one shortcut, from the first revision on.",
            next_steps=[NextStep("choose one of the two", "alembic squash --help")],
        )
    first, colon, last = request.words.partition(":")
    start, ends = heads_named(script, first if colon else BASE, last if colon else first)
    found = regions(script, start, *ends)
    tried = [_extent(script, one) for one in found.possible]
    possible = tuple(one for one in tried if not isinstance(one, Left))
    left = (*found.left, *(one for one in tried if isinstance(one, Left)))
    if not possible:
        raise Findings(
            "There are no two revisions here that can become one.",
            detail=[f"{one.revision}: {one.why}" for one in left],
            next_steps=[NextStep("see how they follow each other", "alembic history")],
        )
    inside = {revision.revision for one in possible for revision in one.revisions}
    for word in request.keep:
        if word not in inside and script.get_revision(word).revision not in inside:
            raise WrongUsage(f"{word} is in none of the parts that are squashed.")
    return possible, left


def _extent(script: ScriptDirectory, one: Region) -> Extent | Left:
    try:
        extent = extent_of(script, one.end if one.start == BASE else f"{one.start}:{one.end}")
        if one.inside != {found.revision for found in extent.revisions}:
            return Left(f"{one.start}:{one.end}", "of which one depends on a revision in another part")
        return with_originals_of_its_end(script, extent)
    except (Findings, Missing, WrongUsage) as error:
        return Left(f"{one.start}:{one.end}", error.summary)


def kept_in(extent: Extent, request: Request, script: ScriptDirectory) -> Request:
    """Return what is asked of one part: of the revisions to be kept, those that are in it."""
    inside = {one.revision for one in extent.revisions}
    named = ((word, script.get_revision(word)) for word in request.keep)
    return replace(request, keep=tuple(word for word, one in named if one is not None and one.revision in inside))


def prove_together(work: Work, staged: Sequence[Staged]) -> Proven:
    """Run all files on an empty database, and the squashes with what is left between them on another.

    :raises NotEqual: when the two differ.
    """
    before = _end(work, work.before())
    after = _end(work, with_squash(work.config, *staged))
    changing = differing_columns(before, _end(work, work.before())) if before.contents.tables else {}
    require_equal(before, after, changing, "all parts together, on an empty database")
    return Proven("together", f"{len(staged)} squashes and what is between them, on an empty database: equal")


def _end(work: Work, script: ScriptDirectory) -> State:
    shadow = work.fresh()
    try:
        return state_of(shadow, replay(work.config, script, shadow, to="heads"))
    finally:
        shadow.dismiss()
