"""Which index of the models is one that the catalogs differ in?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import ops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import MetaData

    from alembic_safe.inspecting.catalog_records import ObjectId


def said_index(models: Sequence[MetaData], default: str, id_: ObjectId) -> ops.CreateIndexOp | None:
    """Return the operation that makes an index as the models say it; ``None`` where they do not, as of a key's.

    :param default: the schema of a table that says none.
    """
    for metadata in models:
        for table in metadata.tables.values():
            if (table.schema or default, table.name) != (id_.schema, id_.parent):
                continue
            for index in table.indexes:
                if str(index.name) == id_.name:
                    made: ops.CreateIndexOp = ops.CreateIndexOp.from_index(index)
                    return made
    return None
