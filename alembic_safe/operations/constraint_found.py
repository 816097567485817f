"""Which constraint of a name has a table, and which of its partitions have it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sqlalchemy import Connection

    from alembic_safe.operations.living import LivingTable

_CONSTRAINT = """
SELECT contype::text AS type, convalidated AS valid, conname AS name, confrelid::bigint AS referent,
  ARRAY(SELECT a.attname FROM unnest(conkey) WITH ORDINALITY k(n, place) JOIN pg_attribute a ON a.attrelid = conrelid
    AND a.attnum = k.n ORDER BY k.place)::text[] AS columns
FROM pg_constraint WHERE conrelid = CAST(:oid AS oid) AND conname = :name
"""
_LEAVES = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, o.contype::text AS type, o.convalidated AS valid
FROM pg_partition_tree(CAST(:oid AS oid)::regclass) t JOIN pg_class c ON c.oid = t.relid
JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_constraint o ON o.conrelid = c.oid AND o.conname = :name
WHERE t.isleaf AND c.relkind = 'r' ORDER BY 2, 3
"""


@dataclass(frozen=True)
class Leaf:
    """A partition that holds rows, and its constraint of a name.

    :param type: as ``pg_constraint.contype`` has it, ``None`` where there is no such constraint.
    :param valid: whether its rows are held to it, ``None`` where there is none.
    """

    oid: int
    schema: str
    name: str
    type: str | None
    valid: bool | None

    @property
    def quoted(self) -> str:
        """The partition, as a statement names it."""
        return quoted(self.schema, self.name)

    @property
    def shown(self) -> str:
        """The partition, as a person reads it."""
        return f"{self.schema}.{self.name}"


def constraint_of(connection: Connection, oid: int, name: str) -> Mapping[str, Any] | None:
    """Return a table's constraint of a name: its type, whether it is valid, its columns and the table it refers to."""
    rows = run(connection, _CONSTRAINT, {"oid": oid, "name": name})
    return rows[0] if rows else None


def leaves_of(connection: Connection, table: LivingTable, name: str) -> Sequence[Leaf]:
    """Return the partitions that hold rows, of all levels, each with its constraint of a name; none of a plain table."""
    return (
        [Leaf(**row) for row in run(connection, _LEAVES, {"oid": table.oid, "name": name})] if table.kind == "p" else []
    )


def taken(table: LivingTable, name: str, verb: str) -> Refused:
    """Return the refusal where a name is another constraint's."""
    return Refused(f"op.{verb}: {table.shown} has another constraint of the name {name}.")
