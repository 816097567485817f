"""Which column stops counting together with its type, though autogenerate says nothing of its default?"""

# Where defaults are compared (compare_server_default), Alembic leaves out the one of an integer whose sequence is its
# own: it takes it for a SERIAL's. Behind a change to a type that no SERIAL has it would find it, one revision too late.
from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import Column, DefaultClause, MetaData, Table, inspect

from alembic_safe.authoring.change_operations import plain_text
from alembic_safe.authoring.recipes.conversions import type_sql
from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.runtime.migration import MigrationContext

_COUNTS = "nextval("
_SERIAL = ("integer", "bigint")
"""The types of which Alembic leaves out such a default."""


def with_counting_ended(
    context: MigrationContext, operations: Sequence[ops.MigrateOperation], tables: Mapping[ObjectId, Table]
) -> list[ops.MigrateOperation]:
    """Return operations in which a column loses its sequence's default with its type, where the models say none.

    :param operations: autogenerate's, flattened.
    :param tables: those of the models.
    """
    if context.connection is None or not context.opts.get("compare_server_default"):
        return list(operations)
    return [_ended(context, op, tables) if type(op) is ops.AlterColumnOp else op for op in operations]


def _ended(
    context: MigrationContext, op: ops.AlterColumnOp, tables: Mapping[ObjectId, Table]
) -> ops.MigrateOperation:  # fmt: skip
    """Return a change of type that says of the default what Alembic would say of it behind that."""
    if op.modify_type is None or op.modify_server_default is not False or type_sql(op.modify_type) in _SERIAL:
        return op
    table = tables.get(ObjectId("table", op.schema or context.dialect.default_schema_name or "public", op.table_name))
    column = next((one for one in (() if table is None else table.columns) if one.name == op.column_name), None)
    if column is None or column.server_default is not None:
        return op
    connection: Any = context.connection
    columns = inspect(connection).get_columns(op.table_name, schema=op.schema)
    found = next((one for one in columns if one["name"] == op.column_name), None)
    default = str(found["default"] or "") if found else ""
    if found is None or not default.startswith(_COUNTS):
        return op
    there: Column[Any] = Column(column.name, found["type"], server_default=DefaultClause(plain_text(default)))
    Table(op.table_name, MetaData(), there, schema=op.schema)
    if not _differs(context, there, column, default):
        return op
    made = copy.copy(op)
    made.existing_server_default = DefaultClause(plain_text(default))
    made.modify_server_default = None
    return made


def _differs(context: MigrationContext, there: Column[Any], column: Column[Any], default: str) -> bool:
    """Ask who compares defaults in this project: a function of env.py's, and Alembic where that leaves it to it.

    :param there: reflected, with the default that was left out; ``column`` is the models'.
    """
    compares = context.opts["compare_server_default"]
    if callable(compares):
        found = compares(context, there, column, default, None, None)
        if found is not None:
            return bool(found)
    return bool(context.impl.compare_server_default(there, column, None, default))  # type: ignore[no-untyped-call,unused-ignore]
