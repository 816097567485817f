"""What `safe-upgrade` with nothing to do costs, against `alembic upgrade head` with nothing to do.

Run with ``python -m benchmarks.noop [--runs 25] [--revisions 60]`` from the project's folder.
"""

# Pods start all day, and nearly always there is nothing to do. Two databases with the same history; a fresh process
# for every run, one of each side in turn, so that a busy machine is busy for both; the processor's time beside the
# clock's, which a busy machine spoils.
from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster import Cluster
from tests.deploys import statements
from tests.project import Project

if TYPE_CHECKING:
    from collections import Counter

LIMIT = 1.15
"""How many times as long as stock `alembic upgrade head` it may take."""
MOST_STATEMENTS = 5
"""How many statements it may send beyond those of stock Alembic."""


@dataclass(frozen=True)
class Side:
    """The runs of one command, in their order; seconds.

    :param clock: from start to end of the process.
    :param cpu: what it used of the processor.
    """

    name: str
    clock: list[float]
    cpu: list[float]

    def row(self) -> str:
        """Return a line of the table."""
        low, middle, high = statistics.quantiles(self.clock, n=4)
        return (
            f"{self.name:<24}{middle * 1000:8.0f}{low * 1000:8.0f} to {high * 1000:<8.0f}{min(self.clock) * 1000:8.0f}"
            f"{statistics.median(self.cpu) * 1000:10.0f}{min(self.cpu) * 1000:8.0f}"
        )


def run_once(project: Project, command: tuple[str, ...]) -> tuple[float, float]:
    """Run a process of its own; return seconds on the clock and of the processor."""
    before, began = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "alembic", *command], cwd=project.folder, check=True, capture_output=True)
    took, after = time.perf_counter() - began, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return took, used


def prepare(cluster: Cluster, folder: Path, name: str, revisions: int, *, ours: bool) -> Project:
    """Make a database that stands at the head of a history of its own."""
    cluster.create(name)
    project = Project.create(folder / name, cluster.url(name), settings="environment = production" if ours else "")
    for n in range(1, revisions - 2):
        parent = f"r{n - 1:03}" if n > 1 else "a3"
        project.revision(f"r{n:03}", parent, f"revision {n}", f'op.add_column("users", sa.Column("c{n}", sa.Integer))')
    run_once(project, ("safe-upgrade",) if ours else ("upgrade", "head"))
    return project


def count_statements(cluster: Cluster, stock: Project, ours: Project) -> Counter[str]:
    """Return what the server's log shows of us and not of stock Alembic."""
    with statements(cluster, "bench_stock") as of_stock:
        run_once(stock, ("upgrade", "head"))
    with statements(cluster, "bench_ours") as of_ours:
        run_once(ours, ("safe-upgrade",))
    return of_ours - of_stock


def main() -> int:
    """Measure and print.

    :return: 0 when both limits are kept, 1 otherwise.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=25, help="of each side (default: %(default)s)")
    parser.add_argument("--revisions", type=int, default=60, help="in the history (default: %(default)s)")
    given = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has been compiled, whoever measures
    cluster = Cluster.start()
    try:
        with tempfile.TemporaryDirectory(prefix="as-noop-") as folder:
            stock = prepare(cluster, Path(folder), "bench_stock", given.revisions, ours=False)
            ours = prepare(cluster, Path(folder), "bench_ours", given.revisions, ours=True)
            extra = count_statements(cluster, stock, ours)
            sides = Side("alembic upgrade head", [], []), Side("alembic safe-upgrade", [], [])
            for turn in range(given.runs + 1):
                for side, project, command in zip(
                    sides, (stock, ours), (("upgrade", "head"), ("safe-upgrade",)), strict=True
                ):
                    clock, cpu = run_once(project, command)
                    if turn:  # the first of each reads from the disk
                        side.clock.append(clock)
                        side.cpu.append(cpu)
    finally:
        cluster.stop()
    ratio = statistics.median(sides[1].clock) / statistics.median(sides[0].clock)
    by_cpu = statistics.median(sides[1].cpu) / statistics.median(sides[0].cpu)
    pairs = [b / a for a, b in zip(sides[0].clock, sides[1].clock, strict=True)]
    low, _, high = statistics.quantiles(pairs, n=4)
    print(f"{given.runs} alternating runs of each, {given.revisions} revisions, milliseconds")
    print(f"{'':<24}{'median':>8}{'middle half':>16}{'least':>12}{'cpu median':>12}{'least':>6}")
    print(sides[0].row(), sides[1].row(), sep="\n")
    print(
        f"ratio of the medians {ratio:.2f} (pairs {low:.2f} to {high:.2f}), of processor time {by_cpu:.2f}, limit {LIMIT}"
    )
    print(f"statements of ours {extra.total()}, limit {MOST_STATEMENTS}")
    for statement, number in extra.items():
        print(f"  {number} x {statement[:110]}")
    return 0 if ratio <= LIMIT and extra.total() <= MOST_STATEMENTS else 1


if __name__ == "__main__":
    sys.exit(main())
