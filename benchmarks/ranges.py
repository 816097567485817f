"""Do ranges drawn at random from a real history fold into one revision that does the same?

    python -m benchmarks.ranges INI [COUNT [SEED [LEAST MOST]]]
    python -m benchmarks.ranges INI START:END ...

COUNT ranges (8) of LEAST to MOST revisions (3 to 15) with one way in and out are drawn, by SEED (20261125), from the history
of an ``alembic.ini``. Each is folded with ``--dry-run``, on a copy of the folder of the scripts: the history is not written to.
The proof of the squash is what is asked: a database at the start, without rows and with rows, brought to the end by the files
and by the one revision, and back; any difference fails, and so does a refusal. What each row says: the operations of the files,
those of the one revision, how many revisions are carried as they are written, and how far the operations were reduced.
Ranges that are named are folded in the place of those drawn.

Each range makes and drops about forty databases. Where the server for shadows (``ALEMBIC_SAFE_SHADOW_URL``) runs with
``fsync = off``, that takes half the time.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.config import Config
from alembic.script import ScriptDirectory

from alembic_safe.errors import Findings, WrongUsage
from alembic_safe.history.extent import extent_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DRAWN = (8, 20261125, 3, 15)
"""How many, by which seed, of how many revisions at least and at most."""
FORMS = ("reduced", "as they were", "every revision as it is written")


def copied(ini: Path, folder: Path) -> Path:
    """Copy the folder of the scripts, and write an ini beside it that is the same but for that."""
    location = Path(ScriptDirectory.from_config(Config(str(ini))).dir)
    shutil.copytree(location, folder / location.name, ignore=shutil.ignore_patterns("__pycache__"))
    lines = ini.read_text(encoding="utf-8").replace("%(here)s", str(ini.parent)).splitlines()
    kept = [line for line in lines if not line.startswith("script_location")]
    at = kept.index("[alembic]") + 1
    made = folder / "alembic.ini"
    made.write_text(
        "\n".join([*kept[:at], f"script_location = {folder / location.name}", *kept[at:]]), encoding="utf-8"
    )
    return made


def drawn(ini: Path, count: int, seed: int, least: int, most: int) -> Iterator[str]:
    """Yield ranges with one way in and one way out."""
    script = ScriptDirectory.from_config(Config(str(ini)))
    ids = [one.revision for one in reversed(list(script.walk_revisions()))]
    draw, found = random.Random(seed), set[str]()
    for _ in range(count * 50):
        first = draw.randrange(len(ids) - least)
        last = first + draw.randint(least, most)
        if len(found) == count or last >= len(ids):
            continue
        word = f"{ids[first]}:{ids[last]}"
        try:
            extent_of(script, word)
        except (Findings, WrongUsage):
            continue
        if word not in found:
            found.add(word)
            yield word


def folded(ini: Path, word: str) -> dict[str, Any] | str:
    """Return what the squash of a range says of itself, or why there is none."""
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(ini), "squash", word, "-m", "a range", "--dry-run", "--json"],
        capture_output=True, text=True, check=False, cwd=ini.parent, env=_environment(ini.parent),
    )  # fmt: skip
    if done.returncode:
        return done.stderr.partition("FAILED: ")[2] or done.stderr
    # what the application itself prints as it is imported may stand before
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{\n  ") :])
    return found


def _environment(folder: Path) -> dict[str, str]:
    """Return ours, with a place for what is compiled: the same files are loaded for each database anew."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**environment, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}


def main(ini: Path, given: Sequence[str]) -> int:
    """Draw, fold, print a row for each, and one for all."""
    named = [one for one in given if ":" in one]
    count, seed, least, most = [*map(int, given), *DRAWN[len(given) :]] if not named else DRAWN
    failed, began = 0, time.monotonic()
    done: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(ini, Path(folder))
        for word in named or drawn(copy, count, seed, least, most):
            began_this = time.monotonic()
            found = folded(copy, word)
            seconds = time.monotonic() - began_this
            if isinstance(found, str):
                failed += 1
                print(f"{word}: FAILED after {seconds:.0f} s\n{found}", flush=True)
                continue
            done.append(found)
            counts = f"{found['operations_before']:4} -> {found['operations']:3} operations, {len(found['carried']):2} carried"
            print(
                f"{word}: {found['replaced']:2} revisions, {counts}, {FORMS[found['level']]}, {seconds:.0f} s",
                flush=True,
            )
    revisions, before, after = (
        sum(one[key] for one in done) for key in ("replaced", "operations_before", "operations")
    )
    print(
        f"{len(done)} ranges, {revisions} revisions, {before} -> {after} operations, {time.monotonic() - began:.0f} s;"
        f" {failed} failed"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), sys.argv[2:]))
