"""The deploy lock: one holder, waiters that block nobody, and a release however the holder ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from alembic_safe.database.deploy_lock import Waiting, deploy_lock, lock_key
from alembic_safe.errors import LockNotObtained, Missing
from tests import warm
from tests.deploys import SLEEPING
from tests.patience import PATIENCE, eventually
from tests.transaction_pooler import TransactionPooler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from alembic_safe.database.deploy_lock import HeldLock
    from tests.cluster import Cluster
    from tests.patience import QuietClock

KEY = lock_key("public.alembic_version")


@pytest.fixture
def connect(cluster: Cluster, database: str) -> Callable[[], psycopg.Connection[Any]]:
    return lambda: cluster.connect(database, application_name="deploy")


@pytest.fixture
def lock(connect: Callable[[], psycopg.Connection[Any]]) -> Callable[..., AbstractContextManager[HeldLock]]:
    """Take the lock; without anything else said, from a holder of whom nobody knows whether it is alive."""

    def take(**given: Any) -> AbstractContextManager[HeldLock]:
        asked = {"wait": 10.0, "no_wait": False, "holder_alive": lambda *_: None, "on_wait": lambda _: None} | given
        return deploy_lock(asked.pop("connect", connect), asked.pop("key", KEY), **asked)

    return take


def is_free(connect: Callable[[], psycopg.Connection[Any]], key: int = KEY) -> bool:
    """Whether a session can have the lock at this moment."""
    with connect() as c:
        return bool(c.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()[0])


def test_the_key_is_a_signed_64_bit_number_of_the_version_table() -> None:
    assert lock_key("public.alembic_version") == lock_key("public.alembic_version")
    assert lock_key("public.alembic_version") != lock_key("shop.alembic_version")
    keys = [lock_key(f"s{i}.alembic_version") for i in range(200)]
    assert min(keys) < 0 < max(keys)
    assert all(-(2**63) <= key < 2**63 for key in keys)


@pytest.mark.parametrize("key", [KEY, -1, 1, -(2**63), 2**63 - 1, 2**32, -(2**32)])
def test_a_held_lock_is_found_by_its_key_whatever_its_sign(lock: Any, connect: Any, key: int) -> None:
    with lock(key=key) as held:
        held.check()
        assert not is_free(connect, key)
        with pytest.raises(LockNotObtained, match=f"process {held.pid}"), lock(key=key, no_wait=True):
            pass
    assert is_free(connect, key)


def test_the_lock_of_another_version_table_is_free(lock: Any) -> None:
    with lock(), lock(key=lock_key("shop.alembic_version"), no_wait=True) as other:
        other.check()


def test_the_lock_of_another_database_is_free(lock: Any, cluster: Cluster, make_database: Any) -> None:
    elsewhere = make_database()
    with lock(), lock(connect=lambda: cluster.connect(elsewhere), no_wait=True) as other:
        other.check()


def test_no_wait_ends_at_once_and_names_the_holder(lock: Any) -> None:
    seen: list[Waiting] = []
    with lock() as held, pytest.raises(LockNotObtained) as caught, lock(no_wait=True, on_wait=seen.append):
        pass
    assert seen == []
    assert caught.value.exit_code == 5
    for part in (f"process {held.pid}", "user postgres", "application deploy", "127.0.0.1", "Nothing was changed."):
        assert part in str(caught.value)


def test_a_holder_without_life_is_waited_for_as_long_as_the_budget_says(lock: Any, clock: QuietClock) -> None:
    seen: list[Waiting] = []
    began, quietly = time.monotonic(), clock.now()
    with lock() as held, pytest.raises(LockNotObtained, match="shows no life"), lock(wait=0.6, on_wait=seen.append):
        pass
    assert time.monotonic() - began >= 0.6
    assert clock.now() - quietly < 3
    assert {w.pid for w in seen} == {held.pid}
    assert [w.seconds for w in seen] == sorted(w.seconds for w in seen)
    assert all(w.remaining is not None and 0 < w.remaining <= 0.6 for w in seen)
    assert all(w.since is not None and w.application == "deploy" and w.user == "postgres" for w in seen)


def test_waiting_for_a_holder_that_shows_life_costs_nothing_of_the_budget(lock: Any) -> None:
    release, seen = threading.Event(), []
    with ExitStack() as stack:
        held = stack.enter_context(lock())
        timer = threading.Timer(1.2, release.set)
        timer.start()

        def alive(_: object, pid: int) -> bool:
            assert pid == held.pid
            if release.is_set():
                stack.close()
            return True

        with lock(wait=0.3, holder_alive=alive, on_wait=seen.append) as mine:
            mine.check()
        timer.join()
    assert seen
    assert all(w.remaining is None for w in seen)
    assert seen[-1].seconds > 0.3


def test_ten_lockers_hold_it_one_after_the_other(lock: Any) -> None:
    inside, most, done, errors = 0, 0, [], []
    counter = threading.Lock()

    def work(number: int) -> None:
        nonlocal inside, most
        try:
            with lock(holder_alive=lambda *_: True):
                with counter:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.02)
                with counter:
                    inside -= 1
                done.append(number)
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not errors
    assert sorted(done) == list(range(10))
    assert most == 1


def test_a_waiter_holds_no_snapshot_so_an_index_can_be_built_concurrently(lock: Any, connect: Any) -> None:
    with connect() as c:
        c.execute("CREATE TABLE users AS SELECT i AS id FROM generate_series(1, 1000) i")
        waits, ended, problems = threading.Event(), threading.Event(), []

        def wait() -> None:
            try:
                with lock(on_wait=lambda _: waits.set()):
                    ended.set()
            except Exception as error:  # noqa: BLE001 - shown by the assertion
                problems.append(error)

        with lock():
            waiters = [threading.Thread(target=wait) for _ in range(3)]
            for waiter in waiters:
                waiter.start()
            assert waits.wait(PATIENCE)
            c.execute(f"SET statement_timeout = '{PATIENCE:.0f}s'")
            c.execute("CREATE INDEX CONCURRENTLY users_id ON users (id)")
            open_snapshots = (
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = 'deploy' AND state = 'idle in transaction'"
            )
            assert c.execute(open_snapshots).fetchone() == (0,)
        for waiter in waiters:
            waiter.join(PATIENCE)
        assert not problems
        assert ended.is_set()
        assert c.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_id'::regclass").fetchone() == (
            True,
        )


def test_an_exception_in_the_block_releases_the_lock_and_goes_on(lock: Any, connect: Any) -> None:
    with pytest.raises(ZeroDivisionError), lock():
        _ = 1 // 0
    assert is_free(connect)


HOLDER = """
import signal, sys, time, psycopg
from alembic_safe.database.deploy_lock import deploy_lock, lock_key

