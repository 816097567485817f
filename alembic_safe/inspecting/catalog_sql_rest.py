"""Which queries read what stands beside tables, types and routines?"""

from __future__ import annotations

from alembic_safe.inspecting.catalog_sql import (
    ALWAYS,
    FIRST_USER_OID,
    Part,
    comment,
    from_outside,
    grants,
    made_in,
    masked,
    namespace,
    owner,
)

_LETTER = "CASE {0} WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always' END"

# its view is read by everybody, the table itself need not be
_LABELS = "pg_class WHERE oid = 'pg_catalog.pg_seclabel'::regclass AND pg_relation_size(oid) > 0"

SCHEMAS = (
    Part(
        ALWAYS,
        f"""
SELECT 'schema' AS kind, '' AS schema, n.nspname AS name, '' AS parent, json_build_object(
  {owner("n.nspowner")}, {comment("pg_namespace", "n.oid")}, {grants("n.nspacl", "schema", "n.nspowner")})::text AS attributes
FROM pg_namespace n WHERE n.nspname <> ALL (CAST(:hidden AS text[]))
  AND (n.nspname = 'public' OR {from_outside("pg_namespace", "n.oid")})""",
    ),
    Part(
        made_in("pg_extension"),
        f"""
SELECT 'extension', '', x.extname, '', json_build_object('version', x.extversion, 'schema', n.nspname,
  {comment("pg_extension", "x.oid")})::text
FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace WHERE x.extname <> 'plpgsql' AND x.oid >= {FIRST_USER_OID}""",
    ),
    Part(
        made_in("pg_event_trigger"),
        f"""
SELECT 'event trigger', '', e.evtname, '', json_build_object('event', e.evtevent, 'function', e.evtfoid::regprocedure::text,
  'tags', (SELECT json_agg(o ORDER BY o) FROM unnest(e.evttags) o), 'enabled', {_LETTER.format("e.evtenabled")},
  {owner("e.evtowner")}, {comment("pg_event_trigger", "e.oid")})::text
FROM pg_event_trigger e WHERE {from_outside("pg_event_trigger", "e.oid")}""",
    ),
    Part(
        "pg_default_acl",
        f"""
SELECT 'default privileges', coalesce(n.nspname, ''), format('%I on %s', pg_get_userbyid(d.defaclrole),
    CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES'
      WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END), '', json_build_object(
  'role', pg_get_userbyid(d.defaclrole),
  {grants("d.defaclacl", "table", "d.defaclrole")})::text
FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
WHERE coalesce(n.nspname, '') <> ALL (CAST(:hidden AS text[]))""",
    ),
    Part(
        _LABELS,
        """
SELECT 'security label', '', l.provider || ' on ' || l.objtype || ' ' || coalesce(l.objname, ''), '',
  json_build_object('label', l.label)::text
FROM pg_seclabels l WHERE l.classoid NOT IN ('pg_database'::regclass, 'pg_authid'::regclass, 'pg_tablespace'::regclass)""",
    ),
)

FOREIGN = (
    Part(
        made_in("pg_foreign_data_wrapper"),
        f"""
SELECT 'foreign-data wrapper' AS kind, '' AS schema, w.fdwname AS name, '' AS parent, json_build_object(
  'handler', nullif(w.fdwhandler, 0)::regproc::text, 'validator', nullif(w.fdwvalidator, 0)::regproc::text,
  'foreign_options', {masked("w.fdwoptions")}, {owner("w.fdwowner")}, {comment("pg_foreign_data_wrapper", "w.oid")},
  {grants("w.fdwacl", "foreign-data wrapper", "w.fdwowner")})::text AS attributes
FROM pg_foreign_data_wrapper w WHERE {from_outside("pg_foreign_data_wrapper", "w.oid")}""",
    ),
    Part(
        made_in("pg_foreign_server"),
        f"""
SELECT 'server', '', s.srvname, '', json_build_object('wrapper', w.fdwname, 'type', s.srvtype, 'version', s.srvversion,
  'foreign_options', {masked("s.srvoptions")}, {owner("s.srvowner")}, {comment("pg_foreign_server", "s.oid")},
  {grants("s.srvacl", "server", "s.srvowner")})::text
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
WHERE {from_outside("pg_foreign_server", "s.oid")}""",
    ),
    Part(
        made_in("pg_foreign_server"),
        f"""
SELECT 'user mapping', '', format('%s on %I', CASE WHEN u.umuser = 0 THEN 'PUBLIC' ELSE quote_ident(u.usename) END, u.srvname),
  '', json_build_object('server', u.srvname, 'foreign_options', {masked("u.umoptions")})::text
FROM pg_user_mappings u WHERE {from_outside("pg_foreign_server", "u.srvid")}""",
    ),
)

