"""What a copy and a step ask of whoever runs them, and what they tell: the seam to the deployment's runner."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    import psycopg
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

    AnyConnection = Connection | psycopg.Connection[Any]

STEPS = "alembic_safe_steps"
"""The option of a migration context under which ``safe-upgrade`` puts its :class:`StepRunner`."""


@dataclass(frozen=True)
class CopyOptions:
    """How a copy may load the database, and for how long.

    :param max_time: seconds after which the run stops behind a committed batch; ``None``: no limit.
    :param workers: how many connections copy one table at once.
    :param vacuum: whether dead rows are vacuumed away while the copy goes on.
    :param target: seconds that one batch is meant to take.
    :param longest_lag: seconds a standby may lag behind; ``most_slot_bytes``: WAL that a replication slot may hold back.
    :param condition: SQL of the user's; the copy waits while it is true.
    :param window: hours of the day (UTC) between which the copy may run, such as ``("22:00", "05:30")``.
    """

    max_time: float | None = None
    workers: int = 1
    vacuum: bool = True
    target: float = 0.022
    longest_lag: float = 10.0
    most_slot_bytes: int = 1_000_000_000
    condition: str = ""
    window: tuple[str, str] | None = None


@dataclass(frozen=True)
class CopyState:
    """How far a copy has come: what is committed together with each batch.

    :param copy: which copy: the same for the same work, in every run.
    :param cursor: JSON, only the engine reads it.
    :param rows: rows walked over so far; ``total``: an estimate of all.
    :param status: ``running`` or ``done``.
    """

    copy: str
    table: str
    cursor: str
    rows: int
    total: int
    milliseconds: int
    status: str


@dataclass(frozen=True)
class CopyEvidence:
    """That old and new columns were compared, row by row, and what came out."""

    copy: str
    table: str
    columns: str
    rows: int
    mismatches: int


@dataclass(frozen=True)
class CopyEvent:
    """One moment of a copy, for a display or a log.

    :param doing: ``copying``, ``verifying``, ``pausing``, ``vacuuming``, ``not vacuumed`` or ``done``.
    :param rate: rows in a second; ``remaining``: seconds, where they can be told.
    :param reason: why it pauses, or did not vacuum.
    """

    doing: str
    table: str
    rows: int
    total: int
    rate: float
    remaining: float | None
    reason: str = ""


class StepRunner(Protocol):
    """What runs the steps of a revision under ``safe-upgrade``."""

    options: CopyOptions

    def step(self, name: str) -> AbstractContextManager[None]:
        """Run the body in a transaction of its own, committed together with its journal row."""

    def commit(self) -> None:
        """Commit what the step did so far, and begin its next transaction."""

    def take_back(self) -> None:
        """Roll back what was done since the last commit, and begin the next transaction."""

    def batches(self, settings: Mapping[str, str]) -> AbstractContextManager[None]:
        """Commit what the step did so far; every transaction inside is a batch.

        :param settings: the parameters that hold in all of them, and not behind.

        Nobody else than :meth:`commit` ends one well, so that nobody needs to watch what became of it.
        """

    def autocommit(self) -> AbstractContextManager[Connection]:
        """Commit what the step did so far, and give the connection in AUTOCOMMIT; begin again behind it."""

    def open(self) -> psycopg.Connection[Any]:
        """Return one more connection to the same database, with the same role, in autocommit; the caller closes it."""

    def load_copy(self, connection: AnyConnection, copy: str) -> str | None:
        """Return the cursor of a copy as it was saved, or ``None``."""

    def save_copy(self, connection: AnyConnection, state: CopyState) -> None:
        """Write how far a copy has come, in the transaction that the connection is in."""

    def forget_copies(self, table: str) -> bool:
        """Let the copies of a table begin anew in the next run of this revision; return whether it has any."""

    def save_evidence(self, connection: AnyConnection, evidence: CopyEvidence) -> None:
        """Write what a comparison found, in the transaction that the connection is in."""

    def paused(self, connection: AnyConnection, copy: str) -> str:
        """Return why a person wants the copy to wait, or an empty string."""

    def tell(self, event: CopyEvent) -> None:
        """Show a moment of a copy."""


class Part:
    """The transaction that a migration context is in: ended, and begun anew, in the middle of a revision."""

    # as Alembic's own autocommit_block does it
    def __init__(self, context: MigrationContext) -> None:
        self._context = context

    def begin(self) -> None:
        """Begin the next one."""
        connection: Any = self._context.connection
        self._context._transaction = connection.begin()  # noqa: SLF001

    def commit(self) -> None:
        """Commit what was done since; there is none behind it."""
        self._now.commit()
        self._context._transaction = None  # noqa: SLF001

    def take_back(self) -> None:
        """Roll back what was done since, and begin the next one."""
        self._now.rollback()
        self.begin()

    @property
    def _now(self) -> Any:
        transaction = self._context._transaction  # noqa: SLF001
        assert transaction is not None  # noqa: S101 - a revision that is run in steps always has one
        return transaction


def step_runner(options: Mapping[str, Any]) -> StepRunner | None:
    """Return what runs steps in this migration context; ``None`` under stock Alembic.

    :param options: the context's ``opts``.
    """
    found: StepRunner | None = options.get(STEPS)
    return found


@contextmanager
def in_callers_transaction() -> Iterator[None]:
    """Run a step where nothing runs steps: in the transaction that the caller owns."""
    yield
