"""How does a shadow tell which tables a statement writes to, though there are no rows in them?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.trace import LOCKS
from alembic_safe.inspecting.trace_state import CHECKSUM, RELATIONS

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
_STRONG = ", ".join(f"'{mode}'" for mode in LOCKS[3:])
# ctid: a row that is written anew, though in the same transaction, stands somewhere else
_SIGNED = "(SELECT sum(hashtid({0}.ctid)::bigint) FROM {1} {0} WHERE {0}.{2} = c.oid)"
_INDEXES = """(SELECT sum(i.relfilenode::bigint + hashtid(i.ctid)) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
    WHERE x.indrelid = c.oid)"""
_SIGNATURE = "concat_ws('/', hashtid(c.ctid), c.relfilenode, " + ", ".join(
    _SIGNED.format(*one) for one in (
        ("a", "pg_attribute", "attrelid"), ("d", "pg_attrdef", "adrelid"), ("k", "pg_constraint", "conrelid"),
        ("x", "pg_index", "indrelid"), ("g", "pg_trigger", "tgrelid"), ("p", "pg_policy", "polrelid"),
        ("w", "pg_rewrite", "ev_class"),
    )
) + f", {_INDEXES})"  # fmt: skip
# Functions of PL/pgSQL: their plans are kept, and to plan these questions takes longer than to answer them. One call after
# each statement tells what its transaction holds; the functions below pg_stat_xact_user_tables are asked one by one, as the
# view itself joins all tables with all indexes. The counters are flushed at the end of each transaction, where a session
# can ask for that (PostgreSQL 15), so that the next one begins with none.
_LOOK = f"""
CREATE OR REPLACE FUNCTION {SCHEMA}.states(wanted bigint[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY {RELATIONS.format(which="(wanted IS NULL OR c.oid = ANY (wanted::oid[]))")};
END $$;
CREATE OR REPLACE FUNCTION {SCHEMA}.look(OUT wrote boolean, OUT locks text, OUT counters text, OUT seen text, OUT checksum text,
  OUT signatures text, OUT classes text, OUT lock_timeout integer, OUT advisory boolean) LANGUAGE plpgsql AS $$
DECLARE held oid[]; strong oid[];
BEGIN
  wrote := pg_current_xact_id_if_assigned() IS NOT NULL;
  SELECT array_agg(DISTINCT l.relation), array_agg(DISTINCT l.relation) FILTER (WHERE l.mode IN ({_STRONG})),
      string_agg(l.relation::bigint || ' ' || l.mode, ',') FILTER (WHERE l.mode <> 'AccessShareLock')
    INTO held, strong, locks FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.granted AND l.locktype = 'relation'
    AND l.relation >= 16384 AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
  SELECT string_agg(concat_ws(' ', o.oid::bigint, o.scans, o.inserted, o.updated, o.deleted), ',') INTO counters FROM (
    SELECT u.oid, pg_stat_get_xact_numscans(u.oid) AS scans, pg_stat_get_xact_tuples_inserted(u.oid) AS inserted,
      pg_stat_get_xact_tuples_updated(u.oid) AS updated, pg_stat_get_xact_tuples_deleted(u.oid) AS deleted
    FROM unnest(held) u (oid)) o WHERE o.scans + o.inserted + o.updated + o.deleted > 0;
  seen := current_setting('{SCHEMA}.seen', true);
  IF seen <> '' THEN PERFORM set_config('{SCHEMA}.seen', '', false); END IF;
  IF wrote THEN
    checksum := ({CHECKSUM});
    SELECT string_agg(c.oid::bigint || ' ' || {_SIGNATURE}, ',') INTO signatures
      FROM pg_class c WHERE c.oid = ANY (strong) AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f');
  END IF;
  classes := (SELECT count(*) || '/' || sum(hashtid(c.ctid)::bigint) FROM pg_class c WHERE c.oid >= 16384);
  lock_timeout := (extract(epoch FROM current_setting('lock_timeout')::interval) * 1000)::integer;
  advisory := EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype = 'advisory');
  IF current_setting('server_version_num')::integer >= 150000 THEN
    PERFORM pg_stat_force_next_flush();
  END IF;
END $$;
"""
# SECURITY DEFINER: env.py may work as a role that owns nothing of what the applied revisions made
_WATCH = f"""
CREATE OR REPLACE FUNCTION {SCHEMA}.watch() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE it regclass;
BEGIN
  FOR it IN SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND c.oid >= 16384 AND n.nspname <> '{SCHEMA}'
      AND n.nspname NOT LIKE 'pg\\_%'
      AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = '{TRIGGER}')
  LOOP
    EXECUTE format('CREATE TRIGGER {TRIGGER} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s'
      ' FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.saw()', it);
    -- a copy may run under session_replication_role = replica
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER {TRIGGER}', it);
  END LOOP;
END $$;
"""


def make_eyes(connection: Any) -> None:
    """Make the functions that look, before the first revision."""
    raw = connection.connection.driver_connection
    with raw.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.current_setting('role')")
        role = cursor.fetchone()[0]
        if role != "none":
            cursor.execute("SET ROLE NONE")
        cursor.execute(_FUNCTION)
        cursor.execute(_LOOK)
        cursor.execute(_WATCH)
        if role != "none":
            cursor.execute(f"SET ROLE {quoted(role)}")
    raw.commit()


def watch_writes(connection: Any, looking: Looking) -> None:
    """Put the trigger on every table of the shadow that has none yet, before a revision begins."""
    if not looking.has_unwatched:
        return
    raw = connection.connection.driver_connection
    with raw.cursor() as cursor:
        cursor.execute(f"SELECT {SCHEMA}.watch()")
    raw.commit()
    looking.has_unwatched = False


def unwatch(connection: Any) -> None:
    """Take the triggers away again, so that the shadow is what its revisions made of it.

    :param connection: psycopg's, to the shadow, in autocommit.
    """
    connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
