"""A fair part of the long suites, drawn by date, so that all of it has its turn.

Run with ``python -m tests.drawn [--date 2026-11-25] [--list]``, or as ``tox run -e drawn``. The same date draws the same
tests, the same seeds and the same examples.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
import os
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
RECIPES = "tests/recipes/"
LIVED_THROUGH = "tests/faults/test_recipes_under_traffic.py"
"""Each recipe four times: with two applications at work (under two sorts of names), killed again and again, back and forth."""
FOR_EACH = 20
"""Of a file with so many long tests, or a part of them, one is drawn."""
RECIPES_DRAWN = 3
OTHERS_DRAWN = 20
"""How many files besides the recipes' have their turn."""
LEFT_OUT = (
    "tests/browser/", "tests/test_changes.py",
    "tests/test_phases_sweep.py", "tests/test_squash_killed.py", "tests/test_squash_mutations.py",
    "tests/test_push_killed.py", "tests/test_shadow_patience.py", "test_of_ten_deploys_of_a_gigabyte",
    "tests/compat/test_stock_output.py", "test_behind_a_real_pgbouncer", "test_nothing_is_lost_in_ten_thousand_steps",
)  # fmt: skip
"""What takes many minutes, or needs a program that a bare machine has not: the suites `long` and `faults` run it."""


def collected() -> list[str]:
    """Return the ids of all long tests."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "-m", "long"], cwd=REPOSITORY, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if "::" in line]


def draw(tests: list[str], date: dt.date, *, only_lived_through: bool = False) -> list[str]:
    """Draw three recipes to live through, three files of recipes and some of the others, and a part of each.

    :param tests: ids of long tests.
    :param only_lived_through: nothing but the three recipes that are lived through.
    :return: ids, sorted.
    """
    chance = random.Random(date.isoformat())
    files: dict[str, list[str]] = defaultdict(list)
    for test in sorted(tests):
        if not any(part in test for part in LEFT_OUT):
            files[test.partition("::")[0]].append(test)
    lived = files.pop(LIVED_THROUGH, [])
    names = sorted({_change(test) for test in lived})
    traffic = [
        test for name in chance.sample(names, min(RECIPES_DRAWN, len(names))) for test in lived if _change(test) == name
    ]
    if only_lived_through:
        return sorted(traffic)
    recipes = sorted(file for file in files if file.startswith(RECIPES))
    others = sorted(files.keys() - set(recipes))
    chosen = chance.sample(recipes, min(RECIPES_DRAWN, len(recipes))) + chance.sample(
        others, min(OTHERS_DRAWN, len(others))
    )
    drawn = [test for file in chosen for test in chance.sample(files[file], math.ceil(len(files[file]) / FOR_EACH))]
    return sorted([*traffic, *drawn])


def _change(test: str) -> str:
    """Return which change a test lives through, whatever its names."""
    return test.partition("[")[2].removeprefix("plain-").removeprefix("hostile-")


def main() -> int:
    """Draw, say what was drawn, and run it.

    :return: pytest's exit code.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    today = dt.datetime.now(dt.timezone.utc).date()
    parser.add_argument("--date", type=dt.date.fromisoformat, default=today, help="whose draw (default: today's, UTC)")
    parser.add_argument(
        "--lived-through", action="store_true", help="only three recipes under two applications, as CI does"
    )
    parser.add_argument("--list", action="store_true", help="say what would run, and run nothing")
    options = parser.parse_args()
    drawn = draw(collected(), options.date, only_lived_through=options.lived_through)
    print(f"{len(drawn)} long tests drawn by {options.date}:", *drawn, sep="\n  ", flush=True)
    if options.list:
        return 0
    seed = str(options.date.toordinal())
    environment = {"ALEMBIC_SAFE_TEST_SEED": seed, "ALEMBIC_SAFE_TEST_MINUTES": "0.5", "ALEMBIC_SAFE_TEST_KILLS": "2"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "long", f"--hypothesis-seed={seed}", "--durations=10", *drawn],
        cwd=REPOSITORY, check=False, env=os.environ | environment,
    ).returncode  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
