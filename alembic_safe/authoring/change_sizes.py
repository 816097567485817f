"""How does a column get another length or precision, which autogenerate does not see?"""

# Alembic compares two types whose sizes are both said: not timestamp(3) with timestamp, nor varchar(30) with varchar.
from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import ops
from sqlalchemy import inspect

from alembic_safe.authoring.recipes.conversions import without_size
from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Table

    from alembic_safe.inspecting.catalog_records import Catalog


def resized(
    connection: Connection, column: ObjectId, tables: Mapping[ObjectId, Table], models: Catalog, now: Catalog
) -> ops.AlterColumnOp | None:
    """Return the operation that gives a column the length or precision of the models.

    :param tables: those of the models.
    :return: ``None`` where the types differ in more, or the models have no such column.
    """
    was, becomes = (str(catalog.objects[column].get("type")) for catalog in (now, models))
    table = tables.get(ObjectId("table", column.schema, column.parent))
    said = None if table is None else next((one for one in table.columns if one.name == column.name), None)
    if said is None or without_size(was) != without_size(becomes):
        return None
    schema = None if column.schema == connection.dialect.default_schema_name else column.schema
    there = inspect(connection).get_columns(column.parent, schema=schema)
    found = next(one for one in there if one["name"] == column.name)
    return ops.AlterColumnOp(
        column.parent, column.name, schema=schema, modify_type=said.type, existing_type=found["type"],
        existing_nullable=bool(found["nullable"]),
    )  # fmt: skip
