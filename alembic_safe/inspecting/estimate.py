"""How long is a statement going to take on the target? An estimate, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.inspecting.trace import BLOCKS_READS, BLOCKS_WRITES

if TYPE_CHECKING:
    from alembic_safe.inspecting.live import Live
    from alembic_safe.inspecting.trace import Relation, RevisionTrace, Statement

# Bytes a second, measured on a table of 1 GB with 215 bytes a row on a modest machine with everything on its disk; the
# slower half of what was seen. A rewrite counts the indexes with it, a scan the heap alone.
REWRITE = 60_000_000
SCAN = 900_000_000
LOOK_UP = 400_000_000
BUILD = 180_000_000
BUILD_CONCURRENTLY = 55_000_000
UPDATE = 22_000_000
AN_INSTANT = 0.005
"""Seconds: what a change of the catalog alone takes, commit included."""


@dataclass(frozen=True)
class Held:
    """A table that others cannot use for a while.

    :param start: seconds from the beginning of the revision; :param end: the same.
    :param blocks: ``reads and writes`` or ``writes``.
    """

    relation: Relation
    start: float
    end: float
    blocks: str


def seconds(statement: Statement, live: Live) -> float | None:
    """Return an estimate; ``None`` where a table's size is not known."""
    total = max(statement.seconds if statement.seconds < 1 else 0.0, AN_INSTANT)
    rewritten = set(statement.rewrites)
    work: list[tuple[Relation, float, float]] = [(r, 1.0, REWRITE) for r in rewritten]
    for relation, _ in statement.builds:
        if relation not in rewritten:
            work.append((relation, 1.0, BUILD if statement.observed else BUILD_CONCURRENTLY))
    keys = any(c.kind == "constraint" and c.after is not None and c.after.type == "f" for c in statement.changes)
    built = {relation for relation, _ in statement.builds}
    work += [(r, 1.0, LOOK_UP if keys else SCAN) for r in statement.scans if r not in rewritten and r not in built]
    work += [
        (w.relation, 1.0, UPDATE)
        for w in statement.writes
        if w.kind in {"UPDATE", "DELETE"} and w.relation in statement.scans
    ]
    for relation, share, rate in work:
        if relation.new:
            continue
        facts = live.facts(relation)
        if facts is None:
            return None
        size = facts.bytes if rate in {REWRITE, UPDATE} else facts.heap
        total += size * share / rate
    return total


def revision_seconds(revision: RevisionTrace, live: Live) -> float | None:
    """Return an estimate for a whole revision."""
    parts = [seconds(one, live) for one in revision.statements]
    return None if None in parts else sum(part for part in parts if part is not None)


def timeline(revision: RevisionTrace, live: Live) -> tuple[Held, ...]:
    """Return which tables of the target are closed to whom, and when; an unknown duration counts as an instant."""
    found: list[Held] = []
    clock = 0.0
    for group in revision.transactions:
        since: dict[tuple[Relation, str], float] = {}
        for one in group:
            for relation, mode in one.strongest.items():
                blocks = "reads and writes" if mode in BLOCKS_READS else "writes" if mode in BLOCKS_WRITES else ""
                if blocks and not relation.new and relation.kind in {"table", "materialized view"}:
                    since.setdefault((relation, blocks), clock)
            clock += seconds(one, live) or AN_INSTANT
        found += [Held(relation, start, clock, blocks) for (relation, blocks), start in since.items()]
    return tuple(found)
