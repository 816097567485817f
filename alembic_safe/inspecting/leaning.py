"""What leans on a column, and has to let go before another column can take its place?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alembic_safe.database.statements import run
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.syncs import SYNC_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

_COLUMNS = """
  SELECT c.oid, n.nspname AS schema, c.relname AS parent, a.attname AS name, a.attnum
  FROM unnest(CAST(:schemas AS text[]), CAST(:parents AS text[]), CAST(:names AS text[])) AS w (schema, parent, name)
  JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.parent
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = w.name
"""
# Views, and what is made of them in turn. A query of a whole row, such as count(*), names no column and is left alone.
# What names the column of a partition, or of a table that inherits, stands in the way as well, and no swap sees it.
_LEANING = f"""
WITH RECURSIVE own AS ({_COLUMNS}), below (oid, top) AS (
  SELECT h.inhrelid, o.oid FROM own o JOIN pg_inherits h ON h.inhparent = o.oid
  UNION SELECT h.inhrelid, b.top FROM below b JOIN pg_inherits h ON h.inhparent = b.oid
), heirs AS (
  SELECT o.schema, o.parent, o.name, d.classid, d.objid FROM own o JOIN below b ON b.top = o.oid
  JOIN pg_attribute a ON a.attrelid = b.oid AND a.attname = o.name
  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = b.oid AND d.refobjsubid = a.attnum
), columns AS (
  SELECT * FROM own UNION SELECT b.oid, o.schema, o.parent, o.name, a.attnum FROM own o JOIN below b ON b.top = o.oid
  JOIN pg_attribute a ON a.attrelid = b.oid AND a.attname = o.name
), made (schema, parent, name, oid) AS (
  SELECT c.schema, c.parent, c.name, r.ev_class FROM columns c JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass
    AND d.refobjid = c.oid AND d.refobjsubid = c.attnum AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_rewrite r ON r.oid = d.objid
  UNION SELECT m.schema, m.parent, m.name, r.ev_class FROM made m JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass
    AND d.refobjid = m.oid AND d.classid = 'pg_rewrite'::regclass JOIN pg_rewrite r ON r.oid = d.objid
  WHERE r.ev_class <> m.oid
), used AS (
  SELECT m.schema, m.parent, m.name, d.classid, d.objid FROM made m JOIN pg_class v ON v.oid = m.oid AND v.relkind = 'v'
  JOIN pg_depend d ON (d.refclassid = 'pg_class'::regclass AND d.refobjid = v.oid)
    OR (d.refclassid = 'pg_type'::regclass AND d.refobjid = v.reltype)
)
SELECT m.schema, m.parent, m.name, CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'rule of' END AS kind,
  c.oid::regclass::text AS leans FROM made m JOIN pg_class c ON c.oid = m.oid WHERE c.relkind <> 'v'
UNION SELECT c.schema, c.parent, c.name, 'function', p.oid::regprocedure::text FROM columns c JOIN pg_depend d
  ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = c.attnum
  AND d.classid = 'pg_proc'::regclass JOIN pg_proc p ON p.oid = d.objid
UNION SELECT h.schema, h.parent, h.name, 'view', r.ev_class::regclass::text FROM heirs h
  JOIN pg_rewrite r ON h.classid = 'pg_rewrite'::regclass AND r.oid = h.objid
UNION SELECT h.schema, h.parent, h.name, 'policy', p.polname FROM heirs h
  JOIN pg_policy p ON h.classid = 'pg_policy'::regclass AND p.oid = h.objid
UNION SELECT h.schema, h.parent, h.name, 'trigger', t.tgname FROM heirs h
  JOIN pg_trigger t ON h.classid = 'pg_trigger'::regclass AND t.oid = h.objid AND NOT t.tgisinternal AND t.tgparentid = 0
UNION SELECT m.schema, m.parent, m.name, 'function', p.oid::regprocedure::text FROM used m
  JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
UNION SELECT m.schema, m.parent, m.name, 'policy', p.polname FROM used m
  JOIN pg_policy p ON m.classid = 'pg_policy'::regclass AND p.oid = m.objid
UNION SELECT c.schema, c.parent, c.name, 'publication', p.pubname FROM columns c JOIN pg_depend d
  ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = c.attnum
  AND d.classid = 'pg_publication_rel'::regclass JOIN pg_publication_rel r ON r.oid = d.objid
  JOIN pg_publication p ON p.oid = r.prpubid
UNION SELECT c.schema, c.parent, c.name, 'generated column', a.attname FROM columns c JOIN pg_depend d
  ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = c.attnum
  AND d.classid = 'pg_attrdef'::regclass JOIN pg_attrdef f ON f.oid = d.objid
  JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum AND a.attgenerated <> '' AND a.attnum <> c.attnum
UNION SELECT c.schema, c.parent, c.name, 'generated column', a.attname FROM columns c JOIN pg_depend d
  ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = c.attnum
  AND d.classid = 'pg_class'::regclass AND d.objid = c.oid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid
  AND a.attgenerated <> ''
ORDER BY 4, 5
"""
# What ALTER COLUMN ... TYPE refuses by itself, and a swap makes again; the triggers of our own syncs are no news.
_PINNING = f"""
WITH columns AS ({_COLUMNS}), d AS (
  SELECT c.schema, c.parent, c.name, d.classid, d.objid FROM columns c JOIN pg_depend d
    ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = c.attnum
)
SELECT d.schema, d.parent, d.name, 'view' AS kind, v.oid::regclass::text AS leans FROM d
  JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
  JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
UNION SELECT d.schema, d.parent, d.name, 'trigger', t.tgname FROM d
  JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid AND NOT t.tgisinternal
  JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname <> '{SYNC_SCHEMA}'
UNION SELECT d.schema, d.parent, d.name, 'policy', p.polname FROM d
  JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
ORDER BY 4, 5
"""


class Leaning(NamedTuple):
    """One object that names a column: what stands in the way of another type for it."""

    kind: str
    name: str

    @property
    def shown(self) -> str:
        """Kind and name, as a message lists it."""
        return f"{self.kind} {self.name}"


def leaning_on(connection: Connection, columns: Iterable[ObjectId]) -> dict[ObjectId, tuple[Leaning, ...]]:
    """Return what leans on some columns, and nothing of ours makes again; those that nothing leans on are left out."""
    return _found(connection, _LEANING, columns)


def pinning(connection: Connection, columns: Iterable[ObjectId]) -> dict[ObjectId, tuple[Leaning, ...]]:
    """Return the views, triggers and policies under which the server changes no type, and which are made again."""
    return _found(connection, _PINNING, columns)


def _found(connection: Connection, sql: str, columns: Iterable[ObjectId]) -> dict[ObjectId, tuple[Leaning, ...]]:
    wanted = tuple(columns)
    if not wanted:
        return {}
    words = {
        "schemas": [id_.schema for id_ in wanted], "parents": [id_.parent for id_ in wanted],
        "names": [id_.name for id_ in wanted],
    }  # fmt: skip
    found: dict[ObjectId, tuple[Leaning, ...]] = {}
    for row in run(connection, sql, words):
        id_ = ObjectId("column", row["schema"], row["name"], row["parent"])
        found[id_] = (*found.get(id_, ()), Leaning(row["kind"], row["leans"]))
    return found
