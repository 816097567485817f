"""How a milestone looks: what was found, the files, the proof, and where the database stands now."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from alembic_safe.errors import NextStep
from alembic_safe.reporting.text import count, duration, print_next, say, say_in_one_line, shown_path, target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.authoring.milestone import Outcome, WrittenFile
    from alembic_safe.authoring.milestone_side import Side
    from alembic_safe.authoring.push_plan import PlannedChange
    from alembic_safe.authoring.writing import Written
    from alembic_safe.database.replay import Replayed, ReplayStep
    from alembic_safe.database.shadow import ShadowNote

_LISTED = 20
_LONG_REPLAY = 20


class MilestoneText:
    """Tells the steps as they are done: facts on stdout, progress on stderr.

    :param quiet: only the notes that a person should not miss, for ``--json``.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._proved = 0

    def began(self, sides: Sequence[Side]) -> None:
        """Print the databases."""
        for side in sides:
            pushes = side.pushed.pushes
            extra = f"{count(pushes, 'push', 'pushes')} since" if pushes else ""
            self._say("Target", target(side.target.identity, side.target.heads, extra=extra))

    def built(self, replayed: Replayed) -> None:
        """Print what the files made on the shadow."""
        if replayed.copied:
            self._say(
                "Built", f"the history on a shadow, copied from an earlier replay, in {duration(replayed.seconds)}"
            )
        else:
            revisions = count(replayed.steps, "revision")
            self._say("Built", f"the history on a shadow: {revisions} in {duration(replayed.seconds)}")

    def found(self, changes: Sequence[PlannedChange]) -> None:
        """Print what is between the files and the models."""
        if not changes:
            return
        self._say("Found", f"{count(len(changes), 'change')} between the files and the models")
        for change in changes:
            self._say("", change.line)

    def wrote(self, files: Sequence[Written]) -> None:
        """Nothing yet: a file is told when it is there."""

    def proved(self, what: str) -> None:
        """Print one part of the proof."""
        self._say("" if self._proved else "Proved", what)
        self._proved += 1

    def note(self, note: ShadowNote) -> None:
        """Print what a person should know of the shadow."""
        say("Shadow", note.text, stream=sys.stderr)

    def unused(self, text: str) -> None:
        """Print that a consent by name fits nothing."""
        say_in_one_line("Note", text, stream=sys.stderr)

    def step(self, step: ReplayStep) -> None:
        """Show that a long replay goes on."""
        if step.total >= _LONG_REPLAY and step.number % _LONG_REPLAY == 0:
            say("", f"replayed {step.number} of {step.total} revisions", stream=sys.stderr)

    def _say(self, label: str, text: str) -> None:
        if not self.quiet:
            say(label, text)


def print_outcome(outcome: Outcome) -> None:
    """Print the end: the files, what is different still, the ways on, and the state of the database."""
    if outcome.cleared:
        say("Cleared", f"what {count(outcome.cleared, 'milestone')} left behind that had been killed")
    if outcome.dry_run:
        for file in outcome.files:
            print(f"\n{shown_path(str(file.path))}\n\n{file.text}")
    else:
        for number, file in enumerate(outcome.files):
            say("" if number else "Wrote", shown_path(str(file.path)))
    _print_left(outcome)
    print_next(_ways_on(outcome))
    print(_state(outcome))


def _print_left(outcome: Outcome) -> None:
    for label, lines in (("Left", outcome.unsettled), ("Differs", outcome.different)):
        if not lines:
            continue
        what = (
            "no operation can express this difference to the models" if label == "Left"
            else f"{', '.join(outcome.databases)} differs from what the files make (files -> database)"
        )  # fmt: skip
        say(label, f"{what}:")
        for line in lines[:_LISTED]:
            say("", line)
        if len(lines) > _LISTED:
            say("", f"and {len(lines) - _LISTED} more")


def _ways_on(outcome: Outcome) -> list[NextStep]:
    if not outcome.files:
        return []
    if outcome.dry_run:
        return [NextStep("write it", f'alembic milestone -m "{_shell(outcome.files[-1])}"')]
    read = NextStep("read the file, and commit it" if len(outcome.files) == 1 else "read the files, and commit them")
    head = outcome.files[-1].revision
    if outcome.unapplied:
        return [read, NextStep("apply it here", "alembic upgrade head")]
    if outcome.stamped:
        return [read, NextStep("where others have rows", "alembic safe-upgrade")]
    if outcome.different:
        return [
            read,
            NextStep("mark the database all the same, once you know why it differs", f"alembic stamp {head}"),
            NextStep("and bring it to the models", "alembic dev-push"),
        ]
    return [read, NextStep("mark the database, which is equal to it", f"alembic stamp {head}")]


def _shell(file: WrittenFile) -> str:
    return file.message.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")


def _state(outcome: Outcome) -> str:
    names = ", ".join(outcome.databases)
    took = f" Done in {duration(outcome.seconds)}."
    if outcome.dry_run:
        return "Nothing was written; nothing was changed."
    if not outcome.files:
        return f"The files already say what the models are: no revision was needed, and {names} was not changed."
    heads = ", ".join(outcome.heads)
    if outcome.stamped:
        return f"{names} is marked as {heads}; its tables and rows were not touched.{took}"
    return f"{names} was not changed and not marked.{took}"


def print_outcome_json(outcome: Outcome, command: str = "milestone") -> None:
    """Print the end as one JSON object."""
    print(json.dumps(outcome_json(outcome) | {"command": command}, indent=2))


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return the end for a machine."""
    return {
        "databases": list(outcome.databases), "heads": list(outcome.heads), "dry_run": outcome.dry_run,
        "stamped": outcome.stamped, "unapplied": outcome.unapplied, "cleared": outcome.cleared,
        "changes": [
            {"mark": change.mark, "name": change.name, "text": change.text, "object": str(change.object)}
            for change in outcome.changes
        ],
        "files": [
            {"revision": file.revision, "message": file.message, "path": str(file.path), "text": file.text}
            for file in outcome.files
        ],
        "unsettled": list(outcome.unsettled), "different": list(outcome.different),
        "seconds": round(outcome.seconds, 3), "exit_code": outcome.exit_code,
    }  # fmt: skip
