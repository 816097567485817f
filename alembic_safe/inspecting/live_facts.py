"""What does the target say of the tables that a plan touches?"""

# Everything here reads, in the caller's transaction, and nothing waits: a table that somebody has locked is left out
# rather than queued for, and a count that takes too long is the planner's estimate instead.
from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run
from alembic_safe.inspecting.live import LARGE, SMALL, Live, TableFacts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alembic_safe.inspecting.trace import Relation, Trace

EXACT_BELOW = 1_000_000
"""Rows: up to here they are counted, which takes less than a tenth of a second; above it the planner's estimate serves."""
_PATIENCE = "5s"

_TABLES = """
SELECT n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
  greatest(c.reltuples, s.n_live_tup, 0)::bigint AS estimate, c.reltuples < 0 AS never_counted,
  {bytes} AS bytes, {heap} AS heap, coalesce(s.n_dead_tup, 0) AS dead,
  coalesce((s.n_tup_ins + s.n_tup_upd + s.n_tup_del)
    / greatest(extract(epoch FROM now() - coalesce(d.stats_reset, pg_postmaster_start_time())), 1), 0)::float8 AS writes,
  (SELECT coalesce(sum({parts}), 0)::bigint FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid
    WHERE i.inhparent = c.oid) AS parts,
  (SELECT coalesce(sum(greatest(p.reltuples, 0)), 0)::bigint FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid
    WHERE i.inhparent = c.oid) AS part_rows,
  ARRAY(SELECT DISTINCT 'the view ' || w.ev_class::regclass::text FROM pg_depend e JOIN pg_rewrite w ON w.oid = e.objid
    WHERE e.classid = 'pg_rewrite'::regclass AND e.refclassid = 'pg_class'::regclass AND e.refobjid = c.oid
      AND w.ev_class <> c.oid)
    || ARRAY(SELECT 'the policy ' || p.polname FROM pg_policy p WHERE p.polrelid = c.oid)
    || ARRAY(SELECT 'the function ' || p.oid::regprocedure::text FROM pg_proc p WHERE p.oid >= 16384
      AND p.prosrc ~ ('\\y' || regexp_replace(c.relname, '(\\W)', '\\\\\\1', 'g') || '\\y') LIMIT 5) AS dependants,
  ARRAY(SELECT b.pubname::text FROM pg_publication b WHERE b.puballtables OR EXISTS (
    SELECT FROM pg_publication_rel r WHERE r.prpubid = b.oid AND r.prrelid = c.oid)) AS publications
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
LEFT JOIN pg_stat_database d ON d.datname = current_database()
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname || '.' || c.relname = ANY (CAST(:names AS text[]))
"""
_MEASURED = {
    "bytes": "pg_total_relation_size(c.oid)", "heap": "pg_relation_size(c.oid)", "parts": "pg_total_relation_size(i.inhrelid)",
}  # fmt: skip
# what the last VACUUM or ANALYZE noted: it asks for no lock
_NOTED = {
    "bytes": "c.relpages * current_setting('block_size')::bigint", "heap": "c.relpages * current_setting('block_size')::bigint",
    "parts": "p.relpages * current_setting('block_size')::bigint",
}  # fmt: skip
_SERVER = """
SELECT current_setting('server_version_num')::int AS version,
  (SELECT extract(epoch FROM max(now() - a.xact_start))::float8 FROM pg_stat_activity a
    WHERE a.pid <> pg_backend_pid() AND a.datname = current_database()) AS oldest,
  (SELECT concat_ws(' ', 'pid', a.pid, a.usename, a.application_name) FROM pg_stat_activity a
    WHERE a.pid <> pg_backend_pid() AND a.datname = current_database() AND a.xact_start IS NOT NULL
    ORDER BY a.xact_start LIMIT 1) AS oldest_who,
  (SELECT count(*) FROM pg_stat_replication) AS replicas,
  (SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical') AS slots
"""
_INVALID = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT i.indisvalid
"""


def read_live(connection: Any, trace: Trace, *, small: int = SMALL, large: int = LARGE) -> Live:
    """Ask a target for everything that judging a trace needs; only reads.

    :param connection: SQLAlchemy's, in a transaction of the caller's.
    :param small: bytes below which a table is small; :param large: from which on it is large.
    """
    tables: dict[tuple[str, str], TableFacts] = {}
    unsure: list[str] = []
    going = _going(trace)
    with bounded(connection):
        names = {"names": [f"{r.schema}.{r.name}" for r in touched(trace)]}
        rows = ask(connection, _TABLES.format(**_MEASURED), names)
        if isinstance(rows, DBAPIError):  # somebody holds one of them locked
            rows = tuple(run(connection, _TABLES.format(**_NOTED), names))
        for row in rows:
            key = (row["schema"], row["name"])
            tables[key] = _facts(connection, row, going.get(key, ()), unsure)
        server = run(connection, _SERVER)[0]
        invalid = frozenset((row["schema"], row["name"]) for row in run(connection, _INVALID))
    return Live(
        known=True, server_version=server["version"], tables=tables, oldest_transaction=float(server["oldest"] or 0),
        oldest_who=server["oldest_who"] or "", replicas=server["replicas"], slots=server["slots"],
        invalid_indexes=invalid, small=small, large=large, not_counted=tuple(unsure),
    )  # fmt: skip


def touched(trace: Trace) -> tuple[Relation, ...]:
    """Return every relation of the target that a trace names."""
    found: dict[Relation, None] = {}
    for revision in trace.revisions:
        for one in revision.statements:
            relations = [lock.relation for lock in one.locks] + [write.relation for write in one.writes]
            relations += [change.relation for change in one.changes if change.relation is not None]
            relations += [
                change.after.references
                for change in one.changes
                if change.kind == "constraint" and change.after is not None and change.after.references is not None
            ]
            for relation in (*relations, *one.scans, *one.rewrites):
                if not relation.new and relation.kind in {"table", "materialized view", "foreign table"}:
                    found.setdefault(relation)
    return tuple(found)


def _going(trace: Trace) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the columns that go, by table, under the names that the target knows."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for revision in trace.revisions:
        for _, _, change in revision.changes("column", "gone"):
            relation = change.relation
            if relation is None or relation.new:
                continue
            if change.name in {column.name for column in trace.columns.get(relation, ())}:
                key = (relation.schema, relation.name)
                found[key] = (*found.get(key, ()), change.name)
    return found


@contextmanager
def bounded(connection: Any) -> Iterator[None]:
    """Let no question wait for a lock or run for long, and leave the session as it was."""
    savepoint = connection.begin_nested()
    try:
        # what is asked may hold formulas of a revision: whatever they call cannot write
        run(connection, "SET LOCAL transaction_read_only = on")
        run(connection, "SET LOCAL lock_timeout = '500ms'")
        run(connection, f"SET LOCAL statement_timeout = '{_PATIENCE}'")
        yield
    finally:
        if savepoint.is_active:
            savepoint.rollback()


def ask(
    connection: Any, sql: str, params: Mapping[str, object] | None = None
) -> tuple[Mapping[str, Any], ...] | DBAPIError:
    """Ask rows under a savepoint; an error is an answer, too.

    :param sql: names in it are quoted by the caller; nothing in it is a parameter unless ``params`` are given.
    """
    savepoint = connection.begin_nested()
    try:
        if params:
            return tuple(run(connection, sql, params))
        return tuple(run(connection, verbatim(sql)))
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return error
    finally:
        if savepoint.is_active:
            savepoint.rollback()


def reason_of(error: DBAPIError) -> str:
    """Return why something could not be asked."""
    text = " ".join(str(error.orig).split())
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    if state in {"42703", "42P01", "42704", "42883"}:
        return "it needs what the plan makes first"
    return "counting took longer than a plan may take" if state == "57014" else text


def _facts(connection: Any, row: Mapping[str, Any], going: tuple[str, ...], unsure: list[str]) -> TableFacts:
    table = quoted(row["schema"], row["name"])
    estimate = int(row["estimate"]) or int(row["part_rows"])
    size = int(row["bytes"]) + int(row["parts"])
    # what was never analyzed is counted unless its size alone says that it is large
    many = estimate >= EXACT_BELOW or (row["never_counted"] and size > 1000**3)
    rows, exact, filled = estimate, False, {}
    if not many:
        counts = ", ".join(f"count({quoted(name)}) AS {quoted('f' + str(n))}" for n, name in enumerate(going))
        found = ask(connection, f"SELECT count(*) AS rows{', ' + counts if counts else ''} FROM {table}")
        if isinstance(found, DBAPIError):
            unsure.append(f"{row['schema']}.{row['name']}")
        else:
            rows, exact = int(found[0]["rows"]), True
            filled = {name: int(found[0][f"f{n}"]) for n, name in enumerate(going)}
    else:
        for name in going:  # whether there is any value at all is known without counting them
            found = ask(connection, f"SELECT 1 FROM {table} WHERE {quoted(name)} IS NOT NULL LIMIT 1")
            if not isinstance(found, DBAPIError) and not found:
                filled[name] = 0
    if not rows and not exact:
        found = ask(connection, f"SELECT 1 FROM {table} LIMIT 1")
        rows = 0 if not isinstance(found, DBAPIError) and not found else max(estimate, 1)
    return TableFacts(
        rows, exact, size, int(row["heap"]), int(row["dead"]), float(row["writes"]), tuple(row["dependants"]),
        tuple(row["publications"]), filled,
    )  # fmt: skip
