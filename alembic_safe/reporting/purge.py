"""What `alembic safe-purge` shows: everything it would destroy, before it does."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from alembic_safe.reporting.text import count, duration, moment, say, target, volume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from alembic_safe.deploying.purge import PurgePlan
    from alembic_safe.inspecting.retired import Retired


def print_plan(plan: PurgePlan) -> None:
    """Print what was chosen, one line each, and what the backups say about it."""
    say("Target", target(plan.target.identity, plan.target.heads))
    for number, retired in enumerate(plan.chosen):
        say("Purge" if number == 0 else "", line_of(retired, plan.now))
    for number, retired in enumerate(plan.others):
        say("Stays" if number == 0 else "", line_of(retired, plan.now))
    if plan.chosen and plan.oldest_backup is None:
        say("Warning", "no backup of this database is known to be kept: what is purged is gone everywhere")
    for retired in plan.before_backups:
        assert plan.oldest_backup is not None  # noqa: S101 - it is compared with it
        say(
            "Warning",
            f"{retired.kept} was retired before the oldest backup that is kept ({moment(plan.oldest_backup)}): no backup"
            " holds it in its place any more",
        )


def print_end(plans: Sequence[PurgePlan], *, dry_run: bool) -> None:
    """Print how it ended."""
    for plan in plans:
        database = plan.target.identity.place.database
        if not plan.chosen:
            say("Done", f"Nothing of {database} was chosen. Nothing was changed.")
        elif dry_run:
            say(
                "Done",
                f"A dry run: {count(len(plan.chosen), 'object')} of {database} would be purged. Nothing was changed.",
            )
        else:
            size = volume(sum(retired.bytes for retired in plan.chosen))
            say(
                "Done",
                f"{count(len(plan.chosen), 'object')} of {database} purged, {size}. The living tables are untouched.",
            )


def line_of(retired: Retired, now: datetime) -> str:
    """Return one kept object: name, where from, age, rows, size."""
    at = retired.retired_at
    age = f"retired {moment(at)}, {duration((now - at).total_seconds())} ago" if at else "of unknown age"
    rows = count(retired.record.rows, "row") if retired.record else "rows unknown"
    orphan = ", orphan" if retired.is_orphan else ""
    return f"{retired.kept}  ({retired.where_from}), {age}, {rows}, {volume(retired.bytes)}{orphan}"


def print_json(plans: Sequence[PurgePlan], *, purged: bool) -> None:
    """Print the plans as one JSON object."""
    json.dump({"format": 1, "purged": purged, "databases": [_plan(plan) for plan in plans]}, sys.stdout, indent=2,
              ensure_ascii=False)  # fmt: skip
    sys.stdout.write("\n")


def _plan(plan: PurgePlan) -> dict[str, Any]:
    return {
        "database": plan.target.identity.place.database,
        "chosen": [as_json(retired) for retired in plan.chosen],
        "others": [as_json(retired) for retired in plan.others],
        "oldest_backup": plan.oldest_backup.isoformat() if plan.oldest_backup else None,
        "before_backups": [retired.kept for retired in plan.before_backups],
    }


def as_json(retired: Retired) -> dict[str, Any]:
    """Return one kept object as JSON's types."""
    return {
        "kept": retired.kept,
        "kind": retired.record.kind if retired.record else None,
        "from": retired.record.name if retired.record else None,
        "state": retired.record.state if retired.record else None,
        "retired": retired.record.retired_at if retired.record else None,
        "rows": retired.record.rows if retired.record else None,
        "bytes": retired.bytes,
        "owner": retired.owner,
        "orphan": retired.is_orphan,
    }
