"""Which names change owners when two columns change theirs?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted, run
from alembic_safe.operations.kept import LONGEST_NAME, cut

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from alembic_safe.operations.living import LivingTable

ENDING = "_new"
"""What the name of a new column's index or constraint ends with, while the old column's has the final name."""
_BETWEEN = "alembic_safe_swap"

# What stands on a column: constraints over it, and indexes that no constraint owns.
_PARTS = """
SELECT 'CONSTRAINT' AS kind, k.conname AS name FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid
  AND a.attname = :column WHERE k.conrelid = CAST(:oid AS oid) AND (a.attnum = ANY(k.conkey))
UNION SELECT 'INDEX', i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_attribute a
  ON a.attrelid = x.indrelid AND a.attname = :column WHERE x.indrelid = CAST(:oid AS oid)
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x'))
  AND (a.attnum = ANY(x.indkey) OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
    AND d.objid = i.oid AND d.refobjid = x.indrelid AND d.refobjsubid = a.attnum))
ORDER BY 1, 2
"""

_NOT_NULL = """
SELECT k.conname AS name FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attname = :column
WHERE k.conrelid = CAST(:oid AS oid) AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]
"""


def beside(name: str) -> str:
    """Return the name that the new column's index or constraint has beside the old column's one."""
    return cut(name, LONGEST_NAME - len(ENDING)) + ENDING


def exchange_names(connection: Connection, table: LivingTable, old: str, new: str) -> None:
    """Give the indexes and constraints of the column that is called ``old`` now the final names.

    :param old: the name that stays; ``new``: the name that goes with the change.
    """
    _exchange_not_null(connection, table, old, new)
    finals = run(connection, _PARTS, {"oid": table.oid, "column": new})
    passing = {(row["kind"], row["name"]) for row in run(connection, _PARTS, {"oid": table.oid, "column": old})}
    for row in finals:
        if (row["kind"], beside(row["name"])) not in passing:
            continue
        if row["kind"] == "CONSTRAINT":
            rename = f"ALTER TABLE {table.quoted} RENAME CONSTRAINT"
            exchange_parts(connection, rename, row["name"], beside(row["name"]))
        else:
            exchange_indexes(connection, table.schema, row["name"], beside(row["name"]))


def _exchange_not_null(connection: Connection, table: LivingTable, old: str, new: str) -> None:
    """Exchange the names of the NOT NULL constraints, which have names from PostgreSQL 18 on."""
    found = [
        row["name"] for column in (new, old) for row in run(connection, _NOT_NULL, {"oid": table.oid, "column": column})
    ]
    if len(found) == 2:
        exchange_parts(connection, f"ALTER TABLE {table.quoted} RENAME CONSTRAINT", found[0], found[1])


def exchange_parts(connection: Connection, rename: str, one: str, other: str) -> None:
    """Exchange two names.

    :param rename: the statement up to the names, such as ``ALTER TABLE t RENAME COLUMN``.
    """
    for before, after in ((one, _BETWEEN), (other, one), (_BETWEEN, other)):
        run(connection, f"{rename} {quoted(before)} TO {quoted(after)}")


def exchange_indexes(connection: Connection, schema: str, one: str, other: str) -> None:
    """Exchange the names of two indexes."""
    for before, after in ((one, _BETWEEN), (other, one), (_BETWEEN, other)):
        run(connection, f"ALTER INDEX {quoted(schema, before)} RENAME TO {quoted(after)}")


def exchange_enums(connection: Connection, schema: str, one: str, other: str) -> None:
    """Exchange the names of two enums."""
    for before, after in ((one, _BETWEEN), (other, one), (_BETWEEN, other)):
        run(connection, f"ALTER TYPE {quoted(schema, before)} RENAME TO {quoted(after)}")
