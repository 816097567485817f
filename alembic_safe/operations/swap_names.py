"""Which names change owners when two columns change theirs?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from alembic_safe.database.names import LONGEST_NAME, ending_in, names_ending_in
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted
from alembic_safe.operations.constraint_parts import PARTS, renames_of_parts

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from alembic_safe.database.reads import Reads
    from alembic_safe.operations.living import LivingTable

ENDING = "_new"
"""What the name of a new column's index or constraint ends with, while the old column's has the final name."""
_BETWEEN = "alembic_safe_swap"
_DIGITS = 6

# What stands on a column: constraints over it, and indexes that no constraint owns.
_PARTS = """
SELECT 'CONSTRAINT' AS kind, k.conname AS name, quote_literal(obj_description(k.oid, 'pg_constraint')) AS comment
FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid
  AND a.attname = :column WHERE k.conrelid = CAST(:oid AS oid) AND (a.attnum = ANY(k.conkey) OR (k.contype IN ('p', 'u')
  AND EXISTS (SELECT FROM pg_index x WHERE x.indexrelid = k.conindid AND a.attnum = ANY(x.indkey))))
UNION SELECT 'INDEX', i.relname, quote_literal(obj_description(i.oid, 'pg_class'))
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_attribute a
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
    """Return the name that the new column's index or constraint has beside the old column's one.

    Of a name that is too long for that a part is left, and a few letters that tell it from others which begin alike.
    """
    if len(name.encode()) + len(ENDING) <= LONGEST_NAME:
        return name + ENDING
    ending = f"_{hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]}{ENDING}"
    return ending_in(name, ending)


def free_name(name: str, taken: Container[str]) -> str:
    """Return what a second column or type is called until the two change names: long names can begin alike.

    :param taken: the names that others have.
    """
    return next(made for made in chain([beside(name)], names_ending_in(name, ENDING)) if made not in taken)


@dataclass(frozen=True)
class Names:
    """The names of what stands on the columns, that change owners.

    :param not_null: those of the two NOT NULL constraints, where each column has one with a name.
    :param constraints: the final names; ``indexes``: likewise.
    :param parts: what renames the parts of a partitioned table's foreign key, by its final name.
    :param said: the statements that say of those that get the final names what was said of the others.
    """

    not_null: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    said: tuple[str, ...] = ()

    def without(self, done: Container[str]) -> Names:
        """Return those that have not changed owners yet."""
        constraints, indexes = (
            (name for name in names if name not in done) for names in (self.constraints, self.indexes)
        )
        return replace(self, constraints=tuple(constraints), indexes=tuple(indexes))


def names_of(reads: Reads, table: LivingTable, *, final: str, beside_it: str) -> Names:
    """Return what changes its names with a column.

    :param final: how the column is called now whose indexes and constraints have the final names.
    :param beside_it: how the other one is called.
    """
    of = [{"oid": table.oid, "column": column} for column in (final, beside_it)]
    asked = reads.together([(sql, words) for sql in (_NOT_NULL, _PARTS) for words in of])
    # they have names from PostgreSQL 18 on
    not_null = [row["name"] for rows in asked[:2] for row in rows]
    not_null = not_null if len(not_null) == 2 else []
    finals, passing = ({(row["kind"], row["name"]) for row in rows} for rows in asked[2:])
    own = [(kind, name) for kind, name in sorted(finals) if (kind, beside(name)) in passing]
    constraints = tuple(name for kind, name in own if kind == "CONSTRAINT" and name not in not_null)
    comments = {(row["kind"], row["name"]): row["comment"] for row in asked[2] if row["comment"] is not None}
    return Names(
        tuple(not_null),
        constraints,
        tuple(name for kind, name in own if kind == "INDEX"),
        _parts(reads, table, constraints) if table.kind == "p" and constraints else {},
        tuple(_commented(table, *part, comments[part]) for part in own if part in comments),
    )


def _parts(reads: Reads, table: LivingTable, constraints: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found = reads.together([(PARTS, {"oid": table.oid, "one": one, "other": beside(one)}) for one in constraints])
    return {
        one: tuple(renames_of_parts(rows, one, beside(one), between=_BETWEEN))
        for one, rows in zip(constraints, found, strict=True)
    }


def _commented(table: LivingTable, kind: str, name: str, comment: str) -> str:
    what = (
        f"CONSTRAINT {quoted(name)} ON {table.quoted}"
        if kind == "CONSTRAINT"
        else f"INDEX {quoted(table.schema, name)}"
    )
    return verbatim(f"COMMENT ON {what} IS {comment}")


def exchanging_names(table: LivingTable, names: Names) -> list[str]:
    """Return the statements that give the indexes and constraints of the column that has the final name now theirs."""
    rename = f"ALTER TABLE {table.quoted} RENAME CONSTRAINT"
    statements = exchanging(rename, *names.not_null) if names.not_null else []
    for name in names.constraints:
        statements += exchanging(rename, name, beside(name))
        statements += names.parts.get(name, ())
    for name in names.indexes:
        statements += exchanging_in("INDEX", table.schema, name, beside(name))
    return [*statements, *names.said]


def exchanging(rename: str, one: str, other: str) -> list[str]:
    """Return the statements that exchange two names.

    :param rename: the statement up to the names, such as ``ALTER TABLE t RENAME COLUMN``.
    """
    return [f"{rename} {quoted(before)} TO {quoted(after)}" for before, after in _passing(one, other)]


def exchanging_in(kind: str, schema: str, one: str, other: str) -> list[str]:
    """Return the statements that exchange the names of two objects of a schema: an ``INDEX``, a ``TYPE``."""
    return [
        f"ALTER {kind} {quoted(schema, before)} RENAME TO {quoted(after)}" for before, after in _passing(one, other)
    ]


def _passing(one: str, other: str) -> tuple[tuple[str, str], ...]:
    return ((one, _BETWEEN), (other, one), (_BETWEEN, other))
