"""What is true of a database: one complete snapshot of its catalog, read in a handful of queries."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from alembic_safe.database.environment import OWN_SCHEMA, PREFIX
from alembic_safe.database.statements import run
from alembic_safe.inspecting.catalog_records import IMPLIED, Catalog, ObjectId, attributes_of
from alembic_safe.inspecting.catalog_sql import ALWAYS, Part
from alembic_safe.inspecting.catalog_sql_rest import FOREIGN, REPLICATION, SCHEMAS, STATISTICS, SYSTEM_GRANTS
from alembic_safe.inspecting.catalog_sql_search import OPERATORS, SEARCH
from alembic_safe.inspecting.catalog_sql_tables import ATTACHED, COLUMNS, CONSTRAINTS, INDEXES, RELATIONS, SEQUENCES
from alembic_safe.inspecting.catalog_sql_types import ROUTINES, TYPES
from alembic_safe.inspecting.rights import rights, roles_in
from alembic_safe.inspecting.syncs import SYNC_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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
        rows = list(_rows(connection, hidden))
        # one text is parsed in half the time of many
        every = json.loads(f"[{','.join(row['attributes'] for row in rows)}]")
        spelled = _spelled(connection, every)
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


def _rows(connection: AnyConnection, hidden: list[str]) -> Iterator[Mapping[str, Any]]:
    """Yield a row for every object of the kinds that the database has.

    Which ones it has is asked behind those that it always has: so what a column needs is found where the column was.
    """
    for group in GROUPS:
        yield from _found(connection, [part for part in group if part.source == ALWAYS], hidden)
    sources = list(dict.fromkeys(part.source for group in GROUPS for part in group if part.source != ALWAYS))
    asked = ", ".join(f"EXISTS (SELECT FROM {source})" for source in sources)
    answers = run(connection, f"SELECT ARRAY[{asked}] AS it")[0]["it"]
    there = {source for source, answer in zip(sources, answers, strict=True) if answer}
    for group in GROUPS:
        yield from _found(connection, [part for part in group if part.source in there], hidden)


def _found(connection: AnyConnection, parts: list[Part], hidden: list[str]) -> Sequence[Mapping[str, Any]]:
    if not parts:
        return ()
    every = " UNION ALL ".join(part.sql for part in parts)
    query = f"SELECT * FROM ({every}) AS found (kind, schema, name, parent, attributes)"
    return run(connection, query, {"hidden": hidden} if ":hidden" in query else {})


def _spelled(connection: AnyConnection, every: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of roles that hold rights beside the owners, as the server quotes them."""
    names = {
        role for found in every if found.get("grants") for role in roles_in(found["grants"]) - {found["grants_owner"]}
    }
    if not names:
        return {}
    query = "SELECT it, quote_ident(it) AS spelled FROM unnest(CAST(:names AS text[])) AS it"
    return {row["it"]: row["spelled"] for row in run(connection, query, {"names": sorted(names)})}


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
