"""How open changes and their contracts look."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from alembic_safe.errors import NextStep
from alembic_safe.reporting.text import count, moment, print_next, say, shown_path

if TYPE_CHECKING:
    from alembic_safe.authoring.contracting import Appended
    from alembic_safe.authoring.settling import Settled
    from alembic_safe.inspecting.changes import Change


def print_settled(done: Settled) -> None:
    """Print what was open, what was written, and what comes next."""
    for change in done.open:
        say("Open", f"{change.id}: {change.message.partition(chr(10))[0]}")
        say("", f"expand {change.expand}{_since(done, change)}")
        for line in change.settles:
            say("", f"  {line}")
    if done.open and done.known is None and not done.proven and done.abandoned is None:
        say("Live", "not known: no --url was given, so nobody looked whether the expands are deployed")
    for sentence in done.proven:
        say("Proof", sentence)
    if done.parked_anew:
        say("Parked", f"{count(done.parked_anew, 'contract')} written anew: missing, or not what the expand settles")
    for one in done.appended:
        say("Wrote", f"{shown_path(str(one.path))}, behind {one.behind}")
    if done.abandoned is not None:
        say("Wrote", f"{shown_path(str(done.abandoned.path))}, behind {done.abandoned.behind}")
        print_next([NextStep("see what models and files differ in now", "alembic check")])
    elif done.appended:
        print_next([NextStep("review the files, then deploy them in the next release", "alembic safe-upgrade")])
    elif not done.open:
        say("Done", "no change is open. Nothing was changed.")


def _since(done: Settled, change: Change) -> str:
    if done.known is None:
        return ""
    live = done.known.live[change.expand]
    by = f" by release {live.release}" if live.release else ""
    return f", live on {done.known.shown} since {moment(live.at)}{by}"


def print_settled_json(done: Settled) -> None:
    """Print the same as one JSON object."""
    known = done.known.live if done.known is not None else {}
    shown: dict[str, Any] = {
        "format": 1,
        "open": [
            {
                "change": change.id, "message": change.message, "expand": change.expand, "copy": change.copy,
                "settles": [str(line) for line in change.settles],
                "live_since": known[change.expand].at.isoformat() if change.expand in known else None,
            }
            for change in done.open
        ],
        "parked_anew": done.parked_anew,
        "appended": [_as_json(one) for one in done.appended],
        "abandoned": _as_json(done.abandoned) if done.abandoned is not None else None,
        "proven": list(done.proven),
    }  # fmt: skip
    json.dump(shown, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def _as_json(one: Appended) -> dict[str, str]:
    return {"change": one.change, "revision": one.revision, "file": str(one.path), "behind": one.behind}
