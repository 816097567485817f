"""What live writers notice of a change of a large table, beside the naive statement and beside no change at all, in one run.

Run with ``python -m benchmarks.living [--rows 5000000] [--rounds 3] [--case NAME ...]`` from the project's folder. An open
loop of 300 operations a second runs on the table; in every round the naive statement and ``safe-upgrade`` (expand, copy and
contract) each work on a new table, each behind some seconds in which nothing but the load ran (and what looks at the locks, as
it does later on). What they notice of the naive statement on another table, which nobody else uses, is printed, too: no lock
of it is in anybody's way, so that is what the work itself costs them on a machine whose cores and log they share with it.
Where that alone is more than a claim allows, the claim is held against it instead, and the output says so; and so it is with
what who knows PostgreSQL would send by hand, and nothing else, to make the change without long locks. Each round is
compared with its own controls, and the middle one counts. Percentiles are of ten seconds at least: of the 300 writes of two
seconds, the 99.9th would be the worst one (which is printed, too). The controls in which nothing but the load runs are together
about as long as a deploy: a disk that stands still for a moment twice a minute does so in ten seconds of a minute, or not.
What one stretch of time has left to be written is on the disk before the next begins. What would run on other machines is kept
out of the server's way, and out of each other's: the load's client has the first core, what a deploy and a developer's
``safe-contract`` compute themselves has the last core, and goes last (nice 19). The load goes first (SCHED_RR, where that is
allowed: root), its client and its sessions in the server. A kernel that does not take a core from whoever computes when
somebody else wakes up there (PREEMPT_NONE or lazy preemption) lets him wait for the next tick, 4 ms at 250 Hz, often with the
other core idle; that is measured then, and not what a change does to writers. ``--plain`` leaves everything to the kernel.
The server has a quarter of the memory as its ``shared_buffers``, as PostgreSQL's documentation proposes; with less
(``--shared-buffers 256MB``) who writes a row first puts out a page that the change has written, and waits for the disk.
``--wal-in FOLDER`` has the write-ahead log on that folder's file system: where it shares its disk with the tables, each commit
waits behind what the change has written to them; on a machine with one disk, ``/dev/shm`` stands for the second.
Exit 1 when a claim fails.
"""

from __future__ import annotations

import argparse
import copy
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.load import Seen
from benchmarks.noticed import Noticed, Round, show
from tests.cluster import VERSION, Cluster
from tests.deploys import end_of
from tests.models_project import ENV_WITH_REWRITER, ModelsProject
from tests.warm import Started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDLE = 30.0
"""Seconds with nothing but the load, before each way; together those of a round last about as long as a deploy."""
LEAST = 10.0
"""Seconds of each other control, and at least of what is compared with them."""
LOOK_EVERY = 0.002
"""Seconds between two looks at who holds ACCESS EXCLUSIVE: a hold is known to within twice of it."""
WAL_FILES = 384
"""Of 16 MB each."""
BUFFERS = f"{(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 20) // 4}MB"
CORES = sorted(os.sched_getaffinity(0))
BATCH = 5000
"""Rows that a person copies in one statement."""
SETTINGS = "environment = production\ncontract_min_age = 0\nrehearse = off"

MODELS = """\
sa.Table("parents", metadata, sa.Column("id", sa.Integer, primary_key=True))
sa.Table("live", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", sa.Integer, nullable=False),
         sa.Column("w", {w}), sa.Column("p", sa.Integer{p}), sa.Column("n", sa.Integer), sa.Column("pad", sa.Text{pad}))
sa.Table("elsewhere", metadata, sa.Column("id", sa.Integer, nullable=False), sa.Column("v", sa.Integer, nullable=False),
         *(sa.Column(name, sa.Integer) for name in "wpn"), sa.Column("pad", sa.Text))
"""
FILL = (
    "INSERT INTO parents SELECT generate_series(0, 999)",
    "INSERT INTO live SELECT n, 0, 0, n % 1000, NULL, md5(n::text) || repeat('x', 120) FROM generate_series(1, {rows}) n",
    "ALTER TABLE elsewhere SET (autovacuum_enabled = off)",
    "INSERT INTO elsewhere SELECT * FROM live WHERE id <= 500000",
)


_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'live'"


