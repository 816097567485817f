"""Which foreign keys of partitions have the name of the one that they are a part of, and change it together with that?"""

# PostgreSQL renames the one of the partitioned table alone. Under its old name, a part stands in the way of the next change.
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.database.statements import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PARTS = """
WITH RECURSIVE part AS (
    SELECT k.oid, k.conname AS whole FROM pg_constraint k
    WHERE k.conrelid = CAST(:oid AS oid) AND k.contype = 'f' AND k.conname IN (:one, :other)
  UNION ALL
    SELECT k.oid, p.whole FROM pg_constraint k JOIN part p ON k.conparentid = p.oid
)
SELECT n.nspname AS schema, c.relname AS name, bool_or(p.whole = :one AND k.conname = :one) AS has_one,
  bool_or(p.whole = :other AND k.conname = :other) AS has_other,
  EXISTS (SELECT FROM pg_constraint u WHERE u.conrelid = c.oid AND u.conname = :one) AS uses_one,
  EXISTS (SELECT FROM pg_constraint u WHERE u.conrelid = c.oid AND u.conname = :other) AS uses_other
FROM part p JOIN pg_constraint k ON k.oid = p.oid JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid <> CAST(:oid AS oid) GROUP BY c.oid, n.nspname, c.relname ORDER BY 1, 2
"""
"""The partitions with a part of a table's foreign key ``one``, or of ``other``, and whether they have these names."""


def renames_of_parts(found: Sequence[Mapping[str, Any]], one: str, other: str, *, between: str = "") -> Iterator[str]:
    """Yield the statements by which the parts follow when ``one`` becomes ``other``, and ``other`` becomes ``one``.

    A part that has a name of its own keeps it; so does one whose new name another constraint of its partition has.

    :param found: the rows of :data:`PARTS`.
    :param between: what a part is called for a moment where two of a partition exchange their names.
    """
    for row in found:
        if row["has_one"] and row["has_other"]:
            passing = [(one, between), (other, one), (between, other)]
        elif row["has_one"] and not row["uses_other"]:
            passing = [(one, other)]
        elif row["has_other"] and not row["uses_one"]:
            passing = [(other, one)]
        else:
            passing = []
        for before, after in passing:
            table = quoted(row["schema"], row["name"])
            yield f"ALTER TABLE {table} RENAME CONSTRAINT {quoted(before)} TO {quoted(after)}"
