"""How a hazard is explained: in a terminal, and on its page of the documentation."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import ANYWHERE, FAMILIES
from alembic_safe.reporting.text import labelled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic_safe.inspecting.hazard import Example, Hazard

_INDEX = """What a revision may do to a living database, each judged by what it was seen to do on a shadow and by the
size of what it meets. These pages are made from the records in `alembic_safe/inspecting/hazards/`; `alembic safe-explain`
prints them."""
_NONE_HELPS = "None: the revision fails as it stands, so no consent helps, and it is mended."
_PLACE = re.compile(r"\$\{?(\w+)\}?")


def remedy_as_written(hazard: Hazard) -> str:
    """Return the remedy with names to be filled in: ``TABLE`` for ``$table``."""
    return _PLACE.sub(lambda match: match[1].upper(), hazard.remedy)


def explained(hazard: Hazard, columns: int) -> str:
    """Return everything about a hazard, for a terminal."""
    lines = [
        labelled("Hazard", f"{hazard.id}: {hazard.title}", columns=columns),
        labelled("", FAMILIES[hazard.family], columns=columns),
        "",
        textwrap.fill(hazard.about, columns),
        "",
        "For example",
        *_indented(_shown(hazard.bad)),
        "",
        "Instead",
        *_indented(remedy_as_written(hazard)),
        "",
        "Which is silent",
        *_indented(_shown(hazard.good)),
        "",
        *_consent(hazard, columns),
    ]
    return "\n".join(lines) + "\n"


def _consent(hazard: Hazard, columns: int) -> Iterable[str]:
    if hazard.no_consent == ANYWHERE:
        yield labelled("Consent", _NONE_HELPS, columns=columns)
        return
    yield labelled("Consent", f'--accept "{hazard.id}:OBJECT", or in the revision file', columns=columns)
    yield labelled("", f'accept = {{"{hazard.id}:OBJECT": "why"}}', columns=columns)
    if hazard.no_consent:
        yield labelled("", _unless(hazard), columns=columns)


def _unless(hazard: Hazard) -> str:
    where = hazard.no_consent
    return f"{where[0].upper()}{where[1:]}, the revision fails as it stands: no consent helps, and it is mended."


def _shown(example: Example) -> str:
    return _operation(example) or _sql(example)


def _operation(example: Example) -> str:
    """Return the body of ``upgrade()``, and both functions where the example is about ``downgrade()``."""
    if not example.downgrade:
        return example.operation
    up, down = (textwrap.indent(body, "    ") for body in (example.operation, example.downgrade))
    return f"def upgrade():\n{up}\n\ndef downgrade():\n{down}"


def _sql(example: Example) -> str:
    up, down = ("\n".join(f"{one};" for one in part) for part in (example.sql, example.downgrade_sql))
    return f"-- upgrade\n{up}\n-- downgrade\n{down}" if down else up


def _indented(text: str) -> list[str]:
    return ["  " + line for line in text.splitlines()]


def page(hazard: Hazard) -> str:
    """Return the hazard's page of the documentation."""
    parts = [f"# {hazard.id}", f"{hazard.title}. *{FAMILIES[hazard.family].capitalize()}.*", hazard.about]
    if hazard.documented:
        parts.append("Judged from PostgreSQL's documentation: no server of the test matrix shows it.")
    parts += ["## For example", *_blocks(hazard.bad), "## Instead", _fenced("text", remedy_as_written(hazard))]
    parts += ["## Which is silent", *_blocks(hazard.good)]
    if hazard.no_consent == ANYWHERE:
        return "\n\n".join([*parts, "## Consent", _NONE_HELPS]) + "\n"
    parts += [
        "## Consent",
        "Where it is meant, say so by name, in the revision file",
        _fenced("python", f'accept = {{"{hazard.id}:OBJECT": "why"}}'),
        f'or on the command line: `--accept "{hazard.id}:OBJECT"`.',
    ]
    parts += [_unless(hazard)] if hazard.no_consent else []
    return "\n\n".join(parts) + "\n"


def _blocks(example: Example) -> Iterable[str]:
    if example.operation:
        yield _fenced("python", _operation(example))
    if example.sql:
        yield _fenced("sql", _sql(example))


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def index(hazards: Iterable[Hazard]) -> str:
    """Return the list of all hazards, by what harm they do."""
    known = tuple(hazards)
    parts = [
        "# Hazards",
        _INDEX,
    ]
    for family, meaning in FAMILIES.items():
        rows = [f"| [{one.id}]({one.id}.md) | {one.title} |" for one in known if one.family == family]
        if rows:
            parts.append("\n".join([f"## {meaning.capitalize()}", "", "| hazard | what it is |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def pages(hazards: Iterable[Hazard]) -> dict[str, str]:
    """Return every file of ``docs/hazards/`` by its name."""
    known = tuple(hazards)
    return {f"{hazard.id}.md": page(hazard) for hazard in known} | {"index.md": index(known)}
