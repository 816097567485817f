"""What would changed revision files do, where no database is at hand: before a commit, in a pipeline?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.database.envpy import script_of
from alembic_safe.database.no_target import without_target
from alembic_safe.database.replay import replay
from alembic_safe.database.shadow import open_shadow
from alembic_safe.database.steps_on_shadow import stepwise
from alembic_safe.deploying.plan import Plan, PlannedRevision
from alembic_safe.deploying.safe_plan import SafePlan, judged_by
from alembic_safe.errors import NextStep, ReplayFailed, WrongUsage
from alembic_safe.inspecting.hazard import judge
from alembic_safe.inspecting.hazards import HAZARDS
from alembic_safe.inspecting.live import Live
from alembic_safe.inspecting.policy import read_policy
from alembic_safe.inspecting.trace import RevisionTrace, Trace
from alembic_safe.inspecting.tracing import Tracer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext, RevisionStep
    from alembic.script import Script

    from alembic_safe.database.replay import Replayed
    from alembic_safe.database.shadow import Shadow
    from alembic_safe.inspecting.policy import Policy
    from alembic_safe.settings import Settings


def check_files(config: Config, settings: Settings, files: Sequence[Path]) -> SafePlan:
    """Run the history on an empty shadow, watch the revisions of some files, and judge these as for production.

    ``env.py`` is run as always, and what it connects to is a throw-away database. No size is known, so every table that
    an earlier revision made counts as one in use.

    :param files: files that are no revision of this project are passed over; a folder stands for all that is in it.
    :return: without a revision where none of them is one.
    :raises WrongUsage: when there is no file, or one of them does not exist: then there was no check.
    :raises ReplayFailed: when another revision does not run through.
    :raises Missing: when there is no server for a shadow, or ``env.py`` cannot be run.
    """
    _require_files(files)
    policy = read_policy(settings.policy or "")
    script = script_of(config)
    given = {file.resolve() for file in files}
    every = [one for one in reversed(list(script.walk_revisions())) if one.path]
    changed = {one.revision: one for one in every if _stands_in(Path(one.path).resolve(), given)}
    if not changed:
        return SafePlan(Plan((), ()), (), Trace(), Live(), policy)
    tracer = Tracer(each_alone=True, downgrades=policy.downgrades)
    failed: ReplayFailed | None = None
    with open_shadow(None, settings) as shadow:
        on = f"PostgreSQL {shadow.server_version // 10000}.{shadow.server_version % 10000}"
        try:
            _replayed(config, shadow, tracer, changed)
        except ReplayFailed as error:
            failed = error
    seen = [one for trace in tracer.traces.values() for one in trace.revisions]
    if failed is not None and (not seen or seen[-1].revision not in changed):
        raise failed
    return _judged(tracer, changed, policy, on)


def _require_files(files: Sequence[Path]) -> None:
    """Refuse what would look like a check that found nothing."""
    missing = [str(file) for file in files if not (file.exists() or file.is_symlink())]
    if files and not missing:
        return
    raise WrongUsage(
        f"Not there: {', '.join(missing)}." if missing else "No file was named, so nothing was checked.",
        next_steps=[
            NextStep("name the files that changed, or their folder", "alembic safe-check migrations/versions/"),
        ],
    )


def _stands_in(path: Path, given: set[Path]) -> bool:
    return path in given or not given.isdisjoint(path.parents)


def _replayed(config: Config, shadow: Shadow, tracer: Tracer, changed: dict[str, Script]) -> Replayed:
    """Replay all revisions, watched from the first changed one on: before it they only run."""
    began = False

    def watch(context: MigrationContext, step: RevisionStep) -> AbstractContextManager[None]:
        nonlocal began
        began = began or step.revision.revision in changed
        return tracer.watch(context, step) if began else stepwise(context, step)

    with without_target(shadow):
        return replay(config, script_of(config), shadow, watch=watch)


def _judged(tracer: Tracer, changed: dict[str, Script], policy: Policy, on: str) -> SafePlan:
    (trace,) = list(tracer.traces.values())[:1]
    stopped = trace.revisions[-1]
    behind = tuple(
        RevisionTrace(
            name, one.doc or "", one.path,
            not_observed=f"it stands behind {stopped.revision}, which does not run through",
        )
        for name, one in changed.items() if name not in {seen.revision for seen in trace.revisions}
    )  # fmt: skip
    whole = replace(trace, revisions=(*trace.revisions, *behind))
    found = [one for one in judge(whole, Live(), HAZARDS, advice=policy.advice) if one.revision in changed]
    in_files = {
        str(name): str(why)
        for one in changed.values()
        for name, why in dict(getattr(one.module, "accept", None) or {}).items()
        if str(why).strip()
    }
    judged = judged_by(found, policy, environment="production", protected=True, in_files=in_files, given=frozenset())
    own = replace(whole, revisions=tuple(one for one in whole.revisions if one.revision in changed))
    plan = Plan((), tuple(PlannedRevision(one.revision, one.message, (), one.file, "") for one in own.revisions))
    return SafePlan(plan, judged, own, Live(), policy, None, "", on, in_files=in_files)
