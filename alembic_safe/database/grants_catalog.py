"""Which questions about a role's rights does the catalog answer?"""

from __future__ import annotations

# A role that does not exist yet has no oid: privilege functions then answer NULL, which counts as "no".
# The oid travels as bigint, because drivers have no type of their own for it.

SERVER = """
SELECT current_setting('server_version_num')::int AS version, current_database() AS database,
  (SELECT oid::bigint FROM pg_roles WHERE rolname = :role) AS oid,
  COALESCE((SELECT rolsuper FROM pg_roles WHERE rolname = :role), false) AS superuser,
  COALESCE((SELECT rolbypassrls FROM pg_roles WHERE rolname = :role), false) AS bypasses,
  COALESCE((SELECT rolinherit FROM pg_roles WHERE rolname = :role), true) AS inherits,
  to_regnamespace(quote_ident(:schema)) IS NOT NULL AS has_journal_schema
"""

# What a revision may alter: everything that people made, and nothing that an extension brought or that goes with
# its table anyway (indexes, sequences of serial and identity columns, row types, array types).
OBJECTS = """
WITH made AS (
  SELECT 'pg_class'::regclass AS class, c.oid, c.relnamespace AS schema, c.relowner AS owner, false AS keep
  FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT EXISTS (SELECT FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
  UNION ALL
  SELECT 'pg_type'::regclass, t.oid, t.typnamespace, t.typowner, false FROM pg_type t
  WHERE t.typtype IN ('e', 'd', 'r', 'c') AND NOT EXISTS (SELECT FROM pg_class c
    WHERE c.oid = t.typrelid AND c.relkind <> 'c')
  UNION ALL
  SELECT 'pg_proc'::regclass, p.oid, p.pronamespace, p.proowner,
    p.prosecdef OR NOT (l.lanpltrusted OR l.lanname = 'sql')
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE NOT EXISTS (SELECT FROM pg_depend d
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
)
SELECT n.nspname AS schema, o.rolname AS owner, o.rolsuper OR o.rolname LIKE 'pg\\_%' AS untouchable,
  COALESCE(pg_has_role(o.oid, CAST(CAST(:role AS bigint) AS oid), 'MEMBER'), false) AS in_circle,
  m.keep, i.type AS kind, i.identity
FROM made m JOIN pg_namespace n ON n.oid = m.schema JOIN pg_roles o ON o.oid = m.owner,
  LATERAL pg_identify_object(m.class, m.oid, 0) i
WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND NOT COALESCE(pg_has_role(CAST(CAST(:role AS bigint) AS oid), m.owner, 'USAGE'), false)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = m.class AND d.objid = m.oid AND d.deptype = 'e')
ORDER BY n.nspname, i.type, i.identity
"""

SCHEMAS = """
SELECT n.nspname AS name,
  COALESCE(has_schema_privilege(CAST(CAST(:role AS bigint) AS oid), n.oid, 'USAGE')
       AND has_schema_privilege(CAST(CAST(:role AS bigint) AS oid), n.oid, 'CREATE'), false) AS open
FROM pg_namespace n
WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND (n.nspname = ANY(CAST(:expected AS text[])) OR EXISTS (
  SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND NOT EXISTS (SELECT FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')))
ORDER BY 1
"""

# Roles that hold a privilege on every table of a schema: tables that the deploy role makes are closed to them.
READERS = """
WITH held AS (
  SELECT c.relnamespace AS schema, a.grantee, a.privilege_type AS privilege, count(DISTINCT c.oid) AS tables
  FROM pg_class c, LATERAL aclexplode(c.relacl) a
  WHERE c.relkind IN ('r', 'p') AND a.grantee NOT IN (0, c.relowner) GROUP BY 1, 2, 3
)
SELECT n.nspname AS schema, r.rolname AS reader, string_agg(h.privilege, ', ' ORDER BY h.privilege) AS privileges
FROM held h JOIN pg_namespace n ON n.oid = h.schema JOIN pg_roles r ON r.oid = h.grantee
WHERE r.rolname <> :role AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND h.privilege IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER')
  AND h.tables = (SELECT count(*) FROM pg_class c WHERE c.relnamespace = h.schema AND c.relkind IN ('r', 'p'))
GROUP BY 1, 2 ORDER BY 1, 2
"""

ON_DATABASE = """
SELECT
  COALESCE(has_database_privilege(CAST(CAST(:role AS bigint) AS oid), current_database(), 'CONNECT'), false) AS connect,
  COALESCE(has_database_privilege(CAST(CAST(:role AS bigint) AS oid), current_database(), 'CREATE'), false) AS create
"""

LARGE_OBJECTS = """
SELECT l.oid::bigint AS oid FROM pg_largeobject_metadata l
WHERE NOT COALESCE(pg_has_role(CAST(CAST(:role AS bigint) AS oid), l.lomowner, 'USAGE'), false)
  AND NOT EXISTS (SELECT FROM aclexplode(l.lomacl) a
    WHERE a.grantee = CAST(CAST(:role AS bigint) AS oid) AND a.privilege_type = 'SELECT')
ORDER BY 1 LIMIT :most
"""
