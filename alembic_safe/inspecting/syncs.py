"""Which columns does a database keep in sync, and in which rows do they contradict each other?"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.reads import rows_of
from alembic_safe.database.statements import quoted, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from sqlalchemy import Connection

    from alembic_safe.database.reads import Reads

    AnyConnection = Connection | psycopg.Connection[Any]

SYNC_SCHEMA = "alembic_safe_sync"
"""Where the functions behind our triggers stand: no part of what a database is."""
COMMENT_START = "alembic-safe sync "
"""What the comment of a sync's function begins with; a JSON object follows."""
FORMAT = 1
ROW = "new"
"""What the compiled expressions of a sync call the row: NEW in a trigger, an alias of the table in a query."""

# behind a lock this is asked by way of the triggers: there are fewer of them than functions, and those have descriptions
_SYNCS = """
SELECT p.oid::bigint AS function, p.proname AS name, d.description AS comment,
  c.oid::bigint AS oid, n.nspname AS schema, c.relname AS table
FROM (SELECT DISTINCT tgfoid, tgrelid FROM pg_trigger WHERE tgparentid = 0 AND NOT tgisinternal) g
JOIN pg_description d ON d.classoid = 'pg_proc'::regclass AND d.objoid = g.tgfoid AND d.objsubid = 0
  AND d.description LIKE :start
JOIN pg_proc p ON p.oid = g.tgfoid AND p.pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = :own)
JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 5, 6, 2
"""
# BEFORE row triggers for INSERT or UPDATE of the table or a partition of it: bits 0 (row), 1 (before), 2 (insert) and 4
# (update) of tgtype, in PostgreSQL's trigger.h. They fire in the byte order of their names.
LATER_TRIGGERS = """
SELECT DISTINCT g.tgname AS name
FROM (SELECT CAST(:oid AS oid) UNION SELECT relid FROM pg_partition_tree(CAST(:oid AS oid)::regclass)) t (oid)
JOIN pg_trigger g ON g.tgrelid = t.oid WHERE NOT g.tgisinternal AND g.tgenabled <> 'D'
  AND g.tgtype & 3 = 3 AND g.tgtype & 20 <> 0 AND g.tgname COLLATE "C" >= CAST(:name AS text) COLLATE "C"
  AND (SELECT n.nspname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = g.tgfoid) <> :own
ORDER BY 1
"""
_FIRST_TRIGGER = """
SELECT min(g.tgname::text COLLATE "C") AS it FROM pg_trigger g WHERE g.tgrelid = CAST(:oid AS oid)
  AND g.tgfoid = CAST(:function AS oid)
"""


@dataclass(frozen=True)
class SyncText:
    """What the comment of a sync's function says.

    :param old: the old columns, ``new``: the new ones, by the names that they have now.
    :param up: what the revision file says; ``down`` likewise; empty: the columns themselves, cast.
    :param compiled_up: the same, every name qualified and every column one of ``new.``, cast to its column's type.
    :param assigned_up: likewise, without the length of the type: what a trigger assigns.
    :param swapped: whether ``op.swap_columns`` changed the names.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    compiled_up: tuple[str, ...] = ()
    compiled_down: tuple[str, ...] = ()
    assigned_up: tuple[str, ...] = ()
    assigned_down: tuple[str, ...] = ()
    swapped: bool = False

    @property
    def columns(self) -> frozenset[str]:
        """All of its columns."""
        return frozenset((*self.old, *self.new))

    def as_comment(self) -> str:
        """Return the comment that holds it."""
        return COMMENT_START + json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_comment(cls, comment: str) -> SyncText:
        """Read it back."""
        given: dict[str, Any] = json.loads(comment.removeprefix(COMMENT_START))
        given.pop("format")
        lists: dict[str, Any] = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
        return cls(**{**given, **lists})


@dataclass(frozen=True)
class Sync:
    """Columns of a living table that are kept in sync.

    :param oid: the table's; ``function``: the oid of the function, ``name``: its name in our schema.
    """

    oid: int
    schema: str
    table: str
    function: int
    name: str
    text: SyncText

    @property
    def old(self) -> tuple[str, ...]:
        """The old columns."""
        return self.text.old

    @property
    def new(self) -> tuple[str, ...]:
        """The new columns."""
        return self.text.new

    @property
    def shown(self) -> str:
        """Table and columns, as a message names them."""
        return f"{self.schema}.{self.table} ({', '.join(self.old)} -> {', '.join(self.new)})"


def read_syncs(connection: AnyConnection | Reads, oid: int | None = None) -> tuple[Sync, ...]:
    """Return the syncs of a database, or of one table."""
    rows = rows_of(connection, _SYNCS, {"own": SYNC_SCHEMA, "start": COMMENT_START + "%"})
    return tuple(
        Sync(
            row["oid"], row["schema"], row["table"], row["function"], row["name"], SyncText.from_comment(row["comment"])
        )
        for row in rows
        if oid is None or row["oid"] == oid
    )


def contradiction(text: SyncText) -> str:
    """Return the condition on a row (called ``new``) that its old and new columns contradict each other.

    Right is a row whose new columns are ``up`` of the old ones. After a lossy conversion so is one that the new
    application wrote: its new columns are set, and the old ones are ``down`` of them.
    """
    new, old = row_of(text.new), row_of(text.old)
    up, down = f"ROW({', '.join(text.compiled_up)})", f"ROW({', '.join(text.compiled_down)})"
    return (
        f"pg_catalog.record_image_ne({new}, {up})"
        f" AND (({all_null(text.new)}) OR pg_catalog.record_image_ne({old}, {down}))"
    )


def row_of(columns: Sequence[str], row: str = ROW) -> str:
    """Return ``ROW(new."a", new."b")``."""
    return "ROW(" + ", ".join(f"{row}.{quoted(name)}" for name in columns) + ")"


def all_null(columns: Sequence[str], row: str = ROW) -> str:
    """Return the condition that all of these columns are NULL."""
    # IS NULL is also true for a composite value of NULLs
    return " AND ".join(f"{row}.{quoted(name)} IS NOT DISTINCT FROM NULL" for name in columns)


def later_triggers(connection: AnyConnection, sync: Sync) -> list[str]:
    """Return the triggers of other people that fire behind ours, and so could make the columns diverge unseen."""
    first = run(connection, _FIRST_TRIGGER, {"oid": sync.oid, "function": sync.function})[0]["it"]
    rows = run(connection, LATER_TRIGGERS, {"oid": sync.oid, "name": first or "", "own": SYNC_SCHEMA})
    return [row["name"] for row in rows]
