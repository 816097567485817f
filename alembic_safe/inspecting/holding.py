"""What keeps a column from being dropped, as ``DROP COLUMN ... RESTRICT`` would find it?"""

# Asked of the catalog and not of the server under a savepoint: whoever only makes files may have no right to drop, and
# must not wait for a lock, nor make others wait for one. The contract asks the server itself.
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alembic_safe.database.statements import run
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.syncs import SYNC_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

# https://www.postgresql.org/docs/current/catalog-pg-depend.html: what hangs on something by 'a', 'i', 'P' or 'S' goes
# with it, what hangs on it by 'n' is in its way, unless it goes for another reason. A view is in the way through its rule,
# which is a part of it ('i'). The column of a partitioned table goes with those of its partitions.
_HOLDING = """
WITH RECURSIVE columns AS (
  SELECT c.oid, n.nspname AS schema, c.relname AS parent, a.attname AS name
  FROM unnest(CAST(:schemas AS text[]), CAST(:parents AS text[]), CAST(:names AS text[])) AS w (schema, parent, name)
  JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.parent
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = w.name
), tables AS (
  SELECT * FROM columns
  UNION SELECT i.inhrelid, t.schema, t.parent, t.name FROM tables t JOIN pg_inherits i ON i.inhparent = t.oid
), going AS (
  SELECT t.schema, t.parent, t.name, 'pg_class'::regclass::oid AS class, t.oid, CAST(a.attnum AS int) AS part
  FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = t.name
  UNION SELECT g.schema, g.parent, g.name, d.classid, d.objid, d.objsubid FROM going g JOIN pg_depend d
    ON d.refclassid = g.class AND d.refobjid = g.oid AND (g.part = 0 OR d.refobjsubid = g.part)
  WHERE d.deptype IN ('a', 'i', 'P', 'S')
), held AS (
  SELECT DISTINCT g.schema, g.parent, g.name, coalesce(o.refclassid, d.classid) AS class, coalesce(o.refobjid, d.objid) AS oid,
    coalesce(o.refobjsubid, d.objsubid) AS part
  FROM going g JOIN pg_depend d
    ON d.refclassid = g.class AND d.refobjid = g.oid AND (g.part = 0 OR d.refobjsubid = g.part) AND d.deptype = 'n'
  LEFT JOIN pg_depend o ON o.classid = d.classid AND o.objid = d.objid AND o.objsubid = d.objsubid AND o.deptype = 'i'
  WHERE NOT EXISTS (SELECT FROM going w WHERE (w.schema, w.parent, w.name, w.class, w.oid) =
    (g.schema, g.parent, g.name, d.classid, d.objid) AND w.part IN (0, d.objsubid))
)
SELECT h.schema, h.parent, h.name, pg_describe_object(h.class, h.oid, h.part) AS shown, i.object_names AS names
FROM held h, pg_identify_object_as_address(h.class, h.oid, h.part) i
WHERE NOT EXISTS (SELECT FROM going w WHERE (w.schema, w.parent, w.name, w.class, w.oid) =
    (h.schema, h.parent, h.name, h.class, h.oid) AND w.part IN (0, h.part))
  AND NOT EXISTS (SELECT FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid JOIN pg_namespace n ON n.oid = f.pronamespace
    WHERE h.class = 'pg_trigger'::regclass AND t.oid = h.oid AND n.nspname = :own)
ORDER BY 4
"""


class Holding(NamedTuple):
    """One object that keeps a column from being dropped.

    :param shown: as the server calls it in its messages.
    :param names: its own name, and those of what it stands in before it: schema, and table.
    """

    shown: str
    names: tuple[str, ...] = ()


def holding_of(connection: Connection, columns: Iterable[ObjectId]) -> dict[ObjectId, tuple[Holding, ...]]:
    """Return what keeps some columns from being dropped; those that nothing keeps are left out.

    What open changes of ours have put on a column lets go by itself.
    """
    wanted = tuple(columns)
    if not wanted:
        return {}
    words = {
        "schemas": [id_.schema for id_ in wanted], "parents": [id_.parent for id_ in wanted],
        "names": [id_.name for id_ in wanted], "own": SYNC_SCHEMA,
    }  # fmt: skip
    found: dict[ObjectId, tuple[Holding, ...]] = {}
    for row in run(connection, _HOLDING, words):
        id_ = ObjectId("column", row["schema"], row["name"], row["parent"])
        found[id_] = (*found.get(id_, ()), Holding(row["shown"], tuple(row["names"])))
    return found
