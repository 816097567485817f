"""Attempts: every transaction has its timeout, nobody queues behind us for long, nothing half done is repeated."""

from __future__ import annotations

import asyncio
import io
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from psycopg import sql
from psycopg.errors import QueryCanceled
from sqlalchemy.ext.asyncio import create_async_engine

from alembic_safe.database.attempts import (
    AttemptFailed,
    AttemptInterrupted,
    FailedAttempt,
    LockPolicy,
    Outcome,
    WaitingForHolders,
    run_with_attempts,
)
from alembic_safe.database.blockers import AUTOVACUUM, CONFLICTS, PREPARED, SESSION, WRAPAROUND, Lookout, holders_of
from alembic_safe.database.failures import sqlstate_of, ways_past
from alembic_safe.database.statements import run
from alembic_safe.deploying.events import HoldersAwaited
from alembic_safe.deploying.plan import PlannedRevision
from alembic_safe.errors import LockNotObtained
from alembic_safe.reporting.deployment import DeploymentText
from tests.cluster import Cluster
from tests.patience import PATIENCE, QuietClock, eventually, quiet_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

# every driver that is installed here; asyncpg runs inside SQLAlchemy's greenlet
OTHERS = [
    *(["postgresql+psycopg2"] if find_spec("psycopg2") else []),
    *(["postgresql+pg8000"] if find_spec("pg8000") else []),
    *(["postgresql+asyncpg"] if find_spec("asyncpg") and find_spec("greenlet") else []),
]


def and_others(*left_out: str) -> list[Any]:
    """Return psycopg for the default run, and every other driver for the long one."""
    others = [pytest.param(driver, marks=pytest.mark.long) for driver in OTHERS if driver not in left_out]
    return ["postgresql+psycopg", *others]


DRIVERS = and_others()
# stock Alembic cannot build an index concurrently through pg8000 either: it opens a transaction in autocommit
CONCURRENT = and_others("postgresql+pg8000")


@dataclass
class Holding:
    """Somebody who holds locks, and when he let them go; infinitely late as long as he has not."""

    clock: QuietClock
    until: float = float("inf")

    def gone_for(self) -> float:
        """Return for how many seconds they have been free; on a quiet machine, see the clock."""
        return self.clock.now() - self.until


@dataclass
class Target:
    """A database with a table, and a way to run a revision's body there."""

    cluster: Cluster
    database: str
    driver: str = "postgresql+psycopg"
    failed: list[FailedAttempt] = field(default_factory=list)
    waits: list[WaitingForHolders] = field(default_factory=list)
    user: str = "postgres"

    def session(self, **kw: Any) -> psycopg.Connection[Any]:
        return self.cluster.connect(self.database, **kw)

    @property
    def seen(self) -> FailedAttempt:
        """The first attempt that was seen waiting."""
        return self.all_seen[0]

    @property
    def all_seen(self) -> list[FailedAttempt]:
        """The attempts that were seen waiting; on a busy machine 100 ms can pass unseen."""
        return [attempt for attempt in self.failed if attempt.waits]

    def one(self, statement: str) -> Any:
        with self.session() as c:
            return c.execute(statement).fetchone()[0]

    @contextmanager
    def holding(self, statement: str, seconds: float = PATIENCE, **kw: Any) -> Iterator[Holding]:
        """Hold the locks of a statement, in a transaction of a session of its own, for some seconds at the most."""
        c = self.session(autocommit=False, application_name="report", **kw)
        c.execute(statement)
        with quiet_clock(self.session()) as clock:
            held = Holding(clock)

            def let_go() -> None:
                held.until = clock.now()
                c.close()

            timer = threading.Timer(seconds, let_go)
            timer.start()
            try:
                yield held
            finally:
                timer.cancel()
                timer.join()
                c.close()

    def run(
        self, body: Callable[[sa.Connection], Any], *, transaction: bool = True, may_replay: bool = True, **policy: Any
    ) -> Any:
        """Run a body as one revision, on a pool of one connection."""

        def work(connection: sa.Connection) -> Any:
            context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
            connection.info["context"] = context

            def attempt() -> Any:
                if not transaction:
                    return body(connection)
                with context.begin_transaction(_per_migration=True):
                    return body(connection)

            return run_with_attempts(
                connection, attempt, policy=LockPolicy(**({"budget": 20.0} | policy)),
                watch=lambda: self.session(user=self.user, application_name="watch"),
                on_failed_attempt=self.failed.append, on_wait=self.waits.append, may_replay=may_replay,
            )  # fmt: skip

        return self.on_connection(work)

    def on_connection(self, work: Callable[[sa.Connection], Any]) -> Any:
        url = self.cluster.url(self.database, driver=self.driver, user=self.user)
        if not self.driver.endswith("asyncpg"):
            engine = sa.create_engine(url, pool_size=1, max_overflow=0)
            try:
                with engine.connect() as connection:
                    return work(connection)
            finally:
                engine.dispose()

        async def go() -> Any:
            engine = create_async_engine(url, pool_size=1, max_overflow=0)
            try:
                async with engine.connect() as connection:
                    return await connection.run_sync(work)
            finally:
                await engine.dispose()

        return asyncio.run(go())


