"""Which tables does an operation scan, or write anew, while nobody else can read them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOK = sa.text("""
SELECT c.oid::bigint AS oid, format('%I.%I', n.nspname, c.relname) AS name, pg_relation_filenode(c.oid) AS file,
  pg_stat_get_xact_numscans(c.oid) AS scans,
  EXISTS (SELECT FROM pg_locks l WHERE l.relation = c.oid AND l.pid = pg_backend_pid() AND l.granted
          AND l.mode = 'AccessExclusiveLock') AS is_locked
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema|alembic_safe)'
""")


class Held:
    """What was seen of the tables that were there when a transaction began."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.begin()

    def begin(self) -> None:
        """Begin anew, in a new transaction."""
        self.last = dict(self._look())

    def _look(self) -> Iterator[tuple[int, sa.Row[tuple[object, ...]]]]:
        for row in self.connection.execute(_LOOK):
            yield row.oid, row

    def touched(self) -> list[str]:
        """Return what was read or written as a whole under an exclusive lock since the last look."""
        now = dict(self._look())
        before, self.last = self.last, {oid: row for oid, row in now.items() if oid in self.last}
        return [
            f"{row.name}: {'written anew' if row.file != before[oid].file else 'read'} under ACCESS EXCLUSIVE"
            for oid, row in self.last.items()
            if row.is_locked and (row.file != before[oid].file or row.scans > before[oid].scans)
        ]
