"""Which constraint of a name has a table, and which of its partitions have it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from alembic_safe.operations.living import LivingTable

_FACTS = """
  o.contype::text AS type, o.convalidated AS valid, o.confrelid::bigint AS referent, o.conparentid <> 0 AS is_part,
  ARRAY(SELECT a.attname FROM unnest(o.conkey) WITH ORDINALITY k(n, place) JOIN pg_attribute a ON a.attrelid = o.conrelid
    AND a.attnum = k.n ORDER BY k.place)::text[] AS columns,
  ARRAY(SELECT a.attname FROM unnest(o.confkey) WITH ORDINALITY k(n, place) JOIN pg_attribute a ON a.attrelid = o.confrelid
    AND a.attnum = k.n ORDER BY k.place)::text[] AS referred,
  o.confdeltype::text AS on_delete, o.confupdtype::text AS on_update, o.confmatchtype::text AS match,
  o.condeferrable AS deferrable, o.condeferred AS deferred
"""
_CONSTRAINT = f"SELECT {_FACTS} FROM pg_constraint o WHERE o.conrelid = CAST(:oid AS oid) AND o.conname = :name"
_LEAVES = f"""
SELECT c.oid::bigint AS leaf, n.nspname AS schema, c.relname AS name, {_FACTS}
FROM pg_partition_tree(CAST(:oid AS oid)::regclass) t JOIN pg_class c ON c.oid = t.relid
JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_constraint o ON o.conrelid = c.oid AND o.conname = :name
WHERE t.isleaf AND c.relkind = 'r' ORDER BY 2, 3
"""


@dataclass(frozen=True)
class Constraint:
    """What a constraint is.

    :param type: as ``pg_constraint.contype`` has it; so do ``on_delete``, ``on_update`` and ``match`` of a foreign key.
    :param valid: whether the rows that were there are held to it.
    :param is_part: whether it stands on a partition because one of the partitioned table does.
    :param columns: in their order; ``referred``: those of the table that a foreign key refers to, ``referent``.
    """

    type: str
    valid: bool
    is_part: bool
    columns: tuple[str, ...]
    referent: int
    referred: tuple[str, ...]
    on_delete: str
    on_update: str
    match: str
    deferrable: bool
    deferred: bool


@dataclass(frozen=True)
class Leaf:
    """A partition that holds rows, and its constraint of a name."""

    oid: int
    schema: str
    name: str
    constraint: Constraint | None

    @property
    def quoted(self) -> str:
        """The partition, as a statement names it."""
        return quoted(self.schema, self.name)

    @property
    def shown(self) -> str:
        """The partition, as a person reads it."""
        return f"{self.schema}.{self.name}"


def constraint_of(connection: Connection, oid: int, name: str) -> Constraint | None:
    """Return a table's constraint of a name."""
    rows = run(connection, _CONSTRAINT, {"oid": oid, "name": name})
    return _constraint(**rows[0]) if rows else None


def leaves_of(connection: Connection, table: LivingTable, name: str) -> Sequence[Leaf]:
    """Return the partitions that hold rows, of all levels, each with its constraint of a name; none of a plain table."""
    if table.kind != "p":
        return []
    return [
        Leaf(row.pop("leaf"), row.pop("schema"), row.pop("name"), _constraint(**row) if row["type"] else None)
        for row in map(dict, run(connection, _LEAVES, {"oid": table.oid, "name": name}))
    ]


def _constraint(columns: Sequence[str], referred: Sequence[str], **others: Any) -> Constraint:
    return Constraint(columns=tuple(columns), referred=tuple(referred), **others)


def taken(table: LivingTable | Leaf, name: str, verb: str) -> Refused:
    """Return the refusal where a name is another constraint's."""
    return Refused(f"op.{verb}: {table.shown} has another constraint of the name {name}.")
