"""What a deployment does while it holds the deploy lock: plan, consent, back up, run, verify, journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe import __version__
from alembic_safe.database import journal, journal_tables
from alembic_safe.database.attempts import LockPolicy
from alembic_safe.database.deploy_lock import deploy_lock, lock_key
from alembic_safe.database.guard import shell_word
from alembic_safe.database.marking import mark
from alembic_safe.deploying.backup_for_upgrade import back_up_first
from alembic_safe.deploying.contact import note_first_contact
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
from alembic_safe.deploying.hazard_consent import plan_of, require_consent, require_the_plan_shown, require_unchanged
from alembic_safe.deploying.plan import Plan, make_plan, pending_steps
from alembic_safe.deploying.rehearsal_for_upgrade import keep_receipt, rehearse_before, rehearse_on_backup
from alembic_safe.deploying.runner import Logbook, apply_revisions
from alembic_safe.deploying.verification import read_unfinished
from alembic_safe.errors import ConsentMissing, Findings, Interrupted, NextStep, Refused, RevisionFailed, SafeError
from alembic_safe.inspecting.history import files_hash
from alembic_safe.settings import project_folder

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import psycopg
    from alembic.runtime.migration import RevisionStep

    from alembic_safe.database.deploy_lock import HeldLock, Waiting
    from alembic_safe.database.environment import Journals
    from alembic_safe.database.first_contact import FirstContact
    from alembic_safe.deploying.backup import Backup
    from alembic_safe.deploying.upgrade import Upgrade


HEARTBEAT = 5.0
"""Seconds between two signs of life."""


def deploy(upgrade: Upgrade) -> None:
    """Wait for the deploy lock, look again, and apply what is still pending."""
    with _lock(upgrade) as lock:
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

    def run(self) -> None:
        """Look again, since whoever held the lock may have done it all; then do what is left."""
        upgrade = self.upgrade
        heads = upgrade.look()
        history = upgrade.read_history(heads)
        if history.ahead is not None:
            upgrade.tell_ahead(history.ahead, heads)
            return
        upgrade.accept_history(history)
        steps = upgrade.steps_from(heads)
        if not steps:
            upgrade.end_reading()
            upgrade.nothing_to_do(heads)
            return
        self.drift = check_drift(upgrade)
        plan = make_plan(steps, heads)
        self.safe = plan_of(upgrade, plan, steps)
        upgrade.tell(PlanMade(plan, self.safe))
        require_the_plan_shown(upgrade, self.safe)
        self.safe = require_consent(upgrade, self.safe)
        self.rehearsal = rehearse_before(upgrade, self.safe)
        contact = None if upgrade.journals is not None else note_first_contact(upgrade)
        unfinished_before = read_unfinished(upgrade.connection)
        upgrade.end_reading()
        self._consent(plan)
        self._journalled(plan, self._make_journal(contact))
        self._verify(plan, unfinished_before)

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
            lock.beat_every(HEARTBEAT, lambda c: journal.beat(c, journals, deployment))
            self._carry_out(plan, Logbook(journals, writer, release, deployment))
            outcome = "done"
        except (Interrupted, KeyboardInterrupt, SystemExit):
            outcome = "interrupted"
            raise
        except SafeError as error:
            outcome = "interrupted" if isinstance(error.__cause__, KeyboardInterrupt) else "failed"
            message = error.summary
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._close(journals, deployment, outcome, message)

    def _carry_out(self, plan: Plan, logbook: Logbook) -> None:
        upgrade = self.upgrade
        backup = self._back_up(plan, logbook)
        self.rehearsal = rehearse_on_backup(upgrade, backup) or self.rehearsal
        upgrade.end_reading()
        keep_receipt(upgrade, logbook.journals, self.safe, self.rehearsal)
        steps = self._recompute(plan)
        upgrade.context._ensure_version_table()  # noqa: SLF001 - what Alembic's own run does first
        try:
            apply_revisions(
                upgrade.context, upgrade.kw, steps, plan.revisions, policy=LockPolicy.of(upgrade.settings),
                watch=upgrade.target.connect, logbook=logbook, before_each=self.lock.check, tell=upgrade.tell,
            )  # fmt: skip
        except RevisionFailed:  # rolled back: what the revisions before it made is known, and whole
            keep_catalog(upgrade, logbook.journals, self.drift)
            raise
        keep_catalog(upgrade, logbook.journals, self.drift)

    def _consent(self, plan: Plan) -> None:
        identity, request = self.upgrade.identity, self.upgrade.request
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
        if identity.protected and request.ask is not None:
            number = len(plan.revisions)
            what = f"Apply {number} revision{'s' * (number != 1)} to {identity.place.shown} ({identity.environment})?"
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
        backup = back_up_first(
            upgrade.connection, upgrade.target, upgrade.settings, plan, project_folder(upgrade.context.config),
            ask=request.ask, on_progress=lambda size, expected: upgrade.tell(BackupProgressed(size, expected)),
        )  # fmt: skip
        self.lock.check()
        upgrade.end_reading()
        with upgrade.connection.begin():
            journal.record_backup(
                upgrade.connection, logbook.journals, location=str(backup.location), scope=backup.scope,
                size=backup.size, sha256=backup.sha256 or None, seconds=backup.seconds, heads=plan.heads, writer=logbook.writer,
                deployment=logbook.deployment,
            )  # fmt: skip
        upgrade.tell(BackupTaken(backup))
        return backup

    def _recompute(self, plan: Plan) -> list[RevisionStep]:
        """Look again before the first change: the database and the files must still be what was planned for."""
        from alembic.script import ScriptDirectory

        upgrade = self.upgrade
        heads = upgrade.context.get_current_heads()
        upgrade.end_reading()
        config = upgrade.context.config
        script = ScriptDirectory.from_config(config) if config is not None else upgrade.script
        steps = pending_steps(script, upgrade.request.revision, heads)
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

    def _verify(self, plan: Plan, unfinished_before: frozenset[Any]) -> None:
        upgrade = self.upgrade
        heads = upgrade.context.get_current_heads()
        left = sorted(read_unfinished(upgrade.connection) - unfinished_before, key=lambda u: (u.kind, u.name))
        upgrade.end_reading()
        for unfinished in left:
            upgrade.tell(Noted("Check", unfinished.what))
        expected = {step.revision for step in plan.revisions}
        parents = {parent for step in plan.revisions for parent in step.parents}
        if not (expected - parents) <= set(heads):
            raise Findings(
                f"Every revision ran, and the version table says {', '.join(heads) or 'nothing'}.",
                detail=["A revision or a callback of env.py has written to the version table itself."],
                next_steps=[NextStep("look", "alembic safe-status")],
                state="The revisions were applied.",
            )
        state = f"{upgrade.identity.place.database} is at {', '.join(heads)}."
        upgrade.tell(Finished(state, heads, upgrade.seconds(), changed=True))
