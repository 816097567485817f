"""Compares the outcome of every test of Alembic's own suite, without and with alembic-safe installed."""

# A script, run by `tox run -e alembic-suite`: it fetches Alembic's source distribution, makes two virtualenvs that
# differ in nothing but alembic-safe, runs the suite in both, and compares the outcome of every single test.
from __future__ import annotations

import argparse
import collections
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from tests.cluster import Cluster
from tests.compat.contrib import EXTENSIONS, newest_server_with_contrib, start_with_contrib

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
WITHOUT, WITH = "without alembic-safe", "with alembic-safe"
LOADED = (
    "import alembic, alembic.config; from alembic.runtime.plugins import _all_plugins; "
    "print(alembic.__version__, 'alembic.autogenerate.alembic_safe' in _all_plugins, "
    "hasattr(alembic.config.CommandLine.run_cmd, '__wrapped__'))"
)


@dataclass(frozen=True)
class Run:
    """One run of the suite: the outcome of every test by its id, and how long it took in seconds."""

    outcomes: dict[str, str]
    took: float

    def __str__(self) -> str:
        counts = collections.Counter(self.outcomes.values())
        return ", ".join(f"{counts[kind]} {kind}" for kind in ("passed", "failed", "error", "skipped"))


def call(*command: object, cwd: Path | None = None) -> str:
    """Run a command and return its output; the script ends with it when it fails."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"exit {done.returncode}: {' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def fetch_sources(alembic: str, folder: Path) -> Path:
    """Fetch and unpack Alembic's source distribution; return the folder of its sources."""
    call(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "alembic", "--dest", folder,
         f"alembic=={alembic}")  # fmt: skip
    with tarfile.open(next(folder.glob("alembic-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"alembic-{alembic}"


def make_environment(folder: Path, sources: Path, alembic: str, sqlalchemy: str, *, ours: bool) -> Path:
    """Make a virtualenv with Alembic, its test requirements, and all that alembic-safe requires; return its Python.

    :param ours: whether alembic-safe itself stays installed: everything else is the same either way.
    """
    call(sys.executable, "-m", "virtualenv", "--quiet", folder)
    python = folder / "bin" / "python"
    call(python, "-m", "pip", "install", "--quiet", "--group", f"{sources / 'pyproject.toml'}:tests",
         f"alembic=={alembic}", f"sqlalchemy=={sqlalchemy}", "psycopg[binary]", REPOSITORY)  # fmt: skip
    if not ours:
        call(python, "-m", "pip", "uninstall", "--quiet", "--yes", "alembic-safe")
    seen = call(python, "-c", LOADED, cwd=sources).split()
    if seen != [alembic, str(ours), str(ours)]:
        sys.exit(f"{folder.name}: expected Alembic {alembic}, our plugin and its hook {ours}; found {seen}")
    return python


def run_suite(python: Path, sources: Path, database: str, log: Path, workers: int) -> Run:
    """Run the suite once.

    :param database: the URL that the tests connect to.
    :param log: where pytest's output goes; its JUnit report stands beside it.
    """
    report = log.with_suffix(".xml")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("ALEMBIC_SAFE_", "PG", "PYTEST", "TOX"))}
    started = time.monotonic()
    with log.open("w") as out:
        done = subprocess.run(
            # --maxfail=100 of Alembic's own configuration would hide what comes after
            [python, "-m", "pytest", "-n", str(workers), "--maxfail=0", f"--dburi={database}", f"--junitxml={report}"],
            cwd=sources, stdout=out, stderr=subprocess.STDOUT, env=environ, check=False,
        )  # fmt: skip
    # 0: all passed, 1: some failed; anything else is no run of the suite
    if done.returncode not in (0, 1):
        sys.exit(f"pytest ended with exit {done.returncode}\n{log.read_text()[-3000:]}")
    return Run(read_report(report), time.monotonic() - started)


def read_report(report: Path) -> dict[str, str]:
    """Return the outcome of every test in a JUnit report; a test that is reported twice has both outcomes."""
    outcomes: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):
        kinds = {"failure": "failed", "error": "error", "skipped": "skipped"}
        outcome = next((kinds[child.tag] for child in case if child.tag in kinds), "passed")
        name = f"{case.get('classname')}::{case.get('name')}"
        outcomes[name] = f"{outcomes[name]}+{outcome}" if name in outcomes else outcome
    return outcomes


