"""What goes together with a column or a table, as statements that make it again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alembic_safe.database.failures import sqlstate_of
from alembic_safe.database.reads import Reads
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import literal, quoted, run
from alembic_safe.inspecting.retired import Dependant
from alembic_safe.operations.said_of_relations import said_of_sequence, without_default_rights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sqlalchemy import Connection

    from alembic_safe.operations.said_of_relations import SaidOfSequence

# What DROP COLUMN takes along without being asked: constraints and indexes over it, statistics objects, rights. What
# it would not take (views, policies, triggers of columns, generated columns) it refuses, and so do we.
_OF_COLUMN = """
WITH t AS (SELECT CAST(CAST(:table AS text) AS regclass) AS oid),
     a AS (SELECT attnum, CAST(:called AS name) AS attname, attacl FROM pg_attribute, t
           WHERE attrelid = t.oid AND pg_attribute.attname = :column),
     taken AS (SELECT DISTINCT d.classid, d.objid FROM pg_depend d, t, a
               WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.refobjsubid = a.attnum
                 AND d.deptype IN ('a', 'i')),
     k AS (SELECT c.oid, c.conname AS name,
             CASE c.contype WHEN 'f' THEN 'foreign key' WHEN 'c' THEN 'check' ELSE 'constraint' END AS kind
           FROM pg_constraint c, t, a WHERE c.conrelid = t.oid
             AND ((a.attnum = ANY(c.conkey) AND c.contype IN ('c', 'f', 'p', 'u', 'x')) OR (c.contype IN ('p', 'u', 'x')
               AND EXISTS (SELECT FROM pg_index x WHERE x.indexrelid = c.conindid AND a.attnum = ANY(x.indkey))))),
     i AS (SELECT i.oid, i.relname AS name FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid, t, a
           WHERE x.indrelid = t.oid AND NOT i.relispartition
             AND (a.attnum = ANY(x.indkey) OR EXISTS (SELECT FROM taken WHERE classid = 'pg_class'::regclass AND objid = i.oid))
             AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.oid AND c.contype IN ('p', 'u', 'x'))),
     s AS (SELECT s.oid, s.stxname AS name, format('%I.%I', n.nspname, s.stxname) AS own, s.stxstattarget AS target,
             pg_get_userbyid(s.stxowner) AS owner
           FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace, t, a
           WHERE s.stxrelid = t.oid AND (a.attnum = ANY(s.stxkeys)
             OR EXISTS (SELECT FROM taken WHERE classid = 'pg_statistic_ext'::regclass AND objid = s.oid)))
SELECT kind, 1 AS rank, name, format('ALTER TABLE %s ADD CONSTRAINT %I %s', t.oid::regclass, name, pg_get_constraintdef(k.oid))
  AS make FROM k, t
UNION ALL
SELECT kind, 6, name, format('COMMENT ON CONSTRAINT %I ON %s IS %L', name, t.oid::regclass,
       obj_description(k.oid, 'pg_constraint'))
FROM k, t WHERE obj_description(k.oid, 'pg_constraint') IS NOT NULL
UNION ALL
SELECT 'index', 2, name, replace(pg_get_indexdef(oid), format('INDEX %I ON ONLY ', name), format('INDEX %I ON ', name)) FROM i
UNION ALL
SELECT 'index', 6, name, format('COMMENT ON INDEX %s IS %L', oid::regclass, obj_description(oid, 'pg_class'))
FROM i WHERE obj_description(oid, 'pg_class') IS NOT NULL
UNION ALL
SELECT 'statistics', 3, name, pg_get_statisticsobjdef(oid) FROM s
UNION ALL
SELECT 'statistics', 6, name, format('ALTER STATISTICS %s SET STATISTICS %s', own, target) FROM s WHERE target >= 0
UNION ALL
SELECT 'statistics', 6, name, format('COMMENT ON STATISTICS %s IS %L', own, obj_description(oid, 'pg_statistic_ext'))
FROM s WHERE obj_description(oid, 'pg_statistic_ext') IS NOT NULL
UNION ALL
SELECT 'statistics', 7, name, format('DO %L', format('BEGIN ALTER STATISTICS %s OWNER TO %I; EXCEPTION'
       ' WHEN insufficient_privilege OR undefined_object THEN NULL; END', own, owner)) FROM s WHERE owner <> current_user
UNION ALL
SELECT 'grant', 4, coalesce(r.rolname, 'PUBLIC'), format('GRANT %s (%I) ON %s TO %s%s', g.privilege_type, a.attname,
       t.oid::regclass, coalesce(quote_ident(r.rolname), 'PUBLIC'),
       CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM t, a, aclexplode(a.attacl) g LEFT JOIN pg_roles r ON r.oid = g.grantee
UNION ALL
SELECT 'comment', 5, a.attname, format('COMMENT ON COLUMN %s.%I IS %L', t.oid::regclass, a.attname,
       col_description(t.oid, a.attnum)) FROM t, a WHERE col_description(t.oid, a.attnum) IS NOT NULL
UNION ALL
SELECT 'storage', 0, a.attname, format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE %s', t.oid::regclass, a.attname,
       CASE p.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END)
