"""Has a deployment the consents that its plan needs, and is the plan still the one that was shown?"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alembic_safe.database.guard import shell_word
from alembic_safe.deploying.events import ConsentUnused, Noted
from alembic_safe.deploying.rehearsal_for_upgrade import kind_of
from alembic_safe.deploying.safe_plan import (
    SHORTEST_HASH,
    SafePlan,
    consents_without_hazard,
    judged_again,
    make_safe_plan,
)
from alembic_safe.errors import ConsentMissing, NextStep, Refused, WrongUsage
from alembic_safe.inspecting.live import Live
from alembic_safe.inspecting.policy import read_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.runtime.migration import RevisionStep

    from alembic_safe.deploying.plan import Plan
    from alembic_safe.deploying.safe_plan import Judged
    from alembic_safe.deploying.upgrade import Upgrade

BASELINE = NextStep("it has tables and no revision: find theirs", "alembic safe-baseline")
"""The way on from a database that existed before its revisions."""
_OFF = "it was asked not to be: --rehearse off"
_EMPTY = "the database has no tables yet, so there is nothing that could be hurt"


def plan_of(upgrade: Upgrade, plan: Plan, steps: Sequence[RevisionStep], *, dry_run: bool = False) -> SafePlan:
    """Return the plan with what is known of it; a database without tables is not worth a shadow."""
    identity, asked = upgrade.identity, upgrade.request.plan
    off = kind_of(upgrade) == "off"
    if not off and (identity.place.has_tables or asked is not None):
        return make_safe_plan(upgrade, plan, steps, dry_run=dry_run)
    policy = read_policy(upgrade.settings.policy or "")
    return SafePlan(plan, (), None, Live(), policy, identity, _OFF if off else _EMPTY)


def require_the_plan_shown(upgrade: Upgrade, safe: SafePlan) -> None:
    """Stop where ``--plan`` names another plan than the one that would run now.

    :raises Refused: when it is another one.
    """
    asked = upgrade.request.plan
    if asked is None:
        return
    if len(asked) < SHORTEST_HASH:
        raise WrongUsage(
            f"--plan {asked}: at least {SHORTEST_HASH} characters of the hash are needed.",
            next_steps=[NextStep("see it", "alembic safe-plan")],
        )
    if not safe.hash.startswith(asked.lower()):
        raise Refused(
            f"The plan is {safe.hash} by now, and --plan says {asked}: files, database, a size class, the policy or a"
            " hazard are no longer what was shown.",
            next_steps=[NextStep("look at it anew", "alembic safe-plan")],
        )


def require_consent(upgrade: Upgrade, safe: SafePlan) -> SafePlan:
    """Stop at the hazards that nobody has consented to by name; a person at a terminal may answer for those that ask.

    A dry run tells that person what would be asked. A consent to what the plan has not is told, and stops nothing.

    :return: the plan with the answers in it.
    :raises ConsentMissing: naming every hazard, and what to do instead.
    """
    for line in consents_without_hazard(safe, upgrade.request.accept):
        upgrade.tell(ConsentUnused(line))
    ask = upgrade.request.ask
    judged = []
    for one in safe.judged:
        if one.stops and not one.fails and one.level == "ask" and upgrade.request.on_terminal and ask is not None:
            found = one.found
            if upgrade.request.dry_run:
                upgrade.tell(Noted("Asks", f"{found.id}: {found.hit.effect}"))
                judged.append(replace(one, accepted="it would be asked for"))
                continue
            if ask(f"{found.id}: {found.hit.effect}. Go on?"):
                judged.append(replace(one, accepted="answered with yes"))
                continue
        judged.append(one)
    safe = replace(safe, judged=tuple(judged))
    if safe.stopping:
        raise _missing(safe, upgrade.request.accept | safe.in_files.keys())
    return safe


def _missing(safe: SafePlan, given: frozenset[str]) -> ConsentMissing:
    """Return the refusal.

    :param given: the consents that there are; those that do not help are told.
    """
    stopping = safe.stopping
    fails = [one for one in stopping if one.fails]
    first = (fails or stopping)[0].found
    in_vain = dict.fromkeys(one.found.id for one in fails if one.found.id in given)
    steps = [BASELINE] if safe.wants_baseline else []
    steps.append(NextStep("read about it, with every hazard of this plan", "alembic safe-plan"))
    if fails:
        mend = "or, where they are not of these revisions, mend what would fail, then"
        steps.append(NextStep(mend if safe.wants_baseline else "mend what would fail, then", "alembic safe-upgrade"))
    else:
        accepts = " ".join(f"--accept {shlex.quote(one.found.id)}" for one in stopping)
        steps.append(NextStep("where it is meant", f"alembic safe-upgrade --plan {safe.hash} {accepts}"))
    needs = "would make it fail" if fails else "needs consent by name"
    several = "would make it fail or need consent by name" if fails else "need consent by name"
    number = len(stopping)
    return ConsentMissing(
        f"{number} hazards {several}; the first is {first.id} ({first.revision})."
        if number > 1
        else f"{first.id} ({first.revision}) {needs}.",
        detail=[
            *(line for one in stopping for line in _lines(one, met=safe.wants_baseline)),
            *(f"{one} was consented to, and would fail all the same." for one in in_vain),
        ],
        next_steps=steps,
    )


def _lines(judged: Judged, *, met: bool) -> list[str]:
    """Return what is said of one hazard.

    :param met: the database has tables and no revision: what a revision would make twice may be its own.
    """
    found = judged.found
    if met and found.hazard.id == "does-not-run" and "Duplicate" in found.hit.effect:
        return [f"{found.id}: {found.hit.effect}.", "It may be there because this revision, or create_all(), made it."]
    remedy = found.hazard.advises(found.hit).splitlines()
    return [f"{found.id}: {found.hit.effect}.", "Instead:", *("  " + line for line in remedy)]


def require_unchanged(upgrade: Upgrade, safe: SafePlan) -> None:
    """Look at the target once more before the first change: it must still be what the consent was given for.

    :raises Refused: when the plan is another one by now.
    """
    connection: Any = upgrade.connection
    now = judged_again(upgrade, connection, safe)
    upgrade.end_reading()
    if now.hash != safe.hash:
        new = sorted({one.found.id for one in now.judged} - {one.found.id for one in safe.judged})
        raise Refused(
            "The plan changed after consent was given: the database is no longer what was shown.",
            detail=[f"New: {', '.join(new)}."] if new else [],
            next_steps=[NextStep("look at it anew", "alembic safe-plan")],
        )


def require_confirmed(upgrade: Upgrade) -> None:
    """Stop where the database's name has to be typed and was not, or is another one.

    :raises ConsentMissing: naming the database.
    """
    identity, request = upgrade.identity, upgrade.request
    database = identity.place.database
    if request.confirm is not None and request.confirm != database:
        raise ConsentMissing(f"--confirm says {request.confirm}, and this database is {database}.")
    if request.backup is False and identity.protected and request.confirm != database:
        raise ConsentMissing(
            f"{identity.place.shown} is {identity.environment}: without a backup only with the database's name.",
            next_steps=[
                NextStep("with a backup", "alembic safe-upgrade"),
                NextStep("without", f"alembic safe-upgrade --no-backup --confirm {shell_word(database)}"),
            ],
        )
