"""What is done to deploys: small enough for every run, or as large as a bad night; the callers judge the results."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from psycopg import sql

from tests.deploys import Ended, end_of, heads, held_up, rows, start
from tests.patience import eventually
from tests.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster import Cluster

BUILD = (
    "with op.get_context().autocommit_block():\n"
    '    op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON users (name)")'
)


@dataclass
class Shop:
    """A database and a project that deploys to it."""

    cluster: Cluster
    database: str
    project: Project

    def fresh(self, database: str) -> Shop:
        """Return the same files for another database."""
        folder = self.project.folder.parent / f"for_{database}"
        shutil.copytree(self.project.folder, folder)
        ini = folder / "alembic.ini"
        ini.write_text(ini.read_text().replace(self.database, database))
        return Shop(self.cluster, database, Project(folder, self.cluster.url(database)))

    def fill(self, megabytes: int) -> None:
        """Bring the database to a size; rows that do not compress."""
        per_row = 1000
        with self.cluster.connect(self.database) as c:
            c.execute("CREATE TABLE filling (id bigint, words text)")
            c.execute(
                "INSERT INTO filling SELECT i, (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 28) j)"
                " FROM generate_series(1, %s) i",
                [megabytes * 1_000_000 // per_row],
            )

    def size(self) -> int:
        """Return the database's size in bytes."""
        return int(rows(self.cluster, self.database, "SELECT pg_database_size(current_database()) AS it")[0]["it"])

    def chain(self, revisions: int, *, pause: float = 0.0, held: tuple[int, ...] = ()) -> None:
        """Add revisions behind a3: tables, columns, rows, and every fifth an index built concurrently.

        :param pause: seconds that each of them sleeps in its transaction.
        :param held: the numbers of those that wait at their end until somebody lets them go.
        """
        for n in range(1, revisions + 1):
            body = [
                f'op.create_table("t{n}", sa.Column("id", sa.Integer, primary_key=True), sa.Column("x", sa.Text))',
                f'op.execute("INSERT INTO t{n} SELECT i, md5(i::text) FROM generate_series(1, 500) i")',
                f'op.execute("ALTER TABLE users ADD c{n} int")',
                f'op.execute("SELECT pg_sleep({pause})")',
            ]
            if n % 5 == 0:
                body = [
                    "with op.get_context().autocommit_block():",
                    f'    op.execute("DROP INDEX CONCURRENTLY IF EXISTS users_{n}")',
                    f'    op.execute("CREATE INDEX CONCURRENTLY users_{n} ON users (name)")',
                    f'op.execute("SELECT pg_sleep({pause})")',
                ]
            if n in held:
                body.append(held_up(n))
            self.project.revision(f"r{n:03}", f"r{n - 1:03}" if n > 1 else "a3", f"revision {n}", "\n".join(body))

    def dump(self) -> str:
        """Return the schema without the journal, without the lines that differ in every dump."""
        text = self.cluster.run(
            "pg_dump", "-h", "127.0.0.1", "-p", str(self.cluster.port), "-U", "postgres", "--schema-only",
            "--exclude-schema=alembic_safe", "-d", self.database,
        )  # fmt: skip
        return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


@dataclass(frozen=True)
class Story:
    """What the journal and the server tell behind a scenario."""

    ended: list[Ended] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def codes(self) -> list[int]:
        """The exit codes, sorted."""
        return sorted(e.code for e in self.ended)

    def complaints(self) -> str:
        """What those said that did not end well, for a failing assertion."""
        return "\n---\n".join(f"{e.code}: {e.out[-1500:]}\n{e.err[-1500:]}" for e in self.ended if e.code)


def all_at_once(project: Project, number: int, *args: str) -> Story:
    """Start deploys together, and wait for all of them."""
    began = time.monotonic()
    processes = [start(project, *args) for _ in range(number)]
    with ThreadPoolExecutor(number) as pool:  # their pipes must be read side by side
        ended = list(pool.map(lambda p: end_of(p, timeout=600), processes))
    return Story(ended, time.monotonic() - began)


def rolling_deploy(old: Project, new: Project, *, pods: int, restarts: int, within: float, seed: int) -> Story:
    """Let pods of two releases restart at random moments, each deploying on its way up, the new ones more and more.

    :param pods: of each release.
    :param restarts: of each pod.
    :param within: seconds; the longest pause before a start.
    """
    began = time.monotonic()
    ended: list[Ended] = []

    def live(pod: int) -> None:
        chance = random.Random(seed * 1000 + pod)
        for _ in range(restarts):
            time.sleep(chance.uniform(0, within))
            ended.append(end_of(start(old if pod < pods else new), timeout=600))

    threads = [threading.Thread(target=live, args=(pod,)) for pod in range(2 * pods)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Story(ended, time.monotonic() - began)


def watch_heads(cluster: Cluster, database: str, order: list[str], until: threading.Event) -> list[str]:
    """Note every head that the database has until told to stop; raise when one stands before its predecessor."""
    seen: list[str] = []
    while not until.is_set():
        now = heads(cluster, database)[0]
        if not seen or seen[-1] != now:
            assert not seen or order.index(now) > order.index(seen[-1]), (seen, now)
            seen.append(now)
        time.sleep(0.02)
    return seen


def sessions(shop: Shop) -> int:
    """Return how many sessions a deploy has in the database at this moment."""
    found = rows(
        shop.cluster, shop.database,
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'",
    )  # fmt: skip
    return len(found)


def time_calm(shop: Shop) -> float:
    """Run a deploy undisturbed; return the seconds from its first session to its end."""
    process = start(shop.project)
    eventually(lambda: sessions(shop))
    began = time.monotonic()
    ended = end_of(process)
    assert ended.code == 0, ended
    return time.monotonic() - began


def kill_during(shop: Shop, seconds: float) -> Ended:
    """Start a deploy and kill it, without a chance to tidy up, some time after it has reached the database."""
    process = start(shop.project)
    eventually(lambda: sessions(shop) or process.poll() is not None)
    try:
        ended = end_of(process, timeout=seconds)
    except subprocess.TimeoutExpired:
        ended = end_of(process, signal.SIGKILL)
    eventually(lambda: not sessions(shop))  # the server has noticed
    return ended


def cut(cluster: Cluster, database: str, which: str) -> int:
    """End one session of a running deploy as an administrator or a failing network would.

    :param which: ``migration``: the one that runs the revisions; ``lock``: the one that holds the deploy lock;
        ``watcher``: any other of ours.
    :returns: how many were ended.
    """
    holds = "EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory')"
    conditions = {
        "lock": holds,
        "migration": "a.application_name = ''",
        "watcher": f"a.application_name <> '' AND NOT {holds}",
    }
    query = sql.SQL(
        "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a WHERE a.datname = current_database()"
        " AND a.pid <> pg_backend_pid() AND a.application_name <> 'the tests' AND "
    ) + sql.SQL(conditions[which])
    with cluster.connect(database, application_name="the tests") as c:
        return len(c.execute(query).fetchall())


def cut_during(shop: Shop, which: str, seconds: float) -> tuple[Ended, int]:
    """Start a deploy, and end one of its sessions some time after it holds the deploy lock."""
    locked = (
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    process = start(shop.project)
    eventually(lambda: rows(shop.cluster, shop.database, locked) or process.poll() is not None)
    time.sleep(seconds)
    number = cut(shop.cluster, shop.database, which)
    return end_of(process), number


def copy_of(project: Project, folder: Path) -> Project:
    """Make a project with the same three first revisions on the same database."""
    return Project.create(folder, project.url)
