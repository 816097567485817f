"""How much faster is a new database from a squash, and how does the cost of squashing grow?

    python -m benchmarks.squash [REVISIONS ...]

For each number of revisions (100, 300, 1000 and 3000 unless others are given) a history is written, one change in each
revision. The changes are in proportion to what the upgrades of three public histories (pypi/warehouse, apache-airflow-core,
ckan: 524 revisions, 2,000 calls) are made of; of a hundred revisions 13 make tables, 4 drop them, 17 add columns, 6 drop them,
13 alter them, 15 update rows, 12 make indexes, 6 drop them, 8 make constraints, 5 drop them, and 1 renames a table. Of a
hundred calls 16 are left in the squash; of those of ckan 15 are, of warehouse's 21, of Airflow's 22. What they have more of
is calls in a revision: 4 on average, 2 in the middle one.

It is squashed, proof included. Then both histories make a new database, in turn, three times; the best of each counts. That
is done by a process that has imported Alembic and SQLAlchemy: what Python needs for that, half a second on either side, is in
neither. What is judged: the ratio at the largest number, and the seconds for a revision at the largest against those at 300.
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
CYCLE = 100
FASTER = 4.0
GROWTH = 1.5


def history(folder: Path, url: str, number: int) -> Project:
    """Write a history of so many revisions."""
    project = with_template(Project.create(folder, url, plain=False))
    before = None
    for n in range(number):
        if n % CYCLE == 0:
            steps = cycle(n // CYCLE)
        message, up, down = steps[n % CYCLE]
        project.revision(f"r{n:05}", before, message, up, down)
        before = f"r{n:05}"
    return project


def cycle(number: int) -> list[tuple[str, str, str]]:
    """Return a hundred changes, each with its message and its way back."""
    name = [f"c{number:03}_{n:02}" for n in range(13)]
    stays, goes = name[:9], name[9:]
    tables = [(f"make {one}", made(one), f'op.drop_table("{one}")') for one in name]
    columns = [
        (f"add note_{n} to {stays[n % 9]}", f'op.add_column("{stays[n % 9]}", sa.Column("note_{n}", sa.String(20)))',
         f'op.drop_column("{stays[n % 9]}", "note_{n}")')
        for n in range(17)
    ]  # fmt: skip
    fills = [
        (f"fill note_{n} of {stays[n % 9]}", f"op.execute(\"UPDATE {stays[n % 9]} SET note_{n} = 'none'\")", "pass")
        for n in range(15)
    ]
    indexes = [
        (f"index {n} of {stays[n % 9]}", f'op.create_index("ix_{stays[n % 9]}_{n}", "{stays[n % 9]}", ["note_{n}"])',
         f'op.drop_index("ix_{stays[n % 9]}_{n}", "{stays[n % 9]}")')
        for n in range(12)
    ]  # fmt: skip
    keys = [
        (f"{stays[n]} refers to {stays[n + 1]}",
         f'op.create_foreign_key("fk_{stays[n]}", "{stays[n]}", "{stays[n + 1]}", ["other"], ["id"])',
         f'op.drop_constraint("fk_{stays[n]}", "{stays[n]}", type_="foreignkey")')
        for n in range(6)
    ]  # fmt: skip
    unique = [
        (f"unique names in {one}", f'op.create_unique_constraint("uq_{one}", "{one}", ["name"])',
         f'op.drop_constraint("uq_{one}", "{one}", type_="unique")')
        for one in stays[:2]
    ]  # fmt: skip
    alterations = [
        (f"note_{n} of {stays[n % 9]} is longer", f'op.alter_column("{stays[n % 9]}", "note_{n}", type_=sa.String(50))',
         f'op.alter_column("{stays[n % 9]}", "note_{n}", type_=sa.String(20))')
        for n in range(13)
    ]  # fmt: skip
    renamed = (f"{stays[8]} is called otherwise", f'op.rename_table("{stays[8]}", "{stays[8]}_new")',
               f'op.rename_table("{stays[8]}_new", "{stays[8]}")')  # fmt: skip
    ended = [turned_round(one) for one in (*indexes[:6], *columns[:6], *keys[:4], unique[0])]
    gone = [(f"drop {one}", f'op.drop_table("{one}")', made(one)) for one in goes]
    return [*tables, *columns, *fills, *indexes, *keys, *unique, *alterations, *ended, *gone, renamed]


def turned_round(step: tuple[str, str, str]) -> tuple[str, str, str]:
    """Return the change that takes another one back."""
    message, up, down = step
    return f"not: {message}", down, up


def made(table: str) -> str:
    """Return the operation that makes a table."""
    return (
        f'op.create_table("{table}", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(50),'
        ' nullable=False), sa.Column("other", sa.Integer), sa.Column("made", sa.DateTime, server_default=sa.func.now()))'
    )


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
