"""Which queries read types and routines?"""

from __future__ import annotations

from alembic_safe.inspecting.catalog_sql import (
    FIRST_USER_OID,
    Part,
    comment,
    from_outside,
    grants,
    made_in,
    namespace,
    owner,
)

_COMMON = f"""{owner("t.typowner")}, {comment("pg_type", "t.oid")}, {grants("t.typacl", "type", "t.typowner")}"""

# Every table has a row type and an array type of it: neither tells of a type that somebody made.
_NEITHER_ROW_NOR_ARRAY = made_in("pg_type", "typtype <> 'c' AND typinput <> 'pg_catalog.array_in'::regproc")

# Composite types keep their columns in one attribute each: there the order is part of what a row looks like.
TYPES = (
    Part(
        _NEITHER_ROW_NOR_ARRAY,
        f"""
SELECT 'enum' AS kind, n.nspname AS schema, t.typname AS name, '' AS parent, json_build_object(
  'labels', (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
  {_COMMON})::text AS attributes
FROM pg_type t {namespace("t.typnamespace")} WHERE t.typtype = 'e' AND {from_outside("pg_type", "t.oid")}""",
    ),
    Part(
        _NEITHER_ROW_NOR_ARRAY,
        f"""
SELECT 'domain', n.nspname, t.typname, '', json_build_object(
  'type', format_type(t.typbasetype, t.typtypmod), 'default', t.typdefault, 'not_null', t.typnotnull,
  'not_null_name', CASE WHEN nn.conname <> t.typname || '_not_null' THEN nn.conname END,
  'collation', CASE WHEN t.typcollation <> b.typcollation THEN t.typcollation::regcollation::text END, {_COMMON})::text
FROM pg_type t {namespace("t.typnamespace")} JOIN pg_type b ON b.oid = t.typbasetype
LEFT JOIN pg_constraint nn ON nn.contypid = t.oid AND nn.contype = 'n'
WHERE t.typtype = 'd' AND {from_outside("pg_type", "t.oid")}""",
    ),
    Part(
        _NEITHER_ROW_NOR_ARRAY,
        f"""
SELECT 'domain constraint', n.nspname, k.conname, t.typname, json_build_object(
  'definition', pg_get_constraintdef(k.oid), 'not_valid', NOT k.convalidated, {comment("pg_constraint", "k.oid")})::text
FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid {namespace("t.typnamespace")}
WHERE k.contype = 'c' AND {from_outside("pg_type", "t.oid")}""",
    ),
    Part(
        made_in("pg_class", "relkind = 'c'"),
        f"""
SELECT 'composite type', n.nspname, t.typname, '', json_build_object(
  'attributes', (SELECT json_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
      || CASE WHEN a.attcollation <> at.typcollation THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END
      ORDER BY a.attnum)
    FROM pg_attribute a JOIN pg_type at ON at.oid = a.atttypid
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'attribute_comments', (SELECT json_agg(quote_ident(a.attname) || ': ' || d.description ORDER BY a.attnum)
    FROM pg_attribute a JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass
      AND d.objsubid = a.attnum WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  {_COMMON})::text
FROM pg_type t {namespace("t.typnamespace")} JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
WHERE t.typtype = 'c' AND {from_outside("pg_type", "t.oid")}""",
    ),
    Part(
        made_in("pg_range", oid="rngtypid"),
        f"""
SELECT 'range type', n.nspname, t.typname, '', json_build_object(
  'subtype', format_type(r.rngsubtype, NULL), 'opclass', (SELECT format('%I.%I', on_.nspname, o.opcname)
    FROM pg_opclass o JOIN pg_namespace on_ ON on_.oid = o.opcnamespace WHERE o.oid = r.rngsubopc),
  'collation', CASE WHEN r.rngcollation <> 0 THEN r.rngcollation::regcollation::text END,
  'canonical', nullif(r.rngcanonical::oid, 0)::regproc::text, 'difference', nullif(r.rngsubdiff::oid, 0)::regproc::text,
  'multirange', format_type(r.rngmultitypid, NULL), {_COMMON})::text
FROM pg_type t {namespace("t.typnamespace")} JOIN pg_range r ON r.rngtypid = t.oid
WHERE t.typtype = 'r' AND {from_outside("pg_type", "t.oid")}""",
    ),
    Part(
        _NEITHER_ROW_NOR_ARRAY,
        f"""
SELECT 'base type', n.nspname, t.typname, '', json_build_object(
  'defined', t.typisdefined, 'input', t.typinput::text, 'output', t.typoutput::text, 'receive', t.typreceive::text,
  'send', t.typsend::text, 'modifier_in', t.typmodin::text, 'modifier_out', t.typmodout::text,
  'analyze', t.typanalyze::text, 'subscript', t.typsubscript::text, 'length', t.typlen, 'by_value', t.typbyval,
  'category', t.typcategory, 'preferred', t.typispreferred, 'delimiter', t.typdelim, 'alignment', t.typalign,
  'storage', t.typstorage, 'default', t.typdefault, 'collatable', t.typcollation <> 0,
  'element', CASE WHEN t.typelem <> 0 THEN format_type(t.typelem, NULL) END, {_COMMON})::text
FROM pg_type t {namespace("t.typnamespace")}
WHERE t.typtype IN ('b', 'p') AND {from_outside("pg_type", "t.oid")}
  AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)""",
    ),
)

