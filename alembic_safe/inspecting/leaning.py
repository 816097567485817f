"""What leans on a column, and has to let go before another column can take its place?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alembic_safe.database.statements import run
from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

# Views, and what is made of them in turn. A query of a whole row, such as count(*), names no column and is left alone.
_LEANING = """
WITH RECURSIVE columns AS (
  SELECT c.oid, n.nspname AS schema, c.relname AS parent, a.attname AS name, a.attnum
  FROM unnest(CAST(:schemas AS text[]), CAST(:parents AS text[]), CAST(:names AS text[])) AS w (schema, parent, name)
  JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.parent
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = w.name
), made (schema, parent, name, oid) AS (
  SELECT c.schema, c.parent, c.name, r.ev_class FROM columns c JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass
    AND d.refobjid = c.oid AND d.refobjsubid = c.attnum AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_rewrite r ON r.oid = d.objid
  UNION SELECT m.schema, m.parent, m.name, r.ev_class FROM made m JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass
    AND d.refobjid = m.oid AND d.classid = 'pg_rewrite'::regclass JOIN pg_rewrite r ON r.oid = d.objid
  WHERE r.ev_class <> m.oid
)
SELECT m.schema, m.parent, m.name, CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'rule of' END AS kind,
  c.oid::regclass::text AS leans FROM made m JOIN pg_class c ON c.oid = m.oid WHERE c.relkind <> 'v'
UNION SELECT c.schema, c.parent, c.name, 'function', p.oid::regprocedure::text FROM columns c JOIN pg_depend d
  ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = c.attnum
  AND d.classid = 'pg_proc'::regclass JOIN pg_proc p ON p.oid = d.objid
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


class Leaning(NamedTuple):
    """One object that names a column, and that nothing of ours makes again."""

    kind: str
    name: str

    @property
    def shown(self) -> str:
        """Kind and name, as a message lists it."""
        return f"{self.kind} {self.name}"


def leaning_on(connection: Connection, columns: Iterable[ObjectId]) -> dict[ObjectId, tuple[Leaning, ...]]:
    """Return what leans on some columns; those that nothing leans on are left out."""
    wanted = tuple(columns)
    if not wanted:
        return {}
    words = {
        "schemas": [id_.schema for id_ in wanted], "parents": [id_.parent for id_ in wanted],
        "names": [id_.name for id_ in wanted],
    }  # fmt: skip
    found: dict[ObjectId, tuple[Leaning, ...]] = {}
    for row in run(connection, _LEANING, words):
        id_ = ObjectId("column", row["schema"], row["name"], row["parent"])
        found[id_] = (*found.get(id_, ()), Leaning(row["kind"], row["leans"]))
    return found
