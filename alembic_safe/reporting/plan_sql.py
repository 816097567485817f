"""A plan as the SQL that was seen, each statement with its locks and hazards in comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.reporting.plan_words import label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alembic_safe.deploying.safe_plan import SafePlan
    from alembic_safe.inspecting.trace import RevisionTrace, Statement


def plans_sql(plans: Iterable[SafePlan]) -> str:
    """Return what the revisions sent on the shadow; bound values stand in it as the driver's parameters."""
    return "\n".join("\n".join(_plan(plan)) + "\n" for plan in plans)


def _plan(plan: SafePlan) -> Iterator[str]:
    yield f"-- plan {plan.hash}; for reading: safe-upgrade runs the revisions themselves"
    if plan.trace is None:
        yield f"-- not observed: {_line(plan.why_not)}"
    for revision in plan.trace.revisions if plan.trace is not None else ():
        yield ""
        yield from _revision(plan, revision)


def _revision(plan: SafePlan, revision: RevisionTrace) -> Iterator[str]:
    yield f"-- {revision.revision}  {_line(revision.message)}"
    for one in plan.of(revision.revision):
        if one.found.hit.statement < 0:
            yield f"--   {label(one)}: {one.found.id}: {_line(one.found.hit.effect)}"
    number = -1
    for group in revision.transactions:
        yield from [] if group[0].autocommit else ["BEGIN;"]
        for statement in group:
            number += 1
            yield from _statement(plan, revision, number, statement)
        yield from [] if group[0].autocommit else ["COMMIT;"]
    if revision.failed:
        yield f"-- failed here: {_line(revision.failed)}"
    if revision.not_observed:
        yield f"-- not observed: {_line(revision.not_observed)}"


def _statement(plan: SafePlan, revision: RevisionTrace, number: int, statement: Statement) -> Iterator[str]:
    for one in plan.of(revision.revision):
        if one.found.hit.statement == number:
            yield f"--   {label(one)}: {one.found.id}: {_line(one.found.hit.effect)}"
    held = ", ".join(
        f"{mode} on {relation}" for relation, mode in statement.strongest.items() if relation.kind != "index"
    )
    if held:
        yield f"--   {_line(held)}"
    if not statement.observed:
        yield f"--   not observed: {_line(statement.why_not_observed)}"
    yield statement.text.rstrip("; \n") + ";"


def _line(text: str) -> str:
    return " ".join(text.split())