def show(connection: sa.Connection, name: str = "lock_timeout") -> str:
    return str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())


def add_column(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE users ADD COLUMN mail text")


def commit_raw(connection: sa.Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE done (id int)")
    connection.exec_driver_sql("COMMIT")


@contextmanager
def autocommit(connection: sa.Connection) -> Iterator[None]:
    with connection.info["context"].autocommit_block():
        yield


@pytest.fixture(params=DRIVERS)
def target(request: pytest.FixtureRequest, cluster: Cluster, database: str) -> Target:
    return make_target(cluster, database, request.param)


@pytest.fixture(params=CONCURRENT)
def concurrent_target(request: pytest.FixtureRequest, cluster: Cluster, database: str) -> Target:
    return make_target(cluster, database, request.param)


def make_target(cluster: Cluster, database: str, driver: str) -> Target:
    made = Target(cluster, database, driver)
    with made.session() as c:
        c.execute("CREATE TABLE users (id int PRIMARY KEY, name text)")
        c.execute("INSERT INTO users SELECT i, 'n' FROM generate_series(1, 100) i")
    return made


def test_an_old_reader_is_waited_for_while_nobody_queues_behind_us(target: Target) -> None:
    slowest = 0.0
    stop = threading.Event()

    def read_all_the_time() -> None:
        nonlocal slowest
        with target.session() as c:
            while not stop.wait(0.01):
                began = time.monotonic()
                c.execute("SELECT count(*) FROM users")
                slowest = max(slowest, time.monotonic() - began)

    reader = threading.Thread(target=read_all_the_time)
    with target.holding("SELECT * FROM users", seconds=2) as holder:
        reader.start()
        target.run(add_column)
        late = holder.gone_for()
        stop.set()
        reader.join()
        limit = holder.clock.here(0.5)
    assert 0 <= late < 1.0
    assert slowest < limit
    assert len(target.all_seen) <= 3
    blocker = target.seen.blockers[0]
    assert (blocker.kind, blocker.application, blocker.user) == (SESSION, "report", "postgres")
    assert (blocker.state, blocker.mode, blocker.relation) == ("idle in transaction", "AccessShareLock", "public.users")
    assert blocker.query == "SELECT * FROM users"
    assert blocker.transaction_age is not None
    assert target.seen.relations == ("public.users",)
    assert target.waits[0].holders[0].pid == blocker.pid
    assert target.waits[0].remaining < 20


def test_every_transaction_of_a_revision_begins_with_the_timeout(target: Target) -> None:
    seen = []

    def body(connection: sa.Connection) -> None:
        for _ in range(2):
            with connection.begin():
                seen.append(show(connection))
        with connection.begin() as transaction:
            transaction.rollback()
        with connection.begin():
            seen.append(show(connection))

    target.run(body, transaction=False, first=0.15)
    assert seen == ["150ms"] * 3


def test_nothing_of_ours_stays_on_a_pooled_connection(target: Target) -> None:
    with target.session() as c:
        c.execute(f"ALTER DATABASE \"{target.database}\" SET lock_timeout = '7s'")
        c.execute(f"ALTER DATABASE \"{target.database}\" SET idle_in_transaction_session_timeout = '9s'")
    inside, after = [], []

    def body(connection: sa.Connection) -> None:
        inside.append((show(connection), show(connection, "idle_in_transaction_session_timeout")))
        with autocommit(connection):
            inside.append((show(connection), show(connection, "idle_in_transaction_session_timeout")))
        inside.append((show(connection), show(connection, "idle_in_transaction_session_timeout")))
        add_column(connection)

    def work(connection: sa.Connection) -> None:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        connection.rollback()
        context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
        connection.info["context"] = context

        def attempt() -> None:
            with context.begin_transaction(_per_migration=True):
                body(connection)

        run_with_attempts(
            connection, attempt, policy=LockPolicy(), watch=target.session, on_failed_attempt=target.failed.append
        )
        with connection.begin():
            assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() == pid
            after.append((show(connection), show(connection, "idle_in_transaction_session_timeout")))

    target.on_connection(work)
    assert inside == [("100ms", "0"), ("0", "9s"), ("100ms", "0")]
    assert after == [("7s", "9s")]
    assert target.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'watch'") == 0


def test_an_index_is_built_concurrently_without_a_timeout_whatever_the_database_says(concurrent_target: Target) -> None:
    with concurrent_target.session() as c:
        c.execute(f"ALTER DATABASE \"{concurrent_target.database}\" SET lock_timeout = '50ms'")

    def body(connection: sa.Connection) -> None:
        with autocommit(connection):
            connection.exec_driver_sql("CREATE INDEX CONCURRENTLY users_name ON users (name)")

    with concurrent_target.holding("INSERT INTO users VALUES (1000, 'x')", seconds=0.6):
        concurrent_target.run(body)
    assert not concurrent_target.failed
    assert concurrent_target.one("SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_name'::regclass") is True


def test_a_timeout_that_the_revision_sets_itself_is_respected(target: Target) -> None:
    seen = []

    def body(connection: sa.Connection) -> None:
        with connection.begin():
            connection.exec_driver_sql("SET LOCAL lock_timeout = '300ms'")
            connection.exec_driver_sql("UPDATE users SET name = 'm' WHERE id = 1")
            seen.append(show(connection))
            connection.exec_driver_sql("SET lock_timeout = '3s'")
        with connection.begin():
            seen.append(show(connection))

    target.run(body, transaction=False)
    assert seen == ["300ms", "3s"]


def test_once_rows_are_written_the_timeout_is_at_least_a_second_and_a_quarter(target: Target) -> None:
    seen = []

    def body(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT * FROM users").all()
        connection.exec_driver_sql("CREATE TABLE empty (id int)")
        connection.exec_driver_sql("UPDATE users SET name = 'm' WHERE id = -1")
        seen.append(show(connection))
        connection.exec_driver_sql("UPDATE users SET name = 'm' WHERE id = 1")
        seen.append(show(connection))

    target.run(body)
    target.run(lambda c: seen.append(show(c)))
    assert seen == ["100ms", "1250ms", "100ms"]


def test_a_row_of_our_own_is_soon_written_again_and_no_reason_to_wait_longer_for_a_lock(target: Target) -> None:
    seen = []

    def body(connection: sa.Connection) -> None:
        run(connection, "UPDATE users SET name = 'm' WHERE id = 1")
        seen.append(show(connection))

    target.run(body)
    assert seen == ["100ms"]


def test_another_failure_is_not_repeated_and_says_that_all_was_rolled_back(target: Target) -> None:
    calls = []

    def body(connection: sa.Connection) -> None:
        calls.append(1)
        connection.exec_driver_sql("CREATE TABLE gone (id int)")
        connection.exec_driver_sql("SELECT 1 / 0")

    with pytest.raises(AttemptFailed) as caught:
        target.run(body)
    assert caught.value.outcome is Outcome.ROLLED_BACK
    assert caught.value.attempt is None
    assert sqlstate_of(caught.value.error) == "22012"
    assert caught.value.__cause__ is caught.value.error
    assert calls == [1]
    assert target.one("SELECT to_regclass('gone') IS NULL")


@pytest.mark.parametrize("how", ["autocommit block", "raw COMMIT", "own commit"])
def test_a_lock_failure_after_a_commit_is_not_repeated(target: Target, how: str) -> None:
    calls = []

    def body(connection: sa.Connection) -> None:
        calls.append(1)
        if how == "autocommit block":
            with autocommit(connection):
                connection.exec_driver_sql("CREATE TABLE done (id int)")
        elif how == "raw COMMIT":
            commit_raw(connection)
            connection.exec_driver_sql("SET lock_timeout = '1s'")
        else:
            connection.exec_driver_sql("CREATE TABLE done (id int)")
            connection.commit()
        add_column(connection)

    with target.holding("SELECT * FROM users"), pytest.raises(AttemptFailed) as caught:
        target.run(body, transaction=how != "own commit")
    assert caught.value.outcome is Outcome.PARTLY_COMMITTED
    assert caught.value.attempt is not None
    assert caught.value.attempt.blockers[0].application == "report"
    assert calls == [1]
    assert target.one("SELECT to_regclass('done') IS NOT NULL")


def test_another_failure_after_a_raw_commit_tells_of_the_part_that_stays(target: Target) -> None:
    def body(connection: sa.Connection) -> None:
        commit_raw(connection)
        connection.exec_driver_sql("SELECT 1 / 0")

    with pytest.raises(AttemptFailed) as caught:
        target.run(body)
    assert caught.value.outcome is Outcome.PARTLY_COMMITTED


def test_a_statement_that_fails_in_autocommit_may_have_left_something(concurrent_target: Target) -> None:
    def body(connection: sa.Connection) -> None:
        with autocommit(connection):
            connection.exec_driver_sql("CREATE UNIQUE INDEX CONCURRENTLY users_name ON users (name)")

    with pytest.raises(AttemptFailed) as caught:
        concurrent_target.run(body)
    assert caught.value.outcome is Outcome.PARTLY_COMMITTED
    assert concurrent_target.one("SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_name'::regclass") is False


def test_a_commit_of_nothing_but_reads_does_not_keep_from_repeating(target: Target) -> None:
    def body(connection: sa.Connection) -> None:
        with connection.begin():
            connection.exec_driver_sql("SELECT * FROM users").all()
        with connection.begin():
            add_column(connection)

    with target.holding("SELECT * FROM users", seconds=0.5):
        target.run(body, transaction=False)
    assert len(target.failed) >= 1


def test_no_look_at_the_transaction_comes_behind_a_statement_of_ours(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bool] = []
    glance = Lookout.glance

    def counted(self: Lookout) -> Any:
        looked.append(True)
        return glance(self)

    def body(connection: sa.Connection) -> None:
        before = len(looked)
        with connection.begin_nested():
            run(connection, "ALTER TABLE users ADD COLUMN ours text")
        assert len(looked) == before
        connection.exec_driver_sql("ALTER TABLE users ADD COLUMN theirs text")
        assert len(looked) == before + 1

    def committing(connection: sa.Connection) -> None:
        with connection.begin():
            before = len(looked)
            run(connection, "ALTER TABLE users ADD COLUMN more text")
        assert len(looked) == before

    monkeypatch.setattr(Lookout, "glance", counted)
    target.run(body)
    target.run(committing, transaction=False)


def test_a_raw_commit_whose_statement_failed_is_seen_beside_statements_of_ours(cluster: Cluster, database: str) -> None:
    target = make_target(cluster, database, "postgresql+psycopg")

    def body(connection: sa.Connection) -> None:
        connection.begin()
        run(connection, "ALTER TABLE users ADD COLUMN ours text")
        with pytest.raises(sa.exc.DataError):
            connection.exec_driver_sql("COMMIT; SELECT 1 / 0")
        run(connection, "ALTER TABLE users ADD COLUMN more text")
        connection.commit()
        with connection.begin():
            connection.exec_driver_sql("SELECT 1 / 0")

    with pytest.raises(AttemptFailed) as caught:
        target.run(body, transaction=False)
    assert caught.value.outcome is Outcome.PARTLY_COMMITTED


def test_a_commit_that_the_server_refuses_was_rolled_back(target: Target) -> None:
    with target.session() as c:
        c.execute("ALTER TABLE users ADD UNIQUE (name, id) DEFERRABLE INITIALLY DEFERRED")
        c.execute("CREATE TABLE parts (id int REFERENCES users DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(AttemptFailed) as caught:
        target.run(lambda c: c.exec_driver_sql("INSERT INTO parts VALUES (-1)"))
    assert sqlstate_of(caught.value.error) == "23503"
    assert caught.value.outcome is Outcome.ROLLED_BACK


def test_a_revision_that_may_not_be_repeated_ends_at_the_first_lock_failure(target: Target) -> None:
    with target.holding("SELECT * FROM users"), pytest.raises(AttemptFailed) as caught:
        target.run(add_column, may_replay=False)
    assert caught.value.outcome is Outcome.ROLLED_BACK
    assert caught.value.attempt is not None
    assert caught.value.attempt.number == 1
    assert not target.failed


def test_an_attempt_that_ran_too_long_is_not_repeated(target: Target) -> None:
    def body(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT pg_sleep(0.3)").all()
        add_column(connection)

    with target.holding("SELECT * FROM users"), pytest.raises(AttemptFailed) as caught:
        target.run(body, replay_max=0.2)
    assert caught.value.outcome is Outcome.ROLLED_BACK


def test_a_spent_budget_ends_with_the_holders_and_what_can_be_done(target: Target) -> None:
    with target.holding("SELECT * FROM users") as holder:
        began, quietly = time.monotonic(), holder.clock.now()
        with pytest.raises(LockNotObtained) as caught:
            target.run(add_column, budget=1.0)
        assert time.monotonic() - began > 0.9
        assert holder.clock.now() - quietly < 2.5
    assert caught.value.exit_code == 5
    text = str(caught.value)
    for part in (
        "public.users",
        "report",
        "idle in transaction",
        "AccessShareLock",
        "SELECT * FROM users",
        "Rolled back",
    ):
        assert part in text
    assert "pg_cancel_backend" not in text  # it does nothing to a session that only sits in its transaction
    assert target.one("SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'mail'") == 0


def run_until_cancelled(session: psycopg.Connection[Any], statement: str) -> None:
    with pytest.raises(QueryCanceled):
        session.execute(statement)


def test_an_active_holder_can_be_cancelled_by_a_person(target: Target) -> None:
    with target.session() as c:
        runner = threading.Thread(target=run_until_cancelled, args=(c, "SELECT pg_sleep(600) FROM users LIMIT 1"))
        runner.start()
        eventually(lambda: target.one("SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass"))
        with pytest.raises(LockNotObtained) as caught:
            target.run(add_column, budget=0.5)
        said = f"SELECT pg_cancel_backend({c.info.backend_pid});"
        assert said in str(caught.value)
        assert target.one(said)
        runner.join()


def test_short_holders_that_take_turns_are_got_past(target: Target) -> None:
    stop = threading.Event()

    def reader(offset: float) -> None:
        with target.session(autocommit=False) as c:
            time.sleep(offset)
            while not stop.is_set():
                c.execute("SELECT count(*), pg_sleep(0.2) FROM users")
                c.commit()

    readers = [threading.Thread(target=reader, args=(i / 15,)) for i in range(3)]
    for one in readers:
        one.start()
    try:
        time.sleep(0.3)
        target.run(add_column)
        assert len(target.failed) <= 8  # that waits of every length were tried twice
    finally:
        stop.set()
        for one in readers:
            one.join()


def test_a_locked_row_is_waited_for(target: Target) -> None:
    with target.holding("UPDATE users SET name = 'x' WHERE id = 1", seconds=2.2) as holder:
        target.run(lambda c: c.exec_driver_sql("UPDATE users SET name = 'y' WHERE id = 1"))
        assert 0 <= holder.gone_for() < 1
    assert target.seen.waits[0].kind == "transactionid"
    assert target.seen.relations == ("public.users",)
    assert target.seen.blockers[0].application == "report"
    assert target.one("SELECT name FROM users WHERE id = 1") == "y"


def test_a_deadlock_is_repeated(target: Target) -> None:
    calls = []
    with target.session() as c:
        c.execute("CREATE TABLE orders (id int)")
    other = target.session(autocommit=False)
    other.execute("SET deadlock_timeout = '10s'")
    other.execute("LOCK TABLE orders")
    waiter = threading.Thread(target=lambda: (other.execute("LOCK TABLE users"), other.commit()))

    def body(connection: sa.Connection) -> None:
        calls.append(1)
        if len(calls) == 1:
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql("LOCK TABLE users")
        if len(calls) == 1:
            waiter.start()
            eventually(lambda: target.one("SELECT count(*) FROM pg_locks WHERE NOT granted"))
        connection.exec_driver_sql("ALTER TABLE orders ADD COLUMN mail text")

    target.run(body)
    waiter.join()
    other.close()
    assert target.failed[0].sqlstate == "40P01"
    assert target.failed[0].reason == "deadlock"
    assert len(calls) >= 2


def test_a_serialization_failure_is_repeated_and_the_level_can_be_chosen_first(target: Target) -> None:
    calls = []

    def body(connection: sa.Connection) -> None:
        calls.append(1)
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.exec_driver_sql("SELECT * FROM users").all()
        if len(calls) == 1:
            with target.session() as c:
                c.execute("UPDATE users SET name = 'x' WHERE id = 1")
        connection.exec_driver_sql("UPDATE users SET name = 'y' WHERE id = 1")

    target.run(body)
    assert [f.sqlstate for f in target.failed] == ["40001"]
    assert target.one("SELECT name FROM users WHERE id = 1") == "y"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interruption_rolls_back_and_says_so(target: Target, kind: type[BaseException]) -> None:
    def body(connection: sa.Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE gone (id int)")
        raise kind

    with pytest.raises(AttemptInterrupted) as caught:
        target.run(body)
    assert isinstance(caught.value.error, kind)
    assert caught.value.outcome is Outcome.ROLLED_BACK
    assert target.one("SELECT to_regclass('gone') IS NULL")


def test_a_role_that_sees_nobody_s_activity_still_waits_for_the_right_ones(target: Target) -> None:
    role = f"owner_{os.getpid()}"
    with target.session() as c:
        c.execute(f"CREATE ROLE {role} LOGIN")
        c.execute(f"ALTER TABLE users OWNER TO {role}")
    try:
        target.user = role
        with target.holding("SELECT * FROM users", seconds=1.5) as holder:
            target.run(add_column)
            assert 0 <= holder.gone_for() < 1
        assert len(target.all_seen) <= 3
        assert target.seen.blockers[0].transaction_age is None
        assert target.seen.blockers[0].user == "postgres"
    finally:
        with target.session() as c:
            c.execute(f"DROP OWNED BY {role}")
            c.execute(f"DROP ROLE {role}")


def test_what_others_call_themselves_cannot_steer_a_terminal_or_tell_a_password(target: Target) -> None:
    with target.holding("SELECT *\n\tFROM users -- \x1b[31m"), pytest.raises(LockNotObtained) as caught:
        target.run(add_column, budget=0.3)
    assert "SELECT * FROM users -- [31m" in str(caught.value)
    with target.holding("SELECT *, 'x' AS password FROM users"), pytest.raises(LockNotObtained) as caught:
        target.run(add_column, budget=0.3)
    assert "not shown" in str(caught.value)
    assert "AS password" not in str(caught.value)


def test_names_that_need_quotes_are_shown_as_they_are_written(target: Target) -> None:
    with target.session() as c:
        c.execute('CREATE SCHEMA "My shop"')
        c.execute('CREATE TABLE "My shop"."order ""%s.é" (id int)')
    with target.holding('SELECT * FROM "My shop"."order ""%s.é"'), pytest.raises(LockNotObtained) as caught:
        target.run(lambda c: c.execute(sa.text('LOCK TABLE "My shop"."order ""%s.é"')), budget=0.3)
    assert 'on "My shop"."order ""%s.é" within' in str(caught.value)


def test_a_connection_in_a_transaction_is_not_accepted(target: Target) -> None:
    def work(connection: sa.Connection) -> None:
        connection.begin()
        run_with_attempts(
            connection, lambda: None, policy=LockPolicy(), watch=target.session, on_failed_attempt=target.failed.append
        )

    with pytest.raises(ValueError, match="in a transaction"):
        target.on_connection(work)


def test_the_table_of_conflicts_is_symmetric() -> None:
    assert all(mode in CONFLICTS[other] for mode, others in CONFLICTS.items() for other in others)
    assert CONFLICTS["AccessShareLock"] == {"AccessExclusiveLock"}
    assert len(CONFLICTS["AccessExclusiveLock"]) == 8


# --- what needs a server with settings of its own --------------------------------------------------------------------


@pytest.fixture(scope="module")
def vacuuming() -> Iterator[Cluster]:
    """A server that keeps prepared transactions, and whose autovacuum starts at once."""
    server = Cluster.start(max_prepared_transactions="5", autovacuum_naptime="1s", log_autovacuum_min_duration="0")
    yield server
    server.stop()


@pytest.fixture
def vacuumed(vacuuming: Cluster) -> Iterator[Target]:
    name = f"v_{time.monotonic_ns()}"
    vacuuming.create(name)
    yield Target(vacuuming, name)
    vacuuming.drop(name)


def make_slow_to_vacuum(session: psycopg.Connection[Any], *more: str) -> None:
    """Make a table with dead rows, over which a worker takes its time."""
    slow = ", ".join(["autovacuum_vacuum_cost_delay = 100", "autovacuum_vacuum_cost_limit = 1", *more])
    session.execute(f"CREATE TABLE users (id int, name text) WITH ({slow})")
    session.execute("INSERT INTO users SELECT i, repeat('x', 200) FROM generate_series(1, 20000) i")
    session.execute("DELETE FROM users WHERE id % 2 = 0")
    session.execute("SELECT pg_stat_force_next_flush()")  # an idle session tells of its rows after 10 s only


def wait_for_autovacuum(target: Target) -> str:
    """Wait until a worker is in the table, and return what it says it is doing."""
    query = (
        "SELECT a.query FROM pg_stat_progress_vacuum p JOIN pg_stat_activity a USING (pid)"
        " WHERE p.relid = 'users'::regclass AND a.backend_type = 'autovacuum worker'"
    )
    with target.session() as c:
        return str(eventually(lambda: c.execute(query).fetchone(), "the autovacuum")[0])


@pytest.mark.long
def test_a_prepared_transaction_is_named_and_waited_for(vacuumed: Target) -> None:
    with vacuumed.session() as c:
        c.execute("CREATE TABLE users (id int)")
        c.execute("BEGIN")
        c.execute("INSERT INTO users VALUES (1)")
        c.execute("PREPARE TRANSACTION 'transfer 7'")
        with quiet_clock(vacuumed.session()) as clock:
            transfer = Holding(clock)

            def commit() -> None:
                transfer.until = clock.now()
                c.execute("COMMIT PREPARED 'transfer 7'")

            timer = threading.Timer(2.5, commit)
            timer.start()
            vacuumed.run(add_column)
            assert 0 <= transfer.gone_for() < 1.5
            timer.join()
    blocker = vacuumed.seen.blockers[0]
    assert (blocker.kind, blocker.pid, blocker.query, blocker.user) == (PREPARED, 0, "transfer 7", "postgres")
    assert vacuumed.waits[0].holders[0].kind == PREPARED


@pytest.mark.parametrize("gid", ["x1", "it's", "a\\b\nc", "E'"])
def test_a_prepared_transaction_is_called_by_its_name_and_the_ways_past_it_end_it(vacuumed: Target, gid: str) -> None:
    with vacuumed.session() as c:
        c.execute("CREATE TABLE users (id int)")
        for ends, way in ((0, "COMMIT"), (1, "ROLLBACK")):
            c.execute("BEGIN")
            c.execute("INSERT INTO users VALUES (1)")
            c.execute(sql.SQL("PREPARE TRANSACTION {}").format(sql.Literal(gid)))
            oid = c.execute("SELECT 'users'::regclass::oid::bigint").fetchone()[0]
            with vacuumed.session() as other:
                pid = other.info.backend_pid
                (holder,) = holders_of(other, pid, {oid: frozenset({"AccessExclusiveLock"})}, frozenset())
            assert holder.shown == f"a prepared transaction {holder.gid}"
            said = io.StringIO()
            revision = PlannedRevision("abc", "add", (), "abc_add.py", "")
            DeploymentText(said, said)(HoldersAwaited(1, 1, revision, WaitingForHolders(1.0, 9.0, (holder,))))
            assert f"waits for {holder.shown} to finish" in said.getvalue()
            assert f"{way} PREPARED {holder.gid}" in said.getvalue()
            command = ways_past((holder,))[ends].command
            assert command == f"{way} PREPARED {holder.gid};"
            c.execute(command)
            assert c.execute("SELECT count(*) FROM pg_prepared_xacts").fetchone() == (0,)


def test_a_slow_autovacuum_is_got_past_without_stopping_readers(vacuumed: Target) -> None:
    with vacuumed.session() as c:
        make_slow_to_vacuum(c)
        assert "autovacuum: VACUUM" in wait_for_autovacuum(vacuumed)
        slowest, stop = 0.0, threading.Event()

        def read_all_the_time() -> None:
            nonlocal slowest
            while not stop.wait(0.01):
                began = time.monotonic()
                c.execute("SELECT 1 FROM users LIMIT 1")
                slowest = max(slowest, time.monotonic() - began)

        reader = threading.Thread(target=read_all_the_time)
        with quiet_clock(vacuumed.session()) as clock:
            reader.start()
            vacuumed.run(add_column)
            took = clock.now()
            stop.set()
            reader.join()
            limit = clock.here(0.6)
    assert took < 5
    assert slowest < limit
    assert vacuumed.seen.blockers[0].kind == AUTOVACUUM
    assert "canceling autovacuum task" in vacuumed.cluster.log.read_text()


def test_an_autovacuum_is_got_past_by_a_role_that_is_not_shown_what_it_is(vacuumed: Target) -> None:
    with vacuumed.session() as c:
        c.execute("CREATE ROLE shop LOGIN")
        make_slow_to_vacuum(c)
        c.execute("ALTER TABLE users OWNER TO shop")
        wait_for_autovacuum(vacuumed)
        vacuumed.user = "shop"
        with quiet_clock(vacuumed.session()) as clock:
            vacuumed.run(add_column)
            assert clock.now() < 5
        assert vacuumed.seen.blockers[0].kind == AUTOVACUUM
        c.execute("DROP OWNED BY shop")
        c.execute("DROP ROLE shop")


@pytest.mark.long
def test_an_autovacuum_that_prevents_wraparound_is_named_and_left_alone(vacuumed: Target) -> None:
    with vacuumed.session() as c:
        rows_are_no_reason = (
            "vacuum_threshold = 1000000",
            "vacuum_insert_threshold = -1",
            "analyze_threshold = 1000000",
        )
        make_slow_to_vacuum(c, "autovacuum_freeze_max_age = 100000", *(f"autovacuum_{it}" for it in rows_are_no_reason))
        c.execute("DO $$ BEGIN FOR i IN 1..100100 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$")
        assert "(to prevent wraparound)" in wait_for_autovacuum(vacuumed)
        with pytest.raises(LockNotObtained, match="to prevent wraparound"):
            vacuumed.run(add_column, budget=2.5)
        assert {b.kind for f in vacuumed.failed for b in f.blockers} == {WRAPAROUND}
        assert wait_for_autovacuum(vacuumed)
