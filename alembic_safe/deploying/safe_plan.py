"""What is going to be done to a database, what it does there, and what the policy makes of it: one record, one hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from alembic_safe.database.replay_connection import place_of
from alembic_safe.database.shadow_needs import needs_of
from alembic_safe.database.shadow_wish import ShadowWish
from alembic_safe.errors import SafeError
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.data_failures import data_failures
from alembic_safe.inspecting.hazard import SEVERITIES, judge
from alembic_safe.inspecting.hazards import HAZARDS
from alembic_safe.inspecting.live import Live
from alembic_safe.inspecting.live_facts import read_live, touched
from alembic_safe.inspecting.own_schema import OwnSchema
from alembic_safe.inspecting.pending_trace import trace_pending
from alembic_safe.inspecting.policy import LEVELS, read_policy
from alembic_safe.inspecting.required_columns import mapped_columns
from alembic_safe.inspecting.target import version_tables
from alembic_safe.inspecting.trace import RevisionTrace
from alembic_safe.inspecting.unused_consents import NO_HAZARD, unused_consents

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alembic.runtime.migration import RevisionStep

    from alembic_safe.database.environment import Identity
    from alembic_safe.deploying.plan import Plan
    from alembic_safe.deploying.upgrade import Upgrade
    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.inspecting.hazard import Found
    from alembic_safe.inspecting.policy import Level, Policy
    from alembic_safe.inspecting.trace import Trace

SHORTEST_HASH = 6
"""How much of a plan's hash must be given at least."""


@dataclass(frozen=True)
class Judged:
    """A hazard, and what happens because of it.

    :param level: what the policy says.
    :param accepted: where somebody consented: ``in the file: why`` or ``--accept``; empty: nobody did, or it does not help.
    """

    found: Found
    level: Level
    accepted: str = ""

    @property
    def stops(self) -> bool:
        """Whether the deployment waits for a consent."""
        return self.level in {"refuse", "ask"} and not self.accepted

    @property
    def fails(self) -> bool:
        """Whether it stops the deployment until it is mended: it would fail, so no consent helps."""
        return self.stops and self.found.hit.fails


@dataclass(frozen=True)
class SafePlan:
    """A plan for one database.

    :param trace: what was seen of the revisions on a shadow; ``None``: nothing, and ``why_not`` says why.
    :param on: the server that it was seen on.
    :param unsure: what could not be counted on the target.
    :param fingerprint: of the target's own catalog.
    :param in_files: the consents that stand in the revision files, with their reasons.
    """

    plan: Plan
    judged: tuple[Judged, ...]
    trace: Trace | None
    live: Live
    policy: Policy
    identity: Identity | None = None
    why_not: str = ""
    on: str = ""
    unsure: tuple[str, ...] = ()
    fingerprint: str = ""
    in_files: dict[str, str] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """A text that is another one as soon as what is done, to what, or what it is judged by, changes.

        Row counts are not in it; the class of size that they fall in is.
        """
        sizes = (
            []
            if self.trace is None
            else sorted(f"{r.schema}.{r.name} {self.live.size_class(r)}" for r in touched(self.trace))
        )
        parts = [
            self.plan.hash, self.fingerprint, self.policy.digest, *sizes,
            *sorted(f"{one.found.revision} {one.found.id} {one.found.severity} {one.level}" for one in self.judged),
        ]  # fmt: skip
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    @property
    def wants_baseline(self) -> bool:
        """Whether the database has tables and no revision: what is pending may be what made them."""
        return not self.plan.heads and self.identity is not None and self.identity.place.has_tables

    @property
    def stopping(self) -> tuple[Judged, ...]:
        """What waits for a consent."""
        return tuple(one for one in self.judged if one.stops)

    def traced(self, revision: str) -> RevisionTrace | None:
        """Return what was seen of one revision."""
        found = () if self.trace is None else self.trace.revisions
        return next((one for one in found if one.revision == revision), None)

    def of(self, revision: str) -> tuple[Judged, ...]:
        """Return the hazards of one revision, the worst first."""
        return tuple(one for one in self.judged if one.found.revision == revision)


def consents_without_hazard(safe: SafePlan, given: frozenset[str]) -> tuple[str, ...]:
    """Return one line for each consent that no hazard of a plan has, where all that it does was seen; pure."""
    if safe.trace is None or not all(one.ran_through for one in safe.trace.revisions):
        return ()
    found = [one.found for one in safe.judged]
    helps = {one.id for one in found if not one.hit.fails}
    return unused_consents(given, {one.id for one in found}, NO_HAZARD, helps)


def consents_of(steps: Iterable[RevisionStep]) -> dict[str, str]:
    """Return the consents that stand in the revision files: ``accept = {"drop-column:users.name": "why"}``."""
    found: dict[str, str] = {}
    for step in steps:
        given = getattr(step.revision.module, "accept", None)
        if isinstance(given, dict):
            found |= {str(name): str(why) for name, why in given.items() if str(why).strip()}
    return found


def judged_by(
    found: Iterable[Found],
    policy: Policy,
    *,
    environment: str,
    protected: bool,
    in_files: dict[str, str],
    given: frozenset[str],
) -> tuple[Judged, ...]:
    """Return what the policy makes of each hazard, the worst first; pure.

    What fails as it stands fails with a consent, too, so none is taken.
    """
    judged = []
    for one in found:
        level = policy.level(one, environment=environment, protected=protected)
        accepted = f"in the file: {in_files[one.id]}" if one.id in in_files else "--accept" if one.id in given else ""
        judged.append(Judged(one, level, "" if one.hit.fails else accepted))
    order = {level: place for place, level in enumerate(LEVELS)}
    return tuple(
        sorted(judged, key=lambda one: (not one.stops, order[one.level], -SEVERITIES.index(one.found.severity)))
    )


