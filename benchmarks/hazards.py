"""Which hazards are found in which form, on which server, and what squawk says of the same SQL.

Run with ``python -m benchmarks.hazards [--squawk PATH] [--output FILE]`` from the project's folder.
"""

# For each hazard its own examples: the bad one must be found and the good one be silent, as an Alembic operation, as SQL
# and inside of a DO block where PostgreSQL allows it. squawk, which reads SQL, gets the same statements as a file.
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazards import HAZARDS
from tests.cluster import Cluster
from tests.traced import Watched, big, hazards_in

if TYPE_CHECKING:
    from alembic_safe.inspecting.hazard import Example, Hazard

FORMS = ("operation", "sql", "block")
ROWS_DECIDE = frozenset(
    {"duplicate-rows", "null-values", "orphan-rows", "violating-rows", "uncastable-values", "values-change"}
)
"""Judged by rows of the target: tests/test_data_failures.py has them."""


def has(example: Example, form: str) -> bool:
    """Return whether an example exists in a form."""
    return bool(example.operation if form == "operation" else example.sql and (form == "sql" or example.in_block))


def verdict(watched: Watched, hazard: Hazard, form: str) -> str:
    """Return ``yes`` where the bad example is found and the good one silent, ``-`` where there is no such form."""
    if not has(hazard.bad, form):
        return "-"
    said = []
    for which, wanted in (("bad", True), ("good", False)):
        example = getattr(hazard, which)
        if not has(example, form):
            continue
        trace = watched.run(hazard.setup, example, form=form)
        live = big(trace)
        if hazard.documented:
            live = replace(live, server_version=140002)
        said.append((hazard.id in {one.hazard.id for one in hazards_in(trace, live)}) is wanted)
    return "yes" if all(said) else "NO"


def squawks(squawk: str, hazard: Hazard) -> str:
    """Return the rules that squawk reports for the bad example."""
    if not squawk or not hazard.bad.sql:
        return "-"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write("".join(f"{one};\n" for one in (*hazard.bad.sql, *hazard.bad.downgrade_sql)))
        file.flush()
        done = subprocess.run([squawk, "--reporter", "json", file.name], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout or "[]")
    noise = {"require-lock-timeout", "require-statement-timeout", "prefer-robust-stmts"}  # said of nearly every file
    return ", ".join(sorted({one["rule_name"] for one in found} - noise)) or "nothing"


def main() -> int:
    """Print the table.

    :return: 0 when every example does what it should.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--squawk", default="", help="the squawk program, to show what it reports beside")
    parser.add_argument("--output", type=Path, help="a file for the table; default: stdout")
    given = parser.parse_args()
    found: dict[tuple[str, int, str], str] = {}
    for version in (16, 18):
        cluster = Cluster.start(version)
        try:
            cluster.create("hazards")
            watched = Watched(cluster.url("hazards"))
            for hazard in HAZARDS:
                for form in FORMS:
                    by_rows = hazard.id in ROWS_DECIDE
                    found[hazard.id, version, form] = "rows" if by_rows else verdict(watched, hazard, form)
        finally:
            cluster.stop()
    lines = [
        "| hazard | rows | 16: operation | SQL | DO | 18: operation | SQL | DO | squawk |",
        "|---|---|" + "---|" * 7,
    ]
    for hazard in HAZARDS:
        cells = [found[hazard.id, version, form] for version in (16, 18) for form in FORMS]
        name = hazard.id + (" (judged from documentation)" if hazard.documented else "")
        rows = ", ".join(map(str, hazard.rows)) or "ours"
        lines.append(f"| {name} | {rows} | {' | '.join(cells)} | {squawks(given.squawk, hazard)} |")
    text = "\n".join(lines) + "\n"
    if given.output:
        given.output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 1 if "NO" in found.values() else 0


if __name__ == "__main__":
    sys.exit(main())
