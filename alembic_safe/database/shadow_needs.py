"""What a target has that a shadow of it must have, and what a server lacks of that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg import sql

from alembic_safe.database.shadow_sql import Locale
from alembic_safe.database.statements import run

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Connection

    from alembic_safe.database.shadow_server import ShadowServer

_ROLE_TAG = "alembic-safe shadow role"

_NEEDS = """
SELECT current_setting('server_version_num')::int AS version, session_user AS "user",
       pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS "collate", d.datctype AS ctype,
       to_jsonb(d) ->> 'datlocprovider' AS provider,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale,
       ARRAY(SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1)::text[] AS extensions,
       ARRAY(
         SELECT r.rolname FROM pg_roles r
         WHERE r.rolname IN (session_user, current_user) OR r.oid = d.datdba OR EXISTS (
           SELECT FROM pg_shdepend s
           WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid AND s.dbid = d.oid)
         ORDER BY 1)::text[] AS roles
FROM pg_database d WHERE d.datname = current_database()
"""
_HOLDINGS = """
SELECT what, name FROM (
  SELECT 'table or view' AS what, n.nspname || '.' || c.relname AS name FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname NOT LIKE 'pg\\_%'
  UNION ALL SELECT 'schema', n.nspname FROM pg_namespace n
  WHERE n.oid >= 16384 AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'public'
  UNION ALL SELECT 'type', t.typname FROM pg_type t WHERE t.oid >= 16384 AND t.typtype IN ('e', 'd', 'r')
  UNION ALL SELECT 'function', p.proname FROM pg_proc p WHERE p.oid >= 16384 AND NOT EXISTS (
    SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
  UNION ALL SELECT 'large object', l.oid::text FROM pg_largeobject_metadata l
) found ORDER BY 1 DESC, 2 LIMIT 5
"""
_OFFERS = """
SELECT (SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user) AS may_create,
       pg_is_in_recovery() AS in_recovery,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser, current_user AS role,
       ARRAY(SELECT name FROM pg_available_extensions)::text[] AS available,
       ARRAY(SELECT rolname FROM pg_roles)::text[] AS roles
"""


@dataclass(frozen=True)
class ShadowNeeds:
    """What a shadow must have to stand for a target; empty where nothing is known of one.

    :param server_version: the target's, as PostgreSQL counts it: 160014.
    :param extensions: those installed in the target.
    :param roles: those that own something there or that something is granted to.
    :param user: the role that logs in to the target.
    """

    server_version: int | None = None
    extensions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    user: str | None = None
    locale: Locale | None = field(default=None)


def needs_of(connection: Connection | psycopg.Connection[Any]) -> ShadowNeeds:
    """Read what a shadow of this database must have; one statement, which only reads."""
    facts = run(connection, _NEEDS)[0]
    # a provider is known from PostgreSQL 15 on; before, it is always libc
    locale = Locale(facts["encoding"], facts["collate"], facts["ctype"], facts["provider"] or "c", facts["locale"])
    return ShadowNeeds(facts["version"], tuple(facts["extensions"]), tuple(facts["roles"]), facts["user"], locale)


def holdings(connection: psycopg.Connection[Any]) -> tuple[str, ...]:
    """Return up to five things that a database holds and a new one does not: what somebody may miss."""
    return tuple(f"{row['what']} {row['name']}" for row in run(connection, _HOLDINGS))


def lacks(server: ShadowServer, needs: ShadowNeeds) -> tuple[str, ...]:
    """Return what a server lacks, one phrase each; empty when shadows can be made on it."""
    offers = run(server.connection, _OFFERS)[0]
    found: list[str] = []
    if offers["in_recovery"]:
        found.append("it is a read-only replica")
    elif not offers["may_create"]:
        found.append(f"{offers['role']} may not create a database (ALTER ROLE ... CREATEDB)")
    missing = sorted(set(needs.extensions) - set(offers["available"]))
    if missing:
        found.append(f"extensions it does not have: {', '.join(missing)}")
    strangers = sorted(set(needs.roles) - set(offers["roles"]))
    if strangers and not server.private:
        found.append(f"roles it does not have: {', '.join(strangers)}")
    return tuple(found)


def prepare_roles(server: ShadowServer, needs: ShadowNeeds) -> None:
    """Make the target's roles on a private server, where they are nobody's else; all may do everything there."""
    if not server.private:
        return
    known = {row["rolname"] for row in run(server.connection, "SELECT rolname FROM pg_roles")}
    for role in sorted({*needs.roles, *([needs.user] if needs.user else [])} - known):
        if role.startswith("pg_"):  # a predefined role of a newer server
            continue
        name = sql.Identifier(role)
        server.connection.execute(
            sql.SQL(
                "DO $$ BEGIN CREATE ROLE {0} SUPERUSER LOGIN; COMMENT ON ROLE {0} IS {1};"
                " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
            ).format(name, sql.Literal(_ROLE_TAG))
        )
