"""What names a column beside its indexes and constraints, and how does it come to name the one that has its name?"""

# PostgreSQL knows columns by number: a view, a policy, a trigger or a statistics object goes on naming the old one under
# its other name. So each is taken away before the names change and made again, as it reads, behind that.
from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run_at_once
from alembic_safe.inspecting.syncs import SYNC_SCHEMA
from alembic_safe.operations.expressions import OWN_VIEWS
from alembic_safe.operations.living import find_table
from alembic_safe.operations.said_of_relations import without_default_rights
from alembic_safe.operations.table_parts_sql import POLICIES, STATISTICS, Part, acting, grants_on, policy, statistics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sqlalchemy import Connection

    from alembic_safe.database.reads import Reads
    from alembic_safe.operations.kept import FixedText
    from alembic_safe.operations.living import LivingTable

_COLUMNS = """
SELECT a.attrelid, a.attnum FROM unnest(CAST(:oids AS oid[]), CAST(:columns AS text[])) AS w (oid, name)
JOIN pg_attribute a ON a.attrelid = w.oid AND a.attname = w.name
"""
_ON = f"d.refclassid = 'pg_class'::regclass AND (d.refobjid, d.refobjsubid) IN ({_COLUMNS})"
# but for those that the expressions of a sync are for a moment; what a view is made of comes first
_VIEWS = f"""
WITH RECURSIVE made (oid, depth) AS (
  SELECT r.ev_class, 1 FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid WHERE d.classid = 'pg_rewrite'::regclass AND {_ON}
  UNION SELECT r.ev_class, m.depth + 1 FROM made m JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = m.oid JOIN pg_rewrite r ON r.oid = d.objid
  WHERE r.ev_class <> m.oid
)
SELECT n.nspname AS schema, c.relname AS name, max(m.depth) AS depth, pg_get_viewdef(c.oid) AS definition,
  pg_get_userbyid(c.relowner) AS owner, array_to_string(c.reloptions, ', ') AS options,
  quote_literal(obj_description(c.oid, 'pg_class')) AS comment
FROM made m JOIN pg_class c ON c.oid = m.oid AND c.relkind = 'v' JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.oid <> pg_my_temp_schema() OR NOT starts_with(c.relname, '{OWN_VIEWS}')
GROUP BY c.oid, n.nspname ORDER BY depth, 1, 2
"""
_OF_VIEW = """
SELECT format('ALTER VIEW %s ALTER COLUMN %I SET DEFAULT %s', a.attrelid::regclass, a.attname, pg_get_expr(f.adbin, f.adrelid))
  AS make FROM pg_attribute a JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
WHERE a.attrelid = CAST(:oid AS oid)
UNION ALL SELECT format('COMMENT ON COLUMN %s.%I IS %L', a.attrelid::regclass, a.attname, col_description(a.attrelid, a.attnum))
FROM pg_attribute a WHERE a.attrelid = CAST(:oid AS oid) AND col_description(a.attrelid, a.attnum) IS NOT NULL
"""
_TRIGGERS = f"""
SELECT DISTINCT t.tgname AS name, pg_get_triggerdef(t.oid) AS definition, t.tgenabled::text AS state,
  format('%I.%I', n.nspname, c.relname) AS own, quote_literal(obj_description(t.oid, 'pg_trigger')) AS comment
FROM pg_depend d JOIN pg_trigger t ON t.oid = d.objid JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_proc p ON p.oid = t.tgfoid
WHERE d.classid = 'pg_trigger'::regclass AND {_ON} AND NOT t.tgisinternal AND t.tgparentid = 0
  AND p.pronamespace IS DISTINCT FROM (SELECT oid FROM pg_namespace WHERE nspname = '{SYNC_SCHEMA}') ORDER BY 4, 1
"""
_VIEW_TRIGGERS = """
SELECT t.tgname AS name, pg_get_triggerdef(t.oid) AS definition, t.tgenabled::text AS state,
  quote_literal(obj_description(t.oid, 'pg_trigger')) AS comment FROM pg_trigger t
WHERE t.tgrelid = CAST(:oid AS oid) AND NOT t.tgisinternal ORDER BY 1
"""
_VIEW_RULES = """
SELECT r.rulename AS name, pg_get_ruledef(r.oid) AS definition, r.ev_enabled::text AS state,
  quote_literal(obj_description(r.oid, 'pg_rewrite')) AS comment FROM pg_rewrite r
WHERE r.ev_class = CAST(:oid AS oid) AND r.rulename <> '_RETURN' ORDER BY 1
"""
_OF_COLUMN = f"SELECT d.objid FROM pg_depend d WHERE d.classid = '{{}}'::regclass AND {_ON}"
_IDENTITY = """
SELECT i.relname AS name, format('%I.%I', n.nspname, c.relname) AS own FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE x.indrelid = ANY(CAST(:oids AS oid[])) AND x.indisreplident ORDER BY 2
"""


