"""What the guard says, in lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.agents import detect_agent
from alembic_safe.database.guard import Intent, decide, ways_to_declare
from alembic_safe.errors import NextStep
from alembic_safe.reporting.text import duration, print_next, say, target

if TYPE_CHECKING:
    from alembic_safe.deploying.declare import Declared
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings

_SHOWN = (Intent.SAFE_UPGRADE, Intent.UPGRADE, Intent.DOWNGRADE, Intent.STAMP, Intent.PURGE)


def print_target(found: Target, settings: Settings) -> None:
    """Print what a database counts as, why, and what it lets pass."""
    identity = found.identity
    say("Target", target(identity, found.heads))
    say("Guard", f"{'protected' if identity.protected else 'not protected'}: {identity.why}")
    agent = detect_agent()
    verdicts: dict[str, list[str]] = {"allow": [], "warn": [], "refuse": []}
    for intent in _SHOWN:
        decision = decide(intent, identity, agent=agent, stock_upgrade=settings.stock_upgrade)
        verdicts[decision.verdict].append(intent.value)
    for verdict, label in (("allow", "Allowed"), ("warn", "Warned"), ("refuse", "Refused")):
        if verdicts[verdict]:
            say(label, ", ".join(verdicts[verdict]))
    if agent is not None and identity.protected:
        say("Agent", f"{agent} runs this; a person can grant it one command for some minutes")
    if identity.undeclared:
        print_next(ways_to_declare(identity))
    elif identity.marker is None and not identity.protected:
        print_next([NextStep("to mark a production database", "alembic safe-guard set production")])


def print_declared(declared: Declared) -> None:
    """Print what was written, or that it stood there already."""
    before = declared.before
    say("Target", target(before.identity, before.heads))
    what = f"{declared.environment}, {'protected' if declared.protected else 'not protected'}"
    if not declared.changed:
        say("Done", f"{before.identity.place.database} is marked as {what} already. Nothing was changed.")
        return
    say("Done", f"{before.identity.place.database} is marked as {what}.")


def print_granted(found: Target, verb: str, seconds: float) -> None:
    """Print what was granted."""
    say("Target", target(found.identity, found.heads))
    say("Done", f"Agents may run alembic {verb} on {found.identity.place.database} for {duration(seconds)} from now.")