FROM t, a, pg_attribute p JOIN pg_type y ON y.oid = p.atttypid
WHERE p.attrelid = t.oid AND p.attnum = a.attnum AND p.attstorage <> y.typstorage
UNION ALL
SELECT 'statistics target', 0, a.attname, format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', t.oid::regclass,
       a.attname, p.attstattarget)
FROM t, a, pg_attribute p WHERE p.attrelid = t.oid AND p.attnum = a.attnum AND p.attstattarget >= 0
UNION ALL
SELECT 'compression', 0, a.attname, format('ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION %s', t.oid::regclass,
       a.attname, CASE p.attcompression WHEN 'p' THEN 'pglz' ELSE 'lz4' END)
FROM t, a, pg_attribute p WHERE p.attrelid = t.oid AND p.attnum = a.attnum AND p.attcompression <> ''
UNION ALL
SELECT 'options', 0, a.attname, format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', t.oid::regclass, a.attname,
       array_to_string(p.attoptions, ', '))
FROM t, a, pg_attribute p WHERE p.attrelid = t.oid AND p.attnum = a.attnum AND p.attoptions IS NOT NULL
ORDER BY rank, name
"""

# A sequence that the column owns goes with it; where it went on counting is noted. That of an identity is made again with it.
_OWNED_SEQUENCE = """
SELECT s.oid::bigint AS oid, d.deptype = 'i' AS is_identity, n.nspname AS schema, s.relname AS name,
       pg_get_userbyid(s.relowner) AS owner, q.seqstart, q.seqincrement, q.seqmax, q.seqmin, q.seqcache, q.seqcycle,
       format_type(q.seqtypid, NULL) AS type
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_sequence q ON q.seqrelid = s.oid JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refobjid = CAST(CAST(:table AS text) AS regclass) AND a.attname = :column
  AND d.deptype IN ('a', 'i')
