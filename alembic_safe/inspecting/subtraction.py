"""What is in a database and no difference to the models: what is ours, and partitions that they do not name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.util import PriorityDispatchResult

from alembic_safe.database.environment import OWN_SCHEMA, PREFIX
from alembic_safe.database.journal_tables import TABLES
from alembic_safe.database.statements import run
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.models import models_of, tables_of
from alembic_safe.inspecting.open_differences import WHOLE
from alembic_safe.inspecting.retired import RETIRED_SCHEMA
from alembic_safe.inspecting.syncs import SYNC_SCHEMA

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

_SCHEMAS = f"'{RETIRED_SCHEMA}', '{SYNC_SCHEMA}'"
_OURS = f"""
SELECT n.nspname AS schema, c.relname AS table, ({OWN_SCHEMA} OR n.nspname IN ({_SCHEMAS})) AS own_schema,
  {OWN_SCHEMA} OR n.nspname IN ({_SCHEMAS}) OR c.relname = ANY(CAST(:names AS text[])) AS is_ours
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
  AND ({OWN_SCHEMA} OR n.nspname IN ({_SCHEMAS}) OR c.relname = ANY(CAST(:names AS text[])) OR c.relispartition)
"""


def leave_ours_out(autogen_context: AutogenContext) -> PriorityDispatchResult:
    """Add a name filter to one comparison, so that tables of ours, and such partitions, are neither reflected nor reported.

    Runs before Alembic's own comparators, for ``revision --autogenerate``, ``check`` and ``compare_metadata`` alike.
    """
    connection = autogen_context.connection
    if connection is None or connection.dialect.name != "postgresql":
        return PriorityDispatchResult.CONTINUE
    rows = run(connection, _OURS, {"names": [PREFIX + name for name in TABLES]})
    schemas = {row["schema"] for row in rows if row["own_schema"]}
    default = connection.dialect.default_schema_name or "public"
    # partitions that nobody names are made by pg_partman, a cron job or a person: with their table they stay, change and go
    named = None if autogen_context.opts.get(WHOLE) else tables_of(models_of(autogen_context), default).keys()
    tables = {
        (row["schema"], row["table"]) for row in rows
        if row["is_ours"] or (named is not None and ObjectId("table", row["schema"], row["table"]) not in named)
    }  # fmt: skip
    if tables:

        def not_ours(name: str | None, type_: str, parents: Any) -> bool:
            if type_ == "schema":
                return name not in schemas
            if type_ == "table":
                return (parents.get("schema_name") or default, name) not in tables
            return True

        # private, and in Alembic since 1.4; tests/compat holds it against every supported version
        autogen_context._name_filters = [*autogen_context._name_filters, not_ours]  # noqa: SLF001
    return PriorityDispatchResult.CONTINUE
