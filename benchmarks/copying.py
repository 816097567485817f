"""What copying in batches costs: op.backfill beside a bare single UPDATE of the same table, in alternating rounds.

Run with ``python -m benchmarks.copying [--rows 1000000] [--rounds 3] [--case NAME ...]`` from the project's folder. The
copy is a revision that a real ``alembic safe-upgrade`` deploys; its time is what the journal says. Where the columns
are in sync, they are for both: a trigger costs every UPDATE about a tenth. Each figure is a ratio within one round.
Exit 1 when a claim fails.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster import VERSION, Cluster
from tests.deploys import end_of, start
from tests.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = {
    "bigint": ("id bigint", "PRIMARY KEY (id)", "n"),
    "uuid": ("id uuid", "PRIMARY KEY (id)", "gen_random_uuid()"),
    "composite": ("id integer, k bigint DEFAULT (random() * 1e9)::bigint", "PRIMARY KEY (id, k)", "n / 10"),
    "none": ("id bigint", "CHECK (true)", "n"),
}
HEAP = 1.35
"""How many times its size a table may have behind the copy."""
SETTINGS = "environment = production\nrehearse = off"
COPY = 'with op.step("copy"):\n    op.backfill("t", set_={{"n": "a"}}, batch_rows={})'


@dataclass(frozen=True)
class Case:
    """One way to copy.

    :param goal: what the ratio is to be at least; ``None``: nothing is claimed.
    :param key: which kind of key the table has.
    :param synced: whether the columns are in sync while they are copied, as in a real change.
    :param batch_rows: rows of a batch; ``None``: sized by time.
    """

    goal: float | None = None
    key: str = "bigint"
    synced: bool = True
    batch_rows: int | None = None
    workers: int = 1


CASES = {
    "5 000 rows, no trigger": Case(0.75, synced=False, batch_rows=5000),
    "5 000 rows": Case(0.75, batch_rows=5000),
    "sized by time, no trigger": Case(0.65, synced=False),
    "sized by time": Case(0.65),
    "uuid": Case(0.7, key="uuid", batch_rows=5000),
    "composite": Case(0.7, key="composite", batch_rows=5000),
    "no key": Case(key="none"),
    "two workers": Case(workers=2),
}


def make(cluster: Cluster, case: Case, rows: int) -> None:
    """Make a filled table of about 200 bytes a row."""
    columns, key, value = KEYS[case.key]
    cluster.create("copying")
    with cluster.connect("copying") as c:
        for statement in (
            f"CREATE TABLE t ({columns}, a integer, pad text, n bigint)",
            f"INSERT INTO t (id, a, pad) SELECT {value}, n, repeat('x', 150) FROM generate_series(1, {rows}) n",
            f"ALTER TABLE t ADD {key}",
            "VACUUM ANALYZE t",
            "CHECKPOINT",
        ):
            c.execute(statement)


def deploy(project: Project, case: Case) -> None:
    """Run a real safe-upgrade."""
    words = ("--no-backup", "--confirm", "copying", "--drift", "warn", "--workers", str(case.workers))
    ended = end_of(start(project, *words), timeout=3600)
    if ended.code:
        raise SystemExit(f"{ended.out}\n{ended.err}")


def asked(cluster: Cluster, query: str) -> int:
    """Return the one number that a query finds."""
    with cluster.connect("copying") as c:
        row = c.execute(query).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def prepared(cluster: Cluster, case: Case, rows: int) -> Iterator[Project]:
    """Make a table anew, in sync where the case says so, and a project for it."""
    make(cluster, case, rows)
    try:
        with tempfile.TemporaryDirectory() as folder:
            project = Project.create(Path(folder) / "app", cluster.url("copying"), plain=False, settings=SETTINGS)
            project.revision("r1", None, "sync", 'op.sync_columns("t", "a", "n")' if case.synced else "pass")
            deploy(project, case)
            yield project
    finally:
        cluster.drop("copying")


def bare(cluster: Cluster, case: Case, rows: int) -> float:
    """Return the seconds of the single statement."""
    with prepared(cluster, case, rows), cluster.connect("copying") as c:
        began = time.monotonic()
        c.execute("UPDATE t SET n = a")
        return time.monotonic() - began


def copied(cluster: Cluster, case: Case, rows: int) -> tuple[float, float]:
    """Return the seconds of the copy, and how many times as large the heap is behind it."""
    with prepared(cluster, case, rows) as project:
        before = asked(cluster, "SELECT pg_relation_size('t')")
        project.revision("r2", "r1", "copy", COPY.format(case.batch_rows))
        deploy(project, case)
        if asked(cluster, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM a"):
            raise SystemExit("rows are missing")
        # the copy as a whole has the shortest name, its ranges have longer ones
        milliseconds = asked(cluster, "SELECT milliseconds FROM alembic_safe.copies ORDER BY length(copy) LIMIT 1")
        return milliseconds / 1000, asked(cluster, "SELECT pg_relation_size('t')") / before


def measure(cluster: Cluster, name: str, rows: int, rounds: int) -> bool:
    """Measure one case, print a line, and return whether its claims hold."""
    case = CASES[name]
    ratios, heaps = [], []
    for number in range(rounds):
        # each of them comes first in its turn: the disk may still be at work for who went before
        naive = bare(cluster, case, rows) if number % 2 == 0 else None
        seconds, heap = copied(cluster, case, rows)
        if naive is None:
            naive = bare(cluster, case, rows)
        ratios.append(naive / seconds)
        heaps.append(heap)
    said = " ".join(f"{ratio:.2f}" for ratio in ratios)
    ratio = statistics.median(ratios)
    holds = (case.goal is None or ratio >= case.goal) and max(heaps) <= HEAP
    claim = f"at least {case.goal}, " if case.goal is not None else ""
    print(
        f"{name:24} {ratio:.2f} of the bare UPDATE ({said}), heap x {max(heaps):.2f}"
        f"  {'holds' if holds else 'FAILS'}: {claim}heap at most {HEAP}",
        flush=True,
    )
    return holds


def main() -> int:
    """Measure the cases.

    :return: 0 when every claim holds, 1 otherwise.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--case", nargs="*", default=list(CASES), choices=list(CASES), metavar="NAME")
    options = parser.parse_args()
    # a server that has run for a while takes its WAL files up again, this one would fill every one with zeros
    settings = {"wal_init_zero": "off", "max_wal_size": "4GB", "shared_buffers": "256MB"}
    cluster = Cluster.start(fsync="on", synchronous_commit="on", **settings)
    try:
        print(f"PostgreSQL {VERSION}, {options.rows} rows, {options.rounds} rounds: median (every round)")
        done = [measure(cluster, name, options.rows, options.rounds) for name in options.case]
    finally:
        cluster.stop()
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
