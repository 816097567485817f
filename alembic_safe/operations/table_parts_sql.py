"""What a table is made of beside its rows: each part with the statement that takes it away and the one that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run
from alembic_safe.inspecting.retired import Dependant
from alembic_safe.operations.dependants import of_column
from alembic_safe.operations.kept import text_of
from alembic_safe.operations.said_of_relations import grants_of, owned_again

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sqlalchemy import Connection

    from alembic_safe.database.reads import Reads
    from alembic_safe.operations.living import LivingTable

FIRST_USER_OID = 16384
"""What initdb made has lower numbers: https://www.postgresql.org/docs/current/system-catalog-initial-data.html."""

_FOREIGN_KEYS = """
SELECT c.conname AS name, c.conrelid::regclass::text AS table, pg_get_constraintdef(c.oid) AS definition,
  pg_get_userbyid(t.relowner) AS owner, pg_has_role(t.relowner, 'USAGE') AS may,
  quote_literal(obj_description(c.oid, 'pg_constraint')) AS comment
FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid WHERE c.contype = 'f' AND c.conparentid = 0
  AND (c.conrelid = ANY(CAST(:oids AS oid[])) OR c.confrelid = ANY(CAST(:oids AS oid[]))) ORDER BY c.oid
"""
_CHECKS = """
SELECT c.conname AS name, pg_get_constraintdef(c.oid) AS definition,
  quote_literal(obj_description(c.oid, 'pg_constraint')) AS comment FROM pg_constraint c
WHERE c.conrelid = CAST(:oid AS oid) AND c.contype = 'c' AND c.conislocal AND c.coninhcount = 0 ORDER BY c.conname
"""
# what watches writes on a shadow is no part of the table (inspecting/trace_watch.py)
_TRIGGERS = """
SELECT t.tgname AS name, pg_get_triggerdef(t.oid) AS definition, t.tgenabled::text AS state,
  quote_literal(obj_description(t.oid, 'pg_trigger')) AS comment FROM pg_trigger t
WHERE t.tgrelid = CAST(:oid AS oid) AND NOT t.tgisinternal AND t.tgparentid = 0
  AND t.tgfoid NOT IN (SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'alembic_safe_watch') ORDER BY t.tgname
"""
_RULES = """
SELECT r.rulename AS name, pg_get_ruledef(r.oid) AS definition, r.ev_enabled::text AS state,
  quote_literal(obj_description(r.oid, 'pg_rewrite')) AS comment FROM pg_rewrite r
WHERE r.ev_class = CAST(:oid AS oid) ORDER BY r.rulename
"""
POLICIES = """
SELECT p.polname AS name, p.polrelid::regclass::text AS own,
  format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, p.polrelid::regclass,
  CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
  CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
  (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(p.polroles) r),
  ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
  AS definition, quote_literal(obj_description(p.oid, 'pg_policy')) AS comment
FROM pg_policy p"""
"""Policies with what makes them; the condition comes behind."""
_FLAGS = """
SELECT c.relrowsecurity AS security, c.relforcerowsecurity AS force, obj_description(c.oid, 'pg_class') AS comment,
  c.relreplident::text AS identity, (SELECT i.indexrelid::regclass::text FROM pg_index i WHERE i.indrelid = c.oid
  AND i.indisreplident) AS identity_index FROM pg_class c WHERE c.oid = CAST(:oid AS oid)
"""
# A generated column that rests on its own table and on built-in functions only stays as it is: it holds nobody up.
_COLUMNS = f"""
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
  a.attgenerated::text AS generated, pg_get_expr(d.adbin, d.adrelid) AS expression, a.attinhcount > 0 AS inherited,
  (SELECT format(' COLLATE %I.%I', n.nspname, l.collname) FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
   JOIN pg_type y ON y.oid = a.atttypid WHERE l.oid = a.attcollation AND a.attcollation <> y.typcollation) AS collation,
  (a.atttypid >= {FIRST_USER_OID} OR a.attcollation >= {FIRST_USER_OID}) AND NOT EXISTS (
    SELECT FROM pg_partitioned_table p WHERE p.partrelid = a.attrelid AND a.attnum = ANY(p.partattrs)) AS is_foreign,
  EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_attrdef'::regclass AND e.objid = d.oid
    AND e.refobjid >= {FIRST_USER_OID} AND NOT (e.refclassid = 'pg_class'::regclass AND e.refobjid = a.attrelid)) AS leans
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = CAST(:oid AS oid) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
# An index that uses a function, an operator class or a collation of somebody's, or a column whose type becomes text.
_INDEXES = f"""
SELECT i.relname AS name, c.conname AS constraint, pg_get_constraintdef(c.oid) AS constraint_definition,
  replace(pg_get_indexdef(i.oid), format('INDEX %I ON ONLY ', i.relname), format('INDEX %I ON ', i.relname)) AS definition,
  i.oid::regclass::text AS shown, quote_literal(obj_description(i.oid, 'pg_class')) AS comment,
  quote_literal(obj_description(c.oid, 'pg_constraint')) AS constraint_comment
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_constraint c ON c.conindid = i.oid AND c.contype IN ('u', 'x')
WHERE x.indrelid = CAST(:oid AS oid) AND NOT x.indisprimary AND NOT i.relispartition AND (
  EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = i.oid AND e.deptype <> 'i'
    AND e.refobjid >= {FIRST_USER_OID} AND NOT (e.refclassid = 'pg_class'::regclass AND e.refobjid = x.indrelid)
    AND e.refclassid <> 'pg_constraint'::regclass)
  OR EXISTS (SELECT FROM pg_depend e JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = e.refobjsubid
    WHERE e.refclassid = 'pg_class'::regclass AND e.refobjid = x.indrelid AND a.attname = ANY(CAST(:foreign AS text[]))
      AND (e.classid = 'pg_class'::regclass AND e.objid = i.oid OR e.classid = 'pg_constraint'::regclass AND e.objid = c.oid)))
