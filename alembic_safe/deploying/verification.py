"""Whether a deployment left behind what it meant to leave behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.statements import run

if TYPE_CHECKING:
    from sqlalchemy import Connection

# An INVALID index is what an interrupted CREATE INDEX CONCURRENTLY leaves: it costs every write and serves no read.
_UNFINISHED = """
SELECT 'index' AS kind, format('%I.%I', n.nspname, c.relname) AS name,
       format('REINDEX INDEX CONCURRENTLY %I.%I;', n.nspname, c.relname) AS cure
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname NOT LIKE 'pg\\_%'
UNION ALL
SELECT 'constraint', format('%I on %I.%I', k.conname, n.nspname, c.relname),
       format('ALTER TABLE %I.%I VALIDATE CONSTRAINT %I;', n.nspname, c.relname, k.conname)
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT k.convalidated AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) -- NOT ENFORCED, since 18, is meant
ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Unfinished:
    """An index that is not valid, or a constraint that was never validated.

    :param cure: the statement that finishes it.
    """

    kind: str
    name: str
    cure: str

    @property
    def what(self) -> str:
        """One sentence for a person."""
        if self.kind == "index":
            return f"index {self.name} is INVALID, left by an interrupted build; this finishes it: {self.cure}"
        return f"constraint {self.name} was never validated; this does it: {self.cure}"


def read_unfinished(connection: Connection) -> frozenset[Unfinished]:
    """Return what is not finished in the database; one statement, which only reads."""
    return frozenset(Unfinished(**row) for row in run(connection, _UNFINISHED))
