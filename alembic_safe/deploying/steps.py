"""How the steps of a revision get a transaction each, and what is half done when one of them fails."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alembic_safe.database import journal_steps
from alembic_safe.database.attempts import Parts
from alembic_safe.database.statements import session_settings
from alembic_safe.database.steps import STEPS, Part
from alembic_safe.deploying.events import CopyProgressed, StepStarted
from alembic_safe.errors import WrongUsage
from alembic_safe.inspecting.history import version_table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import psycopg
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

    from alembic_safe.database.steps import AnyConnection, CopyEvent, CopyEvidence, CopyOptions, CopyState
    from alembic_safe.deploying.events import Tell
    from alembic_safe.deploying.plan import PlannedRevision
    from alembic_safe.deploying.runner import Logbook

CHECK_EVERY = 1.0
"""Seconds between two questions to the server whether the deploy lock is still ours, while batches are committed."""


class Steps:
    """Runs the steps of one revision: what ``op.step`` and the copying engine find in the migration context.

    A step is committed when the next one is entered, so that a revision of one step is committed as a whole, with its version
    row. Where a part is committed already, there is no whole any more, and a step is committed at its end: nobody has to wait
    for its locks while the version row and the journal are written.

    :param direction: ``up``, or ``down`` while a half-done revision is taken back.
    :param watch: opens a second connection to the same database.
    :param check: raises when the run must not go on (the deploy lock is lost).
    :param copying: how copies load the database; its ``max_time`` counts for the whole run, see ``deadline``.
    :param deadline: ``time.monotonic()`` at which copies stop; ``None``: they do not.
    """

    def __init__(
        self, context: MigrationContext, planned: PlannedRevision, logbook: Logbook, *, direction: str,
        watch: Callable[[], psycopg.Connection[Any]], check: Callable[[], None], copying: CopyOptions,
        deadline: float | None, tell: Tell,
    ) -> None:  # fmt: skip
        self.parts = Parts()
        self.begun: str | None = None
        """The step that was entered last."""
        self._context = context
        self._part = Part(context)
        self._planned = planned
        self._logbook = logbook
        self._direction = direction
        self._watch = watch
        self._check = check
        self._checked = time.monotonic()
        self._copying = copying
        self._deadline = deadline
        self._tell = tell
        self._number = 0
        self._inside = False
        self._pending: journal_steps.Step | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Be what the operations of this migration context find."""
        self._context.opts[STEPS] = self
        try:
            yield
        finally:
            del self._context.opts[STEPS]

    def begin_attempt(self) -> None:
        """Forget where the attempt before stopped: every step is entered again."""
        self._number, self._pending, self._inside, self.begun = 0, None, False, None

    def finish(self, *, was_half_done: bool) -> None:
        """Write that the revision has no more steps; what is not committed yet, who commits the version row commits.

        :param was_half_done: whether an earlier run has left steps of it, which are at their end now, too.
        """
        self._finish_pending()
        if self._number or was_half_done:
            journal_steps.close_steps(
                self._connection, self._logbook.journals, version_table_of(self._context), self._planned.revision
            )

    @property
    def is_half_done(self) -> bool:
        """Whether a part of the revision is committed."""
        return self.parts.committed > 0

    # --- what operations use (database/steps.py says what each promises) ---

    @property
    def options(self) -> CopyOptions:
        """How copies load the database; the time that is left of ``--max-time`` is that of this moment."""
        if self._deadline is None:
            return self._copying
        return replace(self._copying, max_time=max(0.0, self._deadline - time.monotonic()))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run the body in a transaction of its own, committed together with its journal row."""
        if self._inside:
            raise WrongUsage(
                f"{self._planned.file}: the step {name!r} stands in the step {self.begun!r}; a step has no steps."
            )
        if self._pending is not None:
            self._finish_pending()
            self.commit()
        self._number += 1
        step = journal_steps.Step(
            version_table_of(self._context), self._planned.revision, self._direction, self._number, name
        )
        self.begun, self._inside = name, True
        journal_steps.enter_step(self._connection, self._logbook.journals, step, self._logbook.deployment)
        self._tell(StepStarted(self._planned, self._number, name))
        yield
        self._inside, self._pending = False, step
        if self.is_half_done:
            self._finish_pending()
            self.commit()

    def commit(self) -> None:
        """Commit what the step did so far, and begin its next transaction."""
        self._end_part()
        self._part.begin()

    def take_back(self) -> None:
        """Roll back what was done since the last commit, and begin the next transaction."""
        self._part.take_back()

    @contextmanager
    def batches(self, settings: Mapping[str, str]) -> Iterator[None]:
        """Commit what the step did so far; every transaction inside is a batch, under its own parameters."""
        self._end_part()
        with self.parts.as_batches(), session_settings(self._connection, settings):
            self._part.begin()
            yield
            self._end_part()
        self._part.begin()

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """Commit what the step did so far, and give the connection in AUTOCOMMIT; begin again behind it."""
        self._end_part()
        with self._context.autocommit_block():
            yield self._connection
        self.parts.commit()
        self._part.begin()

    def open(self) -> psycopg.Connection[Any]:
        """Return one more connection to the same database, with the same role, in autocommit."""
        connection = self._watch()
        connection.autocommit = True
        return connection

    def load_copy(self, connection: AnyConnection, copy: str) -> str | None:
        """Return the cursor of a copy as it was saved, or ``None``."""
        return journal_steps.load_copy(connection, self._logbook.journals, *self._of, copy)

    def save_copy(self, connection: AnyConnection, state: CopyState) -> None:
        """Write how far a copy has come, in the transaction that the connection is in."""
        journal_steps.save_copy(connection, self._logbook.journals, *self._of, state)

    def forget_copies(self, table: str) -> bool:
        """Let the copies of a table begin anew in the next run of this revision; return whether it has any."""
        return journal_steps.forget_copies(self._connection, self._logbook.journals, *self._of, table) > 0

    def save_evidence(self, connection: AnyConnection, evidence: CopyEvidence) -> None:
        """Write what a comparison found, in the transaction that the connection is in."""
        journal_steps.save_evidence(
            connection, self._logbook.journals, *self._of, evidence, deployment=self._logbook.deployment
        )

    def paused(self, connection: AnyConnection, copy: str) -> str:
        """Return why a person wants the copy to wait, or an empty string."""
        return journal_steps.pause_of(connection, self._logbook.journals, copy)

    def tell(self, event: CopyEvent) -> None:
        """Show a moment of a copy."""
        self._tell(CopyProgressed(self._planned, event))

    # ---

    @property
    def _of(self) -> tuple[str, str]:
        return version_table_of(self._context), self._planned.revision

    @property
    def _connection(self) -> Any:
        return self._context.connection

    def _finish_pending(self) -> None:
        if self._pending is None:
            return
        journal_steps.finish_step(self._connection, self._logbook.journals, self._pending)
        self._pending = None

    def _end_part(self) -> None:
        if time.monotonic() - self._checked >= CHECK_EVERY:
            self._check()
            self._checked = time.monotonic()
        self._part.commit()
        self.parts.commit()
