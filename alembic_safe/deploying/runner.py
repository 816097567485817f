"""One revision after the other, each in its own transaction, with its journal row."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import HeadMaintainer
from alembic.util import load_python_file
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from alembic_safe.database.attempts import LockPolicy, run_with_attempts
from alembic_safe.database.failures import AttemptFailed, AttemptInterrupted, as_written, statement_of
from alembic_safe.database.journal import record_revision
from alembic_safe.database.timeouts import Outcome
from alembic_safe.deploying.events import HoldersAwaited, LockMissed, RevisionApplied, RevisionStarted
from alembic_safe.errors import Interrupted, LockNotObtained, NextStep, RevisionFailed, RevisionHalfDone, SafeError
from alembic_safe.inspecting.history import revision_source, version_table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import psycopg
    from alembic.runtime.migration import MigrationContext, RevisionStep

    from alembic_safe.database.environment import Journals
    from alembic_safe.database.journal import Writer
    from alembic_safe.deploying.events import Tell
    from alembic_safe.deploying.plan import PlannedRevision

_SHOWN_STATEMENTS = 5
_LONGEST_STATEMENT = 300


@dataclass(frozen=True)
class Logbook:
    """Where and under which names the runner journals what it applies."""

    journals: Journals
    writer: Writer
    release: str | None
    deployment: int


@dataclass
class _Committed:
    """The statements of the running revision: those committed, and those that a rollback would take back."""

    done: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


def apply_revisions(
    context: MigrationContext,
    kw: dict[str, Any],
    steps: Sequence[RevisionStep],
    planned: Sequence[PlannedRevision],
    *,
    policy: LockPolicy,
    watch: Callable[[], psycopg.Connection[Any]],
    logbook: Logbook,
    before_each: Callable[[], None],
    tell: Tell,
) -> None:
    """Apply the steps of one migration context.

    :param kw: what ``env.py`` gave to ``run_migrations()``; every ``upgrade()`` gets it.
    :param watch: opens a second connection to the same database.
    :param before_each: raises when the run must not go on (the deploy lock is lost).
    :raises RevisionFailed: a revision failed and was rolled back.
    :raises RevisionHalfDone: a revision failed after a part of it had been committed.
    :raises LockNotObtained: the locks of a revision could not be had within the budget.
    """
    for number, (step, plan) in enumerate(zip(steps, planned, strict=True), 1):
        before_each()
        tell(RevisionStarted(number, len(steps), plan))
        began = time.monotonic()
        one = _Revision(context, kw, step, plan, logbook)
        try:
            with one.statements():
                run_with_attempts(
                    _connection(context),
                    one.body,
                    policy=policy,
                    watch=watch,
                    on_failed_attempt=lambda a, n=number, p=plan: tell(LockMissed(n, len(steps), p, a)),  # type: ignore[misc]
                    on_wait=lambda w, n=number, p=plan: tell(HoldersAwaited(n, len(steps), p, w)),  # type: ignore[misc]
                    may_replay=getattr(step.revision.module, "replay", True) is not False,
                    subject=f"revision {plan.revision} ({plan.message})",
                )
        except AttemptFailed as failed:
            interruption = _interruption_behind(failed.error)
            if interruption is not None:
                raise one.explain_interruption(AttemptInterrupted(interruption, failed.outcome)) from interruption
            if isinstance(failed.error, SafeError) and failed.outcome is Outcome.ROLLED_BACK:
                # an operation of ours refused, or lacks a right: its own words, its own exit code
                failed.error.summary = f"{plan.revision} ({plan.message}): {failed.error.summary}"
                failed.error.state = f"The revision was rolled back; {_stands(context)}. Safe to run again."
                raise failed.error from failed.error.__cause__
            raise one.explain(failed) from failed.error
        except AttemptInterrupted as interrupted:
            raise one.explain_interruption(interrupted) from interrupted.error
        except LockNotObtained as error:
            error.state = f"{_stands(context)}, as before this revision. Safe to run again."
            raise
        tell(RevisionApplied(number, len(steps), plan, time.monotonic() - began, one.attempts))


class _Revision:
    """One revision while it is applied."""

    def __init__(
        self, context: MigrationContext, kw: dict[str, Any], step: RevisionStep, plan: PlannedRevision, logbook: Logbook
    ) -> None:
        self.context = context
        self.kw = kw
        self.step = step
        self.plan = plan
        self.logbook = logbook
        self.attempts = 0
        self.committed = _Committed()

    def body(self) -> None:
        """Run the revision's own code and everything that is committed with it."""
        self.attempts += 1
        self.committed.open.clear()
        context, step = self.context, self.step
        if self.attempts > 1:
            # what the module counted or collected in the attempt before is not part of this one
            path = Path(step.revision.path)
            step.migration_fn = load_python_file(str(path.parent), path.name).upgrade
        began = time.monotonic()
        connection = _connection(context)
        heads = HeadMaintainer(context, context.get_current_heads())
        if connection.in_transaction():
            connection.rollback()
        with context.begin_transaction(_per_migration=True):
            step.migration_fn(**self.kw)
            heads.update_to_step(step)
            for callback in context.on_version_apply_callbacks:
                callback(ctx=context, step=step.info, heads=set(heads.heads), run_args=self.kw)
            self._journal(time.monotonic() - began)

    def _journal(self, seconds: float) -> None:
        revision, logbook = self.step.revision, self.logbook
        record_revision(
            _connection(self.context), logbook.journals, version_table=version_table_of(self.context),
            revision=self.plan.revision, parents=self.plan.parents, message=self.plan.message, direction="up",
            source=revision_source(revision), command="safe-upgrade", release=logbook.release,
            deployment=logbook.deployment, writer=logbook.writer, milliseconds=round(seconds * 1000),
        )  # fmt: skip

    def statements(self) -> _Recorded:
        """Note which statements are committed, so that a half-done revision can be described."""
        return _Recorded(self.context, self.committed)

    def explain(self, failed: AttemptFailed) -> RevisionFailed | RevisionHalfDone:
        """Say what failed, where, and how the database stands."""
        error = failed.error
        where = _line_of(error, self.plan.file)
        summary = f"{self.plan.revision} ({self.plan.message}) failed: {_reason(error)}"
        detail = [where, *_statement(error)]
        if failed.outcome is Outcome.ROLLED_BACK:
            return RevisionFailed(
                summary,
                detail=detail,
                next_steps=[NextStep("mend the cause, then the same command", "alembic safe-upgrade")],
                state=f"The revision was rolled back; {_stands(self.context)}. Safe to run again.",
            )
        # what is no error of the server's cannot have come from the COMMIT: that one went through before
        if failed.outcome is Outcome.UNKNOWN and isinstance(error, DBAPIError):
            return RevisionHalfDone(
                summary,
                detail=[*detail, "The connection was lost while the revision was being committed."],
                next_steps=[NextStep("see whether it arrived", "alembic safe-status")],
                state=f"The version table says whether this revision was committed: {_stands(self.context)}.",
            )
        return RevisionHalfDone(
            summary,
            detail=[*detail, "Committed before the failure, and not taken back:", *_shown(self.committed.done)],
            next_steps=[
                NextStep("make the rest of the revision skip what is there already, or undo those statements by hand"),
                NextStep("then go on", "alembic safe-upgrade"),
            ],
            state=f"The revision is half done; {_stands(self.context)}.",
        )

    def explain_interruption(self, interrupted: AttemptInterrupted) -> Interrupted | RevisionHalfDone:
        """Say how the database stands after Ctrl-C or SIGTERM."""
        name = f"{self.plan.revision} ({self.plan.message})"
        go_on = NextStep("go on", "alembic safe-upgrade")
        if interrupted.outcome is Outcome.ROLLED_BACK:
            state = f"{name} was rolled back; {_stands(self.context)}. Safe to run again."
            return Interrupted("Interrupted.", next_steps=[go_on], state=state)
        return RevisionHalfDone(
            f"Interrupted in {name}.",
            detail=["Committed before that, and not taken back:", *_shown(self.committed.done)],
            next_steps=[go_on],
            state=f"The revision is half done; {_stands(self.context)}.",
        )


