"""Which parts of a history have one way in and one way out, so that each of them can become one revision?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.script import ScriptDirectory

BASE = "base"


@dataclass(frozen=True)
class Region:
    """Revisions that can be taken together.

    :param start: the revision before them, or ``base``.
    :param inside: their ids, the last one included.
    """

    start: str
    end: str
    inside: frozenset[str]

    @property
    def number(self) -> int:
        """How many they are."""
        return len(self.inside)


@dataclass(frozen=True)
class Left:
    """A revision that no region has."""

    revision: str
    why: str


@dataclass(frozen=True)
class Regions:
    """What can be taken together, the earlier first, and what cannot."""

    possible: tuple[Region, ...]
    left: tuple[Left, ...]


def regions(script: ScriptDirectory, start: str, *ends: str) -> Regions:
    """Return the largest regions of at least two revisions between one of a history and others."""
    parents: dict[str, tuple[str, ...]] = {}
    needs: dict[str, tuple[str, ...]] = {}
    for one in script.walk_revisions():
        parents[one.revision] = one._versioned_down_revisions or (BASE,)  # noqa: SLF001 - without what it only depends on
        needs[one.revision] = tuple(one._resolved_dependencies)  # noqa: SLF001
    return regions_of(parents, needs, start, *ends)


def regions_of(
    parents: Mapping[str, Sequence[str]], needs: Mapping[str, Sequence[str]], start: str, *ends: str
) -> Regions:
    """Return the largest regions in a graph.

    :param parents: of each revision, what it follows; ``base`` for the first ones.
    :param needs: of each revision, what it depends on beside that.
    """
    behind = {one for end in ends for one in _reached(parents, end)}
    wanted = behind - _reached(parents, start) - {BASE} if start != BASE else behind - {BASE}
    order = [one for one in _sorted(parents) if one in wanted]
    edges = {one: {*parents[one], *needs.get(one, ())} for one in parents}
    found: list[Region] = []
    taken: set[str] = set()
    above = _dominators(parents, order)
    for last in reversed(order):
        # the farthest first: what all ways to the last one pass
        for first in _chain(above, last):
            region = None if last in taken else _region(parents, edges, first, last, wanted)
            if region is not None and not region.inside & taken:
                found.append(region)
                taken |= region.inside
                break
    left = tuple(Left(one, _why(one, parents, edges)) for one in order if one not in taken)
    return Regions(tuple(reversed(found)), left)


def _dominators(parents: Mapping[str, Sequence[str]], order: Sequence[str]) -> dict[str, str]:
    """Return, of each revision, the last one before it that all ways to it pass; where there is none, none."""
    above: dict[str, str] = {}
    depth: dict[str, int] = {}
    for one in order:
        shared: str | None = None
        for parent in parents[one]:
            other: str | None = parent
            if shared is None:
                shared = other
            while shared is not None and other is not None and shared != other:
                if depth.get(shared, 0) >= depth.get(other, 0) and shared in depth:
                    shared = above.get(shared)
                else:
                    other = above.get(other)
            if other is None:
                shared = None
                break
        if shared is not None:
            above[one] = shared
            depth[one] = depth.get(shared, 0) + 1
    return above


def _chain(above: Mapping[str, str], last: str) -> list[str]:
    """Return what all ways to a revision pass, the farthest first."""
    found = []
    while last in above:
        last = above[last]
        found.append(last)
    return found[::-1]


def _region(
    parents: Mapping[str, Sequence[str]], edges: Mapping[str, set[str]], first: str, last: str, wanted: set[str]
) -> Region | None:
    """Return what is between two revisions, where nothing else leads in or out; ``None`` otherwise."""
    inside: set[str] = set()
    todo = [last]
    while todo:
        one = todo.pop()
        if one == first or one in inside:
            continue
        if one not in wanted:
            return None
        inside.add(one)
        todo += parents[one]
    if len(inside) < 2:
        return None
    if any(edges[one] & inside - {last} for one in edges if one not in inside):
        return None
    if first == BASE and any(edges[one] - inside - {BASE} for one in inside):
        return None  # what it depends on would be in the squash, too
    return Region(first, last, frozenset(inside))


def _why(one: str, parents: Mapping[str, Sequence[str]], edges: Mapping[str, set[str]]) -> str:
    following = sorted(other for other in edges if one in edges[other])
    if len(parents[one]) > 1:
        return f"which merges {' and '.join(parents[one])}"
    if len(following) > 1:
        return f"from which {' and '.join(following)} go on"
    return "which stands alone between others"


def _reached(parents: Mapping[str, Sequence[str]], end: str) -> set[str]:
    found: set[str] = set()
    todo = [end]
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += parents.get(one, ())
    return found


def _sorted(parents: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the revisions, each behind those that it follows."""
    done: dict[str, None] = {BASE: None}
    todo = sorted(parents)
    while todo:
        ready = [one for one in todo if all(parent in done for parent in parents[one])]
        if not ready:
            break
        done |= dict.fromkeys(ready)
        todo = [one for one in todo if one not in done]
    return [one for one in done if one != BASE]
