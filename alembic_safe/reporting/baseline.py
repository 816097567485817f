"""How a baseline looks."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from alembic_safe.errors import NextStep
from alembic_safe.reporting.drift import drift_as_json, item_as_json, print_drift, print_item
from alembic_safe.reporting.text import count, print_next, say, shown_path, target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.authoring.baseline import Baselined

_SHOWN = 20


def print_baselined(one: Baselined, *, dry_run: bool) -> None:
    """Print what one database was found to be, and where it stands now."""
    identity = one.target.identity
    database, at = identity.place.database, ", ".join(one.heads)
    say("Target", target(identity, one.target.heads))
    if one.drift is not None:
        print_drift(one.drift)
    if one.outcome == "written":
        if one.file is not None:
            say("Wrote", shown_path(str(one.file)))
        elif one.text:
            print(f"\n{one.text}")
        say("Proven", "on a shadow it makes the same database, object by object; rows are not part of it")
    elif one.found is not None and one.found.is_exact:
        say("Found", f"{database} is exactly what the files make at {at}")
        if one.found.same:
            older = "; ".join(", ".join(heads) for heads in one.found.same)
            say(
                "", f"So it is at {older}: what comes behind that changes rows only, or nothing. The newest one counts."
            )
    elif one.outcome == "nothing fits":
        _print_nearest(one)
    print(_state(one, dry_run=dry_run))


def _print_nearest(one: Baselined) -> None:
    at = ", ".join(one.heads)
    say("Nearest", f"{at}, with {count(len(one.items), 'difference')} from there to this database:")
    for item in one.items[:_SHOWN]:
        print_item(item)
    if len(one.items) > _SHOWN:
        say("", f"and {len(one.items) - _SHOWN} more")
    print_next([
        NextStep("see them with the SQL that leads to the files",
                 f"alembic safe-diff --from database --to {one.heads[0]} --sql"),
        NextStep("when they are mended", "alembic safe-baseline"),
    ])  # fmt: skip


def _state(one: Baselined, *, dry_run: bool) -> str:
    database, at = one.target.identity.place.database, ", ".join(one.heads)
    if one.outcome == "empty":
        return f"{database} is empty: there is nothing to describe, and `alembic upgrade head` fills it. Nothing was changed."
    if one.outcome == "verified":
        return f"{database} is at {at}, and is what the files say there. Nothing was changed."
    if one.outcome == "differs":
        return f"{database} is at {at}, and is not what the files say there. Nothing was changed."
    if one.outcome == "unknown":
        return f"{database} is at {at}; whether it is what the files say there is unknown. Nothing was changed."
    if one.outcome == "nothing fits":
        return f"No revision made {database} as it is. Nothing was stamped, nothing was changed."
    if dry_run:
        return f"Dry run: {database} would be stamped {at}. Nothing was changed."
    return f"{database} is stamped {at}; nothing else in it was changed."


def print_baselined_json(found: Sequence[Baselined], *, dry_run: bool) -> None:
    """Print the same for machines."""
    rows = [
        {
            "database": one.target.identity.place.database, "outcome": one.outcome, "in_order": one.is_in_order,
            "dry_run": dry_run, "heads": list(one.heads),
            "same": [list(heads) for heads in one.found.same] if one.found else [],
            "drift": drift_as_json(one.drift) if one.drift else None,
            "differences": [item_as_json(item) for item in one.items], "file": str(one.file) if one.file else None,
            "text": one.text or None,
        }
        for one in found
    ]  # fmt: skip
    json.dump({"format": 1, "databases": rows}, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
