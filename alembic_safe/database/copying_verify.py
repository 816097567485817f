"""In how many rows do columns that are to be in sync contradict each other?"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alembic_safe.database.copying import Place, Request, copy_table
from alembic_safe.database.copying_ranges import key_in, key_text
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run
from alembic_safe.inspecting.syncs import ROW, contradiction
from alembic_safe.operations.living import find_table

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from alembic_safe.database.copying_ranges import Leaf
    from alembic_safe.database.copying_session import Session
    from alembic_safe.inspecting.syncs import Sync, SyncText
    from alembic_safe.operations.living import LivingTable

MOST_EXAMPLES = 5


@dataclass(frozen=True)
class Verified:
    """What a comparison found.

    :param copy: which comparison it was, for the journal.
    :param examples: the keys of some rows that contradict themselves.
    """

    copy: str
    rows: int
    mismatches: int
    examples: tuple[str, ...]


@dataclass
class _Comparison:
    """Counts the rows of each batch that contradict themselves."""

    copy: str
    condition: str
    rows: int = 0
    mismatches: int = 0
    examples: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def on_batch(self, session: Session, leaf: Leaf, condition: str, params: dict[str, Any]) -> int:
        """Read a batch."""
        source = f"FROM ONLY {leaf.table.quoted} AS {quoted(ROW)} WHERE {condition}"
        counts = f"count(*) AS rows, count(*) FILTER (WHERE {self.condition}) AS wrong"
        found = run(session.connection, f"SELECT {counts} {source}", params)[0]
        with self.lock:
            self.rows += found["rows"]
            self.mismatches += found["wrong"]
            wanted = MOST_EXAMPLES - len(self.examples) if found["wrong"] else 0
        if wanted > 0 and leaf.key:
            sql = f"SELECT {key_text(leaf)} {source} AND {self.condition} LIMIT :wanted"
            rows = run(session.connection, sql, {**params, "wanted": wanted})
            with self.lock:
                self.examples.extend(_shown(leaf, key_in(leaf, row)) for row in rows)
        return 0


def _shown(leaf: Leaf, key: tuple[str, ...]) -> str:
    return ", ".join(f"{name} = {value}" for (name, _), value in zip(leaf.key, key, strict=True))


def check_sync(place: Place, table: LivingTable, text: SyncText) -> Verified:
    """Compare every row's old and new columns, in batches."""
    words = json.dumps([table.oid, text.old, text.new, text.compiled_up, text.compiled_down, "verify"])
    return compare_rows(place, table, words, f"({verbatim(contradiction(text))})")


def compare_rows(place: Place, table: LivingTable, words: str, wrong: str) -> Verified:
    """Count the rows that are wrong, in batches; writes nothing.

    :param words: what tells this comparison from others.
    :param wrong: the condition on a row (called ``new``), as it is run.
    """
    work = _Comparison(hashlib.sha256(words.encode()).hexdigest()[:16], wrong)
    copy_table(place, table, Request(work, doing="verifying", writes=False, keeps_cursor=False))
    return Verified(work.copy, work.rows, work.mismatches, tuple(work.examples[:MOST_EXAMPLES]))


def count_mismatches(connection: Connection, sync: Sync) -> Verified:
    """Compare the columns of a sync, in the transaction that the connection is in; reads only."""
    table = find_table(connection, sync.table, sync.schema)
    if table is None:
        return Verified("", 0, 0, ())
    return check_sync(Place(lambda: connection, None, {}), table, sync.text)
