"""What does the docstring of a milestone's revision say behind the message?"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.authoring.push_plan import PlannedChange

_WIDEST = 96
_MOST = 8
_KEPT = "What is retired keeps its rows in schema alembic_safe_retired; downgrade() brings them back."


def docstring_body(changes: Sequence[PlannedChange]) -> str:
    """Return a sentence for each kind of change, in the order in which a reader asks: what comes, what goes."""
    groups = (
        ("Adds", [change.name for change in changes if change.mark == "+"]),
        ("Renames", [_renamed(change) for change in changes if change.mark == ">"]),
        ("Changes", [change.name for change in changes if change.mark == "~"]),
        ("Retires", [change.name for change in changes if change.mark == "-" and _keeps_rows(change)]),
        ("Drops", [change.name for change in changes if change.mark == "-" and not _keeps_rows(change)]),
    )
    sentences = [f"{verb} {_listed(list(dict.fromkeys(names)))}." for verb, names in groups if names]
    if any(change.mark == "-" and _keeps_rows(change) for change in changes):
        sentences.append(_KEPT)
    return "\n".join(
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, _WIDEST, break_long_words=False, break_on_hyphens=False)
    )


def _keeps_rows(change: PlannedChange) -> bool:
    return change.object.kind in {"table", "column"}


def _renamed(change: PlannedChange) -> str:
    place, dot, new = change.name.rpartition(".")
    return f"{place}{dot}{change.text.removeprefix('was ')} to {new}"


def _listed(words: Sequence[str]) -> str:
    if len(words) > _MOST:
        return f"{', '.join(words[:_MOST])} and {len(words) - _MOST} more"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
