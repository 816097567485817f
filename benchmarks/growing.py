"""What a copy costs when the table is many times as large, and what it does twice when it was killed on the way.

Run with ``python -m benchmarks.growing [--rows 1000000] [--times 20] [--rounds 3]`` from the project's folder. The copy
is that of ``benchmarks.copying``, in sync, in batches of 5 000 rows. What one batch takes is the whole copy's time, its
pauses and its VACUUMs included, by the number of batches; the smaller table is copied once before and once behind the
large one in every round. Then a deploy is killed (SIGKILL) in the middle of a copy and run again: PostgreSQL counts
every row version that was written, also of the batch that was cut off. Exit 1 when a claim fails.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time

from benchmarks.copying import CASES, COPY, asked, copied, deploy, prepared
from tests.cluster import VERSION, Cluster
from tests.deploys import end_of, start

CASE = CASES["5 000 rows"]
BATCH = 5000


def per_batch(cluster: Cluster, rows: int) -> float:
    """Return the milliseconds of a batch."""
    return copied(cluster, CASE, rows)[0] * 1000 / (rows / BATCH)


def grown(cluster: Cluster, rows: int, times: int, rounds: int) -> bool:
    """Compare a batch of a table with one of a larger table, print a line, and return whether the claim holds."""
    ratios, small, large = [], [], []
    for _ in range(rounds):
        before = per_batch(cluster, rows)
        large.append(per_batch(cluster, rows * times))
        small.append((before + per_batch(cluster, rows)) / 2)
        ratios.append(large[-1] / small[-1])
    ratio = statistics.median(ratios)
    said = " ".join(f"{one:.2f}" for one in ratios)
    print(
        f"a batch of {BATCH}: {statistics.median(small):.0f} ms of {rows} rows, {statistics.median(large):.0f} ms of"
        f" {rows * times}, {ratio:.2f} times ({said})  {'holds' if ratio <= 1.25 else 'FAILS'}: at most 1.25",
        flush=True,
    )
    return ratio <= 1.25


def killed(cluster: Cluster, rows: int) -> int:
    """Return how many rows were written twice where a deploy was killed in the middle of its copy."""
    with prepared(cluster, CASE, rows) as project:
        project.revision("r2", "r1", "copy", COPY.format(BATCH))
        process = start(project, "--no-backup", "--confirm", "copying", "--drift", "warn")
        until = rows * random.uniform(0.2, 0.8)
        while asked(cluster, "SELECT coalesce(max(rows), 0) FROM alembic_safe.copies") < until:
            if process.poll() is not None:
                raise SystemExit("the copy was over before it could be killed")
            time.sleep(0.002)
        process.kill()
        end_of(process)
        deploy(project, CASE)
        if asked(cluster, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM a"):
            raise SystemExit("rows are missing")
        time.sleep(1)  # sessions that have ended tell what they did
        return asked(cluster, "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 't'") - rows


def resumed(cluster: Cluster, rows: int, rounds: int) -> bool:
    """Kill and go on, print a line, and return whether the claim holds."""
    twice = [killed(cluster, rows) for _ in range(rounds)]
    holds = all(0 <= one <= BATCH for one in twice)
    said = " ".join(map(str, twice))
    print(f"killed and run again: {said} rows written twice  {'holds' if holds else 'FAILS'}: at most one batch")
    return holds


def main() -> int:
    """Measure both.

    :return: 0 when every claim holds, 1 otherwise.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the smaller table (default: %(default)s)")
    parser.add_argument("--times", type=int, default=20, help="how much larger the other is (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    options = parser.parse_args()
    cluster = Cluster.start(fsync="on", synchronous_commit="on", max_wal_size="4GB", shared_buffers="256MB")
    try:
        print(f"PostgreSQL {VERSION}, {options.rounds} rounds: median (every round)", flush=True)
        done = [
            resumed(cluster, options.rows, options.rounds),
            grown(cluster, options.rows, options.times, options.rounds),
        ]
    finally:
        cluster.stop()
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
