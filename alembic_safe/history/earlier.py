"""What does a squash stand for whose last revision is a squash already?"""

# Both would have one id, and one folder for an archive. So the later one takes the earlier one's place, and stands for its
# originals, as if these had never been squashed: a database on the way goes through them, whichever of the two it met.
from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alembic_safe.database.squashed import is_squash, originals, pruned_on
from alembic_safe.errors import Findings, NextStep
from alembic_safe.history.certificate import require_unchanged

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

    from alembic_safe.history.extent import Extent


def with_originals_of_its_end(script: ScriptDirectory, extent: Extent) -> Extent:
    """Return the same revisions, with the originals of the last one in its place where that is a squash.

    :raises Findings: when these were pruned, or somebody has changed them or the squash since that was proven.
    """
    squash = extent.end
    if not is_squash(squash):
        return extent
    day = pruned_on(script, squash.revision)
    if day:
        raise Findings(
            f"{squash.revision} is a squash, and its originals were pruned on {day}: one that ends with it, too, would take"
            " its place, and has to stand for them.",
            next_steps=[
                NextStep("end the squash before it, or behind it; see how they follow each other", "alembic history")
            ],
        )
    require_unchanged(script, squash)  # from here on nothing but the originals speaks for it
    inside = {one.revision for one in (*extent.revisions, *originals(script, squash.revision))}
    opened = copy.copy(script)
    opened.revision_map = script.revision_map.collapsed()  # type: ignore[attr-defined]
    opened.revision_map.expand_originals(squash.revision)  # type: ignore[attr-defined]
    begin: Any = () if extent.start is None else (extent.start,)
    steps = opened._upgrade_revs(squash.revision, begin)  # noqa: SLF001 - what alembic.command.upgrade calls
    revisions = tuple(step.revision for step in steps if step.revision.revision in inside)
    return replace(extent, revisions=revisions, earlier=squash)
