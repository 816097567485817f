"""When does a deployment rehearse, what does the policy require, and what does the journal remember of it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic_safe import __version__
from alembic_safe.database.journal import Writer
from alembic_safe.database.journal_rehearsals import has_rehearsals, last_rehearsal, record_rehearsal
from alembic_safe.deploying.events import Noted, RehearsalDone
from alembic_safe.deploying.rehearsal import rehearse
from alembic_safe.errors import ConsentMissing, NextStep, WrongUsage

if TYPE_CHECKING:
    from alembic_safe.database.environment import Journals
    from alembic_safe.deploying.backup import Backup
    from alembic_safe.deploying.rehearsal import Rehearsal
    from alembic_safe.deploying.safe_plan import SafePlan
    from alembic_safe.deploying.upgrade import Upgrade

FRESH = 24 * 3600.0
"""Seconds for which a receipt counts."""


def kind_of(upgrade: Upgrade) -> str:
    """Return on what this run rehearses."""
    return upgrade.request.rehearse or upgrade.settings.rehearse


def rehearse_before(upgrade: Upgrade, safe: SafePlan) -> Rehearsal | None:
    """Rehearse before anything is written, where a stand-in is there already; stop where the policy wants more.

    :raises RehearsalFailed: when it fails.
    :raises ConsentMissing: when the policy requires a rehearsal that nobody has made.
    """
    kind = kind_of(upgrade)
    if kind == "backup":
        if upgrade.request.backup is False or (upgrade.request.backup is None and not upgrade.identity.protected):
            raise WrongUsage(
                "A rehearsal on the backup needs a backup, and this run takes none.",
                next_steps=[NextStep("take one", "alembic safe-upgrade --rehearse backup --backup")],
            )
        return None
    if kind not in {"auto", "off"}:
        if upgrade.request.dry_run:
            upgrade.tell(Noted("Rehearse", "left out of a dry run"))
            return None
        done = rehearse(upgrade, kind)
        upgrade.tell(RehearsalDone(done))
        return done
    _require(upgrade, safe, kind)
    return None


def _require(upgrade: Upgrade, safe: SafePlan, kind: str) -> None:
    if not safe.policy.rehearsed or not upgrade.identity.protected:
        return
    if kind == "auto" and safe.trace is not None and all(one.ran_through for one in safe.trace.revisions):
        return
    if upgrade.request.dry_run and safe.trace is None and upgrade.settings.shadow_on_target:
        return  # the deployment makes a shadow where a dry run makes none
    receipt = None
    if upgrade.journals is not None:
        receipt = last_rehearsal(
            upgrade.connection,
            upgrade.journals,
            upgrade.target.version_table,
            files=safe.plan.hash,
            catalog=safe.fingerprint,
        )
    if receipt is not None and receipt.age <= FRESH:
        upgrade.tell(Noted("Rehearse", f"this plan passed on {receipt.stand_in}, {receipt.at:%Y-%m-%d %H:%M}"))
        return
    why = safe.why_not or "--rehearse off was asked for"
    raise ConsentMissing(
        f"The policy requires a rehearsal, and plan {safe.hash} has none of the last 24 hours: {why}.",
        next_steps=[
            NextStep("rehearse it on a copy of the schema", "alembic safe-rehearse --on schema"),
            NextStep("or on the backup, in the same run", "alembic safe-upgrade --rehearse backup"),
        ],
    )


def rehearse_on_backup(upgrade: Upgrade, backup: Backup | None) -> Rehearsal | None:
    """Rehearse on the backup that was just taken, where that is asked for; it proves that the backup restores, too."""
    if kind_of(upgrade) != "backup":
        return None
    if backup is None or not Path(str(backup.location)).is_file():
        raise WrongUsage(
            "A rehearsal on the backup needs one that pg_dump took; there is none here.",
            next_steps=[NextStep("rehearse on a copy of the schema", "alembic safe-upgrade --rehearse schema")],
        )
    done = rehearse(upgrade, "backup", backup=Path(str(backup.location)))
    upgrade.tell(RehearsalDone(done))
    return done


def keep_receipt(upgrade: Upgrade, journals: Journals, safe: SafePlan, done: Rehearsal | None) -> bool:
    """Write into the journal what was rehearsed, or why nothing was; return whether it could be written."""
    connection: Any = upgrade.connection
    known = has_rehearsals(connection, journals)
    upgrade.end_reading()
    if not known:
        return False
    stand_in, outcome, detail, seconds = "nothing", "not rehearsed", safe.why_not or "asked for", 0.0
    if done is not None:
        stand_in, outcome, detail, seconds = (
            done.stand_in,
            "failed" if done.failed else "passed",
            done.detail,
            done.seconds,
        )
    elif safe.trace is not None:
        failed = [one for one in safe.trace.revisions if not one.ran_through]
        stand_in, outcome = f"a shadow without rows, {safe.on}", "failed" if failed else "passed"
        detail = ", ".join(f"{one.revision} {one.seconds:.3f} s" for one in safe.trace.revisions)
        seconds = sum(one.seconds for one in safe.trace.revisions)
    with connection.begin():
        record_rehearsal(
            connection, journals, version_table=upgrade.target.version_table, plan=safe.hash,
            files=safe.plan.hash, catalog=safe.fingerprint,
            stand_in=stand_in, outcome=outcome, detail=detail, seconds=seconds, writer=Writer.this_process(), tool=__version__,
        )  # fmt: skip
    return True
