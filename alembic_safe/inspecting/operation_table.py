"""Which table is an operation of Alembic's about?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.operations.ops import MigrateOperation


def table_of_operation(op: MigrateOperation, default: str) -> tuple[str, str]:
    """Return the schema and the name of a table.

    :param default: the schema that an operation means where it says none.
    :return: an empty name where the operation is about no table, or where its class keeps it elsewhere.
    """
    # a foreign key that comes calls its own table the source, and says the schema among its further arguments
    table = getattr(op, "table_name", None) or getattr(op, "source_table", None) or ""
    schema = getattr(op, "schema", None) or getattr(op, "kw", {}).get("source_schema") or default
    return str(schema), str(table)
