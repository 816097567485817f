"""Which queries read tables and views with all their parts?"""

from __future__ import annotations

from alembic_safe.inspecting.catalog_sql import (
    ALWAYS,
    Part,
    comment,
    from_outside,
    grants,
    made_in,
    masked,
    namespace,
    ordered,
    owner,
    tablespace,
)
from alembic_safe.inspecting.syncs import SYNC_SCHEMA

RELATIONS = (
    Part(
        ALWAYS,
        f"""
SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
    ELSE 'table' END AS kind, n.nspname AS schema, c.relname AS name, '' AS parent, json_build_object(
  {owner("c.relowner")}, 'unlogged', c.relpersistence = 'u',
  'partition_key', CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
  'partition_bound', CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END,
  'inherits', (SELECT json_agg(format('%I.%I', pn.nspname, pc.relname) ORDER BY h.inhseqno) FROM pg_inherits h
    JOIN pg_class pc ON pc.oid = h.inhparent JOIN pg_namespace pn ON pn.oid = pc.relnamespace WHERE h.inhrelid = c.oid),
  'of_type', CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END,
  'options', {ordered("c.reloptions")},
  'toast_options', (SELECT {ordered("tc.reloptions")} FROM pg_class tc WHERE tc.oid = c.reltoastrelid),
  'row_security', c.relrowsecurity, 'force_row_security', c.relforcerowsecurity,
  'replica_identity', CASE WHEN c.relkind IN ('r', 'p', 'm') THEN
    CASE c.relreplident WHEN 'n' THEN 'NOTHING' WHEN 'f' THEN 'FULL' END END,
  'access_method', (SELECT am.amname FROM pg_am am WHERE am.oid = c.relam), {tablespace("c.reltablespace")},
  'definition', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
  'columns', CASE WHEN c.relkind IN ('v', 'm') THEN (
    SELECT json_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
    FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END,
  'depends_on', CASE WHEN c.relkind IN ('v', 'm') THEN (
    SELECT json_agg(DISTINCT CASE WHEN d.refclassid = 'pg_class'::regclass THEN d.refobjid::regclass::text
      ELSE d.refobjid::regprocedure::text END) FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass
      AND d.objid = w.oid AND d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass) AND d.refobjid <> c.oid
    WHERE w.ev_class = c.oid) END,
  'server', (SELECT s.srvname FROM pg_foreign_server s WHERE s.oid = f.ftserver), 'foreign_options', {masked("f.ftoptions")},
  {comment("pg_class", "c.oid")}, {grants("c.relacl", "table", "c.relowner")})::text AS attributes
FROM pg_class c {namespace("c.relnamespace")} LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND {from_outside("pg_class", "c.oid")}""",
    ),
)

# A NOT NULL is a constraint of its own from PostgreSQL 18 on. Its name, and whether it is valid, are told only where
# they are not what the same table has on an older server; pg_dump decides by the same rule. One that came from a parent
# has its parent's name where the parent made it, and another where a table was attached.
_COLUMN = """
  'position', a.attnum, 'type', format_type(a.atttypid, a.atttypmod),
  'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
  'not_null', a.attnotnull,
  'not_null_name', CASE WHEN nn.conislocal AND nn.conname <> c.relname || '_' || a.attname || '_not_null'
    THEN nn.conname END,
  'inherited_not_null_name', CASE WHEN NOT nn.conislocal AND nn.conname <> c.relname || '_' || a.attname || '_not_null'
    THEN nn.conname END,
  'not_null_not_valid', NOT nn.convalidated, 'not_null_no_inherit', nn.connoinherit,
  'not_null_comment', CASE WHEN nn.oid IS NOT NULL THEN obj_description(nn.oid, 'pg_constraint') END,
  'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(ad.adbin, ad.adrelid) END,
  'generated', CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END,
  'expression', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(ad.adbin, ad.adrelid) END,
  'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END"""

_COLUMN_SETTINGS = f"""
  'storage', CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external'
    WHEN 'm' THEN 'main' ELSE 'extended' END END,
  'compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
  'statistics', CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END, 'options', {ordered("a.attoptions")},
  {comment("pg_class", "c.oid", "a.attnum")}, {grants("a.attacl", "column", "c.relowner")}"""

