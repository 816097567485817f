"""The status of a database: lines for people, an object for machines."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from alembic_safe.database.guard import ways_to_declare
from alembic_safe.database.journal import RESTORED, STOPPED
from alembic_safe.errors import NextStep
from alembic_safe.reporting.deployment_json import identity_as_json
from alembic_safe.reporting.drift import drift_as_json, print_drift
from alembic_safe.reporting.gate import held_line
from alembic_safe.reporting.text import count, duration, moment, print_next, say, shown_path, target, volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.database.journal import Deployment
    from alembic_safe.database.journal_steps import CopyRow
    from alembic_safe.deploying.open_changes import ChangeState
    from alembic_safe.deploying.status import Status
    from alembic_safe.settings import Settings

_SHOWN_PENDING = 20
_OUTCOMES = {
    STOPPED: "stopped in time (the next run goes on)",
    RESTORED: "took the backup that this database was restored from",
}
_UNSEEN = "; whether it was changed by hand is unknown"


def print_status(status: Status) -> None:
    """Print everything that one look found, and one closing verdict."""
    identity = status.target.identity
    say("Target", target(identity, status.target.heads))
    say("Guard", f"{'protected' if identity.protected else 'not protected'}: {identity.why}")
    _print_revision(status)
    _print_changes(status)
    _print_journal(status)
    told = {problem.kind for problem in status.problems}
    if status.drift is not None and not (status.drift.verdict == "unknown" and "unknown" in told):
        print_drift(status.drift)
    for problem in status.problems:
        say("Unknown" if problem.kind == "unknown" else "Problem", problem.what)
    _print_verdict(status)


def _print_revision(status: Status) -> None:
    at = ", ".join(status.target.heads) or "no revision"
    heads = ", ".join(status.file_heads) or "none"
    pending = status.pending.revisions
    if status.ahead is not None:
        newest = status.ahead.revisions[-1]
        say("Revision", f"{at}; {count(len(status.ahead.revisions), 'revision')} ahead of the files (head {heads}), up to"
            f" {newest.revision} ({newest.message}), applied {moment(newest.at)}")  # fmt: skip
        return
    say("Revision", f"{at}; head is {heads}; {len(pending) or 'nothing'} pending")
    for revision in pending[:_SHOWN_PENDING]:
        say("", f"{revision.revision}  {revision.message}".rstrip())
    if len(pending) > _SHOWN_PENDING:
        say("", f"and {len(pending) - _SHOWN_PENDING} more")


def _print_changes(status: Status) -> None:
    for n, state in enumerate(status.changes):
        change = state.change
        say("Changes" if n == 0 else "", f"{change.id}: {phases_line(state)}")
        for copy in state.copies:
            say("", f"  {_copy(copy, runs=status.running is not None)}")
        if state.held is not None:
            say("", f"  {held_line(state.held)}")


def _copy(copy: CopyRow, *, runs: bool) -> str:
    of = f" of about {copy.total:,}" if copy.total else ""
    # the journal calls it running until it is done: whoever is killed writes nothing any more
    state = f"running, {moment(copy.at)}" if runs else f"stopped {moment(copy.at)}; the next run goes on there"
    return f"{copy.of_table}: {copy.rows:,}{of} rows copied, {state}"


def phases_line(state: ChangeState) -> str:
    """Return in one line how far a change is."""
    expanded = "not expanded"
    if state.expanded:
        expanded = "expanded"
        if state.since is not None:
            expanded += f" {moment(state.since.at)}" + (
                f" by release {state.since.release}" if state.since.release else ""
            )
    copied = "" if state.change.copy is None else ", copied" if state.copied else ", not copied"
    contract = f"contract {state.change.contract} pending" if state.change.contract else "contract parked"
    return f"{expanded}{copied}, {contract}"


def _print_journal(status: Status) -> None:
    if status.target.journals is None:
        say("Journal", "none yet; the first safe-upgrade makes it")
        return
    if status.running is not None:
        say(
            "Running",
            f"{status.running.person} on {status.running.machine} deploys since {moment(status.running.started_at)}",
        )
    for n, deployment in enumerate(status.deployments):
        say("Deploys" if n == 0 else "", _deployment(deployment))
    if not status.deployments:
        say("Deploys", "none through safe-upgrade yet")
    for n, backup in enumerate(status.backups):
        size = f", {volume(backup.bytes)}" if backup.bytes else ""
        say("Backups" if n == 0 else "", f"{moment(backup.taken_at)}  {shown_path(backup.location)}{size}")


def _deployment(deployment: Deployment) -> str:
    took = ""
    if deployment.finished_at is not None:
        took = ", " + duration((deployment.finished_at - deployment.started_at).total_seconds())
    to = ", ".join(deployment.to_heads) if deployment.to_heads else "?"
    release = f", release {deployment.release}" if deployment.release else ""
    outcome = _OUTCOMES.get(deployment.outcome, deployment.outcome)
    return f"{moment(deployment.started_at)}  {outcome}, to {to} by {deployment.person}{release}{took}"


def _print_verdict(status: Status) -> None:
    say(status.verdict, f"{_verdict(status)}. Nothing was changed.")
    print_next(_next(status))


def _verdict(status: Status) -> str:
    """Return the verdict in words; what nobody could look at is called neither right nor in order."""
    database = status.target.identity.place.database
    pending = f"{count(len(status.pending.revisions), 'revision')} pending"
    not_seen = status.drift is not None and status.drift.verdict == "unknown"
    if status.running is not None and not status.problems:
        return f"{pending}, and a deployment runs" if status.pending.revisions else "a deployment runs"
    only = f"{database} has tables and no revision"
    match status.verdict:
        case "PROBLEM":
            return f"{count(len(status.problems), 'problem')}, {pending}"
        case "UNKNOWN":
            return only if status.has_tables_only else f"{count(len(status.problems), 'check')} could not be made"
        case "PENDING" if status.has_tables_only:
            return f"{pending}, and {only}"
        case "PENDING":
            return f"{pending}{_UNSEEN if not_seen else ', otherwise in order'}"
    return f"nothing is pending{_UNSEEN}" if not_seen else f"{database} is at head, and nothing is wrong"


def _next(status: Status) -> list[NextStep]:
    found = [step for problem in status.problems for step in (problem.next_step, problem.other_step)]
    steps = [step for step in found if step is not None]
    deploys = any("safe-upgrade" in step.command for step in steps)
    waits = status.has_tables_only or status.running is not None
    if status.pending.revisions and not deploys and not waits:
        steps.append(NextStep("deploy what is pending", "alembic safe-upgrade"))
    if status.verdict != "PROBLEM" and status.drift is not None and status.drift.next_step is not None:
        steps.append(status.drift.next_step)
    if status.target.identity.undeclared:
        steps.extend(ways_to_declare(status.target.identity))
    return list(dict.fromkeys(steps))


def print_status_json(found: Sequence[Status]) -> None:
    """Print the looks as one JSON object."""
    json.dump({"format": 1, "databases": [_as_json(status) for status in found]}, sys.stdout, indent=2,
              ensure_ascii=False, default=str)  # fmt: skip
    sys.stdout.write("\n")


def _as_json(status: Status) -> dict[str, Any]:
    return {
        "verdict": status.verdict,
        "target": identity_as_json(status.target.identity),
        "at": list(status.target.heads),
        "heads": list(status.file_heads),
        "pending": [{"revision": r.revision, "message": r.message, "file": r.file} for r in status.pending.revisions],
        "ahead": [r.revision for r in status.ahead.revisions] if status.ahead else [],
        "problems": [
            {"kind": p.kind, "what": p.what, "next": p.next_step.command if p.next_step else None} for p in status.problems
        ],
        "changes": [
            {"change": s.change.id, "expanded": s.expanded, "copied": s.copied, "contract": s.change.contract,
             "waits": s.held.why if s.held else None}
            for s in status.changes
        ],
        "running": status.running is not None,
        "drift": drift_as_json(status.drift) if status.drift else None,
        "deployments": [
            {"started": d.started_at.isoformat(), "outcome": d.outcome, "to": list(d.to_heads or ()), "release": d.release,
             "by": d.person, "from": d.machine}
            for d in status.deployments
        ],
        "backups": [{"taken": b.taken_at.isoformat(), "location": b.location, "bytes": b.bytes, "sha256": b.sha256}
                    for b in status.backups],
    }  # fmt: skip


def print_settings(settings: Settings) -> None:
    """Print every setting, its value and what it decides."""
    from alembic_safe.settings import public_fields

    for name, spec in public_fields().items():
        value = getattr(settings, name)
        if value is not None and spec.metadata["secret"]:
            value = "(set)"
        print(f"{name:<18}{'-' if value is None else value!s:<14}{spec.metadata['about']}")
    print(f"\nRead from: {', '.join(settings.found) or 'nowhere; these are the defaults'}")
