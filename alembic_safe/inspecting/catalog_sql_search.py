"""Which queries read operators, casts, collations, languages and text search?"""

from __future__ import annotations

from alembic_safe.inspecting.catalog_sql import Part, comment, from_outside, grants, made_in, namespace, owner

_FAMILY_ITEMS = """
  (SELECT json_agg(item.line ORDER BY item.line) FROM (
    SELECT format('OPERATOR %s %s%s', ao.amopstrategy, ao.amopopr::regoperator, CASE WHEN ao.amopsortfamily <> 0 THEN
      (SELECT format(' FOR ORDER BY %I.%I', sn.nspname, sf.opfname) FROM pg_opfamily sf JOIN pg_namespace sn
        ON sn.oid = sf.opfnamespace WHERE sf.oid = ao.amopsortfamily) ELSE '' END) AS line
    FROM pg_amop ao WHERE ao.amopfamily = {family}
    UNION ALL SELECT format('FUNCTION %s (%s, %s) %s', ap.amprocnum, format_type(ap.amproclefttype, NULL),
      format_type(ap.amprocrighttype, NULL), ap.amproc::regprocedure) FROM pg_amproc ap WHERE ap.amprocfamily = {family}
  ) item)"""

OPERATORS = (
    Part(
        made_in("pg_operator"),
        f"""
SELECT 'operator' AS kind, n.nspname AS schema, format('%s(%s,%s)', o.oprname, coalesce(format_type(nullif(o.oprleft, 0), NULL),
    'NONE'), coalesce(format_type(nullif(o.oprright, 0), NULL), 'NONE')) AS name, '' AS parent, json_build_object(
  'function', o.oprcode::text, 'returns', format_type(o.oprresult, NULL),
  'commutator', nullif(o.oprcom, 0)::regoperator::text, 'negator', nullif(o.oprnegate, 0)::regoperator::text,
  'restrict', nullif(o.oprrest::oid, 0)::regproc::text, 'join', nullif(o.oprjoin::oid, 0)::regproc::text,
  'merges', o.oprcanmerge, 'hashes', o.oprcanhash, {owner("o.oprowner")}, {comment("pg_operator", "o.oid")})::text AS attributes
FROM pg_operator o {namespace("o.oprnamespace")} WHERE {from_outside("pg_operator", "o.oid")}""",
    ),
    Part(
        made_in("pg_opfamily"),
        f"""
SELECT 'operator family', n.nspname, quote_ident(f.opfname) || ' USING ' || am.amname, '', json_build_object(
  'items', {_FAMILY_ITEMS.format(family="f.oid")}, {owner("f.opfowner")}, {comment("pg_opfamily", "f.oid")})::text
FROM pg_opfamily f {namespace("f.opfnamespace")} JOIN pg_am am ON am.oid = f.opfmethod
WHERE {from_outside("pg_opfamily", "f.oid")}""",
    ),
    Part(
        made_in("pg_opclass"),
        f"""
SELECT 'operator class', n.nspname, quote_ident(c.opcname) || ' USING ' || am.amname, '', json_build_object(
  'family', (SELECT format('%I.%I', fn.nspname, f.opfname) FROM pg_opfamily f JOIN pg_namespace fn ON fn.oid = f.opfnamespace
    WHERE f.oid = c.opcfamily), 'type', format_type(c.opcintype, NULL), 'default', c.opcdefault,
  'storage', CASE WHEN c.opckeytype <> 0 THEN format_type(c.opckeytype, NULL) END,
  {owner("c.opcowner")}, {comment("pg_opclass", "c.oid")})::text
FROM pg_opclass c {namespace("c.opcnamespace")} JOIN pg_am am ON am.oid = c.opcmethod
WHERE {from_outside("pg_opclass", "c.oid")}""",
    ),
    Part(
        made_in("pg_cast"),
        f"""
SELECT 'cast', '', format('(%s AS %s)', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)), '',
  json_build_object('function', CASE WHEN c.castfunc <> 0 THEN c.castfunc::regprocedure::text END, 'method', c.castmethod,
  'context', c.castcontext, {comment("pg_cast", "c.oid")})::text
FROM pg_cast c WHERE {from_outside("pg_cast", "c.oid")}
  AND NOT EXISTS (SELECT FROM pg_range r WHERE r.rngtypid = c.castsource AND r.rngmultitypid = c.casttarget)""",
    ),
    Part(
        made_in("pg_am"),
        f"""
SELECT 'access method', '', a.amname, '', json_build_object('handler', a.amhandler::text, 'type', a.amtype,
  {comment("pg_am", "a.oid")})::text
FROM pg_am a WHERE {from_outside("pg_am", "a.oid")}""",
    ),
    Part(
        made_in("pg_language"),
        f"""
SELECT 'language', '', l.lanname, '', json_build_object('trusted', l.lanpltrusted, 'handler', l.lanplcallfoid::regproc::text,
  'inline', nullif(l.laninline, 0)::regproc::text, 'validator', nullif(l.lanvalidator, 0)::regproc::text,
  {owner("l.lanowner")}, {comment("pg_language", "l.oid")}, {grants("l.lanacl", "language", "l.lanowner")})::text
FROM pg_language l WHERE {from_outside("pg_language", "l.oid")}""",
    ),
    Part(
        made_in("pg_transform"),
        f"""
SELECT 'transform', '', format('FOR %s LANGUAGE %I', format_type(t.trftype, NULL), l.lanname), '', json_build_object(
  'from_sql', nullif(t.trffromsql::oid, 0)::regprocedure::text, 'to_sql', nullif(t.trftosql::oid, 0)::regprocedure::text,
  {comment("pg_transform", "t.oid")})::text
FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang WHERE {from_outside("pg_transform", "t.oid")}""",
    ),
)

