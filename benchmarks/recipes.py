"""What two versions of an application notice of each recipe, phase by phase: errors, the longest write, how long it takes.

Run with ``python -m benchmarks.recipes [--rows 1000000] [--case NAME ...]`` from the project's folder. Four clients write with
prepared statements (upserts, COPY, explicit NULLs) and know what must be in every row; at the end all of them are compared, and
the catalog with that of ``create_all()``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from tests.application_cases import CASES
from tests.applications import Story
from tests.cluster import VERSION, Cluster
from tests.hostile_traffic import HOSTILE

if TYPE_CHECKING:
    from tests.application_cases import Traffic


def lived_through(cluster: Cluster, name: str, case: Traffic, rows: int) -> bool:
    """Deploy one change while both applications write, and print a line for each phase.

    :return: whether no statement failed and every row is right.
    """
    names = [f"recipes_{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for one in names:
        cluster.create(one)
    try:
        with tempfile.TemporaryDirectory() as folder:
            story = Story(case, cluster, names[0], Path(folder) / "app", rows=rows)
            try:
                story.tell()
                story.require_catalog(names[1])
            except AssertionError as error:
                print(f"{name:30} {error}")
                return False
            for phase in story.phases:
                swapped = f", {phase.swapped} prepared statements of another type" if phase.swapped else ""
                print(
                    f"{name:30} {phase.name:9} {phase.seconds:7.1f} s  {phase.writes:6} writes  {len(phase.errors)} errors"
                    f"  longest {phase.longest * 1000:5.0f} ms{swapped}",
                    flush=True,
                )
    finally:
        for one in names:
            cluster.drop(one)
    return True


def main() -> int:
    """Run the cases.

    :return: 0 when no write failed and none was lost, 1 otherwise.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="besides the clients' own (default: %(default)s)")
    parser.add_argument("--case", nargs="*", default=list(CASES), choices=list(CASES), metavar="NAME")
    parser.add_argument("--hostile", action="store_true", help="with names that have to be quoted, off the search path")
    options = parser.parse_args()
    cluster = Cluster.start(fsync="on", synchronous_commit="on", max_wal_size="4GB", shared_buffers="256MB")
    try:
        cases = HOSTILE if options.hostile else CASES
        print(f"PostgreSQL {VERSION}, {options.rows} rows{', hostile names' * options.hostile}")
        done = [lived_through(cluster, name, cases[name], options.rows) for name in options.case]
    finally:
        cluster.stop()
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