def make_safe_plan(upgrade: Upgrade, plan: Plan, steps: Sequence[RevisionStep], *, dry_run: bool) -> SafePlan:
    """Watch the pending revisions on a shadow, ask the target, and judge; nothing is written to the target.

    :param upgrade: the run, which has looked at its target; its transaction stays open.
    :param dry_run: nothing is made on the target's server, not even a shadow.
    """
    policy = read_policy(upgrade.settings.policy or "")
    savepoint = upgrade.connection.begin_nested()
    try:
        safe = _observed(upgrade, plan, steps, policy, dry_run=dry_run)
    except SafeError:
        raise
    except Exception as error:  # noqa: BLE001 - a database that cannot be understood is not observed, and never called safe
        if savepoint.is_active:
            savepoint.rollback()
        why = f"{type(error).__name__}: {' '.join(str(getattr(error, 'orig', error)).split())}"
        return SafePlan(plan, (), None, Live(), policy, upgrade.identity, why)
    if savepoint.is_active:
        savepoint.commit()
    return safe


def _observed(
    upgrade: Upgrade, plan: Plan, steps: Sequence[RevisionStep], policy: Policy, *, dry_run: bool
) -> SafePlan:
    catalog = read_catalog(upgrade.connection, leave_out=version_tables(upgrade.target, upgrade.context))
    trace, why_not, on = _trace(upgrade, plan, catalog, dry_run=dry_run)
    bare = SafePlan(
        plan, (), trace, Live(), policy, upgrade.identity, why_not, on, (), catalog.fingerprint, consents_of(steps)
    )
    return judged_again(upgrade, upgrade.connection, bare)


def looked_at(safe: SafePlan) -> bool:
    """Whether the target was looked at for this plan: not where nobody wanted it, or there is nothing to see."""
    return safe.trace is not None or bool(safe.fingerprint)


def judged_again(upgrade: Upgrade, connection: Any, safe: SafePlan) -> SafePlan:
    """Ask the target once more, and judge anew what was seen of the revisions."""
    if not looked_at(safe):
        return safe
    fingerprint = read_catalog(connection, leave_out=version_tables(upgrade.target, upgrade.context)).fingerprint
    trace, policy, identity = safe.trace, safe.policy, upgrade.identity
    if trace is None:
        return replace(safe, fingerprint=fingerprint)
    live = read_live(connection, trace, small=policy.small, large=policy.large)
    rows = data_failures(connection, trace, show_examples=not identity.protected)
    live = replace(live, failures=rows.failures, mapped=_mapped(upgrade))
    judged = judged_by(
        judge(trace, live, HAZARDS, advice=policy.advice), policy, environment=identity.environment,
        protected=identity.protected, in_files=safe.in_files, given=upgrade.request.accept,
    )  # fmt: skip
    unsure = (*rows.unsure, *live.not_counted)
    return replace(safe, judged=judged, live=live, unsure=unsure, fingerprint=fingerprint)


def _mapped(upgrade: Upgrade) -> dict[tuple[str, str], frozenset[str]]:
    """Return what the models have; nothing where the plan ends before the revision that they belong to."""
    if upgrade.request.revision not in {"head", "heads"}:
        return {}
    return mapped_columns(upgrade.context, upgrade.context.dialect.default_schema_name or "public")


def _trace(upgrade: Upgrade, plan: Plan, catalog: Catalog, *, dry_run: bool) -> tuple[Trace | None, str, str]:
    config = upgrade.context.config
    if config is None:
        return None, "env.py was run without a configuration", ""
    wish = ShadowWish(
        upgrade.target.endpoint, needs_of(upgrade.connection), upgrade.settings, protected=upgrade.identity.protected,
        dry_run=dry_run,
    )  # fmt: skip
    place = place_of(upgrade.connection)
    own = OwnSchema(
        place, catalog, upgrade.target.endpoint, upgrade.settings, upgrade.identity.place.server_version,
        (upgrade.target.version_schema, upgrade.context.version_table), plan.heads, upgrade.identity.place.role,
    )  # fmt: skip
    # what waits behind the gate does not run, so it is not judged either
    only = [one.revision for one in plan.revisions] if upgrade.gated.held else None
    traced = trace_pending(config, upgrade.script, wish, own, upgrade.request.revision, only)
    trace = traced.of(place)
    why = traced.why_not or ("" if trace is not None else "the replay on a shadow did not reach this database")
    return trace and _whole(trace, plan), why, traced.on


def _whole(trace: Trace, plan: Plan) -> Trace:
    """Return a trace in which what stands behind a revision that ran out of time is told, too: as not observed; pure."""
    stopped = next((one for one in trace.revisions if one.not_observed), None)
    if stopped is None:
        return trace
    seen = {one.revision for one in trace.revisions}
    why = f"it stands behind {stopped.revision}, which ran out of time"
    behind = tuple(
        RevisionTrace(one.revision, one.message, one.file, phase=one.phase or "", not_observed=why)
        for one in plan.revisions if one.revision not in seen
    )  # fmt: skip
    return replace(trace, revisions=(*trace.revisions, *behind))