def terminate(*_):
    raise SystemExit(143)

signal.signal(signal.SIGTERM, terminate)
connect = lambda: psycopg.connect(sys.argv[1])
with deploy_lock(connect, lock_key("public.alembic_version"), wait=1, no_wait=False,
                 holder_alive=lambda *_: None, on_wait=print) as held:
    held.beat_every(0.05, lambda c: c.execute("SELECT 1"))
    print("held", flush=True)
    if sys.argv[2] == "statement":
        held.connection.execute("SELECT pg_sleep(600)")
    time.sleep(600)
"""


# Killed in the middle of a statement, client_connection_check_interval finds it after 10 s.
@pytest.mark.parametrize(
    ("sent", "code", "busy"),
    [
        (signal.SIGINT, None, "idle"), (signal.SIGINT, None, "statement"),
        (signal.SIGTERM, 143, "idle"), (signal.SIGTERM, 143, "statement"),
        (signal.SIGKILL, -9, "idle"),
    ],
)  # fmt: skip
def test_a_signal_releases_the_lock(
    cluster: Cluster, database: str, connect: Any, sent: signal.Signals, code: int | None, busy: str
) -> None:
    dsn = f"host=127.0.0.1 port={cluster.port} user=postgres dbname={database}"
    child = warm.Started(["-c", HOLDER, dsn, busy], Path.cwd(), os.environ)
    try:
        assert child.line() == "held"
        assert not is_free(connect)
        if busy == "statement":
            with connect() as c:
                eventually(lambda: c.execute(SLEEPING).fetchone())
        child.send_signal(sent)
        _, err = child.communicate(PATIENCE)
    finally:
        child.kill()
    assert child.returncode == code if code is not None else child.returncode != 0, err
    assert eventually(lambda: is_free(connect))


def test_the_session_of_the_lock_is_told_to_notice_a_vanished_machine(lock: Any) -> None:
    with lock() as held:
        rows = dict(held.connection.execute(
            "SELECT name, setting::int FROM pg_settings WHERE name LIKE 'tcp_keepalives%' OR name LIKE '%check_interval'"
        ).fetchall())  # fmt: skip
        assert rows["tcp_keepalives_idle"] == 10
        assert rows["tcp_keepalives_idle"] + rows["tcp_keepalives_interval"] * rows["tcp_keepalives_count"] <= 30
        assert rows["client_connection_check_interval"] == 10_000
        assert held.connection.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_the_lock_can_be_held_over_a_unix_socket(lock: Any, cluster: Cluster, database: str) -> None:
    with lock(connect=lambda: cluster.connect(database, host=str(cluster.folder))) as held:
        held.check()


def test_the_heart_beats_on_the_lock_s_own_session_until_the_release(lock: Any) -> None:
    beats: list[int] = []
    with lock() as held:
        held.beat_every(0.02, lambda c: beats.append(c.info.backend_pid))
        assert eventually(lambda: len(beats) >= 3)
        held.stop_beating()
        count = len(beats)
        time.sleep(0.1)
        assert len(beats) == count
        held.beat_every(0.02, lambda c: beats.append(c.info.backend_pid))
        assert eventually(lambda: len(beats) > count)
    assert set(beats) == {held.pid}
    assert "alembic-safe-heartbeat" not in {thread.name for thread in threading.enumerate()}


def test_a_beat_that_fails_is_logged_once_and_tried_again(lock: Any, caplog: pytest.LogCaptureFixture) -> None:
    with lock() as held:
        calls: list[int] = []

        def beat(c: psycopg.Connection[Any]) -> None:
            calls.append(1)
            c.execute("SELECT * FROM not_yet_there")

        held.beat_every(0.02, beat)
        assert eventually(lambda: len(calls) >= 3)
        held.check()
    assert [r.message for r in caplog.records if "heartbeat" in r.message.lower()] == [caplog.records[0].message]


def test_a_lost_session_is_noticed_by_the_heartbeat_and_stops_the_run(lock: Any, connect: Any) -> None:
    with lock() as held:
        held.beat_every(0.05, lambda c: c.execute("SELECT 1"))
        with connect() as c:
            c.execute("SELECT pg_terminate_backend(%s)", [held.pid])
        assert eventually(lambda: held.lost)
        with pytest.raises(LockNotObtained, match="is lost") as caught:
            held.check()
        assert caught.value.exit_code == 5


def test_a_lock_that_was_let_go_in_its_own_session_is_lost(lock: Any) -> None:
    with lock() as held:
        held.check()
        held.connection.execute("SELECT pg_advisory_unlock_all()")
        with pytest.raises(LockNotObtained, match="is lost"):
            held.check()


@contextmanager
def pooled(cluster: Cluster, database: str, **how: Any) -> Iterator[Callable[[], psycopg.Connection[Any]]]:
    with TransactionPooler(cluster.port, **how) as pooler:
        yield lambda: psycopg.connect(
            host="127.0.0.1", port=pooler.port, user="postgres", dbname=database, autocommit=True, sslmode="disable"
        )


@pytest.mark.parametrize(
    "how", [{"turns": True}, {"turns": False}], ids=["sessions in turn", "always the last session"]
)
def test_a_pooler_in_transaction_mode_is_refused_and_keeps_no_lock(
    lock: Any, connect: Any, cluster: Cluster, database: str, how: dict[str, bool]
) -> None:
    with pooled(cluster, database, **how) as through_pooler:
        with pytest.raises(Missing, match="pooler in transaction mode") as caught, lock(connect=through_pooler):
            pass
        assert caught.value.exit_code == 10
        assert is_free(connect)


def test_a_pooler_in_session_mode_is_as_good_as_the_server(
    lock: Any, connect: Any, cluster: Cluster, database: str
) -> None:
    with pooled(cluster, database, session_mode=True) as through_pooler, lock(connect=through_pooler) as held:
        held.check()
        assert not is_free(connect)


def test_a_role_without_any_right_can_lock_and_sees_who_holds(
    lock: Any, connect: Any, cluster: Cluster, database: str
) -> None:
    role = f"deployer_{os.getpid()}"
    with connect() as c:
        c.execute(f"CREATE ROLE {role} LOGIN")
    try:

        def plain() -> psycopg.Connection[Any]:
            return cluster.connect(database, user=role)

        named = pytest.raises(LockNotObtained, match=r"process [0-9]+, user postgres")
        with lock(), named, lock(connect=plain, no_wait=True):
            pass
        with lock(connect=plain) as mine:
            mine.check()
    finally:
        with connect() as c:
            c.execute(f"DROP ROLE {role}")
