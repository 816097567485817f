"""How does a run end whose contracts wait behind the gate?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.guard import shell_word
from alembic_safe.deploying.events import ContractWaits, Finished
from alembic_safe.errors import NOTHING_CHANGED, Findings, NextStep

if TYPE_CHECKING:
    from alembic_safe.deploying.gate import Gated
    from alembic_safe.deploying.upgrade import Upgrade


def tell_waiting(upgrade: Upgrade, gated: Gated) -> None:
    """Say what waits, one line for each contract."""
    for held in gated.waiting:
        upgrade.tell(ContractWaits(held))


def only_waiting(upgrade: Upgrade, gated: Gated, heads: tuple[str, ...]) -> None:
    """End a run in which nothing may be applied but what waits: a normal end, no lock, no backup.

    :raises Findings: when other revisions stand behind what waits.
    """
    tell_waiting(upgrade, gated)
    require_none_behind(gated, NOTHING_CHANGED)
    state = f"{upgrade.identity.place.database} is at {', '.join(heads)}, and {waits(gated)}. Nothing was changed."
    upgrade.tell(Finished(state, heads, upgrade.seconds(), changed=False))


def require_none_behind(gated: Gated, state: str) -> None:
    """Stop where revisions that should run stand behind a contract that must not.

    :param state: the closing sentence on the database.
    :raises Findings: names them.
    """
    if not gated.behind:
        return
    names = ", ".join(f"{one.revision} ({one.message})" for one in gated.behind)
    held = gated.waiting[0]
    raise Findings(
        f"The contract {held.revision} of {held.change} waits: {held.why}. Behind it in the chain, and therefore not"
        f" applied: {names}.",
        next_steps=[
            NextStep("when it may run, the same command", "alembic safe-upgrade"),
            NextStep(
                "if no server runs the old code any more", f"alembic safe-upgrade --contract {shell_word(held.change)}"
            ),
        ],
        state=state,
    )


def waits(gated: Gated) -> str:
    """Return the end of a sentence: ``1 contract waits``."""
    number = len(gated.waiting)
    return "1 contract waits" if number == 1 else f"{number} contracts wait"
