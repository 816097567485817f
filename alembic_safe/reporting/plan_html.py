"""A plan as one page that a team looks at before a deploy: no network, no script, keyboard and screen reader friendly."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.inspecting.estimate import revision_seconds, timeline
from alembic_safe.inspecting.live import shown_bytes, shown_rows
from alembic_safe.inspecting.live_facts import touched
from alembic_safe.reporting.gate import gate_lines
from alembic_safe.reporting.plan_words import BASIS, blocked, label, takes, verdict, what_changes, worst
from alembic_safe.reporting.text import count, duration, shown_path, target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alembic_safe.deploying.planning import Planned
    from alembic_safe.deploying.safe_plan import Judged, SafePlan
    from alembic_safe.inspecting.trace import RevisionTrace


def plans_html(found: tuple[Planned, ...]) -> str:
    """Return the plans of a project's databases as one file."""
    parts = [part for planned in found for part in _planned(planned)]
    names = ", ".join(planned.identity.place.database for planned in found)
    return _document(f"Plan for {names}", parts)


def history_html(plan: SafePlan) -> str:
    """Return what was found in a whole history as one file."""
    return _document("The whole history", ["<h1>The whole history</h1>", *_plan(plan)])


def _document(title: str, parts: Iterable[str]) -> str:
    style = Path(__file__).with_name("plan.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return "\n".join([
        "<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">', '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(title)}</title>", f"<style>{style}</style>", "</head>", "<body>",
        '<a class="skip" href="#main">To the plan</a>', '<main id="main">', *parts, "</main>", "</body>", "</html>", "",
    ])  # fmt: skip


def _planned(planned: Planned) -> Iterator[str]:
    place = planned.identity.place
    yield f"<h1>{escape(place.shown)}</h1>"
    yield f'<p class="target">{escape(target(planned.identity, planned.heads))}</p>'
    for note in planned.notes:
        yield f'<p class="note">{escape(note)}</p>'
    for line in gate_lines(planned.plan.plan.revisions if planned.plan is not None else (), planned.gated):
        yield f'<p class="note">Gate: {escape(line)}</p>'
    if planned.plan is None:
        yield "<p>Nothing is pending.</p>"
    else:
        yield from _plan(planned.plan)


def _plan(plan: SafePlan) -> Iterator[str]:
    yield f'<p class="verdict {"stops" if plan.stopping else "free"}"><strong>{verdict(plan)}.</strong>'
    yield f" Plan <code>{plan.hash}</code>, {count(len(plan.plan.revisions), 'revision')}.</p>"
    seen = f"Seen on a shadow, {plan.on}." if plan.trace is not None else f"Not observed: {plan.why_not}."
    yield f'<p class="basis">{escape(seen)} {BASIS if plan.live.known else ""}</p>'
    yield "<h2>Revisions</h2>"
    yield '<ol class="graph">'
    for planned in plan.plan.revisions:
        yield from _revision(plan, planned.revision, planned.message)
    yield "</ol>"
    if plan.live.known and plan.trace is not None:
        yield from _tables(plan)
    if plan.unsure:
        yield "<h2>Not known</h2><ul>"
        yield from (f"<li>Could not be counted: {escape(unsure)}</li>" for unsure in plan.unsure)
        yield "</ul>"


def _revision(plan: SafePlan, revision: str, message: str) -> Iterator[str]:
    traced = plan.traced(revision)
    judged = plan.of(revision)
    yield f'<li class="revision {worst(judged) or "quiet"}">'
    phase = f' <span class="phase">{escape(traced.phase)}</span>' if traced is not None and traced.phase else ""
    yield f"<h3><code>{escape(revision)}</code> {escape(message)}{phase}</h3>"
    if traced is None:
        yield "<p>Not observed.</p></li>"
        return
    yield f'<p class="what">{escape(what_changes(traced))}</p>'
    about = takes(traced, plan)
    yield f'<p class="facts">Who waits: <strong>{blocked(traced, plan)}</strong>'
    yield f" · about {about}</p>" if about else "</p>"
    yield from _timeline(plan, traced)
    for one in judged:
        yield from _hazard(one)
    yield from _statements(traced)
    yield "</li>"


