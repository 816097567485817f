"""Which columns must every INSERT fill, and which tables and columns do the models have?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.statements import run
from alembic_safe.inspecting.models import models_of
from alembic_safe.inspecting.syncs import SYNC_SCHEMA

if TYPE_CHECKING:
    import psycopg
    from alembic.runtime.migration import MigrationContext

# bits 0 (row), 1 (before) and 2 (insert) of tgtype, in PostgreSQL's trigger.h; a sync of ours fills what it keeps equal
_REQUIRED = """
SELECT n.nspname AS schema, c.relname AS table, a.attname AS name,
  ARRAY(SELECT g.tgname::text FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'
    AND g.tgtype & 7 = 7 ORDER BY 1) AS triggers
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%'
  AND n.nspname <> 'information_schema' AND a.attnum > 0 AND NOT a.attisdropped AND (a.attnotnull OR t.typnotnull)
  AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = '' AND t.typdefault IS NULL
  AND NOT EXISTS (SELECT FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_namespace f ON f.oid = p.pronamespace
    WHERE g.tgrelid = c.oid AND f.nspname = :ours)
ORDER BY 1, 2, a.attnum
"""


@dataclass(frozen=True)
class Required:
    """A column that is NOT NULL and that nothing but the INSERT itself is known to fill.

    :param triggers: those that fire before each row, and may fill it.
    """

    schema: str
    table: str
    name: str
    triggers: tuple[str, ...] = ()


def required_columns(connection: psycopg.Connection[Any]) -> tuple[Required, ...]:
    """Return the columns that every INSERT must fill, partitions and temporary tables left out."""
    rows = run(connection, _REQUIRED, {"ours": SYNC_SCHEMA})
    return tuple(Required(row["schema"], row["table"], row["name"], tuple(row["triggers"])) for row in rows)


def mapped_columns(context: MigrationContext, default_schema: str) -> dict[tuple[str, str], frozenset[str]]:
    """Return the columns of each table that the models have, by schema and name; pure.

    :param context: as ``env.py`` configured it; without models nothing is returned.
    :param default_schema: where tables without a schema are.
    """
    translated = dict(context.opts.get("schema_translate_map") or {})
    return {
        (translated.get(table.schema, table.schema) or default_schema, table.name): frozenset(
            column.name for column in table.columns
        )
        for metadata in models_of(context)
        for table in metadata.tables.values()
    }
