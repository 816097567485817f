"""What may whom do with an object, and is that what nobody had to say?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted_where_needed

if TYPE_CHECKING:
    from collections.abc import Sequence

PRIVILEGES = {
    "r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "D": "TRUNCATE", "x": "REFERENCES", "t": "TRIGGER",
    "X": "EXECUTE", "U": "USAGE", "C": "CREATE", "T": "TEMPORARY", "c": "CONNECT", "s": "SET", "A": "ALTER SYSTEM",
    "m": "MAINTAIN",
}  # fmt: skip
"""What an aclitem's letters stand for (PostgreSQL's manual, *Privileges*)."""

# grantee=letters/grantor; a role's name stands in quotes where it is no plain word
_ROLE = r'("(?:[^"]|"")*"|[^"=/]*)'
_ITEM = re.compile(rf"{_ROLE}=([a-zA-Z*]*)/{_ROLE}", re.DOTALL)


def rights(
    held: Sequence[str] | None, default: Sequence[str] | None, owner: str | None, *, is_default: bool
) -> list[str] | None:
    """Return who may do what, ``None`` where that is the default.

    The owner has no name here: another owner is one difference, not one for each right as well. Whoever holds everything
    that an owner has holds ALL: PostgreSQL 17 added MAINTAIN to everything.

    :param held: the aclitems, as the server writes them.
    :param default: those that it has where nobody said anything.
    :param owner: the owner's name.
    :param is_default: whether the rights are themselves what somebody made the default.
    """
    entries, usual = (dict(_entry(item, owner) for item in items or ()) for items in (held, default))
    if entries == usual and not is_default:
        return None
    everything = usual.get("@owner")
    starred = None if everything is None else everything.replace(",", "*,") + "*"
    named = {who: "ALL" if what == everything else "ALL*" if what == starred else what for who, what in entries.items()}
    return sorted(f"{who}={what}" for who, what in named.items()) or ["(nobody)"]


def grantee(entry: str) -> str:
    """Return to whom an entry of :func:`rights` gives something: ``@owner``, ``PUBLIC``, or a role's name as SQL."""
    found = re.match(r'"(?:[^"]|"")*"|[^" =]*', entry)
    return found[0] if found else ""


def _entry(item: str, owner: str | None) -> tuple[str, str]:
    found = _ITEM.fullmatch(item)
    if found is None:
        raise ValueError(item)
    grantee, letters, grantor = _name(found[1]), found[2], _name(found[3])
    who = "PUBLIC" if not grantee else "@owner" if grantee == owner else quoted_where_needed(grantee)
    by = "" if grantor == owner else f" by {quoted_where_needed(grantor)}"
    privileges = sorted(PRIVILEGES[letter] + star for letter, star in re.findall(r"(\w)(\*?)", letters))
    return who + by, ",".join(privileges)


def _name(written: str) -> str:
    return written[1:-1].replace('""', '"') if written.startswith('"') else written