# An attribute that only newer servers have is read through to_jsonb, so that one text runs on every version; where not
# every column may be read, as of subscriptions, its name finds the default beside the table on a server that has it not.
# A subscription's connection string holds a password and is readable to superusers only: it is not looked at.
REPLICATION = (
    Part(
        made_in("pg_publication"),
        f"""
SELECT 'publication' AS kind, '' AS schema, p.pubname AS name, '' AS parent, json_build_object(
  'all_tables', p.puballtables, 'publishes', concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END,
    CASE WHEN p.pubupdate THEN 'update' END, CASE WHEN p.pubdelete THEN 'delete' END,
    CASE WHEN p.pubtruncate THEN 'truncate' END), 'via_root', p.pubviaroot,
  'generated_columns', CASE WHEN to_jsonb(p) ->> 'pubgencols' = 's' THEN 'stored' END,
  'tables', (SELECT json_agg(r.prrelid::regclass || coalesce((SELECT ' (' || string_agg(quote_ident(a.attname), ', '
        ORDER BY a.attnum) || ')' FROM pg_attribute a WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs)), '')
      || coalesce(' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')', '') ORDER BY r.prrelid::regclass::text)
    FROM pg_publication_rel r WHERE r.prpubid = p.oid),
  'schemas', (SELECT json_agg(quote_ident(n.nspname) ORDER BY n.nspname) FROM pg_publication_namespace pn
    JOIN pg_namespace n ON n.oid = pn.pnnspid WHERE pn.pnpubid = p.oid),
  {owner("p.pubowner")}, {comment("pg_publication", "p.oid")})::text AS attributes
FROM pg_publication p WHERE {from_outside("pg_publication", "p.oid")}""",
    ),
    Part(
        "pg_subscription",
        f"""
SELECT 'subscription', '', s.subname, '', json_build_object('enabled', s.subenabled, 'publications',
  (SELECT json_agg(o ORDER BY o) FROM unnest(s.subpublications) o), 'slot', s.subslotname, 'binary', s.subbinary,
  'streaming', s.substream, 'two_phase', s.subtwophasestate <> 'd', 'disable_on_error', s.subdisableonerr,
  'password_not_required', NOT s.subpasswordrequired, 'run_as_owner', s.subrunasowner, 'origin', s.suborigin,
  'synchronous_commit', s.subsynccommit, {owner("s.subowner")}, {comment("pg_subscription", "s.oid")})::text
FROM (SELECT true AS subpasswordrequired, false AS subrunasowner, 'any'::text AS suborigin) before_16
CROSS JOIN LATERAL (SELECT oid, subdbid, subname, subowner, subenabled, subpublications, subslotname, subbinary, substream,
  subtwophasestate, subdisableonerr, subsynccommit, subpasswordrequired, subrunasowner, suborigin FROM pg_subscription) s
WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    ),
)

STATISTICS = (
    Part(
        made_in("pg_statistic_ext"),
        f"""
SELECT 'statistics' AS kind, n.nspname AS schema, s.stxname AS name, '' AS parent, json_build_object(
  'definition', pg_get_statisticsobjdef(s.oid), 'table', s.stxrelid::regclass::text,
  'statistics', CASE WHEN s.stxstattarget >= 0 THEN s.stxstattarget END,
  {owner("s.stxowner")}, {comment("pg_statistic_ext", "s.oid")})::text AS attributes
FROM pg_statistic_ext s {namespace("s.stxnamespace")} WHERE {from_outside("pg_statistic_ext", "s.oid")}""",
    ),
)

# pg_dump repeats what somebody granted on system objects and on members of extensions: what differs from the rights
# that they came with.
SYSTEM_GRANTS = (
    Part(
        ALWAYS,
        f"""
SELECT 'system grant' AS kind, '' AS schema, i.type || ' ' || i.identity AS name, '' AS parent, json_build_object(
  {grants("o.acl", "routine", "o.owner")})::text AS attributes
FROM (
  SELECT 'pg_proc'::regclass AS class, oid, proacl AS acl, proowner AS owner, 'f'::"char" AS letter, pronamespace AS schema
    FROM pg_proc
  UNION ALL SELECT 'pg_class'::regclass, oid, relacl, relowner, CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char",
    relnamespace FROM pg_class WHERE relkind IN ('r', 'v', 'm', 'S', 'f', 'p')
  UNION ALL SELECT 'pg_type'::regclass, oid, typacl, typowner, 'T', typnamespace FROM pg_type
  UNION ALL SELECT 'pg_language'::regclass, oid, lanacl, lanowner, 'l', 0 FROM pg_language
  UNION ALL SELECT 'pg_namespace'::regclass, oid, nspacl, nspowner, 'n', oid FROM pg_namespace
) o LEFT JOIN pg_init_privs b ON b.classoid = o.class AND b.objoid = o.oid AND b.objsubid = 0,
  LATERAL pg_identify_object(o.class, o.oid, 0) i
WHERE o.acl IS NOT NULL AND o.acl IS DISTINCT FROM coalesce(b.initprivs, acldefault(o.letter, o.owner))
  AND (o.oid < {FIRST_USER_OID} AND o.schema IN (0, 'pg_catalog'::regnamespace) OR EXISTS (SELECT FROM pg_depend e
    WHERE e.classid = o.class AND e.objid = o.oid AND e.deptype = 'e'))
""",
    ),
)
