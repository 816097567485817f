"""While somebody else holds a table locked: no command of ours hangs silently, and none takes it for in order."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from alembic_safe import commands
from alembic_safe.database import reading
from tests.deploys import Ended, heads, safe_upgrade
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster import Cluster
    from tests.project import Project

TABLES = ("users", '"Order %"', "alembic_version", "alembic_safe.environment")
WAITING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def shop(project: Project, cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a journal, one pending revision, and little time to wait for locks."""
    safe_upgrade(project)
    with cluster.connect(database) as c:
        c.execute('CREATE TABLE "Order %" (id int PRIMARY KEY, b int DEFAULT 3); CREATE INDEX ON "Order %" ((id + 1))')
    safe_upgrade(project, "--drift", "warn")
    project.revision("b1", "a3", "fresh", 'op.create_table("fresh", sa.Column("id", sa.Integer, primary_key=True))')
    monkeypatch.setattr(reading, "FOR_A_LOOK", 0.5)
    monkeypatch.setattr(reading, "_BEFORE", 0.1)
    monkeypatch.setattr(reading, "_EVERY", 0.05)
    monkeypatch.setenv("ALEMBIC_SAFE_LOCK_BUDGET", "1s")
    return project


def command(project: Project, *words: str) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = commands.run(words[0], words[1:], project.config)
    return Ended(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def locked(cluster: Cluster, database: str, table: str) -> Iterator[None]:
    with cluster.connect(database, application_name="somebody else") as holder:
        holder.autocommit = False
        holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield
        holder.rollback()


@pytest.mark.cases('"Order %"')
@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_somebody_holds_ends_every_command_and_says_who(
    shop: Project, cluster: Cluster, database: str, table: str
) -> None:
    with locked(cluster, database, table):
        ended = {
            words: command(shop, *words)
            for words in (("safe-upgrade",), ("safe-upgrade", "--dry-run"), ("safe-plan",), ("safe-status",))
        }
    for words, one in ended.items():
        assert "Traceback" not in one.text, words
        # what does not have to read that table does not have to wait for it
        if one.code == 0:
            assert words == ("safe-plan",)
            assert table.startswith("alembic_safe")
            continue
        assert one.code == (4 if words == ("safe-status",) and "unknown" in one.text.lower() else 5), (words, one.text)
        assert "somebody else" in one.text, words
        assert "locked by somebody else for " in one.text, words
    assert ended["safe-upgrade",].code == 5
    assert heads(cluster, database) == ["a3"]
    assert safe_upgrade(shop, "--drift", "warn").code == 0


def test_a_status_with_a_replay_says_that_it_could_not_look(shop: Project, cluster: Cluster, database: str) -> None:
    with locked(cluster, database, "users"):
        ended = command(shop, "safe-status", "--drift")
    assert "changes by hand could not be checked: The database could not be looked at: public.users" in ended.text
    assert ended.code == 4


def test_a_deploy_waits_visibly_and_goes_on_when_the_lock_is_gone(
    shop: Project, cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ALEMBIC_SAFE_LOCK_BUDGET", "10m")
    ended: list[Ended] = []
    deploy = threading.Thread(target=lambda: ended.append(command(shop, "safe-upgrade", "--drift", "warn")))
    with caplog.at_level(logging.WARNING, "alembic.safe.lock"), cluster.connect(database) as watcher:
        with locked(cluster, database, "users"):
            deploy.start()
            eventually(lambda: watcher.execute(WAITING).fetchone() is not None, "the wait")
            eventually(lambda: caplog.messages, "a word about it")
        deploy.join()
    assert caplog.messages[0].startswith("public.users cannot be read: pid ")
    assert "somebody else has locked" in caplog.messages[0]
    assert ended[0].code == 0, ended[0].text
    assert heads(cluster, database) == ["b1"]


def test_where_env_py_sets_no_logging_up_the_wait_is_told_on_stderr(
    shop: Project, cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's own
    with locked(cluster, database, "users"):
        ended = command(shop, "safe-plan")
    assert ended.err.startswith("Waits    public.users cannot be read: pid ")
    assert ended.out == ""


def test_one_who_waits_for_a_lock_himself_is_told_of_as_well(shop: Project, cluster: Cluster, database: str) -> None:
    """An ALTER TABLE that waits behind a reader makes everybody wait behind itself."""
    with cluster.connect(database) as reader, cluster.connect(database, application_name="the alter") as waiter:
        reader.autocommit = False
        reader.execute("SELECT count(*) FROM users")

        def alter() -> None:
            with contextlib.suppress(Exception):
                waiter.execute("ALTER TABLE users ADD COLUMN late int")

        thread = threading.Thread(target=alter)
        thread.start()
        with cluster.connect(database) as watcher:
            eventually(lambda: watcher.execute(WAITING).fetchone() is not None, "the wait")
            ended = command(shop, "safe-upgrade")
        waiter.cancel()
        thread.join()
        reader.rollback()
    assert ended.code == 5, ended.text
    assert "the alter" in ended.text
    assert "Nothing was changed." in ended.text
