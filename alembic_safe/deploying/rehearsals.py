"""What `alembic safe-rehearse` does: the plan of each database, run on a stand-in, with a receipt in the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.envpy import run_env, script_of
from alembic_safe.deploying.gate import Gated
from alembic_safe.deploying.plan import make_plan
from alembic_safe.deploying.rehearsal import rehearse
from alembic_safe.deploying.rehearsal_for_upgrade import keep_receipt
from alembic_safe.deploying.safe_plan import make_safe_plan
from alembic_safe.deploying.upgrade import Request, Upgrade
from alembic_safe.errors import Missing, NextStep

if TYPE_CHECKING:
    from pathlib import Path

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    from alembic_safe.database.environment import Identity
    from alembic_safe.deploying.rehearsal import Rehearsal
    from alembic_safe.deploying.safe_plan import SafePlan
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class Rehearsed:
    """A database's rehearsal.

    :param plan: ``None`` where nothing is pending.
    :param gated: the contracts that the gate holds back: they are not rehearsed.
    :param receipt: whether the target's journal has a receipt of it.
    """

    identity: Identity
    heads: tuple[str, ...]
    plan: SafePlan | None = None
    rehearsal: Rehearsal | None = None
    receipt: bool = False
    gated: Gated = Gated()


def rehearse_all(
    config: Config, settings: Settings, *, revision: str, on: str, backup: Path | None
) -> tuple[Rehearsed, ...]:
    """Rehearse what is pending in each of the project's databases; the targets are only read, but for the receipt.

    :param on: ``schema``, ``backup`` or a URL.
    :raises RehearsalFailed: at the first that fails.
    """
    script = script_of(config)
    found: list[Rehearsed] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        if context.dialect.name != "postgresql":
            raise Missing(
                f"This database is {context.dialect.name}; safe-rehearse knows PostgreSQL.",
                next_steps=[NextStep("Alembic's own commands work on it as before", "alembic history")],
            )
        upgrade = Upgrade(context, kw, script, settings, Request(revision=revision, backup=True), lambda _: None)
        heads = upgrade.look()
        steps = upgrade.steps_from(heads)
        upgrade.read_history(heads)
        gated = upgrade.gate(steps)
        through = upgrade.through(steps, gated)
        if not through:
            upgrade.end_reading()
            found.append(Rehearsed(upgrade.identity, heads, gated=gated))
            return
        plan = make_safe_plan(upgrade, make_plan(through, heads), through, dry_run=True)
        done = rehearse(upgrade, on, backup=backup)
        kept = upgrade.journals is not None and keep_receipt(upgrade, upgrade.journals, plan, done)
        upgrade.end_reading()
        found.append(Rehearsed(upgrade.identity, heads, plan, done, kept, gated))

    run_env(config, script, work)
    return tuple(found)
