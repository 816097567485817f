"""What does a line of ``settles`` say: which change to which object waits for a contract?"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import Any

from alembic_safe.errors import Findings, NextStep

VERBS: dict[str, str] = {
    "retire_column": "a column goes, its values are kept",
    "retire_table": "a table goes, its rows are kept",
    "drop_column": "a column that only served the phases goes",
    "set_not_null": "a column takes no NULL any more",
    "drop_not_null": "a column takes NULL again",
    "set_default": "a column gets its default",
    "drop_default": "a column loses its default",
    "set_type": "a column gets its type",
    "rename_column": "a column gets its name",
    "rename_table": "a table gets its name",
    "rename_index": "an index gets its name",
    "rename_constraint": "a constraint gets its name",
    "swap_columns": "a column takes the place of another one",
    "swap_enum": "an enum, with its columns, takes the place of another one",
    "create_constraint": "a constraint appears",
    "drop_constraint": "a constraint goes",
    "create_index": "an index appears",
    "drop_index": "an index goes",
    "drop_type": "a type goes",
    "finish": "SQL that waits until what it needs is gone",
    "drop_sync": "the triggers that kept columns equal go",
}
"""What a contract may be said to do: the verb, and what it means to a person. Recipes add theirs here."""

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_PART = r'"(?:[^"]|"")+"|[^\s."]+'
_LINE = re.compile(
    rf"\s*(?P<verb>\w+)\s+(?P<parts>(?:{_PART})(?:\.(?:{_PART})){{1,2}})(?:\s+(?P<rest>.+?))?\s*", re.DOTALL
)


@dataclass(frozen=True)
class Settle:
    """One thing that a contract will do.

    :param table: the table, or the type where the verb speaks of one.
    :param name: the column, constraint or index; empty where the verb speaks of the table or the type itself.
    :param rest: what the verb needs besides, such as a type or another name, as it stands in the line.
    """

    verb: str
    schema: str
    table: str
    name: str = ""
    rest: str = ""

    def __str__(self) -> str:
        parts = ".".join(_written(part) for part in (self.schema, self.table, self.name) if part)
        return " ".join(word for word in (self.verb, parts, self.rest) if word)

    @property
    def facts(self) -> dict[str, Any]:
        """What the line says besides verb and name, where that is JSON: what recipes write for their contracts."""
        found = json.loads(self.rest) if self.rest.startswith("{") else {}
        return found if isinstance(found, dict) else {}

    @property
    def is_part(self) -> bool:
        """Whether it is done in the step of another line: in the one in which that column, or that table, goes."""
        return not {"goes_with", "instead_of", "behind"}.isdisjoint(self.facts)

    @property
    def meaning(self) -> str:
        """What the verb means, in words."""
        return VERBS[self.verb]


def parse_settle(text: str, *, where: str = "settles") -> Settle:
    """Read one line, such as ``retire_column public.users.fullname``.

    Names are taken as they stand; one that holds a capital, a dot, a space or a quote stands in double quotes, as in
    SQL: ``retire_column public."Users"."full name"``.

    :param where: the file, for messages.
    :raises Findings: for a line of another form, and for a verb that nobody knows.
    """
    match = _LINE.fullmatch(text)
    if match is None:
        raise Findings(
            f"{where}: the settles line {text!r} is none: it says a verb, then schema.table or schema.table.column.",
            next_steps=[NextStep("write it like this", '"retire_column public.users.fullname"')],
        )
    verb = match["verb"]
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1, cutoff=0.5)
        nearest = f" The nearest is {near[0]}." if near else ""
        raise Findings(
            f"{where}: the settles line {text!r} begins with {verb}, which no contract of this version does.{nearest}",
            detail=[f"Verbs: {', '.join(sorted(VERBS))}."],
            next_steps=[NextStep("correct the line, or install the version of alembic-safe that wrote it")],
        )
    parts = [_read(part) for part in re.findall(_PART, match["parts"])]
    return Settle(verb, parts[0], parts[1], parts[2] if len(parts) == 3 else "", match["rest"] or "")


def _read(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def _written(part: str) -> str:
    return part if _PLAIN.fullmatch(part) else '"' + part.replace('"', '""') + '"'
