"""A plan for machines: one JSON object, whose schema is docs/plan.schema.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from alembic_safe.inspecting.estimate import revision_seconds, seconds, timeline
from alembic_safe.inspecting.live_facts import touched
from alembic_safe.reporting.deployment_json import identity_as_json
from alembic_safe.reporting.gate import held_as_json
from alembic_safe.reporting.plan_words import SCHEMA_VERSION, what_changes
from alembic_safe.reporting.text import shown_path

if TYPE_CHECKING:
    from alembic_safe.deploying.plan import PlannedRevision
    from alembic_safe.deploying.planning import Planned
    from alembic_safe.deploying.safe_plan import Judged, SafePlan
    from alembic_safe.inspecting.trace import RevisionTrace, Statement


def plans_json(found: tuple[Planned, ...]) -> str:
    """Return the plans of a project's databases."""
    objects = [
        {
            "target": identity_as_json(planned.identity) | {"heads": list(planned.heads)},
            "notes": [*planned.notes, *planned.unused],
            "waiting": [held_as_json(one) for one in planned.gated.waiting],
            "behind": [one.revision for one in planned.gated.behind],
            **(plan_as_json(planned.plan) if planned.plan is not None else _nothing()),
        }
        for planned in found
    ]
    return json.dumps({"schema_version": SCHEMA_VERSION, "plans": objects}, indent=2) + "\n"


def history_json(plan: SafePlan) -> str:
    """Return what was found in a whole history."""
    one = {"target": None, "notes": [], "waiting": [], "behind": [], **plan_as_json(plan)}
    return json.dumps({"schema_version": SCHEMA_VERSION, "plans": [one]}, indent=2) + "\n"


def _nothing() -> dict[str, Any]:
    return {"plan": None, "observed": None, "needs_consent": False, "tables": [], "unknown": [], "revisions": []}


def plan_as_json(plan: SafePlan) -> dict[str, Any]:
    """Return a plan as the schema has it."""
    tables = [] if plan.trace is None else [_table(plan, relation) for relation in touched(plan.trace)]
    return {
        "plan": plan.hash,
        "observed": {"on": plan.on} if plan.trace is not None else {"why_not": plan.why_not},
        "needs_consent": bool(plan.stopping),
        "tables": tables,
        "unknown": list(plan.unsure),
        "revisions": [_revision(plan, one, plan.traced(one.revision)) for one in plan.plan.revisions],
    }


def _table(plan: SafePlan, relation: Any) -> dict[str, Any]:
    facts = plan.live.facts(relation)
    found: dict[str, Any] = {"name": str(relation), "size_class": plan.live.size_class(relation)}
    if facts is not None:
        found |= {
            "rows": facts.rows, "rows_exact": facts.exact, "bytes": facts.bytes, "dead_rows": facts.dead,
            "writes_per_second": round(facts.writes, 2), "dependants": list(facts.dependants),
            "publications": list(facts.publications),
        }  # fmt: skip
    return found


def _revision(plan: SafePlan, planned: PlannedRevision, traced: RevisionTrace | None) -> dict[str, Any]:
    base: dict[str, Any] = {
        "revision": planned.revision,
        "message": planned.message,
        "file": shown_path(planned.file),
        "change": planned.change or "",
        "gate": "open" if planned.phase == "contract" else "",
        "observed": traced is not None and not traced.not_observed,
        "why_not_observed": traced.not_observed if traced is not None else "",
    }
    if traced is None:
        return base | {
            "phase": planned.phase or "", "summary": "", "failed": "", "estimate_seconds": None, "outside": [],
            "statements": [], "locks": [], "hazards": [],
        }  # fmt: skip
    return base | {
        "phase": traced.phase,
        "summary": what_changes(traced),
        "failed": traced.failed,
        "estimate_seconds": revision_seconds(traced, plan.live) if plan.live.known and traced.ran_through else None,
        "outside": list(traced.outside),
        "statements": [_statement(plan, one) for one in traced.statements],
        "locks": [
            {"table": str(one.relation), "blocks": one.blocks, "from": round(one.start, 3), "to": round(one.end, 3)}
            for one in timeline(traced, plan.live)
        ],
        "hazards": [_hazard(one) for one in plan.of(planned.revision)],
    }


def _statement(plan: SafePlan, one: Statement) -> dict[str, Any]:
    return {
        "sql": one.text, "tag": one.tag, "line": one.line, "transaction": one.transaction, "autocommit": one.autocommit,
        "observed": one.observed, "why_not_observed": one.why_not_observed, "shadow_seconds": round(one.seconds, 4),
        "estimate_seconds": seconds(one, plan.live) if plan.live.known else None,
        "locks": [{"relation": str(lock.relation), "mode": lock.mode} for lock in one.locks],
        "scans": [str(r) for r in one.scans], "rewrites": [str(r) for r in one.rewrites],
        "index_builds": [{"table": str(r), "index": name} for r, name in one.builds],
        "writes": [{"table": str(w.relation), "kind": w.kind} for w in one.writes],
        "changes": [{"kind": c.kind, "action": c.action, "object": c.object, "what": c.what} for c in one.changes],
    }  # fmt: skip


def _hazard(one: Judged) -> dict[str, Any]:
    found = one.found
    return {
        "id": found.id, "hazard": found.hazard.id, "object": found.hit.object, "title": found.hazard.title,
        "family": found.hazard.family, "severity": found.severity, "level": one.level, "accepted": one.accepted,
        "stops": one.stops, "fails": found.hit.fails, "effect": found.hit.effect, "remedy": found.hazard.advises(found.hit),
        "statement": found.hit.statement, "line": found.line,
    }  # fmt: skip