class _Recorded:
    """Listens to one connection while a revision runs."""

    def __init__(self, context: MigrationContext, committed: _Committed) -> None:
        self.connection = _connection(context)
        self.committed = committed
        self.listeners: dict[str, Callable[..., Any]] = {
            "after_cursor_execute": self._ran,
            "commit": self._kept,
            "rollback": self._gone,
        }

    def __enter__(self) -> None:
        for name, listener in self.listeners.items():
            event.listen(self.connection, name, listener)

    def __exit__(self, *_: object) -> None:
        for name, listener in self.listeners.items():
            event.remove(self.connection, name, listener)

    def _ran(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        del cursor
        statement = as_written(statement, connection.dialect.driver)
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            self.committed.done.append(statement)
        else:
            self.committed.open.append(statement)

    def _kept(self, _: Any) -> None:
        self.committed.done.extend(self.committed.open)
        self.committed.open.clear()

    def _gone(self, _: Any) -> None:
        self.committed.open.clear()


def _interruption_behind(error: BaseException | None) -> BaseException | None:
    """Return the Ctrl-C or SIGTERM that an error has covered up.

    It ends the connection, and the way out of an autocommit block then fails on that.
    """
    seen = error
    for _ in range(20):
        if seen is None or isinstance(seen, (KeyboardInterrupt, SystemExit)):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _shown(statements: Sequence[str]) -> Iterator[str]:
    # Alembic's and our own reading and bookkeeping is not what a person has to know about
    real = [s for s in statements if not s.lstrip().upper().startswith(("SELECT", "SET ", "SHOW"))]
    for statement in real[-_SHOWN_STATEMENTS:]:
        yield "  " + _short(statement)


def _short(statement: str) -> str:
    text = " ".join(statement.split())
    return text if len(text) <= _LONGEST_STATEMENT else text[: _LONGEST_STATEMENT - 3] + "..."


def _reason(error: BaseException) -> str:
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    # the server's own DETAIL and HINT lines stand in str() of every driver's error
    text = " ".join(str(origin).split())
    return f"{type(origin).__name__}: {text}" if text else type(origin).__name__


def _statement(error: BaseException) -> Iterator[str]:
    if isinstance(error, DBAPIError) and error.statement:
        yield "  " + _short(statement_of(error))


def _line_of(error: BaseException, file: str) -> str:
    line = 0
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename) == Path(file):
            line = frame.lineno or 0
    path = Path(file)
    try:
        path = path.relative_to(Path.cwd())
    except ValueError:
        path = Path(file)
    return f"{path}:{line}" if line else str(path)


def _stands(context: MigrationContext) -> str:
    """Say where the database is; the version table is asked anew where the connection still answers."""
    connection = _connection(context)
    try:
        # also where none is active: a transaction whose connection is gone must be ended, too
        connection.rollback()
        heads = ", ".join(context.get_current_heads()) or "no revision"
        connection.rollback()
    except DBAPIError:
        return "where the database stands could not be asked: the connection is gone"
    return f"the database stands at {heads}"


def _connection(context: MigrationContext) -> Any:
    return context.connection
