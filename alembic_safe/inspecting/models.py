"""Which models does ``env.py`` hand over, and which table of theirs is an object of a database?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import MigrationContext

from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alembic.autogenerate.api import AutogenContext
    from sqlalchemy import Column, MetaData, Table


def models_of(context: MigrationContext | AutogenContext) -> tuple[MetaData, ...]:
    """Return what ``env.py`` has as ``target_metadata``, and of a comparison what it is given; empty where that is none."""
    given: Any = context.opts.get("target_metadata") if isinstance(context, MigrationContext) else context.metadata
    return tuple(given) if isinstance(given, (list, tuple)) else () if given is None else (given,)


def tables_of(models: Iterable[MetaData], default: str) -> dict[ObjectId, Table]:
    """Return the tables of models, each as the object that it is in a database, in the order of the models.

    :param default: the schema of a table that says none.
    """
    return {
        ObjectId("table", table.schema or default, table.name): table
        for metadata in models
        for table in metadata.tables.values()
    }


def columns_of(tables: Mapping[ObjectId, Table]) -> dict[ObjectId, Column[Any]]:
    """Return the columns of these tables, each as the object that it is in a database, in their order."""
    return {
        ObjectId("column", id_.schema, column.name, id_.name): column
        for id_, table in tables.items()
        for column in table.columns
    }
