"""Which table and which triggers keep a column's values beside it, while it is still written?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.retired import RETIRED_SCHEMA
from alembic_safe.inspecting.syncs import SYNC_SCHEMA
from alembic_safe.operations.kept import FIXED, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_EVENTS = (("w", "INSERT OR UPDATE OR DELETE", "ROW"), ("t", "TRUNCATE", "STATEMENT"))


@dataclass(frozen=True)
class Keeping:
    """A column whose values are kept.

    :param kept: the name of the kept table, and of the trigger function.
    :param down: what leads from the successors back, every column one of ``new.``, cast to the column's type; or empty.
    """

    kept: str
    column: str
    key: tuple[str, ...]
    successors: tuple[str, ...]
    down: str

    @property
    def table(self) -> str:
        """The kept table, quoted and qualified."""
        return quoted(RETIRED_SCHEMA, self.kept)

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the kept table's key columns."""
        return tuple(f"key_{n}" for n in range(1, len(self.key) + 1))

    @property
    def columns(self) -> str:
        """What a row of the kept table consists of."""
        return ", ".join([*self.keys, "value", *(f"successor_{n}" for n in range(1, len(self.successors) + 1))])

    def values(self, row: str) -> list[str]:
        """Return what is kept of a row, as text."""
        return [text_of(f"{row}.{quoted(name)}") for name in (*self.key, self.column, *self.successors)]

    def wanted(self, row: str) -> str:
        """Return the condition that there is something to keep in a row (called ``new`` where there is a ``down``)."""
        value = f"{row}.{quoted(self.column)}"
        if not self.successors:
            return f"{value} IS DISTINCT FROM NULL"
        return f"({text_of(value)}) IS DISTINCT FROM ({text_of(self.down)})"


def create_table(keeping: Keeping) -> str:
    """Return the CREATE TABLE of the kept table."""
    successors = [f"successor_{n} text" for n in range(1, len(keeping.successors) + 1)]
    keys = [f'{name} text COLLATE "C" NOT NULL' for name in keeping.keys]
    parts = [*keys, "value text", *successors, f"PRIMARY KEY ({', '.join(keeping.keys)})"]
    return f"CREATE TABLE {keeping.table} ({', '.join(parts)})"


def create_function(keeping: Keeping) -> str:
    """Return the CREATE OR REPLACE FUNCTION of the triggers.

    It runs with the rights of who keeps, as an application has none on what is kept, and under fixed settings, so that
    whoever writes, a value has one text.
    """
    settings = "".join(f" SET {quoted(name)} = '{value}'" for name, value in FIXED.items())
    body = _body(keeping)
    tag = "$keep$"
    while tag in body:
        tag = f"{tag[:-1]}_$"
    return (
        f"CREATE OR REPLACE FUNCTION {quoted(SYNC_SCHEMA, keeping.kept)}() RETURNS trigger LANGUAGE plpgsql"
        f" SECURITY DEFINER SET search_path = pg_catalog, pg_temp{settings} AS {verbatim(tag + body + tag)}"
    )


def _body(keeping: Keeping) -> str:
    same_old, same_new = _same_key(keeping, "OLD"), _same_key(keeping, "NEW")
    columns = keeping.columns.split(", ")
    update = ", ".join(f"{name} = excluded.{name}" for name in columns[len(keeping.key) :])
    return f"""
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    DELETE FROM {keeping.table};
    RETURN NULL;
  END IF;
  IF TG_OP IN ('UPDATE', 'DELETE') THEN
    DELETE FROM {keeping.table} AS k WHERE {same_old};
  END IF;
  IF TG_OP <> 'DELETE' THEN
    IF {keeping.wanted("new")} THEN
      INSERT INTO {keeping.table} AS k ({keeping.columns}) VALUES ({", ".join(keeping.values("new"))})
        ON CONFLICT ({", ".join(keeping.keys)}) DO UPDATE SET {update};
    ELSE
      -- of a row that went unseen: with a partition that was truncated, detached or dropped
      DELETE FROM {keeping.table} AS k WHERE {same_new};
    END IF;
  END IF;
  RETURN NULL;
END
"""


def _same_key(keeping: Keeping, row: str) -> str:
    pairs = zip(keeping.keys, keeping.key, strict=True)
    return " AND ".join(f"k.{name} = ({text_of(f'{row}.{quoted(column)}')})" for name, column in pairs)


def create_triggers(table: str, keeping: Keeping) -> list[str]:
    """Return the statements that make the triggers, ALWAYS, on every write: a BEFORE trigger may change the column too.

    :param table: quoted and qualified.
    """
    statements = []
    for trigger, (_, events, level) in zip(trigger_names(keeping.kept), _EVENTS, strict=True):
        call = f"EXECUTE FUNCTION {quoted(SYNC_SCHEMA, keeping.kept)}()"
        statements.append(f"CREATE TRIGGER {quoted(trigger)} AFTER {events} ON {table} FOR EACH {level} {call}")
        statements.append(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {quoted(trigger)}")
    return statements


def trigger_names(kept: str) -> Sequence[str]:
    """Return the names of the triggers."""
    digest = hashlib.sha256(kept.encode()).hexdigest()[:10]
    return [f"alembic_safe_keep_{digest}_{letter}" for letter, _, _ in _EVENTS]


def some_left(keeping: Keeping, table: str) -> str:
    """Return the query whether a row that is to be kept is not: one that somebody held when its batch came.

    One statement for the whole table: it is a join, and much quicker than batches.

    :param table: quoted and qualified.
    """
    missing = f"NOT EXISTS (SELECT FROM {keeping.table} AS k WHERE {_same_key(keeping, 'new')})"
    return f"SELECT EXISTS (SELECT FROM {table} AS new WHERE {verbatim(keeping.wanted('new'))} AND {missing}) AS it"


def copy_batch(keeping: Keeping, leaf: str, condition: str, *, skip_locked: bool) -> str:
    """Return the INSERT of one batch.

    The rows are locked, so that what is read is what stands in them when it is kept; what a trigger kept is newer.

    :param leaf: the table that holds the rows, quoted and qualified.
    :param condition: which rows.
    """
    skip = " SKIP LOCKED" if skip_locked else ""
    missing = ""
    if not skip_locked:
        missing = f" AND NOT EXISTS (SELECT FROM {keeping.table} AS k WHERE {_same_key(keeping, 'new')})"
    return (
        f"INSERT INTO {keeping.table} ({keeping.columns}) SELECT {', '.join(keeping.values('new'))}"
        f" FROM ONLY {leaf} AS new WHERE {condition} AND {verbatim(keeping.wanted('new'))}{missing}"
        f" FOR NO KEY UPDATE OF new{skip} ON CONFLICT DO NOTHING"
    )
