"""Are the changes of a range in it as a whole, expand, copy and contract?"""

# A squash makes what its last revision leaves. Half of a change leaves a sync, two columns that are to be one, and a
# contract that nobody could tell any more what it belongs to.
from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.guard import shell_word
from alembic_safe.database.revision_files import shown
from alembic_safe.errors import Findings, NextStep
from alembic_safe.inspecting.changes import changes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.script import ScriptDirectory

    from alembic_safe.inspecting.changes import Change


def require_whole_changes(script: ScriptDirectory, inside: frozenset[str], start: str | None) -> None:
    """Stop at a change that is still open, or of which a part is outside.

    :param inside: the range's revisions.
    :param start: the revision before them; ``None``: they begin the history.
    :raises Findings: naming the change, where the range could end instead, and what closes the change.
    """
    found = changes(script)
    by_id = {change.id: change for change in found}
    for change in found:
        parts = _parts(change, by_id)
        if not inside.intersection(parts):
            continue
        if change.is_open:
            raise _open(script, change, start)
        outside = [one for one in parts if one not in inside]
        if outside:
            raise _torn(script, change, parts, outside, start)


def _parts(change: Change, by_id: Mapping[str, Change]) -> tuple[str, ...]:
    """Return a change's revisions, and the one that closed it where that is another change's."""
    closed = by_id.get(change.joined or "")
    own = (*change.revisions, *((closed.contract,) if closed is not None and closed.contract else ()))
    return (*own, change.abandoned) if change.abandoned is not None else own


def _open(script: ScriptDirectory, change: Change, start: str | None) -> Findings:
    where = f"is parked: {shown(change.parked)}" if change.parked is not None else "is not written yet"
    return Findings(
        f"The change {change.id!r} is still open: its expand {change.expand} is in the range, and its contract {where}.",
        next_steps=[
            *_before(script, change, start),
            NextStep(
                "or bring its contract into the chain, and squash when it is deployed",
                f"alembic safe-contract {shell_word(change.id)}",
            ),
        ],
    )


def _torn(
    script: ScriptDirectory, change: Change, parts: tuple[str, ...], outside: list[str], start: str | None
) -> Findings:  # fmt: skip
    has = ", ".join(one for one in parts if one not in outside)
    first = f"{start}:" if start is not None else ""
    steps = [] if change.expand in outside else _before(script, change, start)
    last = parts[-1]
    if last in outside and change.expand not in outside:
        steps.append(NextStep("or take all of it", f'alembic squash {first}{last} -m "..."'))
    return Findings(
        f"The change {change.id!r} is one whole, and the range has only a part of it: {has} without {', '.join(outside)}.",
        next_steps=steps
        or [NextStep("choose a range that has all of it or nothing; see the revisions", "alembic history")],
    )


def _before(script: ScriptDirectory, change: Change, start: str | None) -> list[NextStep]:
    """Return the way out of a range that ends before the change begins, where something is left of it."""
    expand = script.get_revision(change.expand)
    parents = expand._all_down_revisions if expand is not None else ()  # noqa: SLF001 - parents and dependencies
    if len(parents) != 1 or parents[0] == start:
        return []
    first = f"{start}:" if start is not None else ""
    return [NextStep("end the squash before it", f'alembic squash {first}{parents[0]} -m "..."')]
