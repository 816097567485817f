"""How the adoption of changes by hand looks."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from alembic_safe.errors import NextStep
from alembic_safe.reporting.drift import drift_as_json, print_drift
from alembic_safe.reporting.text import print_next, say, shown_path, target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.authoring.adopt import Adopted


def print_adopted(adopted: Adopted, *, dry_run: bool) -> None:
    """Print what was found, what was written, and where the database stands now."""
    identity = adopted.target.identity
    database = identity.place.database
    say("Target", target(identity, adopted.target.heads))
    print_drift(adopted.drift, word="adopt")
    at = ", ".join(adopted.target.heads)
    if not adopted.revision:
        print(f"There is nothing to adopt: {database} is what the files say at {at}. Nothing was changed.")
        return
    if dry_run:
        if adopted.text:
            print(f"\n{adopted.text}")
        print(f"Dry run: {database} is at {at}. Nothing was changed.")
        return
    if adopted.file is not None:
        say("Wrote", shown_path(str(adopted.file)))
        say("Proven", "on a shadow it leads from the files to this database, and back")
        print_next(
            [
                NextStep("read it, then commit it"),
                NextStep("on databases that have the same change already", "alembic safe-adopt -m same"),
                NextStep("on those that have not", "alembic safe-upgrade"),
            ]
        )
    print(f"{database} is stamped {adopted.revision}; nothing else in it was changed.")


def print_adopted_json(found: Sequence[Adopted], *, dry_run: bool) -> None:
    """Print the same for machines."""
    rows = [
        {
            "database": one.target.identity.place.database, "drift": drift_as_json(one.drift), "dry_run": dry_run,
            "revision": one.revision or None, "file": str(one.file) if one.file else None, "text": one.text or None,
        }
        for one in found
    ]  # fmt: skip
    json.dump({"format": 1, "databases": rows}, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
