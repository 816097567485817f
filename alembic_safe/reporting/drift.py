"""How changes by hand look: one line for each, and the SQL that undoes it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from alembic_safe.inspecting.comparison import COLUMN_ORDER, EXISTS
from alembic_safe.reporting.text import LABEL, count, say

if TYPE_CHECKING:
    from typing import TextIO

    from alembic_safe.database.shadow import ShadowNote
    from alembic_safe.inspecting.catalog_records import Value
    from alembic_safe.inspecting.comparison import Difference
    from alembic_safe.inspecting.difference_sql import Undo
    from alembic_safe.inspecting.drift import Drift

_LONGEST = 60


def print_drift(drift: Drift, *, word: str = "undo", stream: TextIO | None = None) -> None:
    """Print what a check found; what is in sync is one line, and so is what is unknown.

    :param word: what the SQL does.
    """
    stream = stream or sys.stdout
    if drift.verdict == "unknown":
        say("Drift", f"unknown: {drift.why}", stream=stream)
        return
    if drift.verdict == "in sync":
        say("Drift", f"none, compared with {drift.against}", stream=stream)
        return
    say("Drift", f"{count(len(drift.items), 'difference')} to {drift.against}:", stream=stream)
    for item in drift.items:
        print_item(item, word=word, stream=stream)


def print_item(item: Undo, *, word: str = "undo", stream: TextIO | None = None) -> None:
    """Print one difference, and its SQL as it is to be pasted: never wrapped, and never indented inside.

    :param word: what the SQL does.
    """
    stream = stream or sys.stdout
    say("", said(item.difference), stream=stream)
    if item.reason:
        say("", f"  {word}: {item.reason}" if not item.statements else f"  {item.reason}", stream=stream)
    margin = " " * (LABEL + 2)
    for statement in item.statements:
        # the body of a function is part of what is compared: its lines stand as they are
        stream.write(f"{statement};\n" if "\n" in statement else f"{margin}{statement};\n")


def tell_shadow(note: ShadowNote) -> None:
    """Print what a person should know of a shadow; on stderr, as it is no part of the result."""
    say("Shadow", note.text, stream=sys.stderr)


def said(difference: Difference) -> str:
    """Return a difference in one line: ``+`` only the database has it, ``-`` it lacks it, ``~`` it has it differently."""
    if difference.what == EXISTS:
        return f"{'-' if difference.is_missing else '+'} {difference.object}"
    if difference.what == COLUMN_ORDER:
        return f"~ {difference.object}: its columns stand in another order"
    what = difference.what.replace("_", " ")
    return f"~ {difference.object}: {what}: {_short(difference.left)} -> {_short(difference.right)}"


def drift_as_json(drift: Drift) -> dict[str, Any]:
    """Return what a check found for machines."""
    found: dict[str, Any] = {"verdict": drift.verdict, "against": drift.against or None, "why": drift.why or None}
    return found | {"differences": [item_as_json(item) for item in drift.items]}


def item_as_json(item: Undo) -> dict[str, Any]:
    """Return one difference for machines; values as they stand in the catalog."""
    id_, difference = item.difference.object, item.difference
    return {
        "object": str(id_), "kind": id_.kind, "schema": id_.schema or None, "name": id_.name, "parent": id_.parent or None,
        "what": difference.what, "left": difference.left, "right": difference.right, "sql": item.sql,
        "reason": item.reason or None, "destroys_data": item.destroys_data,
    }  # fmt: skip


def _short(value: Value | None) -> str:
    if value is None:
        return "(none)"
    if value is True:
        return "yes"
    text = " ".join((", ".join(value) if isinstance(value, tuple) else str(value)).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
