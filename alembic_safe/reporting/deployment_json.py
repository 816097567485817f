"""A deployment for machines: one JSON object at its end."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

from alembic.util import CommandError

from alembic_safe.deploying import events
from alembic_safe.errors import SafeError
from alembic_safe.reporting.drift import drift_as_json
from alembic_safe.reporting.gate import held_as_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic_safe.database.environment import Identity

FORMAT = 1
"""Goes up when a key changes its meaning or goes."""


class DeploymentJson:
    """Collects a deployment's events, and prints them as one object when it ends, however it ends."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.result: dict[str, Any] = {
            "format": FORMAT,
            "outcome": "done",
            "exit_code": 0,
            "notes": [],
            "revisions": [],
        }

    def __call__(self, event: events.Event) -> None:
        """Take one event in."""
        for kind, told in _TOLD_ONCE:
            if isinstance(event, kind):
                self.result |= told(event)
        for kind, name, row in _TOLD_OFTEN:
            if isinstance(event, kind):
                self.result.setdefault(name, []).append(row(event))

    def failed(self, error: BaseException) -> None:
        """Take in how the run ended, if it did not end well."""
        if isinstance(error, SafeError):
            self.result |= {
                "outcome": error.label.lower(), "exit_code": error.exit_code, "error": error.summary,
                "detail": list(error.detail), "state": error.state,
                "next": [{"why": step.why, "command": step.command} for step in error.next_steps],
            }  # fmt: skip
        else:
            code = 130 if isinstance(error, KeyboardInterrupt) else 2 if isinstance(error, CommandError) else 1
            self.result |= {"outcome": "failed", "exit_code": code, "error": f"{type(error).__name__}: {error}"}
        self._print()

    def end(self) -> None:
        """Print the object of a run that ended well."""
        self._print()

    def _print(self) -> None:
        json.dump(self.result, self.out, indent=2, ensure_ascii=False, default=str)
        self.out.write("\n")
        self.out.flush()


def identity_as_json(identity: Identity) -> dict[str, Any]:
    """Return what is known of a target; never a password."""
    place = identity.place
    return {
        "database": place.database, "host": place.host, "port": place.port, "role": place.role,
        "server": place.server, "environment": identity.environment, "protected": identity.protected,
        "declared": identity.declared, "why": identity.why, "replica": place.in_recovery,
    }  # fmt: skip


def _target(event: events.TargetSeen) -> dict[str, Any]:
    return {"target": identity_as_json(event.identity), "from": list(event.heads), "pending": event.pending}


def _plan(event: events.PlanMade) -> dict[str, Any]:
    hazards = [
        {
            "id": one.found.id, "revision": one.found.revision, "severity": one.found.severity, "level": one.level,
            "accepted": one.accepted, "fails": one.found.hit.fails, "effect": one.found.hit.effect,
        }
        for one in event.safe.judged
    ]  # fmt: skip
    revisions = [{"revision": r.revision, "message": r.message, "file": r.file} for r in event.plan.revisions]
    observed = event.safe.trace is not None
    return {"plan": {"hash": event.safe.hash, "observed": observed, "hazards": hazards, "revisions": revisions}}


def _rehearsal(event: events.RehearsalDone) -> dict[str, Any]:
    done = event.rehearsal
    revisions = [{"revision": r.revision, "seconds": round(r.seconds, 3)} for r in done.revisions]
    return {
        "rehearsal": {
            "on": done.stand_in, "seconds": round(done.seconds, 3), "downgrade": done.downgrade, "revisions": revisions,
        }
    }  # fmt: skip


def _backup(event: events.BackupTaken) -> dict[str, Any]:
    backup = event.backup
    return {
        "backup": {
            "location": str(backup.location), "bytes": backup.size, "sha256": backup.sha256,
            "seconds": round(backup.seconds, 3), "scope": backup.scope,
        }
    }  # fmt: skip


def _waiting(event: events.ContractWaits) -> dict[str, Any]:
    return held_as_json(event.held)


def _applied(event: events.RevisionApplied) -> dict[str, Any]:
    return {"revision": event.planned.revision, "seconds": round(event.seconds, 3), "attempts": event.attempts}


def _finished(event: events.Finished) -> dict[str, Any]:
    return {
        "at": list(event.heads), "changed": event.changed, "seconds": round(event.seconds, 3), "state": event.state,
    }  # fmt: skip


_TOLD_ONCE: tuple[tuple[type[Any], Callable[[Any], dict[str, Any]]], ...] = (
    (events.TargetSeen, _target),
    (events.PlanMade, _plan),
    (events.DriftFound, lambda event: {"drift": drift_as_json(event.drift)}),
    (events.RehearsalDone, _rehearsal),
    (events.BackupTaken, _backup),
    (events.BackupSkipped, lambda event: {"backup": {"skipped": event.why}}),
    (events.Finished, _finished),
)
_TOLD_OFTEN: tuple[tuple[type[Any], str, Callable[[Any], dict[str, Any]]], ...] = (
    (events.Noted, "notes", lambda event: {"label": event.label, "text": event.text}),
    (events.ConsentUnused, "notes", lambda event: {"label": "Note", "text": event.text}),
    (events.RevisionApplied, "revisions", _applied),
    (events.ContractWaits, "waiting", _waiting),
)
