"""Does a rehearsal on the restored backup tell how long each revision is going to take? The sample shop, at any size.

Run with ``python -m benchmarks.rehearsal [--megabytes 1000]`` from the project's folder.
"""

# The shop is filled, backed up, rehearsed on the restored backup, and then really upgraded. Each revision's duration in
# the rehearsal is the prediction. A second copy of the backup has one byte flipped and must not be taken.
from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.config import Config

from alembic_safe import commands
from tests.cluster import VERSION, Cluster
from tests.project import REVISION

if TYPE_CHECKING:
    from collections.abc import Iterable

SAMPLE = Path(__file__).parents[1] / "sample_project"
HEAD = "5280f6b3f5fc"
LONG = 2.0
"""Seconds: from here on a prediction must be within a factor of two."""
INSTANT = 0.05
"""Seconds: what is nearer to each other than that has no order."""
REVISIONS = {
    "a column": 'op.add_column("orders", sa.Column("channel", sa.Text))',
    "an index": 'op.create_index("ix_order_lines_price", "order_lines", ["unit_price", "quantity"])',
    "a check": 'op.create_check_constraint("ck_price", "order_lines", "unit_price >= 0")',
    "a copy of all orders": "op.execute(\"UPDATE orders SET channel = 'shop'\")",
    "not null": 'op.alter_column("orders", "channel", nullable=False)',
    "a rewrite": 'op.alter_column("order_lines", "quantity", type_=sa.BigInteger)',
    "a default of its own for each row":
        'op.add_column("payments", sa.Column("token", sa.Uuid, server_default=sa.text("gen_random_uuid()")))',
    "a table": 'op.create_table("channels", sa.Column("name", sa.Text, primary_key=True))',
    "rows of it": 'op.execute("INSERT INTO channels SELECT DISTINCT channel FROM orders")',
    "a foreign key": 'op.create_foreign_key("fk_channel", "orders", "channels", ["channel"], ["name"])',
    "a view of sums":
        "op.execute('CREATE MATERIALIZED VIEW sold AS SELECT product_id, sum(quantity * unit_price) AS total FROM order_lines"
        " GROUP BY 1')",
    "a copy of all lines": 'op.execute("UPDATE order_lines SET unit_price = unit_price + 0.01")',
}  # fmt: skip
SETTINGS = """
[alembic_safe]
environment = development
backup_dir = backups
policy = danger=warn, loses=warn, fails=warn
"""


@dataclass(frozen=True)
class Took:
    """What one revision took, in seconds: in the rehearsal and really."""

    what: str
    predicted: float
    real: float

    @property
    def factor(self) -> float:
        """How far the prediction is away; 1: not at all."""
        return max(self.predicted, self.real) / max(min(self.predicted, self.real), 1e-3)

    @property
    def is_long(self) -> bool:
        """Whether it counts by its factor, not by its place in the order."""
        return max(self.predicted, self.real) > LONG


def run(config: Config, name: str, *args: str, code: int = 0) -> str:
    """Run a command of ours; return what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ended = commands.run(name, args, config)
    if ended != code:
        raise SystemExit(f"{name}: exit {ended}\n{out.getvalue()}\n{err.getvalue()}")
    return out.getvalue() + err.getvalue() * bool(code)


def project(folder: Path, url: str) -> Config:
    """Copy the shop's project, for a database of its own."""
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "alembic.ini").open("a") as file:
        file.write(SETTINGS)
    os.environ["DATABASE_URL"] = url
    return Config(str(folder / "alembic.ini"))


def write_revisions(folder: Path) -> dict[str, str]:
    """Write what is going to be rehearsed; return the names by revision."""
    before, names = HEAD, {}
    for number, (what, body) in enumerate(REVISIONS.items(), 1):
        revision = f"b{number:02}"
        text = REVISION.format(
            id=revision, down=before, message=what, upgrade=f"    {body}", downgrade="    pass", extra=""
        )
        (folder / "migrations" / "versions" / f"{revision}.py").write_text(text)
        names[revision] = what
        before = revision
    return names


def flipped(backup: Path) -> Path:
    """Return a copy of a backup with one bit of one byte in its middle flipped."""
    other = backup.with_name(f"flipped_{backup.name}")
    for one, copy in ((backup, other), (Path(f"{backup}.json"), Path(f"{other}.json"))):
        shutil.copyfile(one, copy)
    with other.open("r+b") as file:
        file.seek(backup.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    return other


def measured(cluster: Cluster, folder: Path, megabytes: float) -> Iterable[Took]:
    """Fill, back up, rehearse, upgrade."""
    cluster.create("shop")
    url = cluster.url("shop")
    config = project(folder, url)
    run(config, "safe-upgrade")
    sys.path.insert(0, str(folder))
    from shop.generate import generate, rows_for

    done = generate(url, rows_for(megabytes))
    print(f"PostgreSQL {VERSION}, a shop of {done.size / 1e6:,.0f} MB, {sum(done.rows.values()):,} rows", flush=True)
    with cluster.connect("shop") as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    run(config, "safe-backup")
    (backup,) = (folder / "backups").glob("*.dump")
    names = write_revisions(folder)
    (found,) = json.loads(run(config, "safe-rehearse", "--on", "backup", "--backup", str(backup), "--json"))[
        "rehearsals"
    ]
    print(f"rehearsed on {found['rehearsal']['on']} in {found['rehearsal']['seconds']:.1f} s, restoring included")
    said = run(config, "safe-rehearse", "--on", "backup", "--backup", str(flipped(backup)), code=8)
    print(f"one byte flipped: exit 8: {' '.join(said.split())[:120]}", flush=True)
    run(config, "safe-upgrade", "--no-backup", "--rehearse", "off", "--yes")
    with cluster.connect("shop") as connection:
        rows = connection.execute("SELECT revision, milliseconds FROM alembic_safe.revisions").fetchall()
    real = {revision: milliseconds / 1000 for revision, milliseconds in rows if milliseconds is not None}
    predicted = {one["revision"]: one["seconds"] for one in found["rehearsal"]["revisions"]}
    return [Took(what, predicted[revision], real[revision]) for revision, what in names.items()]


def misplaced(short: list[Took]) -> list[str]:
    """Return the pairs whose order was predicted wrongly; less than a factor of two apart, or an instant, is no order."""
    return [
        f"{one.what} and {other.what}"
        for one, other in itertools.combinations(short, 2)
        if max(one.real, other.real) > 2 * min(one.real, other.real)
        and abs(one.real - other.real) > INSTANT
        and (one.real < other.real) is not (one.predicted < other.predicted)
    ]


def main() -> int:
    """Print a table.

    :return: 0 when every long revision is within a factor of two, and the others are in order.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=1000)
    given = parser.parse_args()
    cluster = Cluster.start()
    try:
        with tempfile.TemporaryDirectory(prefix="as-bench-") as name:
            took = list(measured(cluster, Path(name) / "shop", given.megabytes))
    finally:
        cluster.stop()
    for one in took:
        print(
            f"{one.what:34} predicted {one.predicted:7.3f} s   real {one.real:7.3f} s   factor {one.factor:5.2f}"
            f"{'  (long)' if one.is_long else ''}"
        )
    long = [one for one in took if one.is_long]
    wrong = misplaced([one for one in took if not one.is_long])
    far = max((one.factor for one in long), default=1.0)
    print(f"{len(long)} over {LONG:.0f} s: the worst factor is {far:.2f} (aim: at most 2)")
    print(
        f"{len(took) - len(long)} under it: {len(wrong)} pairs in the wrong order{': ' + '; '.join(wrong) if wrong else ''}"
    )
    return 1 if far > 2 or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