@dataclass(frozen=True)
class Case:
    """One change: what stands in the models behind it, and the statement that makes it at once.

    :param body: the revision's, where it is no change of the models.
    :param by_hand: the statements that make it without long locks, where that can be said in a few words; one that says
        ``{first}`` and ``{last}`` is sent for every 5 000 rows.
    """

    naive: str
    w: str = "sa.Integer"
    p: str = ""
    pad: str = ""
    body: str = ""
    by_hand: tuple[str, ...] = ()


CASES = {
    "type change": Case(
        "ALTER TABLE live ALTER w TYPE bigint",
        w="sa.BigInteger",
        by_hand=(
            "ALTER TABLE live ADD w_new bigint",
            "CREATE FUNCTION live_w() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.w_new := NEW.w; RETURN NEW; END'",
            "CREATE TRIGGER live_w BEFORE INSERT OR UPDATE ON live FOR EACH ROW EXECUTE FUNCTION live_w()",
            "UPDATE live SET w_new = w WHERE id BETWEEN {first} AND {last}",
            "DROP TRIGGER live_w ON live; DROP FUNCTION live_w(); ALTER TABLE live DROP w; ALTER TABLE live RENAME w_new TO w",
        ),
    ),
    "not null": Case(
        "ALTER TABLE live ALTER w SET NOT NULL",
        w="sa.Integer, nullable=False",
        by_hand=(
            "ALTER TABLE live ADD CONSTRAINT w_set CHECK (w IS NOT NULL) NOT VALID",
            "ALTER TABLE live VALIDATE CONSTRAINT w_set",
            "ALTER TABLE live ALTER w SET NOT NULL",
            "ALTER TABLE live DROP CONSTRAINT w_set",
        ),
    ),
    "foreign key": Case(
        "ALTER TABLE live ADD FOREIGN KEY (p) REFERENCES parents",
        p=', sa.ForeignKey("parents.id")',
        by_hand=(
            "ALTER TABLE live ADD CONSTRAINT of_parents FOREIGN KEY (p) REFERENCES parents NOT VALID",
            "ALTER TABLE live VALIDATE CONSTRAINT of_parents",
        ),
    ),
    "index": Case(
        "CREATE INDEX ON live (pad)", pad=", index=True", by_hand=("CREATE INDEX CONCURRENTLY ON live (pad)",)
    ),
    "backfill": Case(
        "UPDATE live SET n = id",
        body='    with op.step("copy"):\n        op.backfill("live", set_={"n": "id"})',
        by_hand=("UPDATE live SET n = id WHERE id BETWEEN {first} AND {last}",),
    ),
}


@dataclass
class Holds:
    """Looks again and again at who holds ACCESS EXCLUSIVE on the table, in a thread."""

    cluster: Cluster
    database: str
    seen: dict[tuple[int, str], tuple[float, float]] = field(default_factory=dict)
    ending: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Look until told to end."""
        query = (
            "SELECT pid, virtualtransaction FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted"
            " AND relation = 'live'::regclass"
        )
        with self.cluster.connect(self.database) as c:
            while not self.ending.wait(LOOK_EVERY):
                for pid, transaction in c.execute(query).fetchall():
                    now = time.monotonic()
                    first, _ = self.seen.get((pid, transaction), (now, now))
                    self.seen[pid, transaction] = (first, now)

    @property
    def seconds(self) -> tuple[float, ...]:
        """How long each was held."""
        return tuple(last - first + LOOK_EVERY for first, last in self.seen.values())


@contextmanager
def load(cluster: Cluster, database: str, rows: int, into: list[Seen], *, first: bool = True) -> Iterator[None]:
    """Run the live application beside the block.

    :param first: whether it goes before everybody else, its client and its sessions.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "seen.json"
        dsn = f"host=127.0.0.1 port={cluster.port} user=postgres dbname={database}"
        command = [sys.executable, "-m", "benchmarks.load", dsn, "live", "3600", str(output), str(rows), "w"]
        process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
        if first:
            os.sched_setaffinity(process.pid, {CORES[0]})
            _goes_first(process.pid)
        try:
            time.sleep(1.5)  # connected and under way
            if first:
                with cluster.connect() as c:
                    for (pid,) in c.execute(_SESSIONS).fetchall():
                        _goes_first(pid)
            yield
            process.send_signal(signal.SIGTERM)
            process.wait(120)
            into.append(Seen.read(output))
        finally:
            process.kill()
            process.wait()


def _goes_first(pid: int) -> None:
    with suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))


