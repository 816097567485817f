"""How does a shadow tell which tables a statement writes to, though there are no rows in them?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.database.statements import quoted

if TYPE_CHECKING:
    from alembic_safe.inspecting.trace_look import Looking

SCHEMA = "alembic_safe_watch"
TRIGGER = "zz_alembic_safe_watch"

# A statement-level trigger fires for no row at all, and inside of functions, DO blocks and COPY. It writes nothing: what
# it saw stands in a setting of the session.
_FUNCTION = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
GRANT USAGE ON SCHEMA {SCHEMA} TO PUBLIC;
CREATE OR REPLACE FUNCTION {SCHEMA}.saw() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE seen text := coalesce(pg_catalog.current_setting('{SCHEMA}.seen', true), '');
        it text := TG_OP || ' ' || TG_RELID || ';';
BEGIN
  IF pg_catalog.strpos(seen, it) = 0 THEN
    PERFORM pg_catalog.set_config('{SCHEMA}.seen', seen || it, false);
  END IF;
  RETURN NULL;
END $$;
"""
_UNWATCHED = f"""
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND c.oid >= 16384 AND n.nspname <> '{SCHEMA}'
  AND n.nspname NOT LIKE 'pg\\_%'
  AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = '{TRIGGER}')
"""


def watch_writes(connection: Any, looking: Looking) -> None:
    """Put the trigger on every table of the shadow that has none yet, before a revision begins."""
    if not looking.has_unwatched:
        return
    raw = connection.connection.driver_connection
    with raw.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.current_setting('role')")
        role = cursor.fetchone()[0]
        if role != "none":
            cursor.execute("SET ROLE NONE")
        cursor.execute(_FUNCTION)
        cursor.execute(_UNWATCHED)
        for schema, name in cursor.fetchall():
            cursor.execute(
                f"CREATE TRIGGER {TRIGGER} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {quoted(schema, name)}"
                f" FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.saw()"
            )
            # a copy may run under session_replication_role = replica
            cursor.execute(f"ALTER TABLE {quoted(schema, name)} ENABLE ALWAYS TRIGGER {TRIGGER}")
        if role != "none":
            cursor.execute(f"SET ROLE {quoted(role)}")
    raw.commit()
    looking.has_unwatched = False


def unwatch(connection: Any) -> None:
    """Take the triggers away again, so that the shadow is what its revisions made of it.

    :param connection: psycopg's, to the shadow, in autocommit.
    """
    connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
