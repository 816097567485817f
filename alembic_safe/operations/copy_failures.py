"""What failed in a copy: its formulas, a trigger, a check?"""

# A row that is written runs more than what is copied: the syncs of other columns, triggers of other people, checks. The
# statement that failed is the copy's in any case, and names its columns alone. Nothing is guessed here: PostgreSQL says
# it, or does not.
from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.failures import LOCK_FAILURES, note_on, sqlstate_of
from alembic_safe.errors import SafeError
from alembic_safe.inspecting.syncs import SYNC_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic_safe.inspecting.syncs import Sync

# Not what was written failed, but the server, the session or a lock:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_OTHERWISE = ("08", "25", "40", "53", "55", "57", "58", "XX")
# the innermost one stands first; the words around it are the server's language
_FUNCTION = re.compile(r"PL/pgSQL(?:[ -]\w+)? (?P<it>[^\n]+?\([^)\n]*\))")


@dataclass(frozen=True)
class Beside:
    """What runs for every row that a copy writes, beside its own formulas.

    :param syncs: those of the table, the copied columns' own among them.
    :param triggers: those of other people, by name.
    """

    syncs: tuple[Sync, ...]
    triggers: tuple[str, ...] = ()


@contextmanager
def noted_failure(table: str, columns: Sequence[str], beside: Beside) -> Iterator[None]:
    """Note on an error of the block whose copy it was, and what failed in it.

    The error stays what it is: whether it is repeated, and how the run ends, is decided by it.

    :param table: as a person reads it.
    :param columns: what is copied.
    """
    try:
        yield
    except Exception as error:
        state = sqlstate_of(error)
        if state and not isinstance(error, SafeError) and state not in LOCK_FAILURES and state[:2] not in _OTHERWISE:
            note_on(error, f"It was the copy of {', '.join(columns)} in {table}; {_what(error, columns, beside)}.")
        raise


def _what(error: Exception, columns: Sequence[str], beside: Beside) -> str:
    """Return what PostgreSQL says that failed, as the end of a sentence."""
    function = _FUNCTION.search(_said(error, "context", "W"))
    if function is not None:
        of = next((sync for sync in beside.syncs if function["it"] in _calls(sync)), None)
        return f"what failed is {_sync(of)}" if of is not None else f"what failed is function {function['it']}"
    for field, letter, word in (("constraint_name", "n", "constraint"), ("column_name", "c", "column")):
        name = _said(error, field, letter)
        if name:
            return f"PostgreSQL names {word} {name}"
    syncs = [_sync(sync) for sync in beside.syncs if not {*columns} & sync.text.columns]
    others = [*syncs, *(f"trigger {name}" for name in beside.triggers)]
    return "PostgreSQL does not say what failed" + (
        f", and every row that is written also runs {', '.join(others)}" if others else ""
    )


def _sync(sync: Sync) -> str:
    return f"the sync of {', '.join(sync.old)} -> {', '.join(sync.new)}"


def _calls(sync: Sync) -> tuple[str, str]:
    """Return how PostgreSQL may write the function of a sync."""
    doubled = sync.name.replace('"', '""')
    return f"{SYNC_SCHEMA}.{sync.name}()", f'{SYNC_SCHEMA}."{doubled}"()'


def _said(error: Exception, field: str, letter: str) -> str:
    """Return one of the fields of a server's error.

    :param field: as psycopg, psycopg2 and asyncpg call it; ``letter``: as the protocol and pg8000 do.
    """
    origin: Any = getattr(error, "orig", None) or error
    for place in (getattr(origin, "diag", None), origin, origin.__cause__):
        found = getattr(place, field, None)
        if isinstance(found, str) and found:
            return found
    first = origin.args[0] if origin.args else None
    return str(first.get(letter, "")) if isinstance(first, dict) else ""