def make_wal_files(cluster: Cluster) -> None:
    """Have the WAL files that a server that has been running uses again.

    A new one fills each with zeros, with everybody waiting; one that is told not to (``wal_init_zero``) has the file system
    find room whenever WAL is written, so that every commit waits for what others are writing to their tables.
    """
    with cluster.connect() as c:
        for _ in range(WAL_FILES):
            c.execute("SELECT pg_logical_emit_message(false, 'alembic_safe', ''), pg_switch_wal()")
        c.execute("CHECKPOINT")


def in_batches(statement: str, rows: int) -> Iterator[str]:
    """Yield a statement for one batch of rows after the other, and a VACUUM behind every million."""
    for first in range(1, rows + 1, BATCH):
        yield statement.format(first=first, last=first + BATCH - 1)
        if (first + BATCH - 1) % 1_000_000 == 0:
            yield "VACUUM live"


class Place:
    """One new database with a filled table, and a project for it."""

    def __init__(self, cluster: Cluster, rows: int, folder: Path, *, plain: bool = False) -> None:
        self.cluster, self.rows, self.case, self.plain = cluster, rows, Case(""), plain
        cluster.create("living")
        env = ENV_WITH_REWRITER
        self.project = ModelsProject.make(folder, cluster.url("living"), "", settings=SETTINGS, env_py=env)
        self._revision(MODELS.format(w="sa.Integer", p="", pad=""), "first")
        self._deploy("v0")
        with cluster.connect("living") as c:
            for statement in FILL:
                c.execute(statement.format(rows=rows))  # type: ignore[arg-type]
            c.execute("VACUUM ANALYZE")
        with cluster.connect() as c:
            c.execute("ALTER DATABASE living RENAME TO living_full")

    @contextmanager
    def copied(self, case: Case) -> Iterator[Place]:
        """Return another one, as this one was when it was new."""
        made = copy.copy(self)
        with self.cluster.connect() as c, tempfile.TemporaryDirectory() as folder:
            c.execute("CREATE DATABASE living TEMPLATE living_full STRATEGY FILE_COPY")
            made.case = case
            made.project = self.project.copied_to(Path(folder) / "app", self.cluster.url("living"))
            with self.cluster.connect("living") as own:
                own.execute("SELECT sum(hashtext(l::text)) FROM live l")  # in memory, as it is where it was just filled
            try:
                yield made
            finally:
                self.cluster.drop("living")

    def _revision(self, models: str, message: str) -> None:
        self.project.models(models)
        self.project.run("revision", "--autogenerate", "-m", message, check=0)

    def _deploy(self, release: str) -> None:
        self._run("safe-upgrade", "head", "--release", release, "--no-backup", "--confirm", "living", "--drift", "warn")

    def _run(self, *words: str) -> None:
        """Run a command that belongs on another machine than the database's."""
        process = Started(["alembic", *words], self.project.folder, os.environ | self.project.environ)
        if not self.plain:
            os.sched_setaffinity(process.pid, {CORES[-1]})
            os.setpriority(os.PRIO_PROCESS, process.pid, 19)
        ended = end_of(process, timeout=3600)
        if ended.code:
            raise SystemExit(f"{ended.out}\n{ended.err}")

    def _settled(self) -> None:
        """Wait until what has been written is on the disk: the kernel would take it there half a minute later."""
        with self.cluster.connect() as c:
            c.execute("CHECKPOINT")
        os.sync()
        time.sleep(1)

    def naive(self) -> None:
        """Make the change in one statement."""
        self._execute(self.case.naive)

    def by_hand(self) -> None:
        """Make the change in statements that lock nothing for long."""
        for statement in self.case.by_hand:
            self._execute(*(in_batches(statement, self.rows) if "{first}" in statement else (statement,)))

    def _execute(self, *statements: str) -> None:
        with self.cluster.connect("living") as c:
            for statement in statements:
                c.execute(statement)  # type: ignore[arg-type]

    def _naive_elsewhere(self, until: float) -> None:
        """Make the change in one statement where nobody notices it, again and again."""
        with self.cluster.connect("living") as c:
            while time.monotonic() < until:
                with c.transaction(force_rollback=True):
                    c.execute(self.case.naive.replace("live", "elsewhere"))  # type: ignore[arg-type]

    def write(self) -> None:
        """Write the revision files of the change; not a part of what is measured."""
        case = self.case
        self._revision(MODELS.format(w=case.w, p=case.p, pad=case.pad), "second")
        if case.body:
            path = self.project.files_by_time[-1]
            path.write_text(path.read_text().replace("def upgrade() -> None:", f"def upgrade() -> None:\n{case.body}"))

    def phased(self) -> None:
        """Deploy the change, and its contract with the next release."""
        self._deploy("v1")
        if list((self.project.folder / "migrations" / "contracts").glob("*.py")):
            self._run("safe-contract")
            self._deploy("v2")

    def measured(self, change: Callable[[Place], None]) -> tuple[Noticed, Noticed]:
        """Return what was noticed of nothing, and of the change."""
        self.write()
        holds, seen = Holds(self.cluster, "living"), list[Seen]()
        before = self._size()
        with load(self.cluster, "living", self.rows, seen, first=not self.plain):
            watching = threading.Thread(target=holds.look)
            watching.start()
            self._settled()
            since = time.monotonic()
            time.sleep(IDLE)
            elsewhere = time.monotonic()
            self._naive_elsewhere(until=elsewhere + LEAST)
            controlled = time.monotonic()
            self._settled()
            began = time.monotonic()
            change(self)
            ended = time.monotonic()
            holds.ending.set()
            watching.join()
            until = max(ended, began + LEAST)
            time.sleep(max(0.0, until - time.monotonic()) + 0.5)
        heap = self._size() / before

        def noticed(since: float, until: float) -> tuple[float, ...]:
            # what was due in that time, though it was done later
            return tuple(seconds for at, seconds in seen[0].writes if since <= at - seconds <= until) or (0.0,)

        idle = Noticed(elsewhere - since, noticed(since, elsewhere - 0.05), 0)
        idle = replace(idle, elsewhere=noticed(elsewhere, controlled - 0.05))
        return idle, Noticed(ended - began, noticed(began, until), len(seen[0].failures), holds.seconds, heap)

    def _size(self) -> int:
        with self.cluster.connect("living") as c:
            row = c.execute("SELECT pg_relation_size('live')").fetchone()
        assert row is not None
        return int(row[0])


