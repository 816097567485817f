"""How do the steps of a revision run where nothing is journalled: on a shadow, in the transactions that they will have?"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.statements import session_settings
from alembic_safe.database.steps import STEPS, CopyOptions, Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg
    from alembic.runtime.migration import MigrationContext, RevisionStep
    from sqlalchemy import Connection

    from alembic_safe.database.steps import AnyConnection, CopyEvent, CopyEvidence, CopyState


@contextmanager
def stepwise(context: MigrationContext, step: RevisionStep) -> Iterator[None]:
    """Let the steps of one revision be committed one by one, as ``safe-upgrade`` does; what a replay calls around it.

    On the way down a revision runs in one transaction, as under ``alembic downgrade``.
    """
    if not step.is_upgrade:
        yield
        return
    context.opts[STEPS] = _Steps(context)
    try:
        yield
    finally:
        del context.opts[STEPS]


class _Steps:
    """Runs steps and copies without a journal: cursors are kept in this process, and nobody pauses a copy.

    A shadow is used by nobody else, so nothing is vacuumed, and one worker is enough.
    """

    options = CopyOptions(vacuum=False)

    def __init__(self, context: MigrationContext) -> None:
        self._context = context
        self._part = Part(context)
        self._copies: dict[str, str] = {}
        self._is_first = True

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run the body in a transaction of its own; the last one is committed together with the version row."""
        del name
        if not self._is_first:
            self.commit()
        self._is_first = False
        yield

    def commit(self) -> None:
        """Commit what the step did so far, and begin its next transaction."""
        self._part.commit()
        self._part.begin()

    def take_back(self) -> None:
        """Roll back what was done since the last commit, and begin the next transaction."""
        self._part.take_back()

    @contextmanager
    def batches(self, settings: Mapping[str, str]) -> Iterator[None]:
        """Commit what the step did so far; every transaction inside is a batch, under its own parameters."""
        self._part.commit()
        with session_settings(self._connection, settings):
            self._part.begin()
            yield
            self._part.commit()
        self._part.begin()

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """Commit what the step did so far, and give the connection in AUTOCOMMIT; begin again behind it."""
        self._part.commit()
        with self._context.autocommit_block():
            yield self._connection
        self._part.begin()

    def open(self) -> psycopg.Connection[Any]:
        """Return one more connection to the same database, in autocommit."""
        connection = Endpoint.from_connection(self._connection).connect()
        connection.autocommit = True
        return connection

    def load_copy(self, connection: AnyConnection, copy: str) -> str | None:
        """Return the cursor of a copy as it was saved, or ``None``."""
        del connection
        return self._copies.get(copy)

    def save_copy(self, connection: AnyConnection, state: CopyState) -> None:
        """Remember how far a copy has come."""
        del connection
        self._copies[state.copy] = state.cursor

    def forget_copies(self, table: str) -> bool:
        """Forget nothing: the next run is one on another shadow."""
        del table
        return False

    def save_evidence(self, connection: AnyConnection, evidence: CopyEvidence) -> None:
        """Write nothing: what was compared here says nothing of the target."""

    def paused(self, connection: AnyConnection, copy: str) -> str:
        """Return that nobody wants a copy to wait."""
        del connection, copy
        return ""

    def tell(self, event: CopyEvent) -> None:
        """Show nothing: who watches tells of the revision."""

    @property
    def _connection(self) -> Any:
        return self._context.connection
