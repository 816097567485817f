"""Which tables does env.py keep from autogenerate?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import MetaData, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.runtime.migration import MigrationContext

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId

# include_object(object, name, type, reflected, compare_to), behind its first three
_OF_THE_MODELS = (False, None)
_OF_THE_DATABASE = (True, None)


def left_out(context: MigrationContext, tables: Mapping[ObjectId, Table], database: Catalog) -> frozenset[ObjectId]:
    """Return the tables that ``env.py`` keeps from autogenerate, by its ``include_object`` or ``include_name``.

    :param tables: those of the models.
    """
    default = context.dialect.default_schema_name or "public"
    include_object, include_name = context.opts.get("include_object"), context.opts.get("include_name")
    found: set[ObjectId] = set()
    for id_, table in tables.items():
        if include_object is not None and not include_object(table, table.name, "table", *_OF_THE_MODELS):
            found.add(id_)
    for id_ in database.objects:
        if id_.kind != "table" or id_ in tables:
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
