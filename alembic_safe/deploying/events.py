"""What a deployment tells while it runs: one record for each thing worth a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic_safe.database.deploy_lock import Waiting
    from alembic_safe.database.environment import Identity
    from alembic_safe.database.failures import FailedAttempt
    from alembic_safe.database.steps import CopyEvent
    from alembic_safe.database.waiting import WaitingForHolders
    from alembic_safe.deploying.backup import Backup
    from alembic_safe.deploying.gate import Held
    from alembic_safe.deploying.plan import Plan, PlannedRevision
    from alembic_safe.deploying.rehearsal import Rehearsal
    from alembic_safe.deploying.safe_plan import SafePlan
    from alembic_safe.inspecting.drift import Drift

    Tell = Callable[["Event"], None]


@dataclass(frozen=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True)
class TargetSeen(Event):
    """The database is known, and how much waits for it."""

    identity: Identity
    heads: tuple[str, ...]
    pending: int


@dataclass(frozen=True)
class Noted(Event):
    """A fact that a person should know, and that stops nothing."""

    label: str
    text: str


@dataclass(frozen=True)
class ConsentUnused(Event):
    """A consent that was given by name fits nothing of the plan: one line."""

    text: str


@dataclass(frozen=True)
class DriftFound(Event):
    """Somebody has changed the database by hand."""

    drift: Drift


@dataclass(frozen=True)
class LockAwaited(Event):
    """Somebody else deploys; who, and where the database is by now."""

    waiting: Waiting
    heads: tuple[str, ...]


@dataclass(frozen=True)
class PlanMade(Event):
    """What is going to run.

    :param safe: the same with what it does, judged; its hash is the one that ``--plan`` takes.
    """

    plan: Plan
    safe: SafePlan


@dataclass(frozen=True)
class BackupProgressed(Event):
    """The backup grows.

    :param size: bytes so far.
    :param expected: bytes at the end, an estimate; 0 when there is none.
    """

    size: int
    expected: int


@dataclass(frozen=True)
class BackupTaken(Event):
    """The backup is written and read back."""

    backup: Backup


@dataclass(frozen=True)
class BackupSkipped(Event):
    """No backup, and why."""

    why: str


@dataclass(frozen=True)
class RehearsalDone(Event):
    """The pending revisions have run on a stand-in, and nothing went wrong there."""

    rehearsal: Rehearsal


@dataclass(frozen=True)
class RevisionStarted(Event):
    """Revision ``number`` of ``of`` begins."""

    number: int
    of: int
    planned: PlannedRevision


@dataclass(frozen=True)
class StepStarted(Event):
    """Step ``number`` of the running revision begins."""

    planned: PlannedRevision
    number: int
    name: str


@dataclass(frozen=True)
class CopyProgressed(Event):
    """A copy of the running revision has come further, pauses, or is done."""

    planned: PlannedRevision
    copy: CopyEvent


@dataclass(frozen=True)
class LockMissed(Event):
    """An attempt of the running revision did not get its locks, was rolled back, and will be repeated."""

    number: int
    of: int
    planned: PlannedRevision
    attempt: FailedAttempt


@dataclass(frozen=True)
class RevisionApplied(Event):
    """A revision is committed.

    :param seconds: from its first attempt to the commit.
    :param attempts: how many it took.
    """

    number: int
    of: int
    planned: PlannedRevision
    seconds: float
    attempts: int


@dataclass(frozen=True)
class ContractWaits(Event):
    """The gate holds a contract back."""

    held: Held


@dataclass(frozen=True)
class Finished(Event):
    """The run ended well.

    :param state: the closing sentence on the state of the database.
    :param changed: whether anything was written to the application's part of the database.
    """

    state: str
    heads: tuple[str, ...]
    seconds: float
    changed: bool


@dataclass(frozen=True)
class HoldersAwaited(Event):
    """Old transactions hold locks that the running revision needs; nobody is queued meanwhile."""

    number: int
    of: int
    planned: PlannedRevision
    wait: WaitingForHolders
