"""What is true of a database: one complete snapshot of its catalog, read in a handful of queries."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from alembic_safe.database.environment import OWN_SCHEMA, PREFIX
from alembic_safe.database.statements import run
from alembic_safe.inspecting.catalog_asking import described, reading, spelled_in
from alembic_safe.inspecting.catalog_records import IMPLIED, Catalog, ObjectId, attributes_of
from alembic_safe.inspecting.rights import rights
from alembic_safe.inspecting.syncs import SYNC_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic_safe.inspecting.catalog_asking import AnyConnection
    from alembic_safe.inspecting.catalog_records import Value

__all__ = ["RETIRED_SCHEMA", "Catalog", "ObjectId", "read_catalog"]

RETIRED_SCHEMA = "alembic_safe_retired"
"""Where what was retired is kept: no part of what a database is."""

_SCHEMAS = f"""
SELECT n.nspname AS name, {OWN_SCHEMA} AS is_ours, current_setting('search_path') AS path,
  current_setting('server_version_num')::int AS version FROM pg_namespace n
"""

PUBLIC = ObjectId("schema", "", "public")
PUBLIC_AS_INSTALLED: Mapping[str, Value] = {
    "owner": "pg_database_owner",
    "comment": "standard public schema",
    "grants": ("@owner=ALL", "PUBLIC=USAGE"),
}


def read_catalog(connection: AnyConnection, *, leave_out: frozenset[str] = frozenset()) -> Catalog:
    """Read the catalog of the database that a connection is connected to; write nothing, leave no setting behind.

    What initdb and extensions made is not in it, nor what is alembic-safe's own (the journal, retired tables).

    :param connection: SQLAlchemy's (any driver) or psycopg's, in a transaction, outside one, or in autocommit.
    :param leave_out: tables that are not to appear, as ``name`` (in whatever schema) or ``schema.name``: the version
        table. The table's parts are left out as well.
    """
    with reading(connection):
        schemas = run(connection, _SCHEMAS)
        hidden = [row["name"] for row in schemas if row["is_ours"] or _is_systems(row["name"])]
        rows = list(described(connection, hidden))
        # one text is parsed in half the time of many
        every = json.loads(f"[{','.join(row['attributes'] for row in rows)}]")
        spelled = spelled_in(connection, every)
    objects: dict[ObjectId, Mapping[str, Value]] = {}
    for row, found in zip(rows, every, strict=True):
        id_ = ObjectId(row["kind"], row["schema"], row["name"], row["parent"])
        if _is_left_out(id_, leave_out):
            continue
        attributes = _normal(id_.kind, found, spelled)
        if attributes or id_.kind not in IMPLIED:
            objects[id_] = attributes
    # pg_dump does not say that the public schema is gone: a copy made from its dump has one again
    objects.setdefault(PUBLIC, PUBLIC_AS_INSTALLED)
    return Catalog(objects, schemas[0]["version"])


def _is_systems(schema: str) -> bool:
    return schema in {RETIRED_SCHEMA, SYNC_SCHEMA, "information_schema"} or schema.startswith("pg_")


def _is_left_out(id_: ObjectId, leave_out: frozenset[str]) -> bool:
    """Tell whether an object is a table of ours, or one that the caller does not want, or a part of such a table."""
    table = id_.parent or (id_.name if id_.kind in {"table", "sequence"} else "")
    return bool(table) and (table.startswith(PREFIX) or table in leave_out or f"{id_.schema}.{table}" in leave_out)


def _normal(kind: str, found: dict[str, Any], spelled: Mapping[str, str]) -> dict[str, Value]:
    """Return attributes as they are compared: rights against what they are by default, each flag told once."""
    held, default, owner = (found.pop(name, None) for name in ("grants", "default_grants", "grants_owner"))
    if held is not None:
        found["grants"] = rights(held, default or (), owner, spelled, is_default=kind == "default privileges")
    if kind in {"constraint", "domain constraint"}:
        definition: str = found["definition"]
        # ruleutils writes the flags behind the definition, in this order
        if found.get("not_enforced"):
            definition = definition.removesuffix(" NOT ENFORCED")
            found["not_valid"] = False  # what is not enforced is never valid
        if found["not_valid"]:
            definition = definition.removesuffix(" NOT VALID")
        if found.get("deferrable"):
            definition = definition.removesuffix(" INITIALLY DEFERRED").removesuffix(" DEFERRABLE")
        found["definition"] = definition
    return attributes_of(found)
