"""Measures what alembic-safe adds to the time of `import alembic.config`."""

# Two virtualenvs with the same packages, of which only one still has alembic-safe; a fresh process for every import,
# one with and one without in turn, so that a busy machine is busy for both.
from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LIMIT = 35.0
"""Milliseconds that `import alembic.config` may take longer: import cost is part of the interface."""

CLOCKS = ("wall", "cpu")
"""What a person waits, and what of it is work: on a machine that is busy with other things only the second is ours."""

TIMED_IMPORT = (
    "import sys, time; wall, cpu = time.perf_counter(), time.process_time(); import alembic.config; "
    "print((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000, "
    "'alembic_safe.plugin' in sys.modules)"
)


@dataclass(frozen=True)
class Sample:
    """The times of one side in milliseconds, in the order of the runs."""

    name: str
    times: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.times)

    def __str__(self) -> str:
        low, _, high = statistics.quantiles(self.times, n=4)
        return (
            f"{self.name:<22}median {self.median:6.1f} ms   middle half {low:.1f} to {high:.1f}   "
            f"all {min(self.times):.1f} to {max(self.times):.1f}"
        )


def make_environment(folder: Path, *, ours: bool) -> Path:
    """Make a virtualenv with alembic-safe and all that it requires; return its Python.

    :param ours: whether alembic-safe itself stays installed.
    """
    subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", folder], check=True)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "psycopg[binary]", REPOSITORY], check=True)
    if not ours:
        subprocess.run([*pip, "uninstall", "--yes", "alembic-safe"], check=True)
    return python


def time_import(python: Path, *, ours: bool) -> tuple[float, float]:
    """Import ``alembic.config`` in a fresh process; return the milliseconds by each of :data:`CLOCKS`.

    :raises RuntimeError: when the plugin is there and should not be, or the other way round.
    """
    command = [python, "-c", TIMED_IMPORT]
    wall, cpu, loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.split()
    if loaded != str(ours):
        raise RuntimeError(f"{python}: the plugin was expected to be loaded: {ours}, and it was: {loaded}")
    return float(wall), float(cpu)


def measure(runs: int) -> dict[str, tuple[Sample, Sample]]:
    """Return the times without and with alembic-safe, by clock.

    :param runs: how many of each; they alternate, behind one of each that writes the byte code and is not counted.
    """
    times: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(prefix="as-import-") as folder:
        sides = [(make_environment(Path(folder) / str(ours), ours=ours), ours) for ours in (False, True)]
        for turn in range(runs + 1):
            for python, ours in sides:
                took = time_import(python, ours=ours)
                if turn:
                    times[ours].append(took)
    return {
        clock: (
            Sample("without alembic-safe", tuple(took[i] for took in times[False])),
            Sample("with alembic-safe", tuple(took[i] for took in times[True])),
        )
        for i, clock in enumerate(CLOCKS)
    }


def main() -> int:
    """Measure and print.

    :return: 0 when the difference of the medians is within :data:`LIMIT`, 1 otherwise.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="of each side (default: %(default)s)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="which clock decides (default: %(default)s)")
    options = parser.parse_args()
    added = {}
    for clock, (without, with_ours) in measure(options.runs).items():
        added[clock] = with_ours.median - without.median
        pairs = [b - a for a, b in zip(without.times, with_ours.times, strict=True)]
        low, _, high = statistics.quantiles(pairs, n=4)
        print(f"{clock} time", without, with_ours, sep="\n")
        print(f"{'added':<22}median {added[clock]:6.1f} ms   middle half of the pairs {low:.1f} to {high:.1f}\n")
    kept = added[options.clock] <= LIMIT
    print(
        f"{options.clock} time added: {added[options.clock]:.1f} ms; limit {LIMIT:.0f} ms: {'kept' if kept else 'exceeded'}"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