def standing_on(reads: Reads, columns: Sequence[tuple[LivingTable, str]]) -> list[Part]:
    """Return what names some columns, in the order in which it is made again; called under an empty search path.

    :param columns: all that change names in the transaction: a view may be made of several tables, and of other views.
    """
    words = {"oids": [table.oid for table, _ in columns], "columns": [name for _, name in columns]}
    found = reads.together(
        [
            (_VIEWS, words),
            (f"{STATISTICS} WHERE s.oid IN ({_OF_COLUMN.format('pg_statistic_ext')}) ORDER BY 3, 1", words),
            (_TRIGGERS, words),
            (f"{POLICIES} WHERE p.oid IN ({_OF_COLUMN.format('pg_policy')}) ORDER BY 2, 1", words),
            (_IDENTITY, words),
        ]
    )
    views = [part for row in found[0] for part in _view(reads, row)]
    stats = [statistics(row) for row in found[1]]
    triggers = [acting("TRIGGER", row["own"], row) for row in found[2]]
    policies = [policy(row["own"], row) for row in found[3]]
    identity = [
        Part("replica identity", row["name"], "",
             (f"ALTER TABLE {row['own']} REPLICA IDENTITY USING INDEX {quoted(row['name'])}",))
        for row in found[4]
    ]  # fmt: skip
    return [*stats, *views, *triggers, *policies, *identity]


def taking(parts: Sequence[Part]) -> list[str]:
    """Return the statements that take all of it away, the last first."""
    return [verbatim(part.take) for part in reversed(parts) if part.take]


def make(connection: Connection, parts: Sequence[Part], fixed: FixedText) -> None:
    """Make it again, as it reads.

    :param fixed: fixed text under an empty search path.
    """
    if not parts:
        return
    statements: list[str] = []
    for part in parts:
        statements += map(verbatim, part.make)
        if part.kind == "view":
            # its own rights come behind
            statements.append(without_default_rights("", part.name))
    with fixed:
        run_at_once(connection, statements)


def _view(reads: Reads, row: Mapping[str, Any]) -> list[Part]:
    own = quoted(row["schema"], row["name"])
    view = find_table(reads, row["name"], row["schema"])
    assert view is not None  # noqa: S101 - it was just read
    oid = {"oid": view.oid}
    options = f" WITH ({row['options']})" if row["options"] else ""
    made = [f"CREATE VIEW {own}{options} AS {row['definition']}".rstrip("; ")]
    made += [one["make"] for one in reads.rows(_OF_VIEW, oid)]
    if row["comment"] is not None:
        made.append(f"COMMENT ON VIEW {own} IS {row['comment']}")
    for sql, what in ((_VIEW_RULES, "RULE"), (_VIEW_TRIGGERS, "TRIGGER")):
        made += [statement for one in reads.rows(sql, oid) for statement in acting(what, own, one).make]
    made.append(f"ALTER VIEW {own} OWNER TO {quoted(row['owner'])}")
    return [Part("view", own, f"DROP VIEW {own} RESTRICT", tuple(made)), *grants_on(reads, view)]