COLUMNS = (
    Part(
        ALWAYS,
        f"""
SELECT 'column' AS kind, n.nspname AS schema, a.attname AS name, c.relname AS parent, json_build_object({_COLUMN},
  'inherited', NOT a.attislocal, 'foreign_options', {masked("a.attfdwoptions")}, {_COLUMN_SETTINGS})::text AS attributes
FROM pg_class c {namespace("c.relnamespace")}
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef ad ON ad.adrelid = c.oid AND ad.adnum = a.attnum
LEFT JOIN pg_constraint nn ON nn.conrelid = a.attrelid AND nn.contype = 'n' AND nn.conkey[1] = a.attnum
WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {from_outside("pg_class", "c.oid")}""",
    ),
    Part(
        made_in("pg_class", "relkind IN ('v', 'm')"),
        f"""
SELECT 'view column', n.nspname, a.attname, c.relname, json_build_object(
  'default', pg_get_expr(ad.adbin, ad.adrelid), {_COLUMN_SETTINGS})::text
FROM pg_class c {namespace("c.relnamespace")}
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef ad ON ad.adrelid = c.oid AND ad.adnum = a.attnum
WHERE c.relkind IN ('v', 'm') AND {from_outside("pg_class", "c.oid")}""",
    ),
)

_ON_INDEX = f"""
  'index_options', {ordered("ic.reloptions")}, {tablespace("ic.reltablespace")},
  'clustered', i.indisclustered, 'replica_identity', i.indisreplident,
  'statistics', CASE WHEN i.indexprs IS NOT NULL THEN (  -- only an expression's column can have a target
    SELECT json_agg(ia.attnum || '=' || ia.attstattarget ORDER BY ia.attnum) FROM pg_attribute ia
    WHERE ia.attrelid = ic.oid AND ia.attstattarget >= 0) END,
  'attached_to', CASE WHEN ic.relispartition THEN (SELECT format('%I.%I', pn.nspname, pc.relname) FROM pg_inherits h
    JOIN pg_class pc ON pc.oid = h.inhparent JOIN pg_namespace pn ON pn.oid = pc.relnamespace WHERE h.inhrelid = ic.oid) END"""

# Clones of foreign keys on partitions carry names that a restored copy chooses anew; pg_dump leaves them out, too.
# The row goes through to_jsonb because conenforced exists from PostgreSQL 18 on only.
CONSTRAINTS = (
    Part(
        ALWAYS,
        f"""
SELECT 'constraint' AS kind, n.nspname AS schema, k.conname AS name, c.relname AS parent, json_build_object(
  'definition', pg_get_constraintdef(k.oid), 'not_valid', NOT k.convalidated,
  'not_enforced', NOT CAST(to_jsonb(k) ->> 'conenforced' AS boolean),
  'deferrable', CASE WHEN k.condeferred THEN 'INITIALLY DEFERRED' WHEN k.condeferrable THEN 'DEFERRABLE' END,
  'inherited', NOT k.conislocal, 'sort', k.contype,
  'references', CASE WHEN k.contype = 'f' THEN k.confrelid::regclass::text END,
  'index_comment', CASE WHEN ic.oid IS NOT NULL THEN obj_description(ic.oid, 'pg_class') END,
  {_ON_INDEX}, {comment("pg_constraint", "k.oid")})::text AS attributes
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid {namespace("c.relnamespace")}
LEFT JOIN pg_index i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x')
LEFT JOIN pg_class ic ON ic.oid = i.indexrelid
WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND NOT (k.contype = 'f' AND k.conparentid <> 0)
  AND c.relpersistence <> 't' AND {from_outside("pg_class", "c.oid")}""",
    ),
)

INDEXES = (
    Part(
        ALWAYS,
        f"""
SELECT 'index' AS kind, n.nspname AS schema, ic.relname AS name, c.relname AS parent, json_build_object(
  'definition', pg_get_indexdef(ic.oid), 'invalid', ic.relkind = 'i' AND NOT i.indisvalid,
  {_ON_INDEX}, {comment("pg_class", "ic.oid")})::text AS attributes
FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid {namespace("c.relnamespace")}
WHERE c.relpersistence <> 't' AND {from_outside("pg_class", "c.oid")} AND {from_outside("pg_class", "ic.oid")}
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = ic.oid AND k.contype IN ('p', 'u', 'x'))""",
    ),
)

