"""A deployment for machines: one JSON object at its end."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

from alembic.util import CommandError

from alembic_safe.deploying import events
from alembic_safe.errors import SafeError
from alembic_safe.reporting.drift import drift_as_json

if TYPE_CHECKING:
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
        if isinstance(event, events.TargetSeen):
            self.result |= {
                "target": identity_as_json(event.identity),
                "from": list(event.heads),
                "pending": event.pending,
            }
        elif isinstance(event, events.PlanMade):
            self.result["plan"] = {
                "hash": event.safe.hash,
                "observed": event.safe.trace is not None,
                "hazards": [
                    {
                        "id": one.found.id,
                        "revision": one.found.revision,
                        "severity": one.found.severity,
                        "level": one.level,
                        "accepted": one.accepted,
                        "effect": one.found.hit.effect,
                    }
                    for one in event.safe.judged
                ],
                "revisions": [
                    {"revision": r.revision, "message": r.message, "file": r.file} for r in event.plan.revisions
                ],
            }
        elif isinstance(event, events.Noted):
            self.result["notes"].append({"label": event.label, "text": event.text})
        elif isinstance(event, events.DriftFound):
            self.result["drift"] = drift_as_json(event.drift)
        elif isinstance(event, events.RehearsalDone):
            done = event.rehearsal
            self.result["rehearsal"] = {
                "on": done.stand_in, "seconds": round(done.seconds, 3), "downgrade": done.downgrade,
                "revisions": [{"revision": r.revision, "seconds": round(r.seconds, 3)} for r in done.revisions],
            }  # fmt: skip
        elif isinstance(event, events.BackupTaken):
            b = event.backup
            self.result["backup"] = {
                "location": str(b.location), "bytes": b.size, "sha256": b.sha256, "seconds": round(b.seconds, 3),
                "scope": b.scope,
            }  # fmt: skip
        elif isinstance(event, events.BackupSkipped):
            self.result["backup"] = {"skipped": event.why}
        elif isinstance(event, events.RevisionApplied):
            self.result["revisions"].append(
                {"revision": event.planned.revision, "seconds": round(event.seconds, 3), "attempts": event.attempts}
            )
        elif isinstance(event, events.Finished):
            self.result |= {
                "at": list(event.heads), "changed": event.changed, "seconds": round(event.seconds, 3), "state": event.state,
            }  # fmt: skip

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
