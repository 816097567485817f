"""What a deploy does to a live application while it waits for a lock: alembic-safe beside plain Alembic, in one run.

``python -m benchmarks.locks`` starts the embedded server and prints one table; exit 1 when a claim does not hold.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from alembic_safe.database.attempts import FailedAttempt, LockPolicy, run_with_attempts
from benchmarks.load import ROWS, Seen
from tests.cluster import Cluster
from tests.project import Project

HOLD = 10.0
"""Seconds for which an old transaction reads the table."""

Deploy = Callable[[Cluster, str, int], str]


@dataclass(frozen=True)
class Measured:
    """One deploy under load, all times in seconds."""

    what: str
    took: float
    after_holder: float | None
    stalled: float
    slowest: float
    failures: int
    note: str

    def line(self) -> str:
        """Return it as a line of the table."""
        late = "-" if self.after_holder is None else f"{self.after_holder:+.2f} s"
        figures = (
            f"{self.took:7.2f} s  {late:>9}  {self.stalled:7.2f} s  {self.slowest * 1000:9.0f} ms  {self.failures:4}"
        )
        return f"{self.what:44} {figures}  {self.note}"


HEADINGS = f"{'':44} {'took':>9}  {'after end':>9}  {'stalled':>9}  {'slowest op':>12}  lost"


def plain(cluster: Cluster, database: str, number: int) -> str:
    """Deploy with stock ``alembic upgrade head``, which waits in the queue."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project.create(Path(folder) / "app", cluster.url(database), plain=False)
        project.revision(
            f"r{number}", None, "add", f'op.add_column("live", sa.Column("c{number}", sa.Integer))',
            extra=f"# its own version table: each deploy of this benchmark starts at the beginning ({number})",
        )  # fmt: skip
        with cluster.connect(database) as c:
            c.execute("DROP TABLE IF EXISTS alembic_version")
        project.run("upgrade", "head", check=0)
    return "alembic upgrade head"


def safe(cluster: Cluster, database: str, number: int, first: float = LockPolicy.first) -> str:
    """Deploy one revision as safe-upgrade runs it, and prove that the pooled connection is as it was."""
    failed: list[FailedAttempt] = []
    engine = sa.create_engine(cluster.url(database), pool_size=1, max_overflow=0)
    settings = sa.text("SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY name")

    def session() -> list[tuple[str, str]]:
        with engine.connect() as connection:
            return [(row.name, row.setting) for row in connection.execute(settings)]

    before = session()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})

        def body() -> None:
            with context.begin_transaction(_per_migration=True):
                connection.exec_driver_sql(f"ALTER TABLE live ADD COLUMN c{number} int")

        run_with_attempts(
            connection, body, policy=LockPolicy(first=first), watch=lambda: cluster.connect(database),
            on_failed_attempt=failed.append,
        )  # fmt: skip
    left = set(session()) - set(before)
    engine.dispose()
    kinds = ", ".join(sorted({b.kind for f in failed for b in f.blockers})) or "nobody"
    return f"{len(failed) + 1} attempts, blocked by {kinds}, settings left behind: {len(left)}"


