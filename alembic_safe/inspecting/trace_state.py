"""What is a relation of the shadow at this moment, with all that a revision can change of it?"""

# Read inside the transaction of the revision, after each statement that locked something. What was renamed is
# recognised by its oid, a column by its number: names prove nothing here.
from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from alembic_safe.inspecting.syncs import COMMENT_START
from alembic_safe.inspecting.trace import Column, Constraint, Index, Relation

_KINDS = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "S": "sequence", "f": "foreign table",
          "c": "composite type"}  # fmt: skip

_COLUMNS = """(SELECT json_agg(json_build_array(a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    CASE WHEN a.atthasdef THEN pg_get_expr(d.adbin, d.adrelid) END, a.attidentity, a.attgenerated,
    CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END, t.typtype = 'd',
    a.atttypid::bigint, a.atttypmod)
    ORDER BY a.attnum)
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid
    AND d.adnum = a.attnum WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)"""
_CONSTRAINTS = """(SELECT json_agg(json_build_array(k.oid::bigint, k.conname, k.contype, pg_get_constraintdef(k.oid),
    k.convalidated, (SELECT json_agg(a.attname ORDER BY o.n) FROM unnest(k.conkey) WITH ORDINALITY o (num, n)
      JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.num),
    k.confrelid::bigint, (SELECT json_agg(a.attname ORDER BY o.n) FROM unnest(k.confkey) WITH ORDINALITY o (num, n)
      JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = o.num), k.confdeltype, k.conindid::bigint))
  FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'f', 'c', 'x', 'n'))"""
_INDEXES = """(SELECT json_agg(json_build_array(x.indexrelid::bigint, ic.relname, pg_get_indexdef(x.indexrelid),
    (SELECT json_agg(a.attname ORDER BY o.n) FROM unnest(x.indkey[0:x.indnkeyatts - 1]) WITH ORDINALITY o (num, n)
      JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = o.num),
    x.indisunique, x.indisvalid, x.indpred IS NOT NULL, x.indexprs IS NOT NULL,
    EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x')),
    ic.relfilenode::bigint))
  FROM pg_index x JOIN pg_class ic ON ic.oid = x.indexrelid WHERE x.indrelid = c.oid)"""

# of a sync's two triggers the one for UPDATE (bit 4 of tgtype) says what both do
_SYNC = f"""CASE WHEN g.tgparentid = 0 AND g.tgtype & 16 <> 0
    AND starts_with(obj_description(g.tgfoid, 'pg_proc'), '{COMMENT_START}')
    THEN obj_description(g.tgfoid, 'pg_proc') ELSE '' END"""

RELATIONS = f"""
SELECT json_build_array(c.oid::bigint, n.nspname, c.relname, c.relkind, c.relfilenode::bigint, json_build_object(
    'persistence', c.relpersistence, 'tablespace', c.reltablespace::bigint, 'owner', c.relowner::bigint,
    'row security', c.relrowsecurity OR c.relforcerowsecurity, 'replica identity', c.relreplident,
    'partition', c.relispartition,
    'options', c.reloptions, 'access method', c.relam::bigint,
    'definition', CASE WHEN c.relkind IN ('v', 'm') THEN md5(pg_get_viewdef(c.oid)) END,
    'partitioned', c.relkind = 'p'),
  {_COLUMNS}, {_CONSTRAINTS}, {_INDEXES},
  (SELECT json_agg(json_build_array(g.oid::bigint, g.tgname, g.tgenabled, {_SYNC})) FROM pg_trigger g
    WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgname <> 'zz_alembic_safe_watch'),
  (SELECT json_agg(json_build_array(p.oid::bigint, p.polname, '')) FROM pg_policy p WHERE p.polrelid = c.oid),
  (SELECT json_agg(json_build_array(w.oid::bigint, w.rulename, w.ev_enabled)) FROM pg_rewrite w
    WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN'))::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND n.nspname <> 'alembic_safe_watch' AND c.oid >= 16384 AND {{which}}
"""
"""``which`` is ``true``, or the condition on the oids that are wanted."""

