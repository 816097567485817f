"""What is true of a database: one complete snapshot of its catalog, read in a handful of queries."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from alembic_safe.database.environment import OWN_SCHEMA, PREFIX
from alembic_safe.database.statements import run
from alembic_safe.inspecting.catalog_records import IMPLIED, Catalog, ObjectId, attributes_of
from alembic_safe.inspecting.catalog_sql import ALWAYS
from alembic_safe.inspecting.catalog_sql_rest import FOREIGN, REPLICATION, SCHEMAS, STATISTICS, SYSTEM_GRANTS
from alembic_safe.inspecting.catalog_sql_search import OPERATORS, SEARCH
from alembic_safe.inspecting.catalog_sql_tables import ATTACHED, COLUMNS, CONSTRAINTS, INDEXES, RELATIONS, SEQUENCES
from alembic_safe.inspecting.catalog_sql_types import ROUTINES, TYPES
from alembic_safe.inspecting.rights import rights
from alembic_safe.inspecting.syncs import SYNC_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    from alembic_safe.inspecting.catalog_records import Value

    AnyConnection = Connection | psycopg.Connection[Any]

__all__ = ["RETIRED_SCHEMA", "Catalog", "ObjectId", "read_catalog"]

RETIRED_SCHEMA = "alembic_safe_retired"
"""Where what was retired is kept: no part of what a database is."""

GROUPS = (
    SCHEMAS, RELATIONS, COLUMNS, CONSTRAINTS, INDEXES, SEQUENCES, ATTACHED, TYPES, ROUTINES, FOREIGN, REPLICATION, STATISTICS,
    OPERATORS, SEARCH, SYSTEM_GRANTS,
)  # fmt: skip

# Everything that changes how the server writes an expression; local to the transaction. The search path is empty, so
# that every name comes with its schema, whatever the session's own is.
SETTINGS = {
    "search_path": "", "DateStyle": "ISO, YMD", "IntervalStyle": "postgres", "TimeZone": "UTC", "extra_float_digits": "3",
    "bytea_output": "hex", "quote_all_identifiers": "off", "standard_conforming_strings": "on",
    "jit": "off",  # compiling these queries takes longer than running them
}  # fmt: skip
_SET = "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in SETTINGS.items())

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
    with _reading(connection):
        schemas = run(connection, _SCHEMAS)
        hidden = [row["name"] for row in schemas if row["is_ours"] or _is_systems(row["name"])]
        rows = [row for query in _queries(connection) for row in run(connection, query, _params(query, hidden))]
    objects: dict[ObjectId, Mapping[str, Value]] = {}
    # one text is parsed in half the time of many
    every = json.loads(f"[{','.join(row['attributes'] for row in rows)}]")
    for row, found in zip(rows, every, strict=True):
        id_ = ObjectId(row["kind"], row["schema"], row["name"], row["parent"])
        if _is_left_out(id_, leave_out):
            continue
        attributes = _normal(id_.kind, found)
        if attributes or id_.kind not in IMPLIED:
            objects[id_] = attributes
    # pg_dump does not say that the public schema is gone: a copy made from its dump has one again
    objects.setdefault(PUBLIC, PUBLIC_AS_INSTALLED)
    return Catalog(objects, schemas[0]["version"])


def _queries(connection: AnyConnection) -> Iterator[str]:
    """Yield the queries for what the database has something of, found out in one look."""
    sources = list(dict.fromkeys(part.source for group in GROUPS for part in group if part.source))
    asked = ", ".join(f"EXISTS (SELECT FROM {source}) AS it_{n}" for n, source in enumerate(sources))
    found = run(connection, f"SELECT {asked}")[0]
    there = {ALWAYS} | {source for n, source in enumerate(sources) if found[f"it_{n}"]}
    for group in GROUPS:
        if parts := [part.sql for part in group if part.source in there]:
            yield f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS found (kind, schema, name, parent, attributes)"


@contextmanager
def _reading(connection: AnyConnection) -> Iterator[None]:
    """Open what SET LOCAL is local to, and undo it: a transaction, or a savepoint where there is one already."""
    if not isinstance(connection, Connection):
        with connection.transaction(force_rollback=True):
            run(connection, _SET)
            yield
        return
    own = None if connection.in_transaction() else connection.begin()
    try:
        if _is_in_block(connection):
            savepoint = connection.begin_nested()
            try:
                run(connection, _SET)
                yield
            finally:
                savepoint.rollback()
        else:
            connection.exec_driver_sql("BEGIN")
            try:
                run(connection, _SET)
                yield
            finally:
                connection.exec_driver_sql("ROLLBACK")
    finally:
        if own is not None:
            own.rollback()


def _is_in_block(connection: Connection) -> bool:
    """Tell whether the server is in a transaction block: in autocommit SQLAlchemy believes so when it is not.

    Within a block the time stands still.
    """
    times = [run(connection, "SELECT now()::text AS it")[0]["it"] for _ in range(2)]
    return bool(times[0] == times[1])


def _params(query: str, hidden: list[str]) -> dict[str, object]:
    return {"hidden": hidden} if ":hidden" in query else {}


def _is_systems(schema: str) -> bool:
    return schema in {RETIRED_SCHEMA, SYNC_SCHEMA, "information_schema"} or schema.startswith("pg_")


def _is_left_out(id_: ObjectId, leave_out: frozenset[str]) -> bool:
    """Tell whether an object is a table of ours, or one that the caller does not want, or a part of such a table."""
    table = id_.parent or (id_.name if id_.kind in {"table", "sequence"} else "")
    return bool(table) and (table.startswith(PREFIX) or table in leave_out or f"{id_.schema}.{table}" in leave_out)


def _normal(kind: str, found: dict[str, Any]) -> dict[str, Value]:
    """Return attributes as they are compared: rights against what they are by default, each flag told once."""
    held, default, owner = (found.pop(name, None) for name in ("grants", "default_grants", "grants_owner"))
    if held is not None:
        found["grants"] = rights(held, default, owner, is_default=kind == "default privileges")
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
