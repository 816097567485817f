"""One revision after the other, each in its own transaction or in steps, with its journal rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import HeadMaintainer
from alembic.util import load_python_file

from alembic_safe.database.attempts import LockPolicy, run_with_attempts
from alembic_safe.database.failures import AttemptFailed, AttemptInterrupted
from alembic_safe.database.journal import record_revision
from alembic_safe.database.timeouts import Outcome
from alembic_safe.deploying.events import HoldersAwaited, LockMissed, RevisionApplied, RevisionStarted
from alembic_safe.deploying.failed_revision import Committed, Failing, Recorded, interruption_behind, stands
from alembic_safe.deploying.steps import Steps
from alembic_safe.errors import CopyUnfinished, LockNotObtained, SafeError
from alembic_safe.inspecting.changes import change_of, phase_of
from alembic_safe.inspecting.history import revision_source, version_table_of
from alembic_safe.operations.registration import load_verbs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg
    from alembic.runtime.migration import MigrationContext, RevisionStep

    from alembic_safe.database.environment import Journals
    from alembic_safe.database.journal import Writer
    from alembic_safe.database.steps import CopyOptions
    from alembic_safe.deploying.events import Tell
    from alembic_safe.deploying.plan import PlannedRevision


@dataclass(frozen=True)
class Logbook:
    """Where and under which names the runner journals what it applies.

    :param files_hash: what tells this release from others where nobody declared its name.
    """

    journals: Journals
    writer: Writer
    release: str | None
    deployment: int
    files_hash: str


@dataclass(frozen=True)
class Conditions:
    """Under which conditions revisions run.

    :param watch: opens a second connection to the same database.
    :param check: raises when the run must not go on (the deploy lock is lost).
    :param copying: how copies load the database.
    :param deadline: ``time.monotonic()`` at which copies stop; ``None``: they do not.
    :param half_done: the revisions that an earlier run has left half done.
    """

    policy: LockPolicy
    watch: Callable[[], psycopg.Connection[Any]]
    check: Callable[[], None]
    copying: CopyOptions
    deadline: float | None = None
    half_done: frozenset[str] = frozenset()


def apply_revisions(
    context: MigrationContext, kw: dict[str, Any], steps: Sequence[RevisionStep], planned: Sequence[PlannedRevision],
    *, conditions: Conditions, logbook: Logbook, tell: Tell, taking_back: bool = False,
) -> None:  # fmt: skip
    """Apply the steps of one migration context.

    :param kw: what ``env.py`` gave to ``run_migrations()``; every ``upgrade()`` gets it.
    :param taking_back: run ``downgrade()`` of half-done revisions instead, with the version table untouched.
    :raises RevisionFailed: a revision failed and was rolled back.
    :raises RevisionHalfDone: a revision failed after a part of it had been committed.
    :raises LockNotObtained: the locks of a revision could not be had within the budget.
    :raises CopyUnfinished: a copy was not done in time.
    :raises Interrupted: Ctrl-C or SIGTERM ended it, with nothing in the way of the next run.
    """
    for number, (step, plan) in enumerate(zip(steps, planned, strict=True), 1):
        conditions.check()
        tell(RevisionStarted(number, len(steps), plan))
        began = time.monotonic()
        one = _Revision(context, kw, step, plan, logbook, conditions, tell, taking_back=taking_back)
        _run(one, number, len(steps))
        tell(RevisionApplied(number, len(steps), plan, time.monotonic() - began, one.attempts))


def _run(one: _Revision, number: int, of: int) -> None:
    """Run one revision, with the attempts that its locks take, and say what came of it where it failed."""
    plan, conditions = one.plan, one.conditions
    try:
        with Recorded(one.context, one.committed), one.steps.installed():
            run_with_attempts(
                _connection(one.context),
                one.body,
                policy=conditions.policy,
                watch=conditions.watch,
                on_failed_attempt=lambda a: one.tell(LockMissed(number, of, plan, a)),
                on_wait=lambda w: one.tell(HoldersAwaited(number, of, plan, w)),
                may_replay=getattr(one.step.revision.module, "replay", True) is not False,
                subject=f"revision {plan.revision} ({plan.message})",
                parts=one.steps.parts,
            )
    except AttemptFailed as failed:
        meant = _what_it_means(one, failed)
        if meant is failed.error:
            raise meant from meant.__cause__
        raise meant from interruption_behind(failed.error) or failed.error
    except AttemptInterrupted as interrupted:
        raise one.failing.explain_interruption(interrupted) from interrupted.error
    except LockNotObtained as error:
        if one.failing.in_steps:
            raise one.failing.explain_refusal(error, Outcome.ROLLED_BACK) from error
        error.state = f"{stands(one.context)}, as before this revision. Safe to run again."
        raise


def _what_it_means(one: _Revision, failed: AttemptFailed) -> BaseException:
    error = failed.error
    interruption = interruption_behind(error)
    if interruption is not None:
        return one.failing.explain_interruption(AttemptInterrupted(interruption, failed.outcome))
    if isinstance(error, CopyUnfinished):
        error.state = one.failing.state()
        return error
    if isinstance(error, SafeError) and one.failing.in_steps:
        return one.failing.explain_refusal(error, failed.outcome)
    if isinstance(error, SafeError) and failed.outcome is Outcome.ROLLED_BACK:
        # an operation of ours refused, or lacks a right: its own words, its own exit code
        error.summary = f"{one.plan.revision} ({one.plan.message}): {error.summary}"
        error.state = f"The revision was rolled back; {stands(one.context)}. Safe to run again."
        return error
    return one.failing.explain(failed)


class _Revision:
    """One revision while it is applied, or taken back."""

    def __init__(
        self, context: MigrationContext, kw: dict[str, Any], step: RevisionStep, plan: PlannedRevision, logbook: Logbook,
        conditions: Conditions, tell: Tell, *, taking_back: bool,
    ) -> None:  # fmt: skip
        self.context = context
        self.kw = kw
        self.step = step
        self.plan = plan
        self.logbook = logbook
        self.conditions = conditions
        self.tell = tell
        self.taking_back = taking_back
        self.attempts = 0
        self.committed = Committed()
        self.steps = Steps(
            context, plan, logbook, direction="down" if taking_back else "up", watch=conditions.watch,
            check=conditions.check, copying=conditions.copying, deadline=conditions.deadline, tell=tell,
        )  # fmt: skip

    @property
    def failing(self) -> Failing:
        """What is to be said of it, should it fail now."""
        in_steps = self.steps.is_half_done or self.plan.revision in self.conditions.half_done
        return Failing(self.context, self.plan, self.committed, self.logbook.journals, in_steps)

    def body(self) -> None:
        """Run the revision's own code and everything that is committed with it."""
        self.attempts += 1
        self.committed.open.clear()
        self.steps.begin_attempt()
        context, step = self.context, self.step
        name = "downgrade" if self.taking_back else "upgrade"
        if self.attempts > 1:
            # what the module counted or collected in the attempt before is not part of this one
            path = Path(step.revision.path)
            step.migration_fn = getattr(load_python_file(str(path.parent), path.name), name)
        load_verbs(revision_source(step.revision) or "")
        began = time.monotonic()
        connection = _connection(context)
        heads = HeadMaintainer(context, context.get_current_heads())
        if connection.in_transaction():
            connection.rollback()
        with context.begin_transaction(_per_migration=True):
            step.migration_fn(**self.kw)
            if not self.taking_back:
                heads.update_to_step(step)
                for callback in context.on_version_apply_callbacks:
                    callback(ctx=context, step=step.info, heads=set(heads.heads), run_args=self.kw)
            self.steps.finish(was_half_done=self.plan.revision in self.conditions.half_done)
            self._journal(time.monotonic() - began)

    def _journal(self, seconds: float) -> None:
        revision, logbook = self.step.revision, self.logbook
        record_revision(
            _connection(self.context), logbook.journals, version_table=version_table_of(self.context),
            revision=self.plan.revision, parents=self.plan.parents, message=self.plan.message,
            direction="down" if self.taking_back else "up", source=revision_source(revision), command="safe-upgrade",
            release=logbook.release, deployment=logbook.deployment, writer=logbook.writer,
            milliseconds=round(seconds * 1000), phase=phase_of(revision), change=change_of(revision),
            files_hash=logbook.files_hash,
        )  # fmt: skip


def _connection(context: MigrationContext) -> Any:
    return context.connection