_ROUTINE = f"""{owner("p.proowner")}, {comment("pg_proc", "p.oid")}, {grants("p.proacl", "routine", "p.proowner")},
  'depends_on', (SELECT json_agg(DISTINCT CASE WHEN d.refclassid = 'pg_class'::regclass THEN d.refobjid::regclass::text
      WHEN d.refclassid = 'pg_proc'::regclass THEN d.refobjid::regprocedure::text ELSE rt.typrelid::regclass::text END)
    FROM pg_depend d LEFT JOIN pg_type rt ON d.refclassid = 'pg_type'::regclass AND rt.oid = d.refobjid
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refobjid >= {FIRST_USER_OID}
      AND (d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass) OR rt.typrelid <> 0))"""

# Range types bring their own constructors (deptype i).
_MADE = f"""{from_outside("pg_proc", "p.oid")} AND NOT EXISTS (SELECT FROM pg_depend i
  WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid AND i.deptype = 'i')"""

ROUTINES = (
    Part(
        made_in("pg_proc"),
        f"""
SELECT CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END AS kind, n.nspname AS schema,
  quote_ident(p.proname) || '(' || replace(oidvectortypes(p.proargtypes), ', ', ',') || ')' AS name, '' AS parent,
  json_build_object('definition', pg_get_functiondef(p.oid), 'result', pg_get_function_result(p.oid),
  'arguments', pg_get_function_arguments(p.oid), {_ROUTINE})::text AS attributes
FROM pg_proc p {namespace("p.pronamespace")} WHERE p.prokind <> 'a' AND {_MADE}""",
    ),
    Part(
        made_in("pg_aggregate", oid="aggfnoid"),
        f"""
SELECT 'aggregate', n.nspname, quote_ident(p.proname) || '(' || replace(oidvectortypes(p.proargtypes), ', ', ',') || ')', '',
  json_build_object('signature', pg_get_function_arguments(p.oid), 'kind', a.aggkind, 'direct_arguments', a.aggnumdirectargs,
  'state_function', a.aggtransfn::text, 'final_function', nullif(a.aggfinalfn::oid, 0)::regproc::text,
  'combine_function', nullif(a.aggcombinefn::oid, 0)::regproc::text,
  'serial_function', nullif(a.aggserialfn::oid, 0)::regproc::text,
  'deserial_function', nullif(a.aggdeserialfn::oid, 0)::regproc::text,
  'moving_state_function', nullif(a.aggmtransfn::oid, 0)::regproc::text,
  'moving_inverse_function', nullif(a.aggminvtransfn::oid, 0)::regproc::text,
  'moving_final_function', nullif(a.aggmfinalfn::oid, 0)::regproc::text,
  'final_extra', a.aggfinalextra, 'moving_final_extra', a.aggmfinalextra, 'final_modify', a.aggfinalmodify,
  'moving_final_modify', a.aggmfinalmodify, 'sort_operator', nullif(a.aggsortop, 0)::regoperator::text,
  'state_type', format_type(a.aggtranstype, NULL), 'state_space', nullif(a.aggtransspace, 0),
  'moving_state_type', CASE WHEN a.aggmtranstype <> 0 THEN format_type(a.aggmtranstype, NULL) END,
  'moving_state_space', nullif(a.aggmtransspace, 0), 'initial', a.agginitval, 'moving_initial', a.aggminitval,
  'parallel', p.proparallel, {_ROUTINE})::text
FROM pg_proc p {namespace("p.pronamespace")} JOIN pg_aggregate a ON a.aggfnoid = p.oid WHERE {_MADE}""",
    ),
)