SEQUENCES = (
    Part(
        "pg_sequence",
        f"""
SELECT 'sequence' AS kind, n.nspname AS schema, c.relname AS name,
  CASE WHEN d.deptype = 'i' THEN tc.relname ELSE '' END AS parent, json_build_object(
  'type', format_type(s.seqtypid, NULL), 'start', s.seqstart, 'increment', s.seqincrement, 'minimum', s.seqmin,
  'maximum', s.seqmax, 'cache', s.seqcache, 'cycle', s.seqcycle, 'unlogged', c.relpersistence = 'u',
  'owned_by', CASE WHEN d.deptype = 'a' THEN format('%I.%I.%I', tn.nspname, tc.relname, ta.attname) END,
  'identity_of', CASE WHEN d.deptype = 'i' THEN ta.attname END,
  {owner("c.relowner")}, {comment("pg_class", "c.oid")}, {grants("c.relacl", "sequence", "c.relowner")})::text AS attributes
FROM pg_class c {namespace("c.relnamespace")} JOIN pg_sequence s ON s.seqrelid = c.oid
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
  AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
LEFT JOIN pg_class tc ON tc.oid = d.refobjid LEFT JOIN pg_namespace tn ON tn.oid = tc.relnamespace
LEFT JOIN pg_attribute ta ON ta.attrelid = tc.oid AND ta.attnum = d.refobjsubid
WHERE c.relpersistence <> 't' AND {from_outside("pg_class", "c.oid")}""",
    ),
)

# What keeps columns in sync, or a copy of a column up to date, is no part of what a table is.
NOT_OUR_TRIGGER = (
    "g.tgfoid NOT IN (SELECT own.oid FROM pg_proc own JOIN pg_namespace ours ON ours.oid = own.pronamespace"
    f" WHERE ours.nspname = '{SYNC_SCHEMA}')"
)

# The clones of a trigger on partitions are listed where somebody switched one of them differently.
ATTACHED = (
    Part(
        made_in("pg_trigger", "NOT tgisinternal"),
        f"""
SELECT 'trigger' AS kind, n.nspname AS schema, g.tgname AS name, c.relname AS parent, json_build_object(
  'definition', pg_get_triggerdef(g.oid), 'enabled', CASE g.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica'
    WHEN 'A' THEN 'always' END, {comment("pg_trigger", "g.oid")})::text AS attributes
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid {namespace("c.relnamespace")}
WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND {from_outside("pg_class", "c.oid")} AND {from_outside("pg_trigger", "g.oid")}
  AND {NOT_OUR_TRIGGER}""",
    ),
    Part(
        made_in("pg_trigger", "tgparentid <> 0 AND NOT tgisinternal"),
        f"""
SELECT 'partition trigger', n.nspname, g.tgname, c.relname, json_build_object(
  'enabled', CASE g.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always'
    ELSE 'origin' END)::text
FROM pg_trigger g JOIN pg_trigger pg ON pg.oid = g.tgparentid AND pg.tgenabled <> g.tgenabled
JOIN pg_class c ON c.oid = g.tgrelid {namespace("c.relnamespace")} WHERE NOT g.tgisinternal AND {NOT_OUR_TRIGGER}""",
    ),
    Part(
        made_in("pg_rewrite", "rulename <> '_RETURN'"),
        f"""
SELECT 'rule', n.nspname, w.rulename, c.relname, json_build_object(
  'definition', pg_get_ruledef(w.oid), 'enabled', CASE w.ev_enabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica'
    WHEN 'A' THEN 'always' END, {comment("pg_rewrite", "w.oid")})::text
FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class {namespace("c.relnamespace")}
WHERE w.rulename <> '_RETURN' AND {from_outside("pg_class", "c.oid")} AND {from_outside("pg_rewrite", "w.oid")}""",
    ),
    Part(
        made_in("pg_policy"),
        f"""
SELECT 'policy', n.nspname, p.polname, c.relname, json_build_object(
  'restrictive', NOT p.polpermissive, 'command', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
    WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
  'roles', (SELECT json_agg(r.who ORDER BY r.who) FROM (SELECT CASE WHEN o = 0 THEN 'PUBLIC'
    ELSE quote_ident(pg_get_userbyid(o)) END AS who FROM unnest(p.polroles) o) r),
  'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
  {comment("pg_policy", "p.oid")})::text
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid {namespace("c.relnamespace")}
WHERE {from_outside("pg_class", "c.oid")}""",
    ),
)
