"""What would a deployment do here, and what would stop it before it wrote anything?"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from alembic_safe.deploying.contact import note_first_contact
from alembic_safe.deploying.drift_check import check_drift
from alembic_safe.deploying.events import Finished, Noted, PlanMade
from alembic_safe.deploying.gate_verification import verify_copies
from alembic_safe.deploying.hazard_consent import (
    plan_of,
    require_confirmed,
    require_consent,
    require_the_plan_shown,
)
from alembic_safe.deploying.held_back import require_none_behind, tell_waiting
from alembic_safe.deploying.plan import make_plan
from alembic_safe.deploying.rehearsal_for_upgrade import rehearse_before
from alembic_safe.errors import NOTHING_CHANGED, Findings, LockNotObtained, Missing, SafeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic.runtime.migration import RevisionStep

    from alembic_safe.deploying.gate import Gated
    from alembic_safe.deploying.plan import Plan
    from alembic_safe.deploying.upgrade import Upgrade


def dry_run(upgrade: Upgrade, steps: Sequence[RevisionStep], heads: tuple[str, ...], gated: Gated) -> None:
    """Show the plan, and end as the deployment itself would where it is stopped before its first write.

    Who runs it is not asked: an agent may look where only a person may deploy, and so may a role that only reads.

    :raises SafeError: what would stop the deployment, in the same words and with the same exit code.
    """
    plan = make_plan(steps, heads)
    drifted: Findings | None = None
    try:
        check_drift(upgrade)
    except Findings as error:  # the plan is worth seeing all the same
        drifted = error
    safe = plan_of(upgrade, plan, steps, dry_run=True)
    upgrade.tell(PlanMade(plan, safe))
    with _as_it_would_end():
        if drifted is not None:
            raise drifted
        if safe.trace is not None or not upgrade.settings.shadow_on_target:
            # a dry run makes no shadow on the target's server: what the deployment sees there, its plan's hash says, too
            require_the_plan_shown(upgrade, safe)
        rehearse_before(upgrade, require_consent(upgrade, safe))
        _meet(upgrade)
        _compare(upgrade, plan)
        require_confirmed(upgrade)
    tell_waiting(upgrade, gated)
    require_none_behind(gated, f"This was a dry run: the revisions before it would be applied first. {NOTHING_CHANGED}")
    at = ", ".join(heads) or "no revision"
    state = f"Dry run: {upgrade.identity.place.database} is at {at}. {NOTHING_CHANGED}"
    upgrade.tell(Finished(state, heads, upgrade.seconds(), changed=False))


@contextmanager
def _as_it_would_end() -> Iterator[None]:
    """Let an error say that it would end the deployment itself, too."""
    try:
        yield
    except LockNotObtained:  # the deployment waits longer
        raise
    except SafeError as error:
        code = error.exit_code
        error.state = f"This was a dry run: safe-upgrade would stop here, too (exit {code}). {NOTHING_CHANGED}"
        raise


def _meet(upgrade: Upgrade) -> None:
    if upgrade.journals is None:
        try:
            note_first_contact(upgrade)
        except Missing as lacks:  # a dry run needs no right but to read
            upgrade.tell(Noted("Journal", "\n".join([lacks.summary, *lacks.detail])))


def _compare(upgrade: Upgrade, plan: Plan) -> None:
    """Compare the columns whose contracts would run, as far as this role may read them."""
    if not upgrade.identity.protected:
        return
    savepoint = upgrade.connection.begin_nested()
    try:
        verify_copies(upgrade, plan)
    except DBAPIError as error:
        savepoint.rollback()
        upgrade.tell(Noted("Copy", f"could not be compared: {' '.join(str(error.orig).split())}"))
    else:
        savepoint.commit()
