"""What proving a backup costs: take_backup against a bare pg_dump of the same format and compression, side by side.

Run with ``python -m benchmarks.backup [--gb 1] [--rounds 5] [--compressions]`` from the project's folder.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.programs import find_program
from alembic_safe.database.running import run_program
from alembic_safe.deploying.backup import BackupRequest, take_backup
from tests.cluster import VERSION, Cluster

ROW_BYTES = 150
# part text that compresses, part numbers, part noise that does not: a shop's rows are of all three kinds
ROWS = """
CREATE TABLE part_{n} AS SELECT i AS id, (i % 9973)::int AS user_id, now() - i * interval '1 s' AS at,
  'order ' || i || ' of customer ' || i % 9973 AS note, md5(i::text) AS token, (i * 37 % 100000) / 100.0 AS price
FROM generate_series(1, {rows}) i
"""


def fill(cluster: Cluster, gigabytes: float) -> int:
    """Make a database of about that size in eight tables; return its bytes."""
    cluster.create("bench")
    with cluster.connect("bench") as connection:
        for n in range(8):
            connection.execute(ROWS.format(n=n, rows=int(gigabytes * 1e9 / 8 / ROW_BYTES)))
            connection.execute(f"ALTER TABLE part_{n} ADD PRIMARY KEY (id)")
        connection.execute("CHECKPOINT")
        row = connection.execute("SELECT pg_database_size('bench')").fetchone()
    return int(row[0]) if row else 0


@dataclass(frozen=True)
class Cost:
    """What one backup took.

    :param seconds: on the clock.
    :param cpu: processor seconds of this process and of the programs it ran; the server's are not in it.
    :param size: bytes of the file.
    """

    seconds: float
    cpu: float
    size: int
    compression: str


def cpu() -> float:
    """Return the processor seconds of this process and of its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def bare(endpoint: Endpoint, compression: str, folder: Path) -> Cost:
    """Run a plain pg_dump, as a person would."""
    program, file = find_program("pg_dump", VERSION), folder / "bare.dump"
    started, busy = time.perf_counter(), cpu()
    done = run_program(program, ["--format=custom", f"--compress={compression}", f"--file={file}"], endpoint)
    seconds, busy = time.perf_counter() - started, cpu() - busy
    assert done.succeeded, done.stderr
    size = file.stat().st_size
    file.unlink()
    return Cost(seconds, busy, size, f"gzip:{compression}")


def ours(endpoint: Endpoint, folder: Path) -> Cost:
    """Run take_backup: plan, dump, listing, reading back with sha256, the file beside it."""
    started, busy = time.perf_counter(), cpu()
    backup = take_backup(BackupRequest(endpoint, folder))
    seconds, busy = time.perf_counter() - started, cpu() - busy
    Path(backup.location).unlink()
    Path(backup.location + ".json").unlink()  # or the next estimate would know this one
    return Cost(seconds, busy, backup.size, backup.compression)


def main() -> None:
    """Alternate the two, and print each round, the median ratio and the spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compressions", action="store_true", help="measure pg_dump's compressions instead")
    options = parser.parse_args()
    cluster = Cluster.start()
    try:
        endpoint = Endpoint("127.0.0.1", cluster.port, "postgres", "bench")
        print(f"PostgreSQL {VERSION}, database of {fill(cluster, options.gb) / 1e9:.2f} GB")
        with tempfile.TemporaryDirectory(prefix="as-bench-") as name:
            if options.compressions:
                for compression in ("0", "1", "3", "6"):
                    cost = bare(endpoint, compression, Path(name))
                    print(
                        f"gzip {compression}: {cost.seconds:6.2f} s  {cost.cpu:6.2f} s cpu  {cost.size / 1e6:8.1f} MB"
                    )
                return
            bare(endpoint, "1", Path(name))  # warms the server's cache for both
            compare(endpoint, Path(name), options.rounds)
    finally:
        cluster.stop()


def compare(endpoint: Endpoint, folder: Path, rounds: int) -> None:
    """Run both in turn, each first as often as the other: load of the machine meets both."""
    clock: list[float] = []
    busy: list[float] = []
    for number in range(rounds):
        if number % 2:
            mine, plain = ours(endpoint, folder), bare(endpoint, "1", folder)
        else:
            plain, mine = bare(endpoint, "1", folder), ours(endpoint, folder)
        assert mine.compression == plain.compression, f"not the same compression: {mine.compression}"
        clock.append(mine.seconds / plain.seconds)
        busy.append(mine.cpu / plain.cpu)
        print(
            f"round {number + 1}: bare {plain.seconds:6.2f} s, {plain.cpu:5.2f} s cpu, {plain.size / 1e6:.1f} MB"
            f"   ours {mine.seconds:6.2f} s, {mine.cpu:5.2f} s cpu   ratio {clock[-1]:.3f}, cpu {busy[-1]:.3f}",
            flush=True,
        )
    for name, ratios in (("clock", clock), ("cpu", busy)):
        print(f"{name} ratio: median {statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")
    print("aim: at most 1.15")


if __name__ == "__main__":
    main()
