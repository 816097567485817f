"""How are the parts of a plan called, whatever it is shown in?"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from alembic_safe.inspecting.estimate import Held, revision_seconds, timeline
from alembic_safe.inspecting.hazard import SEVERITIES
from alembic_safe.reporting.text import count, duration

if TYPE_CHECKING:
    from alembic_safe.deploying.safe_plan import Judged, SafePlan
    from alembic_safe.inspecting.trace import Change, RevisionTrace, Statement

SCHEMA_VERSION = 1
"""Of the JSON form; it grows when a field changes its meaning or goes, not when one is added."""
BASIS = "Estimated from table sizes read now and rates measured elsewhere; a rehearsal on a copy tells more."

_SIGNS = {"added": "+", "gone": "-", "changed": "~"}
_QUIET = {"made anew", "built", "definition", "options"}


def what_changes(revision: RevisionTrace) -> str:
    """Return what a revision makes, takes away and alters, in one line: ``+ users.handle, - invoices``."""
    found: dict[str, None] = {}
    tables = {
        str(c.relation)
        for s in revision.statements
        for c in s.changes
        if c.action in {"added", "gone"} and c.kind == "table"
    }
    for statement in revision.statements:
        for change in statement.changes:
            if change.kind != "table" and change.relation is not None and str(change.relation) in tables:
                continue
            if change.kind == "constraint" and change.action == "added" and change.after.type == "n":
                continue
            if change.kind == "sequence" and tables:
                continue  # a serial column's
            if change.what not in _QUIET:
                found.setdefault(_sign(change))
        for write in statement.writes:
            if str(write.relation) not in tables:
                found.setdefault(f"{write.kind} {write.relation}")
    if not found and revision.not_observed:
        return "not observed"
    return ", ".join(found) or ("nothing that was seen" if revision.statements else "no statement")


def _sign(change: Change) -> str:
    if change.what == "name":
        new = change.after if isinstance(change.after, str) else getattr(change.after, "name", "")
        return f"> {change.object} to {new}" if new else f"> {change.object}"
    if change.action == "changed" and change.kind == "column":
        said = {"type": getattr(change.after, "type", ""), "not null": "NOT NULL" if change.after.not_null else "NULL"}
        return f"~ {change.object} {said.get(change.what, change.what)}".rstrip()
    return f"{_SIGNS[change.action]} {change.object}"


def blocked(revision: RevisionTrace, plan: SafePlan) -> str:
    """Return the worst that a revision's locks do to others: ``reads and writes``, ``writes`` or ``nobody waits``."""
    if not revision.ran_through or any(not one.observed and not one.locks for one in revision.statements):
        return "not observed"
    held = timeline(revision, plan.live)
    for word in ("reads and writes", "writes"):
        if any(one.blocks == word for one in held):
            return word
    return "nobody waits"


def takes(revision: RevisionTrace, plan: SafePlan) -> str:
    """Return an estimate in words; empty where there is none."""
    if not plan.live.known:
        return ""
    guess = revision_seconds(revision, plan.live) if revision.ran_through else None
    return "unknown" if guess is None else f"{duration(guess)}"


def longest_waits(plan: SafePlan) -> tuple[Held, ...]:
    """Return for each table the longest time that it is closed, the longest first."""
    longest: dict[str, Held] = {}
    for revision in () if plan.trace is None else plan.trace.revisions:
        for held in timeline(revision, plan.live):
            name = str(held.relation)
            if name not in longest or held.end - held.start > longest[name].end - longest[name].start:
                longest[name] = held
    return tuple(sorted(longest.values(), key=lambda one: one.start - one.end))


def statement_of(judged: Judged, plan: SafePlan) -> Statement | None:
    """Return the statement that a hazard is about."""
    traced = plan.traced(judged.found.revision)
    number = judged.found.hit.statement
    return traced.statements[number] if traced is not None and 0 <= number < len(traced.statements) else None


def label(judged: Judged) -> str:
    """Return what happens because of a hazard, as it stands in the left column."""
    if judged.accepted:
        return "Accepted"
    return {"refuse": "Refused", "ask": "Asks", "warn": "Warning", "allow": "Fact"}[judged.level]


def worst(judged: tuple[Judged, ...]) -> str:
    """Return the worst severity among hazards; empty where there are none."""
    return max((one.found.severity for one in judged), key=SEVERITIES.index, default="")


def consent_words(plan: SafePlan) -> str:
    """Return the options that give every consent which is missing; empty where one of them would not help.

    What fails as it stands fails with consent, too.
    """
    if any(one.fails for one in plan.stopping):
        return ""
    return " ".join(f"--accept {shlex.quote(one)}" for one in dict.fromkeys(j.found.id for j in plan.stopping))


def verdict(plan: SafePlan) -> str:
    """Return what has to happen before the plan is deployed, in half a sentence."""
    number, fail = len(plan.stopping), sum(one.fails for one in plan.stopping)
    if not number:
        return "Nothing needs consent"
    needs = f"need{'s' * (number == 1)} consent by name"
    said = needs if not fail else "would make it fail" if fail == number else f"would make it fail or {needs}"
    return f"{count(number, 'hazard')} {said}"
