"""How is a half-done revision taken back, by its own `downgrade()`, with the version table untouched?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.runtime.migration import RevisionStep

from alembic_safe.database.journal_steps import half_done
from alembic_safe.deploying.events import Finished, Noted, TargetSeen
from alembic_safe.deploying.gate_evidence import applied_in_files
from alembic_safe.deploying.hazard_consent import require_confirmed
from alembic_safe.deploying.plan import pending_steps
from alembic_safe.errors import Findings, NextStep

if TYPE_CHECKING:
    from alembic_safe.database.journal_steps import HalfDone
    from alembic_safe.deploying.upgrade import Upgrade


def may_take_back(upgrade: Upgrade, heads: tuple[str, ...]) -> bool:
    """Whether there is something half done that may be taken back; where there is not, the run has ended."""
    found = left_half_done(upgrade, heads)
    upgrade.tell(TargetSeen(upgrade.identity, heads, len(pending_steps(upgrade.script, "heads", heads))))
    upgrade.guard()
    steps_back(upgrade, found)
    if not found or upgrade.request.dry_run:
        for one in found:
            upgrade.tell(Noted("Back", f"{one.revision} would be taken back: {one.what}"))
        if found:
            require_confirmed(upgrade)
        nothing_left(upgrade, heads, found)
        return False
    upgrade.require_writable()
    upgrade.end_reading()
    return True


def left_half_done(upgrade: Upgrade, heads: tuple[str, ...]) -> tuple[HalfDone, ...]:
    """Return the revisions that are half done, the latest first."""
    if upgrade.journals is None:
        return ()
    applied = applied_in_files(upgrade.script, heads)
    found = half_done(upgrade.connection, upgrade.journals, upgrade.target.version_table)
    return tuple(one for one in found if one.revision not in applied)


def steps_back(upgrade: Upgrade, found: tuple[HalfDone, ...]) -> list[RevisionStep]:
    """Return Alembic's own steps down from half-done revisions.

    :raises Findings: when the file of one is not here.
    """
    files = {revision.revision: revision for revision in upgrade.script.walk_revisions()}
    lost = [one for one in found if one.revision not in files]
    if lost:
        raise Findings(
            f"{lost[0].revision} is half done ({lost[0].what}), and no file here has it.",
            next_steps=[
                NextStep("bring its file here from the branch that has it, then", "alembic safe-upgrade --back-out")
            ],
        )
    return [RevisionStep(upgrade.script.revision_map, files[one.revision], is_upgrade=False) for one in found]


def nothing_left(upgrade: Upgrade, heads: tuple[str, ...], found: tuple[HalfDone, ...] = ()) -> None:
    """End a run that has nothing to take back, or only looked."""
    at = ", ".join(heads) or "no revision"
    what = "" if found else ", nothing is half done"
    state = f"{upgrade.identity.place.database} is at {at}{what}. Nothing was changed."
    upgrade.tell(Finished(state, heads, upgrade.seconds(), changed=False))
