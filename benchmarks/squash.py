"""How much faster is a new database from a squash, and how does the cost of squashing grow?

    python -m benchmarks.squash [REVISIONS ...]

For each number of revisions (100, 300, 1000 and 3000 unless others are given) a history is written: a third makes tables, a
third adds columns, a third makes indexes. It is squashed, proof included. Then both histories make a new database, in turn,
three times; the best of each counts. What is judged: the ratio at the largest number, and the seconds for a revision at the
largest against those at 300.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster import Cluster
from tests.project import Project
from tests.squash_project import on, with_template

ROUNDS = 3
FASTER = 4.0
GROWTH = 1.5


def history(folder: Path, url: str, number: int) -> Project:
    """Write a history of so many revisions."""
    project = with_template(Project.create(folder, url, plain=False))
    before = None
    for n in range(number):
        table, kind = f"t{n // 3:04}", n % 3
        up = (
            f'op.create_table("{table}", sa.Column("id", sa.Integer, primary_key=True),'
            ' sa.Column("name", sa.String(50), nullable=False), sa.Column("made", sa.DateTime, server_default=sa.func.now()))'
            if kind == 0
            else f'op.add_column("{table}", sa.Column("note", sa.Text, server_default="none"))'
            if kind == 1
            else f'op.create_index("ix_{table}_name", "{table}", ["name"])'
        )
        down = (
            f'op.drop_table("{table}")'
            if kind == 0
            else f'op.drop_column("{table}", "note")'
            if kind == 1
            else f'op.drop_index("ix_{table}_name")'
        )
        project.revision(f"r{n:05}", before, f"number {n}", up, down)
        before = f"r{n:05}"
    return project


def upgraded(project: Project, cluster: Cluster, name: str) -> float:
    """Return the seconds of ``alembic upgrade head`` on a new database."""
    cluster.create(name)
    began = time.monotonic()
    on(project, cluster.url(name)).run("upgrade", "head", check=0)
    seconds = time.monotonic() - began
    cluster.drop(name)
    return seconds


def measured(cluster: Cluster, folder: Path, number: int) -> tuple[float, float, float]:
    """Return the seconds of the squash, of a new database from the files, and of one from the squash."""
    cluster.create(f"bench{number}")
    url = cluster.url(f"bench{number}")
    files, one = history(folder / "files", url, number), history(folder / "one", url, number)
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "alembic", "squash", "-m", "all"], cwd=one.folder, check=True, capture_output=True
    )
    squash = time.monotonic() - began
    old, new = [], []
    for n in range(ROUNDS):
        old.append(upgraded(files, cluster, f"old{number}_{n}"))
        new.append(upgraded(one, cluster, f"new{number}_{n}"))
    return squash, min(old), min(new)


def main(numbers: list[int]) -> int:
    """Measure, print, judge."""
    cluster = Cluster.start()
    per_revision = {}
    ratio = 0.0
    try:
        print("revisions   squash and proof   for each   new database: files   squash   ratio")
        for number in numbers:
            with tempfile.TemporaryDirectory() as folder:
                squash, old, new = measured(cluster, Path(folder), number)
            per_revision[number] = squash / number
            ratio = old / new
            each = f"{squash:14.1f} s   {squash / number * 1000:5.0f} ms"
            print(f"{number:9}   {each}   {old:18.1f} s   {new:4.1f} s   {ratio:4.1f}x")
    finally:
        cluster.stop()
    largest, reference = max(numbers), min((n for n in numbers if n >= 300), default=max(numbers))
    growth = per_revision[largest] / per_revision[reference]
    print(f"for each revision at {largest} against {reference}: {growth:.2f}x (at most {GROWTH}x);"
          f" a new database from the squash at {largest}: {ratio:.1f}x faster (at least {FASTER}x)")  # fmt: skip
    return 0 if growth <= GROWTH and ratio >= FASTER else 1


if __name__ == "__main__":
    sys.exit(main([int(word) for word in sys.argv[1:]] or [100, 300, 1000, 3000]))
