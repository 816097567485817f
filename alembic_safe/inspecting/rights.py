"""What may whom do with an object, and is that what nobody had to say?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PRIVILEGES = {
    "r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "D": "TRUNCATE", "x": "REFERENCES", "t": "TRIGGER",
    "m": "MAINTAIN", "X": "EXECUTE", "U": "USAGE", "C": "CREATE",
}  # fmt: skip
"""What an aclitem's letters stand for (PostgreSQL's manual, *Privileges*); another letter stands for itself."""

# grantee=letters/grantor; a role's name stands in quotes where it is no plain word
_ROLE = r'("(?:[^"]|"")*"|[^"=/]*)'
_ITEM = re.compile(rf"{_ROLE}=([a-zA-Z*]*)/{_ROLE}")


class Item(NamedTuple):
    """One aclitem: roles by name, ``""`` for everybody; privileges in order, one that may be passed on with a star."""

    grantee: str
    privileges: str
    grantor: str

    @classmethod
    def read(cls, text: str) -> Item:
        """Take what the server wrote apart."""
        found = _ITEM.fullmatch(text)
        if found is None:
            raise ValueError(f"not an aclitem: {text}")
        grantee, letters, grantor = found.groups()
        privileges = sorted(PRIVILEGES.get(letter, letter) + star for letter, star in re.findall(r"(\w)(\*?)", letters))
        return cls(_name(grantee), ",".join(privileges), _name(grantor))


def roles_in(items: Iterable[str]) -> set[str]:
    """Return the names of the roles that aclitems name."""
    return {role for item in map(Item.read, items) for role in (item.grantee, item.grantor) if role}


def rights(
    held: Sequence[str], default: Sequence[str], owner: str, spelled: Mapping[str, str], *, is_default: bool
) -> list[str] | None:
    """Return who may do what, ``None`` where that is the default.

    The owner has no name here: another owner is one difference, not one for each right as well. Whoever holds everything
    that an owner has holds ALL: PostgreSQL 17 added MAINTAIN to everything.

    :param held: the aclitems, as the server writes them.
    :param default: those that it has where nobody said anything.
    :param owner: the owner's name.
    :param spelled: every role's name as SQL.
    :param is_default: whether the rights are themselves what somebody made the default.
    """
    told, usual = (_told(items, owner, spelled) for items in (held, default))
    if told == usual and not is_default:
        return None
    everything = usual.get("@owner", "")
    return sorted(f"{who}={_short(what, everything)}" for who, what in told.items()) or ["(nobody)"]


def grantee(entry: str) -> str:
    """Return to whom an entry of :func:`rights` gives something: ``@owner``, ``PUBLIC``, or a role's name as SQL."""
    found = re.match(r'"(?:[^"]|"")*"|[^" =]*', entry)
    return found[0] if found else ""


def _told(items: Sequence[str], owner: str, spelled: Mapping[str, str]) -> dict[str, str]:
    """Return the privileges by who holds them, and by whom where that is not the owner."""
    told = {}
    for item in map(Item.read, items):
        if item.privileges:
            who = "@owner" if item.grantee == owner else spelled[item.grantee] if item.grantee else "PUBLIC"
            by = "" if item.grantor == owner else f" by {spelled[item.grantor]}"
            told[who + by] = item.privileges
    return told


def _short(privileges: str, everything: str) -> str:
    if privileges == everything:
        return "ALL"
    return "ALL*" if privileges == everything.replace(",", "*,") + "*" else privileges


def _name(written: str) -> str:
    return written[1:-1].replace('""', '"') if written.startswith('"') else written
