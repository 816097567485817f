"""How a plan looks on a terminal and in a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.deploying.hazard_consent import BASELINE
from alembic_safe.errors import NextStep
from alembic_safe.reporting.gate import gate_lines
from alembic_safe.reporting.plan_words import BASIS, blocked, consent_words, label, longest_waits, takes, what_changes
from alembic_safe.reporting.text import LABEL, count, duration, labelled, next_steps, shown_path, target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.deploying.planning import Planned
    from alembic_safe.deploying.safe_plan import Judged, SafePlan

_MOST_FACTS = 12
"""Facts are told up to here; the rest is counted. Everything is in --format json."""


def plan_text(found: tuple[Planned, ...], columns: int) -> str:
    """Return the plans of a project's databases."""
    return "\n".join("\n".join(_one(planned, columns)) + "\n" for planned in found)


def _one(planned: Planned, columns: int) -> Iterator[str]:
    plan = planned.plan
    parts = [] if plan is None else [f"{len(plan.plan.revisions)} pending"]
    parts += [f"{len(planned.gated.held)} waiting"] if planned.gated.held else []
    yield labelled(
        "Target", target(planned.identity, planned.heads, extra=", ".join(parts) or "nothing pending"), columns=columns
    )
    for note in planned.notes:
        yield labelled("Note", note, columns=columns)
    for line in gate_lines(plan.plan.revisions if plan is not None else (), planned.gated):
        yield labelled("Gate", line, columns=columns)
    if plan is not None:
        yield from plan_lines(plan, columns)
        yield "Nothing was changed."
        steps = [NextStep("deploy exactly this", f"alembic safe-upgrade --plan {plan.hash}")]
        if plan.stopping:
            mend = f"alembic safe-explain {plan.stopping[0].found.hazard.id}"
            steps = [BASELINE] if plan.wants_baseline else []
            steps.append(NextStep("mend what is refused, or read about it", mend))
            if consent_words(plan):
                meant = f"alembic safe-upgrade --plan {plan.hash} {consent_words(plan)}"
                steps.append(NextStep("or, where it is meant", meant))
        yield next_steps(steps, columns=columns)


def files_text(plan: SafePlan, columns: int) -> str:
    """Return what was found in changed revision files."""
    if not plan.plan.revisions:
        return "None of these files is a revision of this project.\n"
    revisions = ", ".join(one.revision for one in plan.plan.revisions)
    lines = [
        labelled("Checked", f"{revisions}, as on a production database; seen on {plan.on}", columns=columns),
        *_hazards(plan, columns),
    ]
    if plan.stopping:
        first = plan.stopping[0].found.hazard.id
        meant = [f'accept = {{"{one.found.id}": "why"}}' for one in plan.stopping if not one.fails]
        lines.append(next_steps([
            NextStep("mend what is refused, or read about it", f"alembic safe-explain {first}"),
            *(NextStep("or, where it is meant, say so in the file", one) for one in meant[:1]),
        ], columns=columns))  # fmt: skip
    else:
        lines.append(labelled("Found", "nothing that needs consent", columns=columns))
    return "\n".join(lines) + "\n"


def history_text(plan: SafePlan, columns: int) -> str:
    """Return what was found in a whole history."""
    revisions = () if plan.trace is None else plan.trace.revisions
    lines = [
        labelled("History", f"{count(len(revisions), 'revision')}, each judged by itself as if every table were in use; seen on"
                 f" {plan.on}", columns=columns),
        *_hazards(plan, columns),
    ]  # fmt: skip
    failed = [one for one in revisions if not one.ran_through]
    if failed:
        lines.append(labelled("Stopped", f"at {failed[0].revision}: what follows was not seen", columns=columns))
    told = sum(1 for one in plan.judged if one.level in {"refuse", "ask", "warn"} and not one.accepted)
    lines.append(
        labelled(
            "Found", f"{count(told, 'hazard')}; sizes are not known here, so nothing is judged by them", columns=columns
        )
    )
    return "\n".join(lines) + "\n"


