"""What would a deployment do? The plan of each database, with everything that is known of it; nothing is written."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from alembic_safe.database.envpy import run_env, script_of
from alembic_safe.database.shadow_needs import needs_of
from alembic_safe.database.shadow_wish import ShadowWish
from alembic_safe.database.statements import run
from alembic_safe.deploying.gate import Gated
from alembic_safe.deploying.plan import Plan, PlannedRevision, make_plan
from alembic_safe.deploying.safe_plan import SafePlan, consents_without_hazard, judged_by, make_safe_plan
from alembic_safe.deploying.upgrade import Request, Upgrade
from alembic_safe.errors import Missing, NextStep, WrongUsage
from alembic_safe.inspecting.hazard import judge
from alembic_safe.inspecting.hazards import HAZARDS
from alembic_safe.inspecting.live import Live
from alembic_safe.inspecting.pending_trace import trace_history
from alembic_safe.inspecting.policy import read_policy
from alembic_safe.inspecting.target import look_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

    from alembic_safe.database.environment import Identity
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class Planned:
    """What was found for one database.

    :param plan: ``None`` where nothing is pending.
    :param notes: what else a person should know: history that does not fit, files that are behind.
    :param gated: the contracts that the gate holds back, and what stands behind them: they are not in the plan.
    :param unused: a line for each consent that was given, and that no hazard of the plan has.
    """

    identity: Identity
    heads: tuple[str, ...]
    plan: SafePlan | None
    notes: tuple[str, ...] = ()
    gated: Gated = Gated()
    unused: tuple[str, ...] = ()


def read_plans(
    config: Config,
    settings: Settings,
    request: Request,
    *,
    against: str | None = None,
) -> tuple[Planned, ...]:
    """Look at the project's databases and plan for each of them.

    :param request: what the deployment would be asked for: up to which revision, with which consents.
    :param against: the URL of another database than the one that ``env.py`` connects to.
    :raises SafeError: where the database cannot be reached, or the files make no history.
    """
    script = script_of(config)
    found: list[Planned] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        _require_postgresql(context)
        run(context.connection, "SET TRANSACTION READ ONLY")  # type: ignore[arg-type]
        upgrade = Upgrade(context, kw, script, settings, request, lambda _: None)
        heads = upgrade.look()
        history = upgrade.read_history(heads)
        notes = tuple(f"{problem.what}." for problem in history.problems)
        if history.ahead is not None:
            newest = history.ahead.revisions[-1]
            ahead = f"the database is ahead of these files, up to {newest.revision} ({newest.message})"
            found.append(Planned(upgrade.identity, heads, None, (ahead,)))
            return
        steps = upgrade.steps_from(heads)
        gated = upgrade.gate(steps)
        through = upgrade.through(steps, gated)
        plan = make_safe_plan(upgrade, make_plan(through, heads), through, dry_run=True) if through else None
        unused = () if plan is None else consents_without_hazard(plan, request.accept)
        found.append(Planned(upgrade.identity, heads, plan, notes, gated, unused))
        upgrade.end_reading()

    with ExitStack() as opened:
        run_env(config, script, work, prepare=None if against is None else _swapping(against, opened))
    return tuple(found)


def read_history_plan(config: Config, settings: Settings) -> SafePlan:
    """Judge every revision of the files by itself, on an empty shadow; the target is only asked what it is like.

    :raises Missing: when there is no server for a shadow.
    """
    script = script_of(config)
    policy = read_policy(settings.policy or "")
    wishes: list[ShadowWish] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        _require_postgresql(context)
        connection: Any = context.connection
        target = look_at(context, settings)
        wishes.append(ShadowWish(target.endpoint, needs_of(connection), settings, dry_run=True))
        connection.rollback()

    run_env(config, script, work)
    traced = trace_history(config, script, wishes[0])
    trace = traced.of("")
    if trace is None:
        raise Missing(
            f"The history configures {len(traced.by_place)} databases; --all-history judges one.",
            next_steps=[NextStep("plan what is pending in each of them", "alembic safe-plan")],
        )
    past = _until(policy.since, [one.revision for one in trace.revisions])
    found = [one for one in judge(trace, Live(), HAZARDS, advice=policy.advice) if one.revision not in past]
    judged = judged_by(
        found, policy, environment="production", protected=True, in_files=_all_consents(script), given=frozenset()
    )
    plan = Plan((), tuple(PlannedRevision(one.revision, one.message, (), one.file, "") for one in trace.revisions))
    return SafePlan(plan, judged, trace, Live(), policy, None, "", traced.on)


def _until(since: str, revisions: list[str]) -> frozenset[str]:
    """Return the revisions that are history, which nobody judges."""
    if not since:
        return frozenset()
    place = next((n for n, revision in enumerate(revisions) if revision.startswith(since)), None)
    if place is None:
        raise WrongUsage(
            f"policy: since={since}: there is no such revision.", next_steps=[NextStep("see them", "alembic history")]
        )
    return frozenset(revisions[: place + 1])


def _all_consents(script: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for revision in script.walk_revisions():
        given = getattr(revision.module, "accept", None)
        if isinstance(given, dict):
            found |= {str(name): str(why) for name, why in given.items() if str(why).strip()}
    return found


def _require_postgresql(context: MigrationContext) -> None:
    if context.dialect.name != "postgresql":
        raise Missing(
            f"This database is {context.dialect.name}; safe-plan knows PostgreSQL.",
            next_steps=[NextStep("Alembic's own commands work on it as before", "alembic history")],
        )


def _swapping(url: str, opened: ExitStack) -> Callable[[EnvironmentContext], None]:
    """Return what hands ``env.py``'s run a connection to another database."""
    try:
        engine = create_engine(_driver(url), poolclass=NullPool)
    except ArgumentError as error:
        raise WrongUsage(
            "--against is no database URL.",
            next_steps=[NextStep("it looks like this", "postgresql+psycopg://USER@HOST:5432/DATABASE")],
        ) from error

    def prepare(env: EnvironmentContext) -> None:
        configure = env.configure

        def configure_against(connection: Connection | None = None, *args: Any, **kw: Any) -> None:
            if connection is not None:
                connection = opened.enter_context(engine.connect())
            configure(connection, *args, **kw)

        env.configure = configure_against  # type: ignore[method-assign]

    return prepare


def _driver(url: str) -> str:
    """Return a URL with a driver that is here: psycopg is what alembic-safe itself needs."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if separator and scheme in {"postgres", "postgresql"} else url
