"""A plan for pipelines: annotations of GitHub's workflow commands, and SARIF for code scanning."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from alembic_safe import __version__
from alembic_safe.inspecting.hazard import FAMILIES
from alembic_safe.inspecting.hazards import HAZARDS
from alembic_safe.reporting.hazards import page, remedy_as_written
from alembic_safe.reporting.text import shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic_safe.deploying.safe_plan import Judged, SafePlan

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_SARIF_LEVEL = {"refuse": "error", "ask": "error", "warn": "warning", "allow": "note"}


def github(plans: Iterable[SafePlan]) -> str:
    """Return a workflow command for each hazard: GitHub shows it at the line of the revision file."""
    lines = []
    for plan in plans:
        for one in plan.judged:
            if one.level == "allow" or one.accepted:
                continue
            found = one.found
            kind = "error" if one.stops else "warning"
            where = f"file={_property(shown_path(found.file))},line={max(found.line, 1)}," if found.file else ""
            text = f"{found.hit.effect}\nInstead:\n{found.hazard.advises(found.hit)}"
            lines.append(f"::{kind} {where}title={_property(found.id)}::{_data(text)}")
        if plan.trace is None:
            lines.append(f"::warning title=not observed::{_data(plan.why_not)}")
    return "".join(line + "\n" for line in lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def sarif(plans: Iterable[SafePlan]) -> str:
    """Return one SARIF log (2.1.0) with every hazard as a result."""
    places = {hazard.id: place for place, hazard in enumerate(HAZARDS)}
    results = [_result(one, places) for plan in plans for one in plan.judged]
    driver = {
        "name": "alembic-safe", "version": __version__, "semanticVersion": __version__,
        "rules": [
            {
                "id": hazard.id,
                "shortDescription": {"text": hazard.title},
                "fullDescription": {"text": hazard.about},
                "help": {"text": remedy_as_written(hazard), "markdown": page(hazard)},
                "properties": {"tags": [hazard.family, FAMILIES[hazard.family]]},
            }
            for hazard in HAZARDS
        ],
    }  # fmt: skip
    log = {
        "$schema": SARIF_SCHEMA, "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }  # fmt: skip
    return json.dumps(log, indent=2) + "\n"


def _result(one: Judged, places: dict[str, int]) -> dict[str, Any]:
    found = one.found
    result: dict[str, Any] = {
        "ruleId": found.hazard.id,
        "ruleIndex": places[found.hazard.id],
        "level": "note" if one.accepted else _SARIF_LEVEL[one.level],
        "message": {"text": f"{found.hit.object}: {found.hit.effect}. Instead: {found.hazard.advises(found.hit)}"},
        "partialFingerprints": {"consent/v1": f"{found.revision}/{found.id}"},
    }
    if found.file:
        # a URI reference (RFC 3986): a blank, a percent sign or an umlaut in a name is encoded
        uri = quote(PurePath(shown_path(found.file)).as_posix())
        location: dict[str, Any] = {"artifactLocation": {"uri": uri}}
        if found.line:
            location["region"] = {"startLine": found.line}
        result["locations"] = [{"physicalLocation": location}]
    if one.accepted:
        kind = "inSource" if one.accepted.startswith("in the file") else "external"
        result["suppressions"] = [{"kind": kind, "justification": one.accepted}]
    return result
