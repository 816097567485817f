"""How is told which contracts may run, which wait at the gate, and what stands behind these?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from alembic_safe.database.guard import shell_word
from alembic_safe.reporting.text import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alembic_safe.deploying.gate import Gated, Held
    from alembic_safe.deploying.plan import PlannedRevision


def held_line(held: Held) -> str:
    """Return one line on a contract that waits: what for, and from when on it may run."""
    by_name = f"with --contract {shell_word(held.change)}"
    when = [f"{by_name} only"] if held.by_name else []
    if held.other_heads:
        when.append(f"with a release whose files have other heads, or {by_name}")
    elif held.next_release:
        when.append("with another release")
    if held.seconds:
        at = datetime.now().astimezone() + timedelta(seconds=held.seconds)
        when.append(f"from {moment(at)} on")
    return f"{held.revision}, the contract of {held.change}: {held.why}; it may run {', '.join(when)}"


def held_as_json(held: Held) -> dict[str, Any]:
    """Return a contract that waits."""
    return {
        "revision": held.revision, "change": held.change, "why": held.why, "seconds": held.seconds and round(held.seconds),
        "next_release": held.next_release, "other_heads": held.other_heads, "by_name": held.by_name,
    }  # fmt: skip


def gate_lines(planned: Iterable[PlannedRevision], gated: Gated) -> Iterator[str]:
    """Yield what the gate says of each contract that is pending.

    :param planned: what runs.
    """
    for one in planned:
        if one.phase == "contract":
            yield f"{one.revision}, the contract of {one.change}: open, it runs"
    for held in gated.waiting:
        yield f"{held_line(held)}; it is not in the plan"
    if gated.behind:
        names = ", ".join(f"{one.revision} ({one.message})" for one in gated.behind)
        yield f"behind it, and not in the plan either: {names}"
