"""At which of the replaced revisions is a database brought to the end, for the proof?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.history.proof import Proven, Sides
from alembic_safe.history.through import prove_through

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.history.chain import Chain
    from alembic_safe.history.extent import Extent
    from alembic_safe.history.request import Request, Show

OTHERS = 25
"""How many revisions are taken beside those before one that writes rows, and where branches begin or meet."""


def sampled(extent: Extent, writing: Sequence[str], *, every: bool) -> tuple[str, ...]:
    """Return the revisions, in their order: all, or a sample that is the same each time."""
    ids = [one.revision for one in extent.revisions[:-1]]
    if every or len(ids) <= OTHERS:
        return tuple(ids)
    # a database stands before the revision that writes rows when it runs, and has rows then
    before = {ids[n - 1] for n, id_ in enumerate(ids) if n and id_ in writing}
    chosen = {*extent.splits, *before}
    others = [id_ for id_ in ids if id_ not in chosen]
    step = max(1, len(others) / OTHERS)
    chosen |= {others[int(n * step)] for n in range(OTHERS) if int(n * step) < len(others)}
    return tuple(id_ for id_ in ids if id_ in chosen)


def prove_sample(sides: Sides, extent: Extent, chain: Chain, request: Request, show: Show) -> Proven:
    """Bring databases at a sample of the revisions, with rows in them, through the archive to the end.

    :raises NotEqual: when one of them is led somewhere else than before.
    """
    writing = [one.revision for one in extent.revisions if chain.writes_rows(one.revision)]
    points = sampled(extent, writing, every=request.prove_all)
    seen = iter(range(1, len(points) + 1))
    steps = [one.revision for one in extent.revisions]
    found = prove_through(sides, steps, points, lambda revision: show.point(revision, next(seen), len(points)))
    stopped = [one for one in found if one.stopped]
    said = (
        f"{len(found)} of {len(steps) - 1} revisions before the last, with {sum(one.rows for one in found)} generated rows:"
        " through the archive to the same database"
    )
    if stopped:
        said += (
            f" ({len(stopped)} of them without rows: on such rows the files themselves stop, before and after alike)"
        )
    return Proven("through", said)
