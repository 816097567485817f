"""What does the docstring of a milestone's revision say behind the message?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.authoring.phase_words import what_is_done, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.authoring.push_plan import PlannedChange

_VERBS = {"+": "Adds", ">": "Renames", "~": "Changes"}
_KEPT = "What is retired keeps its rows in schema alembic_safe_retired; downgrade() brings them back."


def docstring_body(changes: Sequence[PlannedChange]) -> str:
    """Return a sentence for each kind of change, in the order in which a reader asks: what comes, what goes."""
    done = [_done(change) for change in changes]
    sentences = what_is_done(done)
    if any(verb == "Retires" for verb, _ in done):
        sentences = (*sentences, _KEPT)
    return "\n".join(map(wrapped, sentences))


def _done(change: PlannedChange) -> tuple[str, str]:
    if change.mark == "-":
        return "Retires" if _keeps_rows(change) else "Drops", change.name
    return _VERBS[change.mark], _renamed(change) if change.mark == ">" else change.name


def _keeps_rows(change: PlannedChange) -> bool:
    return change.object.kind in {"table", "column"}


def _renamed(change: PlannedChange) -> str:
    place, dot, new = change.name.rpartition(".")
    return f"{place}{dot}{change.text.removeprefix('was ')} to {new}"
