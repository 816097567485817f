"""In what does a database differ from the models, as far as models can say anything about it?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic_safe.inspecting.catalog_records import Catalog
from alembic_safe.inspecting.comparison import EXISTS, Difference, compare

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from alembic_safe.inspecting.catalog_records import ObjectId

# What MetaData can say of an object. What it cannot say (storage, triggers, row security) is nobody's contradiction.
_SAID: Mapping[str, frozenset[str]] = {
    "table": frozenset({"unlogged", "partition_key", "inherits", "options", "tablespace", "comment"}),
    "column": frozenset({"type", "collation", "not_null", "default", "generated", "expression", "identity", "comment",
                         "not_null_name"}),
    "constraint": frozenset({"definition", "deferrable", "comment", "index_options"}),
    "index": frozenset({"definition", "index_options", "tablespace"}),
    "sequence": frozenset({"type", "start", "increment", "minimum", "maximum", "cache", "cycle", "owned_by"}),
    "enum": frozenset({"labels"}),
    "domain": frozenset({"type", "default", "not_null", "collation"}),
    "domain constraint": frozenset({"definition"}),
}  # fmt: skip

DROPPED = frozenset({"table", "column", "constraint", "index", "sequence", "enum", "domain", "domain constraint"})
"""The kinds that a database can have too much of; a view, a trigger or a function is never one."""

_NAME = re.compile(r'"((?:[^"]|"")*)"|([^."]+)')

DEFAULT_TABLE_ACCESS = frozenset({"access_method"})


def differences(models: Catalog, database: Catalog, *, without: Iterable[ObjectId] = ()) -> tuple[Difference, ...]:
    """Return what the models (left) say otherwise than the database (right).

    Column order, owners and rights are not among it, and what only the database has is, where it is of a kind that
    models make.

    :param without: objects that are not looked at, each with its parts.
    """
    left_out = {(id_.schema, id_.name) for id_ in without if id_.kind == "table"}
    single = set(without)
    found: list[Difference] = []
    for difference in compare(models, database, owners=False, grants=False):
        id_ = difference.object
        table = _owner(id_, models, database) or (id_.schema, id_.parent or id_.name)
        if id_.kind == "schema" and left_out and _only_for(id_.name, models, left_out):
            continue
        if id_ in single or (table in left_out and id_.kind in {"table", "column", "constraint", "index", "sequence"}):
            continue
        if difference.what == EXISTS:
            if difference.is_missing or _can_go(id_, database):
                found.append(difference)
        elif id_.kind not in _SAID:
            if id_ in models.objects and difference.left is not None and id_.kind != "schema":
                found.append(difference)  # made by an event of the metadata: the whole of it was said
        elif difference.what in _SAID[id_.kind]:
            found.append(difference)
    return tuple(found)


def looked_at(catalog: Catalog, without: Iterable[ObjectId]) -> Catalog:
    """Return a catalog without some tables and their parts: nothing of the rest is a new name of one of them."""
    hidden = {(id_.schema, id_.name) for id_ in without if id_.kind == "table"}
    if not hidden:
        return catalog
    kept = {
        id_: said
        for id_, said in catalog.objects.items()
        if (_owner(id_, catalog) or (id_.schema, id_.parent or (id_.name if id_.kind == "table" else ""))) not in hidden
    }
    return Catalog(kept, catalog.server_version)


def _only_for(schema: str, models: Catalog, left_out: Container[tuple[str, str]]) -> bool:
    """Tell whether the models have a schema for nothing but tables that are not looked at."""
    tables = [(id_.schema, id_.name) for id_ in models.objects if id_.kind == "table" and id_.schema == schema]
    return bool(tables) and all(table in left_out for table in tables)


def _owner(id_: ObjectId, *catalogs: Catalog) -> tuple[str, str] | None:
    """Return the table that a counting column's sequence belongs to: it is named otherwise than its table."""
    if id_.kind != "sequence":
        return None
    owned = next((str(one.objects[id_]["owned_by"]) for one in catalogs if "owned_by" in one.objects.get(id_, {})), "")
    schema, table, *_ = [*(quoted.replace('""', '"') or plain for quoted, plain in _NAME.findall(owned)), "", ""]
    return (schema, table) if table else None


def _can_go(id_: ObjectId, database: Catalog) -> bool:
    """Tell whether what only the database has may be too much: partitions are their parent's."""
    if id_.kind not in DROPPED:
        return False
    attributes = database.objects[id_]
    if id_.kind == "sequence" and (id_.parent or "owned_by" in attributes):
        return False  # comes and goes with its column
    if attributes.get("inherited") or attributes.get("attached_to"):
        return False
    return not (id_.kind == "table" and ("partition_bound" in attributes or "of_type" in attributes))


def objects_of(models: Catalog) -> frozenset[ObjectId]:
    """Return the objects that a push of these models answers for."""
    return frozenset(id_ for id_ in models.objects if id_.kind in DROPPED)
