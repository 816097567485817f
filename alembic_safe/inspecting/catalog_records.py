"""What a database is, as records that can be compared, stored and read back."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from alembic_safe.inspecting.one_form import in_one_form

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Value = str | int | bool | tuple[str, ...]
"""What an attribute can be; an attribute that has its default value is absent."""

RELATIONS = frozenset({"table", "view", "materialized view", "foreign table"})
"""The kinds that have columns."""

IMPLIED = frozenset({"view column", "partition trigger", "system grant"})
"""Kinds that are listed only where they differ from what comes by itself: not listed means as it comes by itself."""

NOT_COMPARED = frozenset({"position", "depends_on", "columns", "references", "sort", "result", "arguments"})
"""Attributes that help to write statements; what they say is told by others as well."""

INHERITED_NAME = "inherited_not_null_name"
"""What a column's NOT NULL is called that came from a parent, where that is not as if it were its own (PostgreSQL 18).

Nothing but its name depends on whether a partition was made as one or attached, and no statement changes it.
"""

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_QUOTED_NUMBER = re.compile(r"'(?P<number>-?\d+(?:\.\d+)?)'::(?P<type>[a-z ]+)")
_WHOLE = frozenset({"smallint", "integer", "bigint"})
_NUMBERS = frozenset({"numeric", "real", "double precision"})

FORMAT = 1
"""The version of the stored form."""


class ObjectId(NamedTuple):
    """Which object of a database.

    :param kind: such as ``table``, ``column``, ``function``: PostgreSQL's own word, in lower case.
    :param schema: empty where the kind has no schema.
    :param name: for routines with the types of the arguments: ``total(integer, public.money)``.
    :param parent: the table, view or domain that it is a part of; empty where it stands by itself.
    """

    kind: str
    schema: str
    name: str
    parent: str = ""

    def __str__(self) -> str:
        if self.kind in {"column", "view column"}:
            return f"column {self.schema}.{self.parent}.{self.name}"
        name = f"{self.schema}.{self.name}" if self.schema else self.name
        if self.parent and self.kind not in {"index", "sequence"}:
            return f"{self.kind} {self.name} on {self.schema}.{self.parent}"
        return f"{self.kind} {name}"


@dataclass(frozen=True, eq=False)
class Catalog:
    """One complete snapshot of what a database is, without its rows.

    Two of them are compared by :func:`alembic_safe.inspecting.comparison.compare`, never by ``==``.

    :param objects: the attributes of every object, by attribute name.
    :param server_version: PostgreSQL's ``server_version_num``, such as 160014.
    """

    objects: Mapping[ObjectId, Mapping[str, Value]] = field(repr=False)
    server_version: int = 0

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of everything that is compared by default: equal catalogs, equal fingerprints."""
        lines = [
            [
                *id_,
                {
                    name: in_one_form(name, value)
                    for name, value in sorted(attributes.items())
                    if name not in {*NOT_COMPARED, INHERITED_NAME}
                },
            ]
            for id_, attributes in sorted(self.objects.items())
        ]
        return hashlib.sha256(_compact(lines).encode()).hexdigest()

    def to_json(self) -> str:
        """Return the compact form that the journal keeps."""
        kinds: dict[str, list[list[Any]]] = {}
        for id_, attributes in sorted(self.objects.items()):
            kinds.setdefault(id_.kind, []).append([id_.schema, id_.name, id_.parent, attributes])
        return _compact({"format": FORMAT, "server_version": self.server_version, "objects": kinds})

    @classmethod
    def from_json(cls, stored: str) -> Catalog:
        """Read what :meth:`to_json` returned.

        :raises ValueError: when it is something else, or was written by a later version.
        """
        found: Any = json.loads(stored)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError("not a catalog that this version of alembic-safe can read")
        return cls(
            {
                ObjectId(kind, schema, name, parent): attributes_of(attributes)
                for kind, rows in found["objects"].items()
                for schema, name, parent, attributes in rows
            },
            found["server_version"],
        )

    def parts(self, of: ObjectId) -> Iterable[ObjectId]:
        """Return the objects that are parts of an object, such as the columns and triggers of a table."""
        return self._parts.get((of.schema, of.name), ())

    @cached_property
    def by_server_name(self) -> Mapping[str, ObjectId]:
        """Relations and routines by the name that the server writes: ``public."Order"``, ``public.f(integer)``."""
        found: dict[str, ObjectId] = {}
        for id_ in self.objects:
            if id_.kind in RELATIONS:
                # the server quotes keywords, and which names are some depends on its version
                for schema in {as_server(id_.schema), _quoted(id_.schema)}:
                    for name in {as_server(id_.name), _quoted(id_.name)}:
                        found[f"{schema}.{name}"] = id_
            elif id_.kind in {"function", "procedure", "aggregate"}:
                found[f"{as_server(id_.schema)}.{id_.name}"] = id_
        return found

    @cached_property
    def types_by_server_name(self) -> Mapping[str, ObjectId]:
        """Enums and domains by the name that the server writes: ``public.mood``."""
        return {
            f"{as_server(id_.schema)}.{as_server(id_.name)}": id_
            for id_ in self.objects
            if id_.kind in {"enum", "domain"}
        }

    @cached_property
    def _parts(self) -> Mapping[tuple[str, str], list[ObjectId]]:
        parts: dict[tuple[str, str], list[ObjectId]] = {}
        for id_ in sorted(self.objects):
            if id_.parent:
                parts.setdefault((id_.schema, id_.parent), []).append(id_)
        return parts


def attributes_of(found: Mapping[str, Any]) -> dict[str, Value]:
    """Return attributes as they are compared: lists are tuples, what says nothing is absent, and a number has no quotes."""
    said = {
        name: tuple(value) if isinstance(value, (list, tuple)) else value
        for name, value in found.items()
        if value is not None and value is not False and value != []
    }
    if isinstance(said.get("default"), str) and "type" in said:
        said["default"] = _plain_number(str(said["default"]), str(said["type"]))
    return said


def _plain_number(default: str, type_: str) -> str:
    """Return a default without quotes where it is a number: ``'6'::bigint`` is the 6 that an integer had before."""
    found = _QUOTED_NUMBER.fullmatch(default)
    if found is None:
        return default
    own = type_.partition("(")[0]
    is_whole = found["type"] in _WHOLE and own in {*_WHOLE, "numeric"}
    return found["number"] if is_whole or (found["type"] == own and own in _NUMBERS) else default


def as_server(name: str) -> str:
    """Quote a name where it has to be, keywords aside."""
    return name if _PLAIN.fullmatch(name) else _quoted(name)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
