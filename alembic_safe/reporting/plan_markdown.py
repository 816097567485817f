"""A plan as a comment on a pull request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic_safe.reporting.gate import gate_lines
from alembic_safe.reporting.plan_words import BASIS, blocked, label, takes, verdict, what_changes
from alembic_safe.reporting.text import count, shown_path, target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.deploying.planning import Planned
    from alembic_safe.deploying.safe_plan import Judged, SafePlan


def plans_markdown(found: tuple[Planned, ...]) -> str:
    """Return the plans of a project's databases."""
    parts = []
    for planned in found:
        head = f"### {_escaped(target(planned.identity, planned.heads))}"
        notes = "".join(f"\n\n> {_escaped(note)}" for note in planned.notes)
        gate = gate_lines(planned.plan.plan.revisions if planned.plan is not None else (), planned.gated)
        notes += "".join(f"\n\n> Gate: {_escaped(line)}" for line in gate)
        body = "\n".join(plan_markdown(planned.plan)) if planned.plan is not None else "Nothing is pending."
        parts.append(f"{head}{notes}\n\n{body}\n")
    return "\n".join(parts)


def plan_markdown(plan: SafePlan) -> Iterator[str]:
    """Yield a plan, a line each."""
    said = f"**{verdict(plan)}.**" if plan.stopping else f"{verdict(plan)}."
    seen = f"seen on {plan.on}" if plan.trace is not None else f"**not observed**: {_escaped(plan.why_not)}"
    yield f"{said} Plan `{plan.hash}`, {count(len(plan.plan.revisions), 'revision')}, {seen}."
    yield ""
    yield "| | revision | what | who waits | about |"
    yield "|--:|---|---|---|--:|"
    for place, planned in enumerate(plan.plan.revisions, 1):
        traced = plan.traced(planned.revision)
        if traced is None:
            yield f"| {place} | `{planned.revision}` {_escaped(planned.message)} | | not observed | |"
            continue
        phase = f" *{traced.phase}*" if traced.phase else ""
        yield (
            f"| {place} | `{planned.revision}`{phase} {_escaped(planned.message)} | {_escaped(what_changes(traced))} |"
            f" {blocked(traced, plan)} | {takes(traced, plan)} |"
        )
    yield ""
    for one in plan.judged:
        if one.level != "allow" or one.accepted:
            yield from _hazard(one)
    facts = [one for one in plan.judged if one.level == "allow" and not one.accepted]
    if facts:
        yield f"<details><summary>{count(len(facts), 'fact')}</summary>"
        yield ""
        yield from (f"- {_code(one.found.id)}: {_escaped(one.found.hit.effect)}" for one in facts)
        yield ""
        yield "</details>"
        yield ""
    for unsure in plan.unsure:
        yield f"- could not be counted: {_escaped(unsure)}"
    if plan.live.known:
        yield f"<sub>{BASIS}</sub>"


def _hazard(one: Judged) -> Iterator[str]:
    found = one.found
    where = f" {_code(f'{shown_path(found.file)}:{found.line}')}" if found.line else ""
    yield f"**{label(one)}** {_code(found.id)}{where}  "
    yield _escaped(found.hit.effect) + (f" *({_escaped(one.accepted)})*" if one.accepted else "")
    yield ""
    yield "<details><summary>Instead</summary>"
    yield ""
    remedy = found.hazard.advises(found.hit)
    fence = "`" * max(3, _ticks(remedy) + 1)
    yield f"{fence}\n{remedy}\n{fence}"
    yield ""
    yield "</details>"
    yield ""


def _ticks(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _code(text: str) -> str:
    """Return a code span; it ends with as many backticks as it begins with (CommonMark, 6.1)."""
    fence = "`" * (_ticks(text) + 1)
    inside = " ".join(text.split())
    return f"{fence} {inside} {fence}" if "`" in inside else f"{fence}{inside}{fence}"


def _escaped(text: str) -> str:
    for character in "\\`*_|<>[]":
        text = text.replace(
            character, f"\\{character}" if character not in "<>" else {"<": "&lt;", ">": "&gt;"}[character]
        )
    return " ".join(text.split())
