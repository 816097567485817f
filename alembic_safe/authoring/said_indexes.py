"""What do the models say of an index that the catalog has?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import ops

from alembic_safe.authoring.change_operations import plain_text
from alembic_safe.authoring.recipes.naming import named_in, quoted_if_needed
from alembic_safe.authoring.written_sql import sql_text
from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Table


def said_index(tables: Mapping[ObjectId, Table], id_: ObjectId) -> ops.CreateIndexOp | None:
    """Return the operation that makes an index as the models say it; ``None`` where they do not, as of a key's.

    :param tables: those of the models.
    """
    table = tables.get(ObjectId("table", id_.schema, id_.parent))
    for index in () if table is None else table.indexes:
        if str(index.name) == id_.name:
            made: ops.CreateIndexOp = ops.CreateIndexOp.from_index(index)
            return made
    return None


def say_predicates_of(table: Table, column: ObjectId, tables: Mapping[ObjectId, Table]) -> None:
    """Give the partial indexes over a column that gets another type the predicates that the models say.

    The server writes ``kind = 'new'`` over a varchar as ``(kind)::text = 'new'::text``; of an enum that is no predicate,
    as the cast is not immutable.

    :param table: reflected; its indexes are changed.
    :param tables: those of the models.
    """
    cast = f"({quoted_if_needed(column.name)})::"
    for index in table.indexes:
        options = index.dialect_options["postgresql"]
        if options["where"] is None or cast not in sql_text(options["where"]):
            continue
        said = said_index(tables, ObjectId("index", column.schema, str(index.name), column.parent))
        where = None if said is None else said.kw.get("postgresql_where")
        if where is not None and named_in(sql_text(where), column.name):
            options["where"] = plain_text(sql_text(where))
