"""Which constraints, indexes and sequences are the right ones under a wrong name?"""

# After a rename the dependants keep the names that PostgreSQL or the naming convention chose for the old one. Two
# that say the same of the same table and differ only in name are one object: renaming it costs and loses nothing.
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.inspecting.one_form import in_one_form

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId
    from alembic_safe.inspecting.comparison import Difference

# how the server itself writes it: pg_get_indexdef
_INDEX_NAME = re.compile(r'^(CREATE (?:UNIQUE )?INDEX )(?:"(?:[^"]|"")*"|\S+)( ON )')
_IGNORED = frozenset({"owner", "grants", "position", "comment", "index_comment", "clustered"})


@dataclass(frozen=True)
class NewName:
    """One object that only needs another name."""

    object: ObjectId
    name: str


def new_names(models: Catalog, database: Catalog, found: Sequence[Difference]) -> tuple[NewName, ...]:
    """Return the objects of the database that the models have under another name.

    :param found: what the two differ in.
    """
    missing: dict[object, list[ObjectId]] = {}
    for id_ in (difference.object for difference in found if difference.is_missing):
        missing.setdefault(_says(models, id_), []).append(id_)
    names: list[NewName] = []
    taken = {(id_.schema, id_.name) for id_ in database.objects if id_.kind in {"index", "constraint", "sequence"}}
    for extra in _extras(models, database, found):
        wanted = missing.get(_says(database, extra), [])
        if wanted and (wanted[0].schema, wanted[0].name) not in taken:
            names.append(NewName(extra, wanted.pop(0).name))
    return tuple(names)


def _extras(models: Catalog, database: Catalog, found: Sequence[Difference]) -> Iterator[ObjectId]:
    yield from (d.object for d in found if d.is_extra and d.object.kind in {"constraint", "index"})
    # sequences that belong to a column are no differences of their own
    yield from (id_ for id_ in database.objects if id_.kind == "sequence" and id_ not in models.objects)


def _says(catalog: Catalog, id_: ObjectId) -> object:
    """Return everything about an object but its name."""
    attributes = {
        name: in_one_form(name, value) for name, value in catalog.objects[id_].items() if name not in _IGNORED
    }
    if id_.kind == "index":
        attributes["definition"] = _INDEX_NAME.sub(r"\1\2", str(attributes["definition"]))
    elif id_.kind == "sequence":
        attributes = {name: attributes[name] for name in ("owned_by", "identity_of") if name in attributes}
    if id_.kind not in {"constraint", "index", "sequence"} or not attributes:
        return id_
    return (id_.kind, id_.schema, id_.parent, tuple(sorted(attributes.items())))
