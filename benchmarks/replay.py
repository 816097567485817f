"""Measures what a replay on a shadow adds to `alembic upgrade heads`, and what a kept one saves.

Twice: inside this process, and through the real commands, each a fresh process. `alembic safe-diff --from head --to
database` replays the files, reads what they made and what the upgrade made, finds no difference, and keeps the replay.
"""

# Judged by the best of each side, as other work on the machine only adds to a time; the medians are printed, too.
# Both sides run in turn and on the server of the project's own database, so that a busy machine is busy for both. In this
# process, interpreter start and imports are on neither side. `upgrade` runs on a database made for it. What is judged of a
# replay's overhead is what a person waits for, the whole command.
from __future__ import annotations

import argparse
import logging
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from alembic import command  # noqa: E402
from alembic.config import Config  # noqa: E402
from alembic.script import ScriptDirectory  # noqa: E402

from alembic_safe.database.endpoint import Endpoint  # noqa: E402
from alembic_safe.database.envpy import run_env  # noqa: E402
from alembic_safe.database.replay import replay  # noqa: E402
from alembic_safe.database.replay_cache import open_replayed  # noqa: E402
from alembic_safe.database.shadow import open_shadow  # noqa: E402
from alembic_safe.database.shadow_needs import ShadowNeeds, needs_of  # noqa: E402
from alembic_safe.database.shadow_server import ShadowServer  # noqa: E402
from alembic_safe.database.shadow_wish import ShadowWish  # noqa: E402
from alembic_safe.settings import Count, Settings  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OVERHEAD = 1.15
"""How many times the time of a plain upgrade a replay may take."""
KEPT = 0.2
"""Which part of a replay's time a kept one may take, for who only reads it; who writes to it needs a copy."""


@dataclass(frozen=True)
class Sample:
    """Seconds of one side, in the order of the runs."""

    name: str
    times: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.times)

    @property
    def best(self) -> float:
        """The shortest: whatever else the machine does only adds to a time."""
        return min(self.times)

    def __str__(self) -> str:
        every = ", ".join(f"{seconds:.2f}" for seconds in self.times)
        return f"{self.name:<24}best {self.best:6.2f} s   median {self.median:6.2f} s   all {every}"


@dataclass(frozen=True)
class Place:
    """The project, and the server on which it is measured."""

    config: Config
    endpoint: Endpoint
    needs: ShadowNeeds
    settings: Settings

    def script(self) -> ScriptDirectory:
        """Return the revision files, read anew: a fresh process has none of them in memory."""
        return ScriptDirectory.from_config(self.config)


def place_of(config: Config) -> Place:
    """Find the database that env.py connects to."""
    found: list[tuple[Endpoint, ShadowNeeds]] = []

    def work(context: Any, kw: dict[str, Any]) -> None:
        del kw
        found.append((Endpoint.from_connection(context.connection), needs_of(context.connection)))

    run_env(config, ScriptDirectory.from_config(config), work)
    endpoint, needs = found[0]
    return Place(config, endpoint, needs, replace(Settings(), shadow_cache=Count(1)))


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def upgrade(place: Place) -> float:
    """Return the seconds of `alembic upgrade heads` on the project's own, empty database."""
    return timed(lambda: command.upgrade(place.config, "heads"))


def replayed(place: Place) -> tuple[float, int]:
    """Return the seconds of a whole replay, making and dropping the shadow included, and how many revisions it ran."""
    steps = 0

    def work() -> None:
        nonlocal steps
        script = place.script()
        with open_shadow(place.endpoint, place.settings, needs=place.needs, protected=False) as shadow:
            steps = replay(place.config, script, shadow).steps

    return timed(work), steps


def kept(place: Place, *, reads_only: bool) -> tuple[float, bool]:
    """Return the seconds until a replayed shadow is there and gone again, and whether it had been kept."""
    copy = False

    def work() -> None:
        nonlocal copy
        script = place.script()
        wish = ShadowWish(place.endpoint, place.needs, place.settings, protected=False)
        with open_replayed(place.config, script, wish, reads_only=reads_only) as (shadow, done):
            copy = done.copied
            with shadow.endpoint.connect():
                pass

    return timed(work), copy


def settled(place: Place) -> None:
    """Wait until the server has dropped the last shadow: nobody waits for that, and it must not slow what comes next."""
    server = ShadowServer(place.endpoint, "target")
    while any(one.alive and one.tag.kind == "shadow" for one in server.leftovers()):
        time.sleep(0.02)
    server.close()


def forget(place: Place) -> None:
    """Drop the kept replays of this server."""
    server = ShadowServer(place.endpoint, "target")
    try:
        server.prune(templates_kept=0)
    finally:
        server.close()


def empty(place: Place) -> None:
    """Make the project's database anew; it was found without a table, or has been filled by this benchmark."""
    from psycopg import sql

    settled(place)

    name = sql.Identifier(place.endpoint.database)
    with place.endpoint.connect(database="postgres") as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))


