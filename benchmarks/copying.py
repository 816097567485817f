"""What copying in batches costs: op.backfill beside a bare single UPDATE of the same rows, in alternating rounds.

Run with ``python -m benchmarks.copying [--rows 1000000] [--rounds 3] [--case NAME ...]`` from the project's folder.
Each figure is a ratio within one round; goals: 0.75 with 5 000 rows in a batch, 0.65 with batches sized by time, 0.7 for
uuid and composite keys, a heap of at most 1.35 times.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

from alembic_safe.database.steps import CopyOptions
from tests.cluster import VERSION, Cluster
from tests.stepwise import Stepwise

KEYS = {
    "bigint": ("id bigint", "PRIMARY KEY (id)", "n"),
    "uuid": ("id uuid", "PRIMARY KEY (id)", "gen_random_uuid()"),
    "composite": ("id integer, k bigint DEFAULT (random() * 1e9)::bigint", "PRIMARY KEY (id, k)", "n / 10"),
    "none": ("id bigint", "CHECK (true)", "n"),
}


@dataclass(frozen=True)
class Case:
    """One way to copy.

    :param key: which kind of key the table has.
    :param synced: whether the columns are in sync while they are copied, as in a real change.
    :param batch_rows: rows of a batch; ``None``: sized by time.
    """

    key: str = "bigint"
    synced: bool = True
    batch_rows: int | None = None
    vacuum: bool = False
    workers: int = 1


CASES = {
    "5 000 rows, no trigger": Case(synced=False, batch_rows=5000),
    "5 000 rows": Case(batch_rows=5000),
    "sized by time": Case(),
    "sized by time, vacuum": Case(vacuum=True),
    "uuid": Case(key="uuid", batch_rows=5000),
    "composite": Case(key="composite", batch_rows=5000),
    "no key": Case(key="none"),
    "two workers": Case(workers=2),
}


def make(place: Stepwise, case: Case, rows: int, table: str) -> None:
    """Make a filled table of about 200 bytes a row."""
    columns, key, value = KEYS[case.key]
    place.run(f"CREATE TABLE {table} ({columns}, a integer, pad text, n bigint)")
    place.run(f"INSERT INTO {table} (id, a, pad) SELECT {value}, n, repeat('x', 150) FROM generate_series(1, {rows}) n")
    place.run(f"ALTER TABLE {table} ADD {key}")
    place.run(f"VACUUM ANALYZE {table}")
    place.run("CHECKPOINT")


def bare(place: Stepwise, case: Case, rows: int) -> float:
    """Return the rows a second of the single statement."""
    make(place, case, rows, "naive")
    began = time.monotonic()
    place.run("UPDATE naive SET n = a")
    seconds = time.monotonic() - began
    place.run("DROP TABLE naive")
    return rows / seconds


def copied(place: Stepwise, case: Case, rows: int) -> tuple[float, float, int]:
    """Return the rows a second of the copy, how much its heap grew, and its batches."""
    make(place, case, rows, "t")
    before = place.all("SELECT pg_relation_size('t')")[0][0]
    if case.synced:
        place.op("sync_columns", "t", "a", "n")
    options = CopyOptions(vacuum=case.vacuum, workers=case.workers)
    began = time.monotonic()
    place.steps("backfill", "t", set_={"n": "a"}, batch_rows=case.batch_rows, options=options)
    seconds = time.monotonic() - began
    if place.all("SELECT count(*) FROM t WHERE n IS DISTINCT FROM a")[0][0]:
        raise SystemExit("rows are missing")
    growth = place.all("SELECT pg_relation_size('t')")[0][0] / before
    place.run("DROP TABLE t; DROP SCHEMA alembic_safe_runner CASCADE")
    return rows / seconds, growth, place.runner.commits


def main() -> None:
    """Measure the cases and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", nargs="*", default=list(CASES))
    args = parser.parse_args()
    cluster = Cluster.start(fsync="on", synchronous_commit="on", max_wal_size="4GB", shared_buffers="256MB")
    try:
        cluster.create("bench")
        place = Stepwise(cluster, lambda: "bench")
        print(f"PostgreSQL {VERSION}, {args.rows} rows, {args.rounds} rounds")
        for name in args.case:
            case = CASES[name]
            ratios, heaps, batches = [], [], 0
            for _ in range(args.rounds):
                naive = bare(place, case, args.rows)
                rate, growth, batches = copied(place, case, args.rows)
                ratios.append(rate / naive)
                heaps.append(growth)
            said = " ".join(f"{ratio:.2f}" for ratio in ratios)
            ratio = statistics.median(ratios)
            print(f"{name:24} {ratio:.2f} of the bare UPDATE ({said}), heap x {max(heaps):.2f}, {batches} commits")
        place.close()
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