def measure(full: Place, case: Case) -> Round:
    """Measure each way on a database of its own."""
    ways = {"naive": Place.naive, "phased": Place.phased}
    if case.by_hand:
        ways["by_hand"] = Place.by_hand
    controls, noticed = [], {}
    for name, way in ways.items():
        with full.copied(case) as place:
            control, noticed[name] = place.measured(way)
        controls.append(control)
    writes = tuple(one for control in controls for one in control.writes)
    elsewhere = tuple(one for control in controls for one in control.elsewhere)
    return Round(replace(controls[0], writes=writes, elsewhere=elsewhere), **noticed)


def main() -> int:
    """Measure the cases.

    :return: 0 when every claim holds, 1 otherwise.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--case", nargs="*", default=list(CASES), choices=list(CASES), metavar="NAME")
    parser.add_argument("--plain", action="store_true", help="leave cores and priorities to the kernel")
    parser.add_argument("--shared-buffers", default=BUFFERS, help="(default: %(default)s)")
    parser.add_argument(
        "--wal-in", type=Path, metavar="FOLDER", help="where the write-ahead log is, if on another disk"
    )
    options = parser.parse_args()
    conf = {
        "fsync": "on",
        "synchronous_commit": "on",
        "min_wal_size": f"{WAL_FILES * 16}MB",
        "max_wal_size": "8GB",
        "shared_buffers": options.shared_buffers,
        "autovacuum_naptime": "1min",  # as it is where nobody says otherwise: each ANALYZE is a second beside the writers
        # what somebody writes for want of a buffer goes to the disk then, and not with that of half a minute; a copy sees
        # to it for what it writes itself, but not for what it has written to and others put out
        "backend_flush_after": "256kB",
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and end the load, which would go on
    cluster = Cluster.start(VERSION, options.wal_in, **conf)
    done: list[bool] = []
    folder = tempfile.TemporaryDirectory()
    try:
        make_wal_files(cluster)
        full = Place(cluster, options.rows, Path(folder.name) / "app", plain=options.plain)
        print(
            f"PostgreSQL {VERSION}, shared_buffers {options.shared_buffers}, {options.rows} rows, {options.rounds} rounds:"
            " median (every round)"
        )
        done += [show(name, [measure(full, CASES[name]) for _ in range(options.rounds)]) for name in options.case]
    finally:
        cluster.stop()
        folder.cleanup()
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
