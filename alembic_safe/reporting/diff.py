"""How the difference between two schemas looks: a summary, SQL, one JSON object."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from alembic_safe.reporting.drift import item_as_json, said
from alembic_safe.reporting.text import count, labelled

if TYPE_CHECKING:
    from alembic_safe.authoring.diff import Change, Diff
    from alembic_safe.inspecting.comparison import Difference


def diff_lines(diff: Diff) -> str:
    """Return the summary for a person."""
    lines = [labelled("From", diff.from_.name), labelled("To", diff.to.name)]
    for change in diff.changes:
        lines.append(labelled("", _line(change)))
        if change.step.reason and not change.step.statements:
            lines.append(labelled("", f"  {change.step.reason}"))
    if not diff.changes:
        lines.append("There is no difference. Nothing was changed.")
        return "\n".join(lines) + "\n"
    signs = [change.sign for change in diff.changes]
    parts = [
        f"{signs.count(sign)} {word}" for sign, word in (("+", "come"), ("~", "change"), ("-", "go")) if sign in signs
    ]
    lines.append(f"{count(len(signs), 'difference')}: {', '.join(parts)}. Nothing was changed.")
    return "\n".join(lines) + "\n"


def _line(change: Change) -> str:
    notes = [change.risk] if change.risk else []
    if change.rows is not None:
        notes.append(count(change.rows, "row"))
    return _forward(change.step.difference) + (f"   ({'; '.join(notes)})" if notes else "")


def _forward(difference: Difference) -> str:
    """Return a difference in its own direction: ``+`` is what comes."""
    return said(replace(difference, left=difference.right, right=difference.left))


def sql_text(diff: Diff) -> str:
    """Return the SQL as a script; what no SQL can say stands in it as a comment."""
    lines = [f"-- from {_one_line(diff.from_.name)}", f"-- to {_one_line(diff.to.name)}"]
    for change in diff.changes:
        if change.step.reason:
            lines.append(f"-- {_one_line(_forward(change.step.difference)[2:])}: {_one_line(change.step.reason)}")
        lines += [f"{statement};" for statement in change.step.statements]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def diff_json(diff: Diff) -> str:
    """Return the difference for machines."""
    found = {
        "format": 1,
        "from": {"side": diff.from_.side.word, "kind": diff.from_.side.kind, "name": diff.from_.name},
        "to": {"side": diff.to.side.word, "kind": diff.to.side.kind, "name": diff.to.name},
        "changes": [
            {
                "sign": change.sign,
                "risk": change.risk or None,
                "rows": change.rows,
                **_turned(item_as_json(change.step)),
            }
            for change in diff.changes
        ],
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _turned(item: dict[str, object]) -> dict[str, object]:
    before, after = item.pop("right"), item.pop("left")
    return {**item, "from": before, "to": after}
