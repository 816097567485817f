"""Which tables does env.py keep from autogenerate?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import MetaData, Table

from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.runtime.migration import MigrationContext

    from alembic_safe.inspecting.catalog_records import Catalog

# include_object(object, name, type, reflected, compare_to), behind its first three
_OF_THE_MODELS = (False, None)
_OF_THE_DATABASE = (True, None)


def left_out(context: MigrationContext, models: Sequence[MetaData], database: Catalog) -> frozenset[ObjectId]:
    """Return the tables that ``env.py`` keeps from autogenerate, by its ``include_object`` or ``include_name``."""
    default = context.dialect.default_schema_name or "public"
    include_object, include_name = context.opts.get("include_object"), context.opts.get("include_name")
    found: set[ObjectId] = set()
    mapped: dict[ObjectId, Table] = {}
    for metadata in models:
        for table in metadata.tables.values():
            mapped[ObjectId("table", table.schema or default, table.name)] = table
    for id_, table in mapped.items():
        if include_object is not None and not include_object(table, table.name, "table", *_OF_THE_MODELS):
            found.add(id_)
    for id_ in database.objects:
        if id_.kind != "table" or id_ in mapped:
            continue
        schema = None if id_.schema == default else id_.schema
        parents = {
            "schema_name": schema,
            "table_name": id_.name,
            "schema_qualified_table_name": _qualified(schema, id_),
        }
        stub = Table(id_.name, MetaData(), schema=schema)
        if (
            include_name is not None
            and not (
                include_name(id_.name, "table", parents) and (schema is None or include_name(schema, "schema", {}))
            )
        ) or (include_object is not None and not include_object(stub, id_.name, "table", *_OF_THE_DATABASE)):
            found.add(id_)
    return frozenset(found)


def _qualified(schema: str | None, id_: ObjectId) -> str:
    return f"{schema}.{id_.name}" if schema else id_.name
