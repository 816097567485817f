"""How a revision gets its locks: short attempts, waits that queue nobody, repeats while nothing is committed."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from alembic_safe.database.blockers import AUTOVACUUM, Lookout
from alembic_safe.database.failures import (
    LOCK_FAILURES,
    AttemptFailed,
    AttemptInterrupted,
    FailedAttempt,
    not_obtained,
    sqlstate_of,
)
from alembic_safe.database.timeouts import FLOOR_AFTER_WRITES, Outcome, Timeouts
from alembic_safe.database.waiting import ABOVE_DEADLOCK_TIMEOUT, OLD, POLL, Queue, Waited, WaitingForHolders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg
    from sqlalchemy.engine import Connection

    from alembic_safe.errors import LockNotObtained
    from alembic_safe.settings import Settings

__all__ = [
    "AttemptFailed",
    "AttemptInterrupted",
    "FailedAttempt",
    "LockPolicy",
    "Outcome",
    "Parts",
    "WaitingForHolders",
    "run_with_attempts",
]

T = TypeVar("T")

FIRST_ATTEMPT = 0.1
"""Seconds: everybody else queues behind a waiting ALTER TABLE for that long; busy writers let it through sooner."""


@dataclass(frozen=True)
class LockPolicy:
    """How long to try, all in seconds."""

    budget: float = 600.0
    """For all attempts of one revision, waiting included."""
    replay_max: float = 30.0
    """An attempt that ran longer than this is not repeated."""
    first: float = FIRST_ATTEMPT
    """``lock_timeout`` of the first attempt; later ones are multiples of it."""
    floor_after_writes: float = FLOOR_AFTER_WRITES

    @classmethod
    def of(cls, settings: Settings) -> LockPolicy:
        """Return the policy that the settings ``lock_budget`` and ``replay_max`` ask for."""
        return cls(budget=float(settings.lock_budget), replay_max=float(settings.replay_max))


def run_with_attempts(
    connection: Connection,
    body: Callable[[], T],
    *,
    policy: LockPolicy,
    watch: Callable[[], psycopg.Connection[Any]],
    on_failed_attempt: Callable[[FailedAttempt], None],
    may_replay: bool = True,
    on_wait: Callable[[WaitingForHolders], None] | None = None,
    parts: Parts | None = None,
    subject: str = "the revision",
) -> T:
    """Run one revision's transactions under the timeout and retry policy, and return what ``body`` returns.

    :param connection: the one that ``body`` works on; not in a transaction. It comes back without any setting of ours.
    :param body: begins, works and commits; called once for each attempt, so it loads the revision's module freshly.
    :param watch: opens a second connection to the same database; closed here.
    :param on_failed_attempt: called after each lock failure that was rolled back.
    :param may_replay: False for a revision that says ``replay = False``: the first lock failure ends it.
    :param on_wait: called about once a second while old holders are waited for.
    :param parts: for a body that commits in parts and can begin again behind each: see :class:`Parts`.
    :param subject: what the messages call it: ``revision a2 (names)``.
    :raises LockNotObtained: when the budget is spent; everything was rolled back.
    :raises AttemptFailed: for every other failure; its ``outcome`` tells whether a part was committed.
    :raises AttemptInterrupted: for KeyboardInterrupt and SystemExit.
    """
    if connection.in_transaction():
        raise ValueError("the connection is in a transaction; the body begins its own")
    with closing(watch()) as second:
        second.autocommit = True
        pid, deadlock_timeout = _session(connection)
        lookout = Lookout(second, pid)
        with Timeouts(connection, lookout, floor=policy.floor_after_writes) as timeouts:
            attempts = _Attempts(
                connection, body, policy, timeouts, lookout, Queue(lookout, deadlock_timeout),
                _rungs(policy.first, deadlock_timeout), on_failed_attempt, on_wait, subject, may_replay,
            )  # fmt: skip
            if parts is not None:
                parts.attempts = attempts
            retrying = Retrying(
                retry=retry_if_exception_type(_LockFailedError),
                stop=lambda _: time.monotonic() - attempts.began >= policy.budget,
                # for holders that are short; old ones are waited for by name
                wait=wait_random_exponential(multiplier=POLL, max=2.0),
                sleep=attempts.pause,
                retry_error_callback=attempts.give_up,
            )
            return retrying(attempts.run)


class Parts:
    """How a body says that a part of it is committed for good: what comes behind it is judged by itself.

    A lock failure then takes back that later part alone, and the body is called again: it must find out by itself what
    is there already. Budget, attempt and :class:`Outcome` count from the last part on.
    """

    def __init__(self) -> None:
        self.attempts: _Attempts[Any] | None = None
        self.committed = 0

    def commit(self) -> None:
        """Say that what the connection did so far was committed just now."""
        self.committed += 1
        if self.attempts is not None:
            self.attempts.begin_part()

    @contextmanager
    def as_batches(self) -> Iterator[None]:
        """Leave the transactions inside alone: each says its own timeouts, and ends by what is told to :meth:`commit`."""
        timeouts = self.attempts.timeouts if self.attempts is not None else None
        if timeouts is not None:
            timeouts.in_batches = True
        try:
            yield
        finally:
            if timeouts is not None:
                timeouts.in_batches = False


class _LockFailedError(Exception):
    """An attempt was rolled back and may be repeated."""


@dataclass
class _Attempts(Generic[T]):
    """The attempts of one revision."""

    connection: Connection
    body: Callable[[], T]
    policy: LockPolicy
    timeouts: Timeouts
    lookout: Lookout
    queue: Queue
    rungs: tuple[float, ...]
    report: Callable[[FailedAttempt], None]
    report_wait: Callable[[WaitingForHolders], None] | None
    subject: str
    may_replay: bool
    number: int = 0
    rung: int = 0
    began: float = field(default_factory=time.monotonic)
    started: float = field(default_factory=time.monotonic)
    failed: FailedAttempt = field(init=False)

    def run(self) -> T:
        """Make one attempt."""
        self.number += 1
        self.timeouts.start_attempt(self.rungs[self.rung % len(self.rungs)])
        self.started = time.monotonic()
        self.lookout.start()
        try:
            return self.body()
        except Exception as error:  # noqa: BLE001 - a revision may raise anything; it is told apart below
            self._judge(error, self.started)
        except BaseException as interruption:
            outcome = self._end_transaction(interruption)
            raise AttemptInterrupted(interruption, outcome) from interruption
        finally:
            self.lookout.stop()

    def begin_part(self) -> None:
        """Let everything count anew behind a part that is committed."""
        self.began = self.started = time.monotonic()
        self.rung = 0
        self.timeouts.start_attempt(self.rungs[0])

    def pause(self, seconds: float) -> None:
        """Wait until the next attempt is worth making.

        :param seconds: the backoff, for when nobody in particular is waited for.
        """
        until = self.began + self.policy.budget
        if any(b.kind == AUTOVACUUM for b in self.failed.blockers):
            # The last rung is the fallback for a role that may not lock the table.
            self.rung = 0 if self.queue.has_autovacuum_cancelled(self.failed.waits) else len(self.rungs) - 1
            return
        older_than = max(OLD, self.rungs[self.rung % len(self.rungs)] / 2)
        waited = self.queue.wait(until, older_than, self.report_wait)
        if waited is Waited.UNTIL_GONE:
            return
        if waited is Waited.TOO_LONG:
            raise self._not_obtained() from None
        self.rung += 1
        if waited is Waited.NOT_AT_ALL:
            time.sleep(min(seconds, max(0.0, until - time.monotonic())))

    def give_up(self, state: RetryCallState) -> NoReturn:
        """End the attempts when the budget is spent."""
        cause = state.outcome.exception() if state.outcome is not None else None
        raise self._not_obtained() from cause

    def _judge(self, error: Exception, started: float) -> NoReturn:
        """Raise what a failed attempt means: to be repeated, or the end."""
        waits = self.lookout.stop()
        sqlstate = sqlstate_of(error)
        outcome = self._end_transaction(error)
        now = time.monotonic()
        if sqlstate not in LOCK_FAILURES:
            raise AttemptFailed(error, outcome) from error
        failed = FailedAttempt(
            self.number, sqlstate, self.timeouts.lock_timeout, now - started, now - self.began, waits
        )
        repeatable = outcome is Outcome.ROLLED_BACK and self.timeouts.witnessed
        if not (repeatable and self.may_replay and now - started <= self.policy.replay_max):
            raise AttemptFailed(error, outcome, failed) from error
        self.failed = failed
        self.queue.learn(waits)
        self.report(failed)
        raise _LockFailedError from error

    def _end_transaction(self, error: BaseException) -> Outcome:
        """Roll back what the body left open, and tell what is in the database."""
        if not self.connection.closed:
            # also where no transaction is active: one that an interrupted autocommit block left would stay in the way
            self.connection.rollback()
        return self.timeouts.outcome(error)

    def _not_obtained(self) -> LockNotObtained:
        return not_obtained(
            self.subject, self.failed, self.policy.budget, self.queue.last_holders or self.failed.blockers
        )


def _session(connection: Connection) -> tuple[int, float]:
    """Return the session's process and the server's ``deadlock_timeout`` in seconds."""
    pid, shown = connection.exec_driver_sql(
        "SELECT pg_catalog.pg_backend_pid(), extract(epoch FROM current_setting('deadlock_timeout')::interval)"
    ).one()
    connection.rollback()
    return int(pid), float(shown)


def _rungs(first: float, deadlock_timeout: float) -> tuple[float, ...]:
    """Return the ``lock_timeout`` of one attempt after the other, in seconds; after the last comes the first again.

    The last one is above ``deadlock_timeout``: only there a deadlock or an autovacuum resolves itself.
    """
    return (first, 2.5 * first, 5 * first, max(5 * first, deadlock_timeout + ABOVE_DEADLOCK_TIMEOUT))