def compare(name: str, runs: dict[str, Run]) -> int:
    """Print both runs and every test that ended differently; return how many did."""
    for who, run in runs.items():
        print(f"{name:<32}{who:<22}{len(run.outcomes)} tests: {run}  ({run.took:.0f} s)")
    before, after = runs[WITHOUT].outcomes, runs[WITH].outcomes
    if not before:
        sys.exit(f"{name}: no test ran")
    different = sorted(test for test in before.keys() | after.keys() if before.get(test) != after.get(test))
    for test in different:
        print(f"  {test}: {before.get(test, 'absent')} without, {after.get(test, 'absent')} with")
    if not different:
        print(f"{name:<32}the same outcome for every test")
    return len(different)


@contextmanager
def postgresql() -> Iterator[tuple[str, Cluster, tuple[str, ...]]]:
    """Run a throw-away server; give its name, itself, and the extensions that it has of those the tests want."""
    settings = {"max_prepared_transactions": "10", "default_text_search_config": "pg_catalog.english"}
    contrib = newest_server_with_contrib()
    server = start_with_contrib(**settings) if contrib else Cluster.start(**settings)
    try:
        label = f"PostgreSQL {server.version}" + (" with contrib" if contrib else " (embedded, no contrib)")
        yield label, server, EXTENSIONS if contrib else ()
    finally:
        server.stop()


def fresh_database(server: Cluster, extensions: tuple[str, ...]) -> str:
    """Make the database ``test`` anew, as Alembic's README.unittests.rst describes it; return its URL."""
    server.drop("test")
    server.create("test")
    with server.connect("test") as connection:
        connection.execute("CREATE SCHEMA test_schema")
        connection.execute("CREATE SCHEMA test_schema_2")
        # one test names it, and a machine without that locale has no such collation of its own
        connection.execute("CREATE COLLATION public.\"en_US\" (provider = libc, locale = 'C')")
        for extension in extensions:
            connection.execute(f'CREATE EXTENSION "{extension}"')
    return server.url("test")


def parse_arguments() -> argparse.Namespace:
    """Read the command line; the versions default to those that are installed beside this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alembic", default=version("alembic"), help="version (default: %(default)s)")
    parser.add_argument("--sqlalchemy", default=version("sqlalchemy"), help="version (default: %(default)s)")
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="one database only")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--logs", type=Path, help="folder for pytest's output (default: a temporary one that goes)")
    return parser.parse_args()


def main() -> int:
    """Fetch, install, run, compare.

    :return: 0 when every test ended the same, 1 otherwise.
    """
    options = parse_arguments()
    print(f"Alembic {options.alembic}, SQLAlchemy {options.sqlalchemy}, Python {sys.version.split()[0]}", flush=True)
    different = 0
    with tempfile.TemporaryDirectory(prefix="as-suite-") as folder:
        work = Path(folder)
        logs = options.logs or work
        logs.mkdir(parents=True, exist_ok=True)
        sources = fetch_sources(options.alembic, work)
        versions = (options.alembic, options.sqlalchemy)
        pythons = {
            who: make_environment(work / who.replace(" ", "-"), sources, *versions, ours=who == WITH)
            for who in (WITHOUT, WITH)
        }
        if options.only != "postgresql":
            runs = {
                who: run_suite(python, sources, "sqlite://", logs / f"sqlite-{who.split()[0]}.log", options.workers)
                for who, python in pythons.items()
            }
            different += compare("SQLite", runs)
        if options.only != "sqlite":
            with postgresql() as (label, server, extensions):
                runs = {}
                for who, python in pythons.items():
                    url = fresh_database(server, extensions)
                    log = logs / f"postgresql-{who.split()[0]}.log"
                    runs[who] = run_suite(python, sources, url, log, options.workers)
                different += compare(label, runs)
    print("no test ended differently" if not different else f"{different} tests ended differently")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
