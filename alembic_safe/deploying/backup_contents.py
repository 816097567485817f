"""Which tables a backup must hold, how large they are, and which of them this role may not read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from alembic_safe.errors import BackupFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alembic_safe.database.endpoint import Endpoint

# Members of extensions are left out: pg_dump writes CREATE EXTENSION instead. pg_temp and pg_toast have no dump.
# On a standby pg_dump leaves the rows of unlogged tables out, because there are none.
_TABLES = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name,
       c.relkind = 'r' AND NOT (c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery()) AS holds_rows,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_table_size(c.oid) ELSE 0 END AS bytes
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                  AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""

# Rows are only worth restoring with those they point to: foreign keys upwards, and partitions and children downwards.
_NEEDED = """
WITH RECURSIVE needed(oid) AS (
  SELECT pg_catalog.unnest(%(oids)s::oid[])
  UNION
  SELECT edge.target FROM needed JOIN (
    SELECT conrelid AS source, confrelid AS target FROM pg_catalog.pg_constraint WHERE contype = 'f'
    UNION ALL SELECT inhparent, inhrelid FROM pg_catalog.pg_inherits
  ) edge ON edge.source = needed.oid
) SELECT oid::bigint AS oid FROM needed
"""

_LARGE_OBJECTS = "SELECT pg_catalog.pg_table_size('pg_catalog.pg_largeobject') AS bytes"

_UNREADABLE = """
SELECT n.nspname AS schema, c.relname AS name, c.relkind = 'S' AS is_sequence,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS schema_usable,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable,
       c.relrowsecurity AND pg_catalog.row_security_active(c.oid) AS rows_hidden
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'S', 'f') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND NOT (pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
           AND NOT (c.relrowsecurity AND pg_catalog.row_security_active(c.oid)))
ORDER BY n.nspname, c.relname
"""

_DATABASE = """
SELECT pg_catalog.current_setting('server_version') AS server_version,
       pg_catalog.current_setting('server_version_num')::int / 10000 AS server_major,
       pg_catalog.pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collate, d.datctype AS ctype,
       pg_catalog.to_jsonb(d)->>'datlocprovider' AS provider,
       coalesce(pg_catalog.to_jsonb(d)->>'datlocale', pg_catalog.to_jsonb(d)->>'daticulocale') AS locale
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""

_SYSTEM = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()"


@dataclass(frozen=True)
class Table:
    """One table (or foreign table, or materialized view) as the catalog has it.

    :param holds_rows: whether a dump writes rows for it: a partitioned parent has none of its own.
    :param bytes: heap and TOAST, without indexes: a dump writes no index.
    """

    oid: int
    schema: str
    name: str
    holds_rows: bool
    bytes: int


@dataclass(frozen=True)
class DatabaseFacts:
    """What must be known of a database to make another one like it.

    :param system: the cluster's system identifier, empty where this role may not know it; it and the database's
        name tell two databases apart.
    :param provider: where the collation comes from: ``c`` (libc), ``i`` (ICU), ``b`` (builtin); none before 15.
    """

    server_version: str
    server_major: int
    system: str
    encoding: str
    collate: str
    ctype: str
    provider: str | None
    locale: str | None


def connect_as(endpoint: Endpoint, role: str | None) -> psycopg.Connection[Any]:
    """Open a connection of our own that works as a role, the one that logs in unless another is given."""
    connection = endpoint.connect()
    # a limit that somebody set for the application's queries would end the counting of a large table
    connection.execute("SELECT pg_catalog.set_config('statement_timeout', '0', false)")
    if role is not None and role != endpoint.user:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
    return connection


def as_role(endpoint: Endpoint, role: str | None) -> list[str]:
    """Return the argument that makes pg_dump and pg_restore do the same."""
    return [f"--role={role}"] if role is not None and role != endpoint.user else []


def read_facts(connection: psycopg.Connection[Any]) -> DatabaseFacts:
    """Read what this database is: server, encoding and locale."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_DATABASE).fetchone()
    assert row is not None  # noqa: S101 - we are connected to it
    try:
        system = connection.execute(_SYSTEM).fetchone()
    except psycopg.errors.InsufficientPrivilege:  # everybody may, unless somebody revoked it
        system = None
    return DatabaseFacts(**row, system=system[0] if system else "")


def read_tables(connection: psycopg.Connection[Any]) -> tuple[Table, ...]:
    """Read every table of the database that a dump contains."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return tuple(Table(**row) for row in cursor.execute(_TABLES))


def large_objects_size(connection: psycopg.Connection[Any]) -> int:
    """Return the bytes of all large objects."""
    row = connection.execute(_LARGE_OBJECTS).fetchone()
    return int(row[0]) if row else 0


def select_affected(
    connection: psycopg.Connection[Any], tables: Sequence[Table], wanted: Iterable[tuple[str, str]]
) -> tuple[Table, ...]:
    """Return the wanted tables, those they refer to (foreign keys, transitively), and their partitions.

    :param wanted: schema and name of each table.
    :raises BackupFailed: when one of them does not exist.
    """
    by_name = {(table.schema, table.name): table for table in tables}
    oids: list[int] = []
    for name in wanted:
        if name in by_name:
            oids.append(by_name[name].oid)
            continue
        row = connection.execute("SELECT pg_catalog.to_regclass(%s)", (quoted(*name),)).fetchone()
        if row is None or row[0] is None:
            raise BackupFailed(f"The backup is to hold {quoted(*name)}, which the database does not have.")
        # it belongs to an extension, and comes back with CREATE EXTENSION
    needed = {row[0] for row in connection.execute(_NEEDED, {"oids": oids})}
    return tuple(table for table in tables if table.oid in needed)


def unreadable(connection: psycopg.Connection[Any], user: str) -> tuple[list[str], list[str]]:
    """Return what this role may not read: one line for each object, and the SQL that would let it.

    :param user: the role that reads; named in the SQL.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_UNREADABLE).fetchall()
    role = sql.Identifier(user).as_string(connection)
    lines, grants = [], []
    for row in rows:
        name = quoted(row["schema"], row["name"])
        if not row["schema_usable"]:
            lines.append(f"{name}: no USAGE on schema {quoted(row['schema'])}")
            grants.append(f"GRANT USAGE ON SCHEMA {quoted(row['schema'])} TO {role};")
        if not row["readable"]:
            lines.append(f"{name}: no SELECT")
            grants.append(f"GRANT SELECT ON {'SEQUENCE ' if row['is_sequence'] else ''}{name} TO {role};")
        if row["rows_hidden"]:
            lines.append(f"{name}: row-level security would hide rows from this role")
            grants.append(f"ALTER ROLE {role} BYPASSRLS;")
    return lines, list(dict.fromkeys(grants))


def quoted(*names: str) -> str:
    """Return a name as SQL reads it, quotes doubled."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)
