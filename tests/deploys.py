"""How the tests run `safe-upgrade` and look at what it left behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from alembic_safe import commands
from tests import warm
from tests.patience import PATIENCE

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator

    from tests.cluster import Cluster
    from tests.project import Project

SLEEPING = (
    "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid() AND state = 'active'"
    " AND datname = current_database()"
)


WAITING = (
    "SELECT pid FROM pg_stat_activity WHERE query ~ 'pg_try_advisory_lock|backend_start' AND pid <> pg_backend_pid()"
    " AND datname = current_database()"
)


def held_up(key: int) -> str:
    """Return the body of a revision that goes on when somebody lets it, see :func:`let_go`; a shadow holds nobody up."""
    let = (
        f"SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = {key} AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    held = f"strpos(current_database(), 'alembic_safe_shadow') = 0 AND NOT EXISTS ({let})"
    return f'op.execute("DO $$ BEGIN WHILE {held} LOOP PERFORM pg_sleep(0.02); END LOOP; END $$")'


@contextlib.contextmanager
def let_go(cluster: Cluster, database: str, *keys: int) -> Iterator[None]:
    """Let what is :func:`held_up` under these keys go on, now and as long as the block lasts."""
    with cluster.connect(database) as c:
        for key in keys:
            c.execute("SELECT pg_advisory_lock(%s)", [key])
        yield


@dataclass(frozen=True)
class Ended:
    """How a run ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All of it in one line, since lines are wrapped where they happen to be long."""
        return " ".join((self.out + "\n" + self.err).split())

    @property
    def json(self) -> dict[str, Any]:
        found = json.loads(self.out)
        assert found["exit_code"] == self.code
        return found


def safe_upgrade(project: Project, *args: str, check: int | None = 0) -> Ended:
    """Run the command inside this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = commands.run("safe-upgrade", args, project.config)
    ended = Ended(code, out.getvalue(), err.getvalue())
    assert check is None or code == check, f"exit {code}\n{ended.out}\n{ended.err}"
    assert "Traceback" not in ended.text
    return ended


def start(project: Project, *args: str, **environ: str) -> warm.Started:
    """Start the command as a process of its own."""
    return warm.Started(["alembic", "safe-upgrade", *args], project.folder, os.environ | project.environ | environ)


def end_of(process: warm.Started, number: signal.Signals | None = None, *, timeout: float = PATIENCE) -> Ended:
    """Wait for a process, after a signal if one is given."""
    if number is not None:
        process.send_signal(number)
    out, err = process.communicate(timeout=timeout)
    return Ended(process.returncode, out, err)


def rows(cluster: Cluster, database: str, query: str, *params: object) -> list[dict[str, Any]]:
    """Ask a database as its superuser."""
    with cluster.connect(database, row_factory=dict_row) as c:
        cursor = c.execute(query, params or None)
        return cursor.fetchall() if cursor.description else []


def heads(cluster: Cluster, database: str, table: str = "alembic_version") -> list[str]:
    return sorted(row["version_num"] for row in rows(cluster, database, f"SELECT version_num FROM {table}"))


def columns(cluster: Cluster, database: str, table: str) -> list[str]:
    found = rows(
        cluster, database,
        "SELECT column_name AS it FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position", table,
    )  # fmt: skip
    return [row["it"] for row in found]


def deployments(cluster: Cluster, database: str) -> list[dict[str, Any]]:
    return rows(cluster, database, "SELECT * FROM alembic_safe.deployments ORDER BY id")


def outcomes(cluster: Cluster, database: str) -> list[str]:
    return [row["outcome"] for row in deployments(cluster, database)]


def advisory_locks(cluster: Cluster, database: str) -> int:
    return len(
        rows(
            cluster, database,
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
    )  # fmt: skip


@contextlib.contextmanager
def statements(cluster: Cluster, database: str) -> Iterator[Counter[str]]:
    """Collect what the server is sent in this database meanwhile, from the server's own log."""
    with cluster.connect() as c:
        c.execute(f"ALTER DATABASE \"{database}\" SET log_statement = 'all'")
    found: Counter[str] = Counter()
    begin = cluster.log.stat().st_size
    yield found
    with cluster.connect() as c:
        c.execute(f'ALTER DATABASE "{database}" RESET log_statement')
    with cluster.log.open("rb") as log:
        log.seek(begin)
        # a statement's further lines begin with a tab
        for entry in log.read().decode(errors="replace").replace("\n\t", " ").splitlines():
            _, told, statement = entry.partition("LOG:  statement: ")
            if not told:
                _, told, statement = entry.partition("LOG:  execute ")
                statement = statement.partition(": ")[2]
            if told:
                found[" ".join(statement.split())] += 1
