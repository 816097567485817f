"""How do columns that a change keeps in sync come to an end where a database is brought to the models at once?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.authoring.recipes.naming import quoted_if_needed
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.syncs import read_syncs
from alembic_safe.inspecting.table_syncs import read_table_syncs
from alembic_safe.operations.backfill import BackfillOp
from alembic_safe.operations.sync_columns import DropSyncOp
from alembic_safe.operations.sync_tables import CopyMovedOp, DropTableSyncOp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.operations.ops import MigrateOperation
    from sqlalchemy import Connection

    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.inspecting.syncs import Sync


def ended_syncs(
    connection: Connection, models: Catalog, default_schema: str
) -> Iterator[tuple[MigrateOperation, MigrateOperation]]:
    """Yield what fills the new columns of a sync, and what ends it: where the models lack one of its columns.

    Behind a trigger a column cannot go: the next write would fail for want of it.
    """
    for sync in read_syncs(connection):
        ids = {ObjectId("column", sync.schema, name, sync.table) for name in (*sync.old, *sync.new)}
        if ids <= models.objects.keys():
            continue
        schema = None if sync.schema == default_schema else sync.schema
        up = sync.text.up or tuple(map(quoted_if_needed, sync.old))
        yield (
            BackfillOp(sync.table, set_=dict(zip(sync.new, up, strict=True)), schema=schema),
            DropSyncOp(sync.table, sync.old, sync.new, **_formulas(sync), schema=schema),
        )
    yield from _between_tables(connection, models, default_schema)


def _between_tables(
    connection: Connection, models: Catalog, default_schema: str
) -> Iterator[tuple[MigrateOperation, MigrateOperation]]:
    for sync in read_table_syncs(connection):
        places = ((sync.source_schema, sync.source), (sync.schema, sync.target))
        ids = {
            ObjectId("column", *(place[0], pair[n], place[1]))
            for n, place in enumerate(places)
            for pair in sync.columns
        }
        if ids <= models.objects.keys():
            continue
        own, schema = (None if name == default_schema else name for name in (sync.source_schema, sync.schema))
        words: dict[str, Any] = {"on": dict(sync.on), "source_schema": own, "schema": schema}
        yield (
            CopyMovedOp(sync.source, sync.target, dict(sync.columns), **words),
            DropTableSyncOp(sync.source, sync.target, dict(sync.columns), **words),
        )


def _formulas(sync: Sync) -> dict[str, Any]:
    return {"up": sync.text.up or None, "down": sync.text.down or None}