def _timeline(plan: SafePlan, traced: RevisionTrace) -> Iterator[str]:
    held = timeline(traced, plan.live)
    total = max(revision_seconds(traced, plan.live) or 0.0, *(one.end for one in held), 0.001) if held else 0.0
    if not held:
        return
    yield '<table class="timeline"><caption>What is closed, and when</caption>'
    yield '<thead><tr><th scope="col">table</th><th scope="col">closed to</th><th scope="col">for about</th>'
    yield '<th scope="col" class="span">from the beginning to the end</th></tr></thead><tbody>'
    for one in held:
        left, width = 100 * one.start / total, max(100 * (one.end - one.start) / total, 1.0)
        kind = "all" if one.blocks == "reads and writes" else "writes"
        length = duration(one.end - one.start) if plan.live.known else "not known"
        words = f"from {duration(one.start)} to {duration(one.end)}" if plan.live.known else "size not known"
        style = f"margin-left:{left:.1f}%;width:{min(width, 100 - left):.1f}%"
        yield (
            f'<tr><th scope="row">{escape(str(one.relation))}</th><td>{one.blocks}</td><td>{length}</td><td class="span">'
            f'<span class="track"><span class="bar {kind}" style="{style}"></span></span>'
            f'<span class="said">{words}</span></td></tr>'
        )
    yield "</tbody></table>"


def _hazard(one: Judged) -> Iterator[str]:
    found = one.found
    yield f'<section class="hazard {found.severity}" aria-label="{escape(found.id)}">'
    yield f'<h4><span class="level">{label(one)}</span> <code>{escape(found.id)}</code></h4>'
    yield f"<p>{escape(found.hit.effect)}.</p>"
    if one.accepted:
        yield f'<p class="accepted">Accepted {escape(one.accepted)}</p>'
    if found.line:
        yield f'<p class="where"><code>{escape(shown_path(found.file))}:{found.line}</code></p>'
    yield f"<details{' open' if one.stops else ''}><summary>Instead</summary>"
    remedy = escape(found.hazard.advises(found.hit))
    yield f'<pre role="group" tabindex="0" aria-label="instead of {escape(found.id)}">{remedy}</pre></details>'
    yield "</section>"


def _statements(traced: RevisionTrace) -> Iterator[str]:
    if not traced.statements:
        return
    yield f"<details><summary>{count(len(traced.statements), 'statement')}</summary>"
    for number, one in enumerate(traced.statements, 1):
        locks = ", ".join(f"{mode} on {relation}" for relation, mode in one.strongest.items())
        name = f"statement {number} of {escape(traced.revision)}"
        yield f'<pre role="group" tabindex="0" aria-label="{name}">{escape(one.text)}</pre>'
        said = [locks] if locks else []
        said += [f"not observed: {one.why_not_observed}"] if not one.observed else []
        said += ["committed by itself"] if one.autocommit else []
        if said:
            yield f'<p class="locks">{escape("; ".join(said))}</p>'
    yield "</details>"


def _tables(plan: SafePlan) -> Iterator[str]:
    known = [(r, facts) for r in touched(plan.trace) if (facts := plan.live.facts(r)) is not None]  # type: ignore[arg-type]
    if not known:
        return
    largest = max(facts.bytes for _, facts in known) or 1
    yield '<h2>Tables</h2><table class="sizes"><thead><tr><th scope="col">table</th><th scope="col">rows</th>'
    yield '<th scope="col">size</th><th scope="col">used by</th></tr></thead><tbody>'
    for relation, facts in sorted(known, key=lambda one: -one[1].bytes):
        share = 100 * facts.bytes / largest
        used = ", ".join((*facts.dependants, *(f"the publication {name}" for name in facts.publications))) or "-"
        yield (
            f'<tr><th scope="row">{escape(str(relation))}</th><td>{shown_rows(facts)}</td><td>{shown_bytes(facts.bytes)}'
            f'<span class="track"><span class="bar size" style="width:{max(share, 1):.1f}%"></span></span></td>'
            f"<td>{escape(used)}</td></tr>"
        )
    yield "</tbody></table>"