"""

OF_THE_NAME = frozenset({"grant", "comment", "storage", "statistics target", "compression", "options"})
"""What belongs to a column's name in the eyes of who uses it, and to its number in PostgreSQL's."""

_VIOLATED = ("23502", "23503", "23505", "23514", "23P01")
_THERE_ALREADY = ("42710", "42P07", "42P16")
# a role, a publication, a function, a table or a type that has gone meanwhile
_GONE = ("42704", "42P01", "42883", "42703", "3F000", "0A000", "42830", "2BP01")

DEFAULT_RIGHTS = "default rights"
"""What is taken from a sequence that was made again: rights that it did not have before."""


@dataclass(frozen=True)
class OwnedSequence:
    """A sequence that goes with its column: what it is, and what is said of it."""

    facts: Mapping[str, Any]
    said: SaidOfSequence


def of_column(connection: Connection, table: str, column: str) -> tuple[Dependant, ...]:
    """Return what goes with a column; called under an empty search path, so that every name comes with its schema.

    :param table: quoted and qualified.
    """
    reads = Reads(connection)
    sequences = sequences_of(connection, owned_sequences(reads, table, column), table, column)
    return (*sequences, *said_of_column(reads, table, column))


def said_of_column(reads: Reads, table: str, column: str, *, called: str = "") -> tuple[Dependant, ...]:
    """Return what goes with a column beside the sequences that it owns; called likewise.

    :param called: the column that what is said of this one is said of another time; empty: this one.
    """
    rows = reads.rows(_OF_COLUMN, {"table": table, "column": column, "called": called or column})
    return tuple(Dependant(row["kind"], row["name"], row["make"]) for row in rows)


def owned_sequences(reads: Reads, table: str, column: str) -> list[OwnedSequence]:
    """Return the sequences that a column owns, that of an identity among them."""
    rows = reads.rows(_OWNED_SEQUENCE, {"table": table, "column": column})
    return [OwnedSequence(row, said_of_sequence(reads, row["oid"])) for row in rows]


def sequences_of(connection: Connection, owned: Sequence[OwnedSequence], table: str, column: str) -> list[Dependant]:
    """Return what makes owned sequences again, and lets them go on from where they are now.

    That of an identity comes with it; what is said of it comes behind.
    """
    found: list[Dependant] = []
    for sequence in owned:
        row = sequence.facts
        name = quoted(row["schema"], row["name"])
        said = sequence.said.dependants(name)
        if row["is_identity"]:
            found += [replace(one, make=_of_identity(one.make, name, table, column)) for one in said]
            continue
        at = run(connection, f"SELECT last_value, is_called FROM {name}")[0]
        start = at["last_value"] + (row["seqincrement"] if at["is_called"] else 0)
        make = (
            f"CREATE {'UNLOGGED ' if sequence.said.unlogged else ''}SEQUENCE {name} AS {row['type']}"
            f" START {row['seqstart']} INCREMENT {row['seqincrement']}"
            f" MINVALUE {row['seqmin']} MAXVALUE {row['seqmax']} CACHE {row['seqcache']}{' CYCLE' if row['seqcycle'] else ''}"
        )
        restart = f"ALTER SEQUENCE {name} RESTART {min(max(start, row['seqmin']), row['seqmax'])}"
        tie = f"ALTER SEQUENCE {name} OWNED BY {table}.{quoted(column)}"
        # whoever brings it back: a table owns no sequence of another owner
        owner = _owned_like(table, name)
        found.extend(Dependant("sequence", row["name"], sql) for sql in (make, owner, restart, tie))
        found += [Dependant(DEFAULT_RIGHTS, row["name"], without_default_rights("SEQUENCE", name)), *said]
    return found


def _of_identity(make: str, name: str, table: str, column: str) -> str:
    """Return a statement about the sequence of an identity, under the name that it has by then."""
    before, _, behind = make.partition(f"SEQUENCE {name}")
    now = f"pg_catalog.pg_get_serial_sequence({literal(table)}, {literal(column)})"
    said = f"{literal(before + 'SEQUENCE ')} || {now} || {literal(behind)}"
    return f"DO {literal(f'BEGIN IF {now} IS NOT NULL THEN EXECUTE {said}; END IF; END')}"


def _owned_like(table: str, sequence: str) -> str:
    """Return what gives a sequence the owner that its table has by then."""
    alter = literal(f"ALTER SEQUENCE {sequence} OWNER TO ")
    who = (
        "SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class"
        f" WHERE oid = {literal(table)}::pg_catalog.regclass"
    )
    return f"DO {literal(f'BEGIN EXECUTE {alter} || pg_catalog.quote_ident(({who})); END')}"


def make_again(connection: Connection, dependants: Sequence[Dependant]) -> tuple[list[str], list[str]]:
    """Make what went, each under a savepoint.

    :returns: what came back NOT VALID because newer rows violate it, and what did not come back, each with its
        reason.
    """
    not_valid: list[str] = []
    not_back: list[str] = []
    there: set[str] = set()
    for dependant in dependants:
        if dependant.kind == DEFAULT_RIGHTS and dependant.name in there:
            continue  # whoever made it anew has said who may use it
        state, said = attempt(connection, dependant.make)
        if state in _VIOLATED and dependant.kind in ("check", "foreign key"):
            state, said_then = attempt(connection, f"{dependant.make} NOT VALID")
            if not state:
                not_valid.append(f"{dependant.shown}: {said}")
            said = said if state in _VIOLATED else said_then
        if state in _THERE_ALREADY and dependant.kind == "sequence":
            there.add(dependant.name)
        if state and state not in _THERE_ALREADY:
            not_back.append(f"{dependant.shown}: {said}; {dependant.make};")
    return not_valid, not_back


def attempt(connection: Connection, statement: str) -> tuple[str, str]:
    """Run one recorded statement under a savepoint.

    :returns: SQLSTATE and message where it failed for a reason that is listed and not raised; else two empty strings.
    """
    from sqlalchemy.exc import DBAPIError

    savepoint = connection.begin_nested()
    try:
        run(connection, verbatim(statement))
    except DBAPIError as error:
        state = sqlstate_of(error)
        savepoint.rollback()
        if state not in _VIOLATED + _THERE_ALREADY + _GONE:
            raise
        return state, server_words(error)
    savepoint.commit()
    return "", ""


def server_words(error: BaseException) -> str:
    """Return what the server said, in one line."""
    origin: Any = getattr(error, "orig", error)
    return " ".join(str(origin).split())


def refused_by_restrict(connection: Connection, drop: str) -> tuple[str, ...]:
    """Ask the server, under a savepoint, what it would say to a drop.

    :returns: what depends on the object, one line each; empty where the drop would go through.
    """
    from sqlalchemy.exc import DBAPIError

    savepoint = connection.begin_nested()
    try:
        run(connection, drop)
    except DBAPIError as error:
        savepoint.rollback()
        depends = depending_on(error)
        if not depends:
            raise
        return depends
    savepoint.rollback()
    return ()


def depending_on(error: Any) -> tuple[str, ...]:
    """Return what depends on an object that the server refused to drop, one line each; empty where it said otherwise."""
    if sqlstate_of(error) != "2BP01":
        return ()
    detail = getattr(getattr(error.orig, "diag", None), "message_detail", None) or str(error.orig)
    return tuple(line.strip() for line in detail.splitlines() if line.strip() and not line.startswith("HINT"))


def facts(connection: Connection, sql: str, **params: object) -> Mapping[str, Any] | None:
    """Return the one row of a catalog query, or ``None``."""
    rows = run(connection, sql, params)
    return rows[0] if rows else None