def plan_lines(plan: SafePlan, columns: int) -> Iterator[str]:
    """Yield a plan: revisions, hazards, what is not known, what it means for others."""
    seen = f"seen on a shadow, {plan.on}" if plan.trace is not None else f"not observed: {plan.why_not}"
    yield labelled("Plan", f"{plan.hash}: {count(len(plan.plan.revisions), 'revision')}, {seen}", columns=columns)
    yield ""
    yield from _table(plan, columns)
    hazards = list(_hazards(plan, columns))
    if hazards:
        yield ""
        yield from hazards
    for unsure in plan.unsure:
        yield labelled("Unknown", f"could not be counted: {unsure}", columns=columns)
    yield ""
    yield from _meaning(plan, columns)


def warning_lines(plan: SafePlan, columns: int) -> Iterator[str]:
    """Yield the hazards that do not stop a deployment and are more than a fact."""
    for one in plan.judged:
        if not one.stops and (one.level != "allow" or one.accepted):
            yield labelled(label(one), f"{one.found.id}: {one.found.hit.effect}", columns=columns)


def _table(plan: SafePlan, columns: int) -> Iterator[str]:
    width = max([len("revision"), *(len(one.revision) for one in plan.plan.revisions)])
    phases = any(one.phase for one in (plan.trace.revisions if plan.trace is not None else ()))
    fixed = 5 + width + 2 + (10 if phases else 0) + 18 + 9
    room = max(columns - fixed, 16)
    phase_head = f"{'phase':<10}" if phases else ""
    yield f"{'':>3}  {'revision':<{width}}  {phase_head}{'what':<{room}}{'who waits':<18}{'about':>9}".rstrip()
    for number, planned in enumerate(plan.plan.revisions, 1):
        traced = plan.traced(planned.revision)
        phase = f"{(traced.phase if traced else '') or '-':<10}" if phases else ""
        if traced is None:
            yield f"{number:>3}  {planned.revision:<{width}}  {phase}{_cut(planned.message, room)}not observed"
            continue
        what = _cut(what_changes(traced), room)
        yield (
            f"{number:>3}  {planned.revision:<{width}}  {phase}{what}{blocked(traced, plan):<18}{takes(traced, plan):>9}"
        ).rstrip()


def _cut(text: str, room: int) -> str:
    if len(text) > room - 2:
        text = text[: room - 5] + "..."
    return f"{text:<{room}}"


def _hazards(plan: SafePlan, columns: int) -> Iterator[str]:
    facts = 0
    for one in plan.judged:
        if one.level == "allow" and not one.accepted:
            facts += 1
            if facts > _MOST_FACTS:
                continue
        yield from _hazard(one, columns, whole=one.stops)
    if facts > _MOST_FACTS:
        yield labelled("", f"and {count(facts - _MOST_FACTS, 'further fact')}", columns=columns)


def _hazard(judged: Judged, columns: int, *, whole: bool) -> Iterator[str]:
    found = judged.found
    yield labelled(label(judged), f"{found.id}  ({found.revision})", columns=columns)
    said = "it fails as it stands, so no consent helps" if judged.fails else judged.accepted
    yield labelled("", found.hit.effect + (f" [{said}]" if said else ""), columns=columns)
    if found.line:
        yield " " * LABEL + f"{shown_path(found.file)}:{found.line}"
    if whole:
        yield ""
        # code is not wrapped: it is there to be pasted
        yield from (
            " " * (LABEL + 2) + line if line else ""
            for line in ["Instead:", *found.hazard.advises(found.hit).splitlines()]
        )
        yield ""


def _meaning(plan: SafePlan, columns: int) -> Iterator[str]:
    if plan.trace is None:
        yield labelled("Waits", "not known: nothing was observed", columns=columns)
        return
    waits = [one for one in longest_waits(plan) if one.end - one.start > 0]
    if plan.live.known:
        shown = "; ".join(f"{one.blocks} of {one.relation} about {duration(one.end - one.start)}" for one in waits[:4])
        more = f"; {count(len(waits) - 4, 'further table')} less" if len(waits) > 4 else ""
        said = f"at the longest, once the lock is there: {shown}{more}" if waits else "nobody has to wait"
        if not all(one.ran_through for one in plan.trace.revisions):
            said += ", as far as was seen"
        yield labelled("Waits", said, columns=columns)
        yield labelled("", BASIS, columns=columns)
    if plan.live.oldest_transaction > 5:
        yield labelled("Now", f"a transaction has been open for {duration(plan.live.oldest_transaction)}"
                       f" ({plan.live.oldest_who}); locks may have to wait for it", columns=columns)  # fmt: skip
