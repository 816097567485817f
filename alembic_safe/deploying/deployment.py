"""What a deployment does while it holds the deploy lock: plan, consent, back up, run, verify, journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe import __version__
from alembic_safe.database import journal, journal_backups, journal_tables
from alembic_safe.database.attempts import LockPolicy
from alembic_safe.database.deploy_lock import deploy_lock, lock_key
from alembic_safe.database.envpy import reading_paused
from alembic_safe.database.idle import kept_awake
from alembic_safe.database.journal_steps import half_done
from alembic_safe.database.marking import mark
from alembic_safe.deploying.back_out import left_half_done, nothing_left, steps_back
from alembic_safe.deploying.backup_for_upgrade import back_up_first
from alembic_safe.deploying.contact import note_first_contact
from alembic_safe.deploying.copy_options import copy_options
from alembic_safe.deploying.cut_short import outcome_of
from alembic_safe.deploying.drift_check import check_drift, keep_catalog
from alembic_safe.deploying.events import (
    BackupProgressed,
    BackupSkipped,
    BackupTaken,
    Finished,
    LockAwaited,
    Noted,
    PlanMade,
)
from alembic_safe.deploying.gate_evidence import note_unseen, unseen_expands
from alembic_safe.deploying.gate_verification import note_evidence, verify_copies
from alembic_safe.deploying.hazard_consent import (
    plan_of,
    require_confirmed,
    require_consent,
    require_the_plan_shown,
    require_unchanged,
)
from alembic_safe.deploying.held_back import only_waiting
from alembic_safe.deploying.plan import Plan, make_plan, pending_steps
from alembic_safe.deploying.rehearsal_for_upgrade import keep_receipt, rehearse_before, rehearse_on_backup
from alembic_safe.deploying.runner import Conditions, Logbook, apply_revisions
from alembic_safe.deploying.verification import read_unfinished, verify_outcome
from alembic_safe.errors import Interrupted, NextStep, Refused, RevisionFailed, SafeError
from alembic_safe.inspecting.history import files_hash
from alembic_safe.settings import project_folder

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import psycopg
    from alembic.runtime.migration import RevisionStep

    from alembic_safe.database.deploy_lock import HeldLock, Waiting
    from alembic_safe.database.environment import Journals
    from alembic_safe.database.first_contact import FirstContact
    from alembic_safe.database.steps import CopyEvidence
    from alembic_safe.deploying.backup import Backup
    from alembic_safe.deploying.upgrade import Upgrade


HEARTBEAT = 5.0
"""Seconds between two signs of life."""


def deploy(upgrade: Upgrade) -> None:
    """Wait for the deploy lock, look again, and apply what is still pending."""
    with kept_awake(upgrade.connection), _lock(upgrade) as lock:
        _Deployment(upgrade, lock).run()


def _lock(upgrade: Upgrade) -> AbstractContextManager[HeldLock]:
    def alive(connection: psycopg.Connection[Any], pid: int) -> bool | None:
        if upgrade.journals is None:  # another run may have made it meanwhile
            upgrade.look()
            upgrade.end_reading()
        if upgrade.journals is None:
            return None
        age = journal.heartbeat_age(connection, upgrade.journals, pid)
        return None if age is None else age < journal.FRESH

    def waiting(now: Waiting) -> None:
        heads = upgrade.context.get_current_heads()
        upgrade.end_reading()
        upgrade.tell(LockAwaited(now, heads))

    return deploy_lock(
        upgrade.target.connect,
        lock_key(f"{upgrade.target.version_schema}.{upgrade.context.version_table}"),
        wait=float(upgrade.settings.lock_wait),
        no_wait=upgrade.request.no_wait,
        holder_alive=alive,
        on_wait=waiting,
    )


class _Deployment:
    """One context's deployment, under the deploy lock; a method for each stage."""

    def __init__(self, upgrade: Upgrade, lock: HeldLock) -> None:
        self.upgrade = upgrade
        self.lock = lock
        self.unseen: tuple[str, ...] = ()
        self.evidence: tuple[tuple[str, CopyEvidence], ...] = ()
        self.back: list[RevisionStep] = []

    def run(self) -> None:
        """Look again, since whoever held the lock may have done it all; then do what is left."""
        upgrade = self.upgrade
        heads = upgrade.look()
        history = upgrade.read_history(heads)
        if upgrade.request.back_out:
            self._take_back(heads)
            return
        if history.ahead is not None:
            upgrade.tell_ahead(history.ahead, heads)
            return
        upgrade.accept_history(history)
        steps = upgrade.steps_from(heads)
        if not steps:
            upgrade.end_reading()
            upgrade.nothing_to_do(heads)
            return
        self.gated = upgrade.gate(steps)
        through = upgrade.through(steps, self.gated)
        if not through:
            self._note_waiting(heads)
            return
        self.unseen = unseen_expands(upgrade.connection, upgrade.asked)
        self.drift = check_drift(upgrade)
        plan = make_plan(through, heads)
        self.safe = plan_of(upgrade, plan, through)
        upgrade.tell(PlanMade(plan, self.safe))
        require_the_plan_shown(upgrade, self.safe)
        self.safe = require_consent(upgrade, self.safe)
        self.rehearsal = rehearse_before(upgrade, self.safe)
        contact = None if upgrade.journals is not None else note_first_contact(upgrade)
        self.evidence = verify_copies(upgrade, plan) if upgrade.identity.protected else ()
        unfinished_before = read_unfinished(upgrade.connection)
        upgrade.end_reading()
        self._consent(plan)
        journals = self._make_journal(contact)
        self._note_unseen(journals)
        self._journalled(plan, journals)
        verify_outcome(upgrade, plan, self.gated, unfinished_before)

    def _take_back(self, heads: tuple[str, ...]) -> None:
        """Run the downgrade of what is half done; the version table says as much as before."""
        upgrade = self.upgrade
        found = left_half_done(upgrade, heads)
        self.back = steps_back(upgrade, found)
        upgrade.end_reading()
        if not found:
            nothing_left(upgrade, heads)
            return
        plan = make_plan(self.back, heads)
        for one in found:
            upgrade.tell(Noted("Back", f"{one.revision} is taken back: {one.what}"))
        self._consent(plan)
        self._journalled(plan, self._make_journal(None))
        state = (
            f"{upgrade.identity.place.database} is at {', '.join(heads) or 'no revision'}, and nothing is half done."
        )
        upgrade.tell(Finished(state, heads, upgrade.seconds(), changed=True))

    def _note_waiting(self, heads: tuple[str, ...]) -> None:
        """Write down when an expand was first seen, where the journal did not know it; nothing else is done."""
        upgrade = self.upgrade
        contact = None if upgrade.journals is not None else note_first_contact(upgrade)
        upgrade.end_reading()
        self._note_unseen(self._make_journal(contact))
        only_waiting(upgrade, self.gated, heads)

    def _note_unseen(self, journals: Journals) -> None:
        """Write down when the expand of an open change was first seen, so that its contract counts from now on."""
        unseen = sorted({*self.unseen, *self.gated.unseen})
        if unseen:
            with self.upgrade.connection.begin():
                note_unseen(self.upgrade.connection, self.upgrade.asked, journals, unseen)

    def _journalled(self, plan: Plan, journals: Journals) -> None:
        """Carry the plan out between the row that says that it began and the one that says how it ended."""
        upgrade, lock = self.upgrade, self.lock
        writer = journal.Writer.this_process()
        release = journal.release_of(upgrade.settings)
        with lock.using() as own:
            deployment = journal.open_deployment(
                own, journals, release=release, files_hash=files_hash(upgrade.script),
                version_table=upgrade.target.version_table, from_heads=plan.heads, writer=writer, tool=__version__,
            )  # fmt: skip
        outcome, message = "failed", None
        try:
            note_evidence(upgrade, journals, deployment, self.evidence)
            lock.beat_every(HEARTBEAT, lambda c: journal.beat(c, journals, deployment))
            self._carry_out(plan, Logbook(journals, writer, release, deployment, files_hash(upgrade.script)))
            outcome = "done"
        except (Interrupted, KeyboardInterrupt, SystemExit):
            outcome = "interrupted"
            raise
        except SafeError as error:
            outcome, message = outcome_of(error), error.summary
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._close(journals, deployment, outcome, message)

    def _carry_out(self, plan: Plan, logbook: Logbook) -> None:
        upgrade = self.upgrade
        backup = self._back_up(plan, logbook)
        if not self.back:  # what is taken back was not planned, and is half done on no stand-in
            self.rehearsal = rehearse_on_backup(upgrade, backup) or self.rehearsal
            upgrade.end_reading()
            keep_receipt(upgrade, logbook.journals, self.safe, self.rehearsal)
        steps = self.back or self._recompute(plan)
        upgrade.context._ensure_version_table()  # noqa: SLF001 - what Alembic's own run does first
        conditions = self._conditions(logbook.journals)
        try:
            with reading_paused(upgrade.context, "What was applied before stays applied."):
                apply_revisions(
                    upgrade.context, upgrade.kw, steps, plan.revisions, conditions=conditions, logbook=logbook,
                    tell=upgrade.tell, taking_back=bool(self.back),
                )  # fmt: skip
        except RevisionFailed:  # rolled back: what the revisions before it made is known, and whole
            if not self.back:
                keep_catalog(upgrade, logbook.journals, self.drift)
            raise
        if not self.back:  # else what the deployment before left is what it should be again
            keep_catalog(upgrade, logbook.journals, self.drift)

    def _conditions(self, journals: Journals) -> Conditions:
        upgrade = self.upgrade
        left = half_done(upgrade.connection, journals, upgrade.target.version_table)
        upgrade.end_reading()
        max_time = upgrade.request.max_time
        return Conditions(
            LockPolicy.of(upgrade.settings), upgrade.target.connect, self.lock.check,
            copy_options(upgrade.settings),
            None if max_time is None else upgrade.began + max_time, frozenset(one.revision for one in left),
        )  # fmt: skip

    def _consent(self, plan: Plan) -> None:
        identity, request = self.upgrade.identity, self.upgrade.request
        require_confirmed(self.upgrade)
        if identity.protected and request.ask is not None:
            number = len(plan.revisions)
            revisions = f"{number} revision{'s' * (number != 1)}"
            where = f"{identity.place.shown} ({identity.environment})"
            what = f"Take back {revisions} on {where}?" if self.back else f"Apply {revisions} to {where}?"
            if not request.ask(what):
                raise Interrupted("Declined.")

    def _make_journal(self, contact: FirstContact | None) -> Journals:
        """Make the journal on first contact, or bring it forward, and write a declaration into the database.

        The next one who connects then meets the declaration without a variable.
        """
        upgrade = self.upgrade
        identity, connection = upgrade.identity, upgrade.connection
        if contact is not None:
            home = contact.home
        else:
            assert upgrade.journals is not None  # noqa: S101 - without one, first contact was looked at
            home = upgrade.journals
        upgrade.end_reading()
        with connection.begin():
            journal_tables.make_or_upgrade(connection, home, tool=__version__)
            if identity.declared and identity.marker is None:
                mark(connection, home, environment=identity.environment, protected=identity.protected)
        return home

    def _back_up(self, plan: Plan, logbook: Logbook) -> Backup | None:
        upgrade = self.upgrade
        request, identity = upgrade.request, upgrade.identity
        if request.backup is False:
            upgrade.tell(BackupSkipped("asked for with --no-backup"))
            return None
        if request.backup is None and not identity.protected:
            upgrade.tell(BackupSkipped(f"none on an unprotected database ({identity.environment}); --backup takes one"))
            return None
        if not identity.place.has_tables:
            upgrade.tell(BackupSkipped("there are no tables yet"))
            return None
        upgrade.end_reading()
        with upgrade.connection.begin():
            journal_backups.say_that_a_backup_is_taken(
                upgrade.connection, logbook.journals, logbook.deployment, now=True
            )
        backup = back_up_first(
            upgrade.connection, upgrade.target, upgrade.settings, plan, project_folder(upgrade.context.config),
            ask=request.ask, on_progress=lambda size, expected: upgrade.tell(BackupProgressed(size, expected)),
        )  # fmt: skip
        self.lock.check()
        upgrade.end_reading()
        with upgrade.connection.begin():
            journal_backups.say_that_a_backup_is_taken(
                upgrade.connection, logbook.journals, logbook.deployment, now=False
            )
            journal_backups.record_backup(
                upgrade.connection, logbook.journals, location=str(backup.location), scope=backup.scope,
                size=backup.size, sha256=backup.sha256 or None, seconds=backup.seconds, heads=plan.heads, writer=logbook.writer,
                deployment=logbook.deployment,
            )  # fmt: skip
        upgrade.tell(BackupTaken(backup))
        return backup

    def _recompute(self, plan: Plan) -> list[RevisionStep]:
        """Look again before the first change: the database and the files must still be what was planned for."""
        from alembic_safe.database.env_locations import directory_of

        upgrade = self.upgrade
        heads = upgrade.context.get_current_heads()
        upgrade.end_reading()
        config = upgrade.context.config
        script = directory_of(config) if config is not None else upgrade.script
        steps = upgrade.through(pending_steps(script, upgrade.request.revision, heads), self.gated)
        if make_plan(steps, heads).hash != plan.hash:
            raise Refused(
                "The plan changed while the backup was taken: the files or the database are no longer what was shown.",
                next_steps=[NextStep("look at it anew", "alembic safe-upgrade --dry-run")],
            )
        require_unchanged(upgrade, self.safe)
        return steps

    def _close(self, journals: Journals, deployment: int, outcome: str, message: str | None) -> None:
        """Journal how the run ended; what cannot be written any more is found by the next run."""
        from contextlib import suppress

        import psycopg
        from sqlalchemy.exc import SQLAlchemyError

        upgrade = self.upgrade
        self.lock.stop_beating()
        with suppress(psycopg.Error, SQLAlchemyError):
            upgrade.end_reading()
            heads = upgrade.context.get_current_heads()
            upgrade.end_reading()

            def write(connection: Any) -> None:
                journal.close_deployment(
                    connection, journals, deployment, outcome=outcome, to_heads=heads, message=message
                )

            try:
                with self.lock.using() as own:
                    write(own)
            except psycopg.Error:  # the lock's session is gone, the revisions' own is still there
                with upgrade.connection.begin():
                    write(upgrade.connection)