@contextmanager
def load(cluster: Cluster, database: str, seconds: float) -> Iterator[Callable[[], Seen]]:
    """Run the live application beside the block; the function that is yielded waits for it to end."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "seen.json"
        dsn = f"host=127.0.0.1 port={cluster.port} user=postgres dbname={database}"
        command = [sys.executable, "-m", "benchmarks.load", dsn, "live", str(seconds), str(output)]
        process = subprocess.Popen(command, cwd=Path(__file__).parents[1])

        def wait() -> Seen:
            if process.wait(seconds + 60) != 0:
                raise RuntimeError("the load ended with an error")
            return Seen.read(output)

        try:
            time.sleep(1.5)  # connected and under way
            yield wait
        finally:
            process.kill()
            process.wait()


@contextmanager
def holder(cluster: Cluster, database: str, seconds: float) -> Iterator[float]:
    """Read the table in one long transaction; yields when it will end."""
    connection = cluster.connect(database, autocommit=False, application_name="report")
    connection.execute("SELECT 1 FROM live LIMIT 1")
    timer = threading.Timer(seconds, connection.rollback)
    ends = time.monotonic() + seconds
    timer.start()
    try:
        yield ends
    finally:
        timer.join()
        connection.close()


def under_holder(
    cluster: Cluster, database: str, number: int, what: str, deploy: Deploy, seconds: float = HOLD
) -> Measured:
    """Deploy while an old transaction reads the table."""
    with load(cluster, database, seconds + 6) as wait, holder(cluster, database, seconds) as ends:
        began = time.monotonic()
        note = deploy(cluster, database, number)
        ended = time.monotonic()
        seen = wait()
    return Measured(
        what, ended - began, ended - ends, seen.stalled(began, ended + 0.5), seen.slowest, len(seen.failures), note
    )


def under_autovacuum(cluster: Cluster, database: str, number: int, what: str, deploy: Deploy) -> Measured:
    """Deploy while a slow autovacuum works on the table."""
    with cluster.connect(database) as c:
        c.execute("ALTER TABLE live SET (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)")
        c.execute("ALTER TABLE live SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0)")
        c.execute("UPDATE live SET v = v + 1")
        with load(cluster, database, 40) as wait:
            busy = "SELECT 1 FROM pg_stat_progress_vacuum WHERE relid = 'live'::regclass"
            until = time.monotonic() + 30
            while not c.execute(busy).fetchone():
                if time.monotonic() > until:
                    raise RuntimeError("no autovacuum came")
                time.sleep(0.05)
            time.sleep(0.5)
            began = time.monotonic()
            note = deploy(cluster, database, number)
            ended = time.monotonic()
            seen = wait()
        c.execute("ALTER TABLE live RESET (autovacuum_vacuum_cost_delay, autovacuum_vacuum_cost_limit)")
        c.execute("ALTER TABLE live RESET (autovacuum_vacuum_threshold, autovacuum_vacuum_scale_factor)")
    return Measured(what, ended - began, None, seen.stalled(began, ended + 0.5), seen.slowest, len(seen.failures), note)


def under_pgbench(cluster: Cluster, database: str, number: int, what: str, seconds: int = 8) -> Measured:
    """Deploy while pgbench keeps the server saturated on the table."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql", delete=False) as script:
        script.write(
            f"\\set id random(1, {ROWS})\nBEGIN;\nSELECT v FROM live WHERE id = :id;\n"
            "UPDATE live SET v = v + 1 WHERE id = :id;\nEND;\n"
        )
    where = ["-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", database]
    command = [str(cluster.bin / "pgbench"), "-n", "-c", "8", "-j", "2", "-T", str(seconds), "-f", script.name, *where]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(2)
    began = time.monotonic()
    note = safe(cluster, database, number)
    took = time.monotonic() - began
    out, _ = process.communicate(timeout=seconds + 30)
    Path(script.name).unlink()
    tps = next(line.split()[2] for line in out.splitlines() if line.startswith("tps"))
    failed = next(line.split(":")[1].split()[0] for line in out.splitlines() if "failed transactions" in line)
    return Measured(what, took, None, 0.0, 0.0, int(failed), f"{note}, pgbench {float(tps):.0f} tps")


def claims(measured: dict[str, Measured]) -> Iterator[tuple[str, bool]]:
    """Yield every claim, and whether it holds."""
    held, vacuum, bench = measured["holder"], measured["autovacuum"], measured["pgbench"]
    assert held.after_holder is not None
    yield "within 1 s of the holder's end", -0.1 <= held.after_holder <= 1
    yield "stalled for at most 0.2 s in all", held.stalled <= 0.2
    yield "no operation lost", held.failures == vacuum.failures == bench.failures == 0
    yield "through a slow autovacuum", vacuum.took < 10
    yield "through a saturated pgbench in under a second", bench.took < 1
    yield "no setting left behind", all("left behind: 0" in m.note for m in (held, vacuum, bench))


def main() -> int:
    """Measure everything and print it."""
    cluster = Cluster.start(autovacuum_naptime="1s")
    try:
        cluster.create("bench")
        with cluster.connect("bench") as c:
            c.execute("CREATE TABLE live (id int PRIMARY KEY, v int NOT NULL)")
            c.execute("INSERT INTO live SELECT i, 0 FROM generate_series(1, %s) i", [ROWS])
        print(HEADINGS)
        measured: dict[str, Measured] = {}

        def show(name: str, one: Measured) -> None:
            measured[name] = one
            print(one.line(), flush=True)

        show("plain", under_holder(cluster, "bench", 1, f"{HOLD:.0f} s reader, plain Alembic", plain))
        show("holder", under_holder(cluster, "bench", 2, f"{HOLD:.0f} s reader, alembic-safe", safe))
        for number, first in enumerate((0.02, 0.05, 0.2), 10):
            what = f"3 s reader, first attempt {first * 1000:.0f} ms"
            show(what, under_holder(cluster, "bench", number, what, lambda c, d, n, f=first: safe(c, d, n, f), 3.0))
        show("plain vacuum", under_autovacuum(cluster, "bench", 3, "slow autovacuum, plain Alembic", plain))
        show("autovacuum", under_autovacuum(cluster, "bench", 4, "slow autovacuum, alembic-safe", safe))
        show("pgbench", under_pgbench(cluster, "bench", 5, "saturated by pgbench -c8, alembic-safe"))
        results = list(claims(measured))
        for claim, holds in results:
            print(f"{'holds' if holds else 'FAILS'}  {claim}")
        return 0 if all(holds for _, holds in results) else 1
    finally:
        cluster.stop()


if __name__ == "__main__":
    raise SystemExit(main())
