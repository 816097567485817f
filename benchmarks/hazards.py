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

import sqlalchemy as sa

from alembic_safe.inspecting.data_failures import data_failures
from alembic_safe.inspecting.hazard import SETUP
from alembic_safe.inspecting.hazards import HAZARDS
from alembic_safe.inspecting.live_facts import read_live
from tests.cluster import Cluster
from tests.traced import Watched, big, hazards_in

if TYPE_CHECKING:
    from alembic_safe.inspecting.hazard import Example, Hazard
    from alembic_safe.inspecting.live import Live
    from alembic_safe.inspecting.trace import Trace

FORMS = ("operation", "sql", "block")
ROWS_DECIDE = frozenset(
    {"duplicate-rows", "null-values", "orphan-rows", "violating-rows", "uncastable-values", "values-change"}
)
"""Judged by rows of the target, which is a second database here; tests/test_data_failures.py has more of them."""
ROWS = """
INSERT INTO users (id, name, age) VALUES (1, 'ann', 31), (2, 'ann', -1), (3, NULL, NULL);
INSERT INTO orders (id, user_id, total) VALUES (1, 9, 1.50);
"""


def has(example: Example, form: str) -> bool:
    """Return whether an example exists in a form."""
    return bool(example.operation if form == "operation" else example.sql and (form == "sql" or example.in_block))


def with_rows(url: str, trace: Trace) -> Live:
    """Return what is known of a database with the tables of the examples and some rows."""
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        live = read_live(connection, trace)
        failures = data_failures(connection, trace, show_examples=False).failures
        connection.rollback()
    return replace(live, failures=failures)


def verdict(watched: Watched, rows: str, hazard: Hazard, form: str) -> str:
    """Return ``yes`` where the bad example is found and the good one silent, ``-`` where there is no such form."""
    if not has(hazard.bad, form):
        return "-"
    said = []
    for which, wanted in (("bad", True), ("good", False)):
        example = getattr(hazard, which)
        if not has(example, form):
            continue
        trace = watched.run(hazard.setup, example, form=form)
        live = with_rows(rows, trace) if hazard.id in ROWS_DECIDE else big(trace)
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
            cluster.create("rows")
            with cluster.connect("rows") as connection:
                connection.execute(SETUP + ROWS)
            watched = Watched(cluster.url("hazards"))
            for hazard in HAZARDS:
                for form in FORMS:
                    found[hazard.id, version, form] = verdict(watched, cluster.url("rows"), hazard, form)
        finally:
            cluster.stop()
    lines = [
        "| hazard | rows | 16: operation | SQL | DO | 18: operation | SQL | DO | squawk |",
        "|---|---|" + "---|" * 7,
    ]
    for hazard in HAZARDS:
        cells = [found[hazard.id, version, form] for version in (16, 18) for form in FORMS]
        advice = " (advice, off by default)" if hazard.family == "advice" else ""
        name = hazard.id + (" (judged from documentation)" if hazard.documented else advice)
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