@dataclass(frozen=True)
class InProcess:
    """What was measured in this process.

    :param steps: how many revisions there are.
    """

    plain: Sample
    ours: Sample
    lent: Sample
    copy: Sample
    steps: int


def measure(place: Place, runs: int) -> InProcess:
    """Measure upgrading, replaying, and having a kept replay, to read and to write to.

    :param runs: how many of each; they alternate, behind one of each that is not counted.
    """
    times: dict[str, list[float]] = {"upgrade": [], "replay": [], "lent": [], "copy": []}
    steps = 0
    for turn in range(runs + 1):
        empty(place)
        one = upgrade(place)
        empty(place)
        two, steps = replayed(place)
        if turn == 0:
            settled(place)
            forget(place)
            kept(place, reads_only=True)  # replays, and keeps
        settled(place)
        three, was_kept = kept(place, reads_only=True)
        four, was_copied = kept(place, reads_only=False)
        if not (was_kept and was_copied):
            raise RuntimeError("the kept replay was not found")
        if turn:
            for name, seconds in zip(times, (one, two, three, four), strict=True):
                times[name].append(seconds)
    forget(place)
    return InProcess(
        Sample("alembic upgrade heads", tuple(times["upgrade"])), Sample("replay on a shadow", tuple(times["replay"])),
        Sample("a kept one, to read", tuple(times["lent"])), Sample("a copy of it, to write", tuple(times["copy"])), steps,
    )  # fmt: skip


def command_seconds(place: Place, *words: str) -> float:
    """Return the seconds of one command in a process of its own, which must end with 0."""
    ini = str(place.config.config_file_name)
    return timed(
        lambda: subprocess.run(
            [sys.executable, "-m", "alembic", "-c", ini, *words], check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    )  # fmt: skip


def measure_commands(place: Place, runs: int) -> tuple[Sample, Sample]:
    """Return the times of `alembic upgrade heads` and of `alembic safe-diff --from head --to database` behind it."""
    plain, ours = [], []
    for turn in range(runs + 1):
        empty(place)
        one = command_seconds(place, "upgrade", "heads")
        forget(place)
        two = command_seconds(place, "safe-diff", "--from", "head", "--to", "database", "--exit-code")
        if turn:
            plain.append(one)
            ours.append(two)
    empty(place)
    forget(place)
    return Sample("alembic upgrade heads", tuple(plain)), Sample("alembic safe-diff", tuple(ours))


def ratio(one: Sample, other: Sample) -> str:
    """Return how many times the other's time the one takes."""
    return f"{one.best / other.best:.2f}, of the medians {one.median / other.median:.2f}"


@contextmanager
def sample_project() -> Iterator[Config]:
    """Yield the sample project on a throw-away server."""
    from tests.cluster import Cluster

    cluster = Cluster.start()
    try:
        cluster.create("shop")
        config = Config(str(REPOSITORY / "sample_project" / "alembic.ini"))
        os.environ["DATABASE_URL"] = cluster.url("shop")
        yield config
    finally:
        cluster.stop()


@contextmanager
def given_project(folder: Path) -> Iterator[Config]:
    """Any project whose database is empty; it is filled and made anew."""
    yield Config(str(folder / "alembic.ini" if folder.is_dir() else folder))


def holds_tables(place: Place) -> bool:
    """Whether the project's database is not empty: then it is not ours to make anew."""
    with place.endpoint.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p')"
        ).fetchone()
    return row is not None and row[0] > 0


def main() -> int:
    """Measure and print.

    :return: 0 when both limits are kept, 1 when one is exceeded, 2 when the project's database is not empty.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", nargs="?", type=Path, help="a folder with an alembic.ini, or that file")
    parser.add_argument("--runs", type=int, default=5, help="of each side (default: %(default)s)")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has been compiled, whoever measures
    with sample_project() if options.project is None else given_project(options.project) as config:
        place = place_of(config)
        if holds_tables(place):
            print(f"{place.endpoint.shown} is not empty; name a project whose database is.")
            return 2
        found = measure(place, options.runs)
        whole, diff = measure_commands(place, options.runs)
    print(f"{found.steps} revisions, in this process", found.plain, found.ours, found.lent, found.copy, sep="\n")
    print(f"replay / upgrade: {ratio(found.ours, found.plain)}")
    print(f"kept, to read / replay: {ratio(found.lent, found.ours)} (limit {KEPT})")
    print(f"kept, copied / replay: {ratio(found.copy, found.ours)}")
    print("whole commands", whole, diff, sep="\n")
    print(f"safe-diff / upgrade: {ratio(diff, whole)} (limit {OVERHEAD})")
    return 0 if diff.best <= OVERHEAD * whole.best and found.lent.best <= KEPT * found.ours.best else 1


if __name__ == "__main__":
    sys.exit(main())