# The names of a collation's locale columns changed with every version; which of them is filled follows the provider.
SEARCH = (
    Part(
        made_in("pg_collation"),
        f"""
SELECT 'collation' AS kind, n.nspname AS schema, c.collname AS name, '' AS parent, json_build_object(
  'provider', c.collprovider, 'nondeterministic', NOT c.collisdeterministic, 'encoding', nullif(c.collencoding, -1),
  'collate', c.collcollate, 'ctype', c.collctype,
  'locale', coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale'), 'rules', to_jsonb(c) ->> 'collicurules',
  {owner("c.collowner")}, {comment("pg_collation", "c.oid")})::text AS attributes
FROM pg_collation c {namespace("c.collnamespace")} WHERE {from_outside("pg_collation", "c.oid")}""",
    ),
    Part(
        made_in("pg_conversion"),
        f"""
SELECT 'conversion', n.nspname, c.conname, '', json_build_object('from', pg_encoding_to_char(c.conforencoding),
  'to', pg_encoding_to_char(c.contoencoding), 'function', c.conproc::text, 'default', c.condefault,
  {owner("c.conowner")}, {comment("pg_conversion", "c.oid")})::text
FROM pg_conversion c {namespace("c.connamespace")} WHERE {from_outside("pg_conversion", "c.oid")}""",
    ),
    Part(
        made_in("pg_ts_parser"),
        f"""
SELECT 'text search parser', n.nspname, p.prsname, '', json_build_object('start', p.prsstart::text, 'token', p.prstoken::text,
  'end', p.prsend::text, 'headline', nullif(p.prsheadline::oid, 0)::regproc::text, 'types', p.prslextype::text,
  {comment("pg_ts_parser", "p.oid")})::text
FROM pg_ts_parser p {namespace("p.prsnamespace")} WHERE {from_outside("pg_ts_parser", "p.oid")}""",
    ),
    Part(
        made_in("pg_ts_template"),
        f"""
SELECT 'text search template', n.nspname, t.tmplname, '', json_build_object('init', nullif(t.tmplinit::oid, 0)::regproc::text,
  'lexize', t.tmpllexize::text, {comment("pg_ts_template", "t.oid")})::text
FROM pg_ts_template t {namespace("t.tmplnamespace")} WHERE {from_outside("pg_ts_template", "t.oid")}""",
    ),
    Part(
        made_in("pg_ts_dict"),
        f"""
SELECT 'text search dictionary', n.nspname, d.dictname, '', json_build_object(
  'template', (SELECT format('%I.%I', tn.nspname, t.tmplname) FROM pg_ts_template t JOIN pg_namespace tn
    ON tn.oid = t.tmplnamespace WHERE t.oid = d.dicttemplate), 'options', d.dictinitoption,
  {owner("d.dictowner")}, {comment("pg_ts_dict", "d.oid")})::text
FROM pg_ts_dict d {namespace("d.dictnamespace")} WHERE {from_outside("pg_ts_dict", "d.oid")}""",
    ),
    Part(
        made_in("pg_ts_config"),
        f"""
SELECT 'text search configuration', n.nspname, g.cfgname, '', json_build_object(
  'parser', (SELECT format('%I.%I', pn.nspname, p.prsname) FROM pg_ts_parser p JOIN pg_namespace pn ON pn.oid = p.prsnamespace
    WHERE p.oid = g.cfgparser),
  'mappings', (SELECT json_agg(m.token || ' ' || m.dictionaries ORDER BY m.token) FROM (
    SELECT (SELECT tt.alias FROM ts_token_type(g.cfgparser) tt WHERE tt.tokid = x.maptokentype) AS token,
      string_agg(x.mapdict::regdictionary::text, ', ' ORDER BY x.mapseqno) AS dictionaries
    FROM pg_ts_config_map x WHERE x.mapcfg = g.oid GROUP BY x.maptokentype) m),
  {owner("g.cfgowner")}, {comment("pg_ts_config", "g.oid")})::text
FROM pg_ts_config g {namespace("g.cfgnamespace")} WHERE {from_outside("pg_ts_config", "g.oid")}""",
    ),
)
