"""How does a push look: lines for people, one JSON object for machines?"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from alembic_safe.authoring.push_request import Noted, Planned, Pushed, Seen, Unused
from alembic_safe.errors import NextStep, SafeError
from alembic_safe.reporting.deployment_json import identity_as_json
from alembic_safe.reporting.text import count, duration, print_next, say, say_in_one_line, target

if TYPE_CHECKING:
    from alembic_safe.authoring.push_finding import Finding
    from alembic_safe.authoring.push_plan import PlannedChange

_WIDEST_NAME = 34


class PushText:
    """Tells a push in labelled lines.

    :param show_sql: whether stdout is for the SQL alone; everything else then goes to stderr.
    """

    def __init__(self, *, show_sql: bool = False) -> None:
        self.show_sql = show_sql
        self.stream = sys.stderr if show_sql else sys.stdout
        self._brought = False

    def __call__(self, told: Any) -> None:
        """Tell one record."""
        if isinstance(told, Seen):
            self._say("Target", target(told.identity, told.heads))
        elif isinstance(told, Noted):
            self._brought = self._brought or told.label == "Back"
            self._say(told.label, told.text)
        elif isinstance(told, Unused):
            say_in_one_line("Note", told.text, stream=sys.stderr)
        elif isinstance(told, Planned):
            self._plan(told)
        elif isinstance(told, Pushed):
            self._end(told)

    def _say(self, label: str, text: str) -> None:
        say(label, text, stream=self.stream)

    def _plan(self, told: Planned) -> None:
        changes = told.plan.changes
        widest = min(max((len(change.name) for change in changes), default=0), _WIDEST_NAME)
        for n, change in enumerate(changes):
            self._say("Plan" if n == 0 else "", f"{change.mark} {change.name:<{widest}}  {change.text}".rstrip())
        for n, finding in enumerate(told.findings):
            self._say("Risk" if n == 0 else "", f"{finding.id}: {finding.text}")
        if told.kept:
            self._say(
                "Kept", f"{', '.join(told.kept)}: no model, no push and no revision made it; --drop-unknown retires it"
            )

    def _end(self, told: Pushed) -> None:
        tables = count(told.tables, "table")
        took = duration(told.seconds)
        if told.outcome == "nothing" or (told.outcome == "dry-run" and not told.changes):
            nothing = (
                "Nothing else was changed." if self._brought and told.outcome == "nothing" else "Nothing was changed."
            )
            self._say("Done", f"{told.database} already matches the models ({tables}, {took}). {nothing}")
        elif told.outcome == "dry-run":
            self._say("Done", f"Dry run: {count(told.changes, 'change')} in {told.database}. Nothing was changed.")
            print_next([NextStep("do it", "alembic dev-push")], stream=self.stream)
        elif told.outcome == "tried":
            sys.stdout.write("".join(f"{statement.rstrip(';')};\n" for statement in told.statements))
            sys.stdout.flush()
            self._say("Done", f"Tried in {took} and taken back. Nothing was changed.")
        else:
            self._say("Done", f"{count(told.changes, 'change')} in {took}. {told.database} matches the models. No revision"
                      " was written.")  # fmt: skip
            print_next(
                [NextStep("keep editing, or keep it", 'alembic milestone -m "what changed"')], stream=self.stream
            )


class PushJson:
    """Gathers a push, and prints one JSON object at its end."""

    def __init__(self) -> None:
        self.databases: list[dict[str, Any]] = []
        self.error: SafeError | None = None

    def __call__(self, told: Any) -> None:
        """Note one record."""
        if isinstance(told, Seen):
            self.databases.append({"target": identity_as_json(told.identity), "at": list(told.heads), "notes": []})
            return
        own = self._open()
        if isinstance(told, Noted):
            own["notes"].append({"label": told.label, "text": told.text})
        elif isinstance(told, Unused):
            own["notes"].append({"label": "Note", "text": told.text})
        elif isinstance(told, Planned):
            own["changes"] = [_change(change) for change in told.plan.changes]
            own["findings"] = [_finding(finding) for finding in told.findings]
            own["kept"] = list(told.kept)
        elif isinstance(told, Pushed):
            own["outcome"] = told.outcome
            own["seconds"] = round(told.seconds, 3)
            own["statements"] = list(told.statements)

    def _open(self) -> dict[str, Any]:
        """Return the database that is told about: the first one without an end."""
        return next((one for one in self.databases if "outcome" not in one), self.databases[-1])

    def print(self) -> None:
        """Print what was gathered."""
        error = self.error
        said: dict[str, Any] = {"format": 1, "databases": self.databases, "exit_code": error.exit_code if error else 0}
        if error is not None:
            said["error"] = {
                "summary": error.summary, "detail": list(error.detail), "state": error.state,
                "next": [{"why": step.why, "command": step.command} for step in error.next_steps],
            }  # fmt: skip
        json.dump(said, sys.stdout, indent=2, ensure_ascii=False, default=str)
        sys.stdout.write("\n")


def _change(change: PlannedChange) -> dict[str, str]:
    return {"mark": change.mark, "object": change.name, "kind": change.object.kind, "what": change.text}


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id, "rows": finding.rows, "total": finding.total, "what": finding.text, "blocks": finding.blocks,
        "examples": list(finding.examples),
    }  # fmt: skip
