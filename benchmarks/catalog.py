"""What reading a database's catalog costs: read_catalog against Alembic's compare_metadata of the same tables.

Run with ``python -m benchmarks.catalog [--tables 1000] [--rounds 7]`` from the project's folder. Both read the same
warm database in turn; Alembic compares it with models that say the same, so that it has nothing to report.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare
from tests.cluster import VERSION, Cluster

if TYPE_CHECKING:
    from collections.abc import Callable

AT_LEAST = 4.0
"""How many times faster than Alembic's comparison one side is to be read."""


def models(count: int) -> sa.MetaData:
    """Return tables of nine columns with a primary key, a foreign key, a check and three indexes each."""
    metadata = sa.MetaData()
    for n in range(count):
        name = f"table_{n}"
        sa.Table(
            name, metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("parent_id", sa.ForeignKey(f"table_{max(n - 1, 0)}.id", name=f"{name}_parent_fk")),
            sa.Column("name", sa.String(80), nullable=False),
            sa.Column("note", sa.Text),
            sa.Column("price", sa.Numeric(10, 2), nullable=False),
            sa.Column("amount", sa.Integer, server_default="0", nullable=False),
            sa.Column("active", sa.Boolean, server_default=sa.true(), nullable=False),
            sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
            sa.Column("kind", sa.String(20)),
            sa.CheckConstraint("amount >= 0", name=f"{name}_amount_check"),
            sa.Index(f"{name}_name_idx", "name"),
            sa.Index(f"{name}_parent_idx", "parent_id"),
            sa.Index(f"{name}_kind_idx", "kind", "made_at"),
        )  # fmt: skip
    return metadata


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def shown(name: str, times: list[float]) -> str:
    """Return a line: median and spread, in milliseconds."""
    low, _, high = (1000 * value for value in statistics.quantiles(times, n=4))
    return (
        f"{name:<34}median {1000 * statistics.median(times):7.0f} ms   middle half {low:.0f} to {high:.0f}"
        f"   all {1000 * min(times):.0f} to {1000 * max(times):.0f}"
    )


def main() -> int:
    """Measure and print.

    :return: 0 when the median of the ratios is at least :data:`AT_LEAST`, 1 otherwise.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=1000, help="how many (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="of each side (default: %(default)s)")
    options = parser.parse_args()
    metadata = models(options.tables)
    server = Cluster.start()
    try:
        server.create("bench")
        engine = sa.create_engine(server.url("bench"))
        with engine.begin() as connection:
            metadata.create_all(connection)
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")
        with engine.connect() as connection:
            context = MigrationContext.configure(connection)
            theirs, ours = [], []
            if found := compare_metadata(context, metadata):
                raise RuntimeError(f"the models and the database differ: {found[:3]}")
            catalog = read_catalog(connection)
            for _ in range(options.rounds):
                theirs.append(timed(lambda: compare_metadata(context, metadata)))
                ours.append(timed(lambda: read_catalog(connection)))
            between = timed(lambda: compare(catalog, read_catalog(connection))) - statistics.median(ours)
        engine.dispose()
    finally:
        server.stop()
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"PostgreSQL {VERSION}, {options.tables} tables, {len(catalog.objects)} objects, {options.rounds} rounds each"
    )
    print(shown("Alembic's compare_metadata", theirs), shown("read_catalog", ours), sep="\n")
    print(f"comparing two catalogs: {1000 * max(between, 0):.0f} ms; stored form: {len(catalog.to_json()) // 1024} KiB")
    kept = middle >= AT_LEAST
    print(
        f"ratio: median {middle:.1f}, middle half {low:.1f} to {high:.1f}; at least {AT_LEAST:.0f}:"
        f" {'kept' if kept else 'missed'}"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
