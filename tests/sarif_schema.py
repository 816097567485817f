"""Is what safe-plan writes as SARIF what the official schema says: ``python -m tests.sarif_schema SCHEMA [LOG ...]``.

The schema is ``sarif-schema-2.1.0.json`` of OASIS, which has no place in this repository:
https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema

from alembic_safe.deploying.plan import Plan
from alembic_safe.deploying.safe_plan import Judged, SafePlan
from alembic_safe.inspecting.hazard import SEVERITIES, Found, Hit
from alembic_safe.inspecting.hazards import HAZARDS
from alembic_safe.inspecting.live import Live
from alembic_safe.inspecting.policy import LEVELS, Policy
from alembic_safe.inspecting.trace import Trace
from alembic_safe.reporting.plan_ci import sarif

FILES = ("", "migrations/versions/3f2a_less.py", "/a folder/é <b> %41.py", "C:\\new\\x.py")


def everything() -> str:
    """Return a log with every hazard at every level, with and without a line, accepted in both ways and not at all."""
    judged = tuple(
        Judged(
            Found(hazard, Hit('users."a|b"\n%', 0, "what it does", severity), "3f2a", file, line * bool(file)),
            LEVELS[(number + line) % len(LEVELS)],
            ("", "--accept", "in the file: why")[number % 3],
        )
        for number, hazard in enumerate(HAZARDS)
        for line, (severity, file) in enumerate(zip(SEVERITIES, FILES, strict=True))
    )
    return sarif([SafePlan(Plan((), ()), judged, Trace(), Live(), Policy())])


def main(words: list[str]) -> int:
    """Validate a log with everything in it, and those that are named.

    :return: 0 when the schema allows all of them.
    """
    schema = json.loads(Path(words[0]).read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    validator.check_schema(schema)
    logs = {"every hazard": everything()} | {word: Path(word).read_text(encoding="utf-8") for word in words[1:]}
    wrong = 0
    for name, text in logs.items():
        log = json.loads(text)
        errors = list(validator.iter_errors(log))
        wrong += len(errors)
        print(f"{name}: {len(log['runs'][0]['results'])} results, {len(errors)} errors")
        for error in errors[:10]:
            print(f"  {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