ORDER BY i.relname
"""
STATISTICS = """
SELECT s.stxname AS name, pg_get_statisticsobjdef(s.oid) AS definition, n.nspname AS schema, s.stxstattarget AS target,
  CASE WHEN pg_get_userbyid(s.stxowner) <> current_user THEN pg_get_userbyid(s.stxowner) END AS owner,
  quote_literal(obj_description(s.oid, 'pg_statistic_ext')) AS comment
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
"""
"""Statistics objects with what makes them; the condition comes behind."""
_SEQUENCES = """
SELECT s.oid::bigint AS oid, format('%I.%I', n.nspname, s.relname) AS name FROM pg_depend d
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = CAST(:oid AS oid)
  AND d.deptype IN ('a', 'i') ORDER BY 2
"""
_PUBLICATIONS = """
SELECT p.pubname AS name, pg_get_userbyid(p.pubowner) AS owner, pg_has_role(p.pubowner, 'USAGE') AS may,
  {columns} AS columns, {filter} AS filter
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = CAST(:oid AS oid) ORDER BY 1
"""
_STATES = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


@dataclass(frozen=True)
class Part:
    """One part of a table.

    :param take: the statement that takes it away; empty where it goes by itself.
    :param make: those that make it again.
    :param owner: who must run ``take``, where this role may not.
    """

    kind: str
    name: str
    take: str
    make: tuple[str, ...] = ()
    owner: str = ""

    @property
    def dependants(self) -> tuple[Dependant, ...]:
        """How it is recorded."""
        return tuple(Dependant(self.kind, self.name, make) for make in self.make)


def foreign_keys(connection: Connection, tables: Sequence[LivingTable]) -> list[Part]:
    """Return the foreign keys of some tables and those that lead to them."""
    return [
        Part(
            "foreign key", f"{row['name']} of {row['table']}",
            verbatim(f"ALTER TABLE {row['table']} DROP CONSTRAINT {quoted(row['name'])}"),
            (f"ALTER TABLE {row['table']} ADD CONSTRAINT {quoted(row['name'])} {row['definition']}",
             *_commented(f"CONSTRAINT {quoted(row['name'])} ON {row['table']}", row["comment"])),
            "" if row["may"] else row["owner"],
        )
        for row in run(connection, _FOREIGN_KEYS, {"oids": [table.oid for table in tables]})
    ]  # fmt: skip


def parts_of(connection: Connection, table: LivingTable) -> list[Part]:
    """Return everything else, in the order in which it is made again; called under an empty search path."""
    own, oid = table.quoted, {"oid": table.oid}
    columns = run(connection, _COLUMNS, oid)
    foreign = [row["name"] for row in columns if row["is_foreign"]]
    flags = run(connection, _FLAGS, oid)[0]
    parts = [*_types(own, columns), *_generated(connection, own, columns, bool(foreign)), *_defaults(own, columns)]
    parts += [
        Part("check", row["name"], _drop(own, "CONSTRAINT", row["name"]),
             (f"ALTER TABLE {own} ADD CONSTRAINT {quoted(row['name'])} {row['definition']}",
              *_commented(f"CONSTRAINT {quoted(row['name'])} ON {own}", row["comment"])))
        for row in run(connection, _CHECKS, oid)
    ]  # fmt: skip
    parts += [_index(own, table.schema, row) for row in run(connection, _INDEXES, {**oid, "foreign": foreign})]
    if flags["identity"] == "i" and flags["identity_index"]:
        make = f"ALTER TABLE {own} REPLICA IDENTITY USING INDEX {quoted(_last(flags['identity_index']))}"
        parts.append(Part("replica identity", table.name, "", (make,)))
    parts += [statistics(row) for row in run(connection, f"{STATISTICS} WHERE s.stxrelid = CAST(:oid AS oid)", oid)]
    parts += [acting("RULE", own, row) for row in run(connection, _RULES, oid)]
    parts += [acting("TRIGGER", own, row) for row in run(connection, _TRIGGERS, oid)]
    parts += [
        policy(own, row)
        for row in run(connection, f"{POLICIES} WHERE p.polrelid = CAST(:oid AS oid) ORDER BY p.polname", oid)
    ]
    parts += _row_security(own, flags)
    parts += grants_on(connection, table)
    parts += _sequence_grants(connection, table)
    parts += _publications(connection, table)
    if flags["comment"] is not None:
        text = run(connection, "SELECT quote_literal(CAST(:c AS text)) AS it", {"c": flags["comment"]})[0]["it"]
        parts.append(Part("comment", table.name, "", (f"COMMENT ON TABLE {own} IS {text}",)))
    return parts


def in_order_of_taking(parts: Sequence[Part]) -> list[Part]:
    """Return the parts so that none is taken while another one still rests on it: types become text at the end."""
    return [
        *reversed([part for part in parts if part.kind != "type"]),
        *(part for part in parts if part.kind == "type"),
    ]


def _drop(own: str, what: str, name: str) -> str:
    return f"ALTER TABLE {own} DROP {what} {quoted(name)}"


def _last(qualified: str) -> str:
    return qualified.rpartition(".")[2].strip('"').replace('""', '"')


def _types(own: str, columns: Sequence[Any]) -> list[Part]:
    found: list[Part] = []
    for row in columns:
        if not row["is_foreign"] or row["inherited"]:
            continue
        name, type_ = quoted(row["name"]), row["type"]
        alter = f"ALTER TABLE {own} ALTER COLUMN {name} TYPE"
        back = f"{alter} {type_}{row['collation'] or ''} USING CAST({name} AS {type_})"
        found.append(Part("type", row["name"], f'{alter} text COLLATE "default" USING {text_of(name)}', (back,)))
    return found


def _generated(connection: Connection, own: str, columns: Sequence[Any], all_of_them: bool) -> list[Part]:
    found: list[Part] = []
    for row in columns:
        if not row["generated"] or row["inherited"] or not (row["leans"] or row["is_foreign"] or all_of_them):
            continue
        name = quoted(row["name"])
        virtual = row["generated"] == "v"
        how = "VIRTUAL" if virtual else "STORED"
        null = " NOT NULL" if row["not_null"] else ""
        again = tuple(dependant.make for dependant in of_column(connection, own, row["name"]))
        definition = f"{row['type']}{row['collation'] or ''} GENERATED ALWAYS AS ({row['expression']}) {how}{null}"
        make = (
            *(() if virtual else (f"ALTER TABLE {own} DROP COLUMN {name}",)),
            f"ALTER TABLE {own} ADD COLUMN {name} {definition}",
            *again,
        )
        take = f"ALTER TABLE {own} " + (f"DROP COLUMN {name}" if virtual else f"ALTER COLUMN {name} DROP EXPRESSION")
        found.append(Part("generated", row["name"], take, make))
    return found


def _defaults(own: str, columns: Sequence[Any]) -> list[Part]:
    alter = f"ALTER TABLE ONLY {own} ALTER COLUMN"
    return [
        Part("default", row["name"], f"{alter} {quoted(row['name'])} DROP DEFAULT",
             (f"{alter} {quoted(row['name'])} SET DEFAULT {row['expression']}",))
        for row in columns
        if row["expression"] is not None and not row["generated"]
    ]  # fmt: skip


def _index(own: str, schema: str, row: Any) -> Part:
    comments = _commented(f"INDEX {quoted(schema, row['name'])}", row["comment"])
    if row["constraint"] is None:
        return Part("index", row["name"], f"DROP INDEX {quoted(schema, row['name'])}", (row["definition"], *comments))
    comments += _commented(f"CONSTRAINT {quoted(row['constraint'])} ON {own}", row["constraint_comment"])
    make = f"ALTER TABLE {own} ADD CONSTRAINT {quoted(row['constraint'])} {row['constraint_definition']}"
    return Part("constraint", row["constraint"], _drop(own, "CONSTRAINT", row["constraint"]), (make, *comments))


def statistics(row: Any) -> Part:
    """Return a statistics object, with its owner where that is another one than who makes it again."""
    own = quoted(row["schema"], row["name"])
    make = [row["definition"]]
    if row["target"] is not None and row["target"] >= 0:
        make.append(f"ALTER STATISTICS {own} SET STATISTICS {row['target']:d}")
    make += _commented(f"STATISTICS {own}", row["comment"])
    if row["owner"] is not None:
        make.append(owned_again(f"STATISTICS {own}", quoted(row["owner"])))
    return Part("statistics", row["name"], f"DROP STATISTICS {own}", tuple(make))


def policy(own: str, row: Any) -> Part:
    """Return a policy.

    :param own: the table, quoted and qualified.
    """
    comment = _commented(f"POLICY {quoted(row['name'])} ON {own}", row["comment"])
    return Part("policy", row["name"], f"DROP POLICY {quoted(row['name'])} ON {own}", (row["definition"], *comment))


def _commented(what: str, comment: str | None) -> tuple[str, ...]:
    """Return what says of an object made again what was said of it before; nothing where nothing was.

    :param comment: as SQL.
    """
    return () if comment is None else (f"COMMENT ON {what} IS {comment}",)


def acting(what: str, own: str, row: Any) -> Part:
    """Return a trigger or a rule.

    :param what: ``TRIGGER`` or ``RULE``; ``own``: the table, quoted and qualified.
    """
    make = [row["definition"].rstrip(";")]
    if row["state"] in _STATES:
        make.append(f"ALTER TABLE {own} {_STATES[row['state']]} {what} {quoted(row['name'])}")
    make += _commented(f"{what} {quoted(row['name'])} ON {own}", row["comment"])
    return Part(what.lower(), row["name"], f"DROP {what} {quoted(row['name'])} ON {own}", tuple(make))


def _row_security(own: str, flags: Any) -> list[Part]:
    found: list[Part] = []
    if flags["security"]:
        alter = f"ALTER TABLE {own}"
        found.append(
            Part("row security", "", f"{alter} DISABLE ROW LEVEL SECURITY", (f"{alter} ENABLE ROW LEVEL SECURITY",))
        )
    if flags["force"]:
        alter = f"ALTER TABLE {own}"
        found.append(
            Part("row security", "", f"{alter} NO FORCE ROW LEVEL SECURITY", (f"{alter} FORCE ROW LEVEL SECURITY",))
        )
    return found


def grants_on(connection: Connection | Reads, table: LivingTable) -> list[Part]:
    """Return what others than the owner may do with a table or a view."""
    return [Part("grant", one.name, "", (one.on(table.quoted),)) for one in grants_of(connection, table.oid)]


def _sequence_grants(connection: Connection, table: LivingTable) -> list[Part]:
    """Return what others than the owner may do with the sequences that go along with a table."""
    return [
        Part("grant", one.name, "", (one.on(f"SEQUENCE {row['name']}"),))
        for row in run(connection, _SEQUENCES, {"oid": table.oid})
        for one in grants_of(connection, row["oid"])
    ]


def _publications(connection: Connection, table: LivingTable) -> list[Part]:
    version = run(connection, "SELECT current_setting('server_version_num')::int AS it")[0]["it"]
    columns, where = "NULL::text", "NULL::text"
    if version >= 150000:
        # before, a publication took whole tables only
        columns = (
            "(SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a"
            " WHERE a.attrelid = r.prrelid AND a.attnum = ANY(r.prattrs::int2[]))"
        )
        where = "pg_get_expr(r.prqual, r.prrelid)"
    found: list[Part] = []
    for row in run(connection, _PUBLICATIONS.format(columns=columns, filter=where), {"oid": table.oid}):
        only = f" ({row['columns']})" if row["columns"] else ""
        rows = f" WHERE ({row['filter']})" if row["filter"] else ""
        alter = f"ALTER PUBLICATION {quoted(row['name'])}"
        make = (f"{alter} ADD TABLE {table.quoted}{only}{rows}",)
        owner = "" if row["may"] else row["owner"]
        found.append(Part("publication", row["name"], f"{alter} DROP TABLE {table.quoted}", make, owner))
    return found
