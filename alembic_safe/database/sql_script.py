"""Which statements is a SQL script made of?"""

# A script is cut here rather than handed to psql, for two reasons: a backslash in a file would make psql run programs,
# and a revision file holds one statement in each op.execute(). The rules are psql's (its psqlscan.l): a semicolon ends a
# statement outside quotes, comments and parentheses, and outside the BEGIN ATOMIC ... END body of a routine.
from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic_safe.database.sql_words import DOLLAR, ESCAPED, NAME, STRING, behind_comment, behind_dollars

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(
    rf"""(?P<space>\s+) | (?P<line>--[^\n]*) | (?P<block>/\*)
      | (?P<escaped>{ESCAPED}) | (?P<string>{STRING}) | (?P<name>{NAME})
      | (?P<dollar>{DOLLAR}) | (?P<word>[^\W\d][\w$]*) | (?P<meta>\\[^\n]*) | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_COPY = re.compile(r"\s*COPY\s.*\sFROM\s+stdin\b", re.IGNORECASE | re.DOTALL)
_COPY_ENDS = re.compile(r"^\\\.\r?$", re.MULTILINE)
_ROUTINE = re.compile(r"create (?:or replace )?(?:function|procedure)")


def statements(script: str) -> Iterator[str]:
    """Yield the statements of a script, without their semicolons and without what psql alone would understand.

    Comments between statements, backslash commands and the rows behind ``COPY ... FROM stdin`` are left out.

    :param script: SQL as ``pg_dump`` writes it; strings follow ``standard_conforming_strings = on``.
    """
    at = 0
    while at < len(script):
        statement, at = _statement(script, at)
        if _COPY.match(statement):
            ends = _COPY_ENDS.search(script, at)
            at = ends.end() if ends else len(script)
        elif statement:
            yield statement


def _statement(script: str, at: int) -> tuple[str, int]:
    """Return the statement that begins at a place, and where the next one does."""
    pieces: list[str] = []
    words: list[str] = []
    parentheses = bodies = 0
    while at < len(script):
        match = _TOKEN.match(script, at)
        assert match is not None  # noqa: S101 - the last alternative matches anything
        kind, text = str(match.lastgroup), match[0]
        at = match.end()
        if kind == "meta" and not pieces:
            continue
        if kind == "block":
            at = behind_comment(script, at)
            text = script[match.start() : at]
        elif kind == "dollar":
            at = behind_dollars(script, text, at)
            text = script[match.start() : at]
        elif kind == "word":
            words.append(text.lower())
            bodies += _depth(words, bodies)
        elif text in "()":
            parentheses += 1 if text == "(" else -1
        elif text == ";" and parentheses <= 0 and not bodies:
            break
        if pieces or kind not in ("space", "line", "block"):
            pieces.append(text)
    return "".join(pieces).strip(), at


def _depth(words: list[str], bodies: int) -> int:
    """Return by how much a word opens or closes the body of a routine that is written in standard SQL."""
    if not _ROUTINE.match(" ".join(words[:4])):
        return 0
    word = words[-1]
    if word == "begin" or (word == "case" and bodies):
        return 1
    return -1 if word == "end" and bodies else 0
