"""How long is a name at most, and what is something called whose best name another one has?"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_NAME = 63
"""Bytes of an identifier: https://www.postgresql.org/docs/current/limits.html."""


def cut(name: str, longest: int) -> str:
    """Return as much of a name as fits into so many bytes, no character halved."""
    return name.encode()[:longest].decode(errors="ignore")


def ending_in(name: str, ending: str) -> str:
    """Return a name with an ending, of 63 bytes at most: as much of the name as fits in front of it."""
    return cut(name, LONGEST_NAME - len(ending)) + ending


def names_ending_in(name: str, ending: str, *, between: str = "") -> Iterator[str]:
    """Yield a name with an ending, then those with a number behind it, from 2 on and without an end.

    :param between: what stands in front of the number.
    """
    yield ending_in(name, ending)
    for number in count(2):
        yield ending_in(name, f"{ending}{between}{number}")