OTHERS = """
SELECT json_build_object(
  'enum value', (SELECT json_agg(json_build_array(e.oid::bigint, tn.nspname || '.' || t.typname, e.enumlabel, e.enumsortorder))
    FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace tn ON tn.oid = t.typnamespace),
  'type', (SELECT json_agg(json_build_array(t.oid::bigint, tn.nspname || '.' || t.typname, t.typtype, ''))
    FROM pg_type t JOIN pg_namespace tn ON tn.oid = t.typnamespace WHERE t.typtype IN ('e', 'd', 'r') AND t.oid >= 16384),
  'domain constraint', (SELECT json_agg(json_build_array(k.oid::bigint, tn.nspname || '.' || t.typname, k.conname,
      pg_get_constraintdef(k.oid)))
    FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid JOIN pg_namespace tn ON tn.oid = t.typnamespace
    WHERE k.contypid <> 0 AND k.oid >= 16384),
  'routine', (SELECT json_agg(json_build_array(p.oid::bigint, pn.nspname || '.' || p.proname, p.xmin::text, ''))
    FROM pg_proc p JOIN pg_namespace pn ON pn.oid = p.pronamespace WHERE p.oid >= 16384
    AND pn.nspname <> 'alembic_safe_watch'),
  'schema', (SELECT json_agg(json_build_array(s.oid::bigint, s.nspname, '', '')) FROM pg_namespace s
    WHERE s.nspname NOT LIKE 'pg\\_%' AND s.nspname <> 'alembic_safe_watch'),
  'extension', (SELECT json_agg(json_build_array(x.oid::bigint, x.extname, x.extversion, '')) FROM pg_extension x),
  'event trigger', (SELECT json_agg(json_build_array(v.oid::bigint, v.evtname, v.evtenabled, '')) FROM pg_event_trigger v),
  'publication', (SELECT json_agg(json_build_array(b.oid::bigint, b.pubname, b.xmin::text, '')) FROM pg_publication b),
  'statistics', (SELECT json_agg(json_build_array(q.oid::bigint, q.stxname, q.stxrelid::text, '')) FROM pg_statistic_ext q)
)::text
"""
_SUM = "(SELECT count(*) || '/' || sum(hashint8(oid::bigint * 4294967296 + xmin::text::bigint)) FROM {0})"
CHECKSUM = "SELECT concat_ws(' ', " + ", ".join(_SUM.format(table) for table in (
    "pg_enum", "pg_type WHERE oid >= 16384 AND typtype <> 'c' AND typtype <> 'b'", "pg_constraint WHERE contypid <> 0",
    "pg_proc WHERE oid >= 16384", "pg_namespace WHERE oid >= 16384", "pg_extension", "pg_publication", "pg_event_trigger",
    "pg_statistic_ext",
)) + ")"  # fmt: skip
"""A text that is another one as soon as anything in :data:`OTHERS` is."""


@dataclass(frozen=True)
class RelationState:
    """A relation, whatever it is called, with its parts by oid or number.

    :param triggers: name, whether it fires, and of a sync's the comment that says which columns it fills from which.
    """

    oid: int
    schema: str
    name: str
    kind: str
    filenode: int
    attributes: dict[str, Any] = field(default_factory=dict)
    columns: dict[int, Column] = field(default_factory=dict)
    constraints: dict[int, Constraint] = field(default_factory=dict)
    indexes: dict[int, Index] = field(default_factory=dict)
    triggers: dict[int, tuple[str, ...]] = field(default_factory=dict)
    policies: dict[int, tuple[str, ...]] = field(default_factory=dict)
    rules: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def as_relation(self, *, new: bool) -> Relation:
        """Return it under the name that it has now."""
        return Relation(self.schema, self.name, self.kind, new)


def read_state(row: str) -> RelationState:
    """Read one row of :data:`RELATIONS`; foreign keys still name the other table by its oid."""
    oid, schema, name, kind, filenode, attributes, columns, constraints, indexes, *rest = json.loads(row)
    return RelationState(
        oid, schema, name, _KINDS[kind], filenode, attributes,
        {c[0]: Column(c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], (c[9], c[10])) for c in columns or ()},
        {k[0]: _constraint(k) for k in constraints or ()},
        {
            x[0]: Index(x[1], x[2], tuple(x[3] or ()), x[4], x[5], x[6], x[7], x[8], x[0], x[9])
            for x in indexes or ()
        },
        *({p[0]: tuple(p[1:]) for p in parts or ()} for parts in rest),
    )  # fmt: skip


def _constraint(row: list[Any]) -> Constraint:
    _, name, kind, definition, valid, columns, other, other_columns, on_delete, index = row
    references = Relation("", str(other), "oid") if other else None
    return Constraint(
        name, kind, definition, valid, tuple(columns or ()), references, tuple(other_columns or ()),
        on_delete.strip() or "a", index,
    )  # fmt: skip


@dataclass(frozen=True)
class OtherState:
    """What is no part of a relation: types, routines, schemas and the like, by kind and oid."""

    objects: dict[str, dict[int, tuple[str, ...]]]


def read_others(text: str) -> OtherState:
    """Read the row of :data:`OTHERS`."""
    found = json.loads(text)
    return OtherState({
        kind: {row[0]: tuple(str(value) for value in row[1:]) for row in rows or ()} for kind, rows in found.items()
    })  # fmt: skip
