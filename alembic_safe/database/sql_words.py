"""Which parts of an SQL text are code, and which are words: strings, quoted names, comments?"""

# A colon in code can be a parameter of ours, one in words never is. Strings follow standard_conforming_strings = on:
# https://www.postgresql.org/docs/current/sql-syntax-lexical.html
from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ESCAPED = r"[eE]'(?:[^'\\]|\\.|'')*'"
STRING = r"'(?:[^']|'')*'"
NAME = r'"(?:[^"]|"")*"'
DOLLAR = r"\$(?:[^\W\d]\w*)?\$"
_WORDS = re.compile(
    rf"--[^\n]* | (?P<block>/\*) | (?<![\w$]){ESCAPED} | {STRING} | {NAME} | (?<![\w$])(?P<dollar>{DOLLAR})",
    re.VERBOSE | re.DOTALL,
)
_BLOCK = re.compile(r"/\*|\*/")
_COLON = "\\:"


def verbatim(sql: str) -> str:
    """Return SQL that somebody else wrote, so that no colon in it is read as a parameter of ours.

    Words are left as they are: they are taken care of where the statement is run.
    """
    return _changed(sql, code=lambda part: part.replace(":", _COLON))


def as_sent(sql: str) -> str:
    """Return a statement without parameters as the server gets it: :func:`verbatim` taken back."""
    return _changed(sql, code=lambda part: part.replace(_COLON, ":"))


def for_text(sql: str) -> str:
    """Return a statement as SQLAlchemy's ``text()`` must be given it: only in code stays a colon that is a parameter."""
    # a cast, too: text() would read $a:$::text otherwise
    return _changed(
        sql, code=lambda part: part.replace("::", _COLON * 2), words=lambda part: part.replace(":", _COLON)
    )  # fmt: skip


def with_code(sql: str, changed: Callable[[str], str]) -> str:
    """Return SQL with every stretch of its code changed, and its words as they are."""
    return _changed(sql, code=changed)


def behind_comment(sql: str, at: int) -> int:
    """Return the place behind a comment that begins before ``at``; PostgreSQL nests them."""
    depth = 1
    while depth:
        match = _BLOCK.search(sql, at)
        if match is None:
            return len(sql)
        depth += 1 if match[0] == "/*" else -1
        at = match.end()
    return at


def behind_dollars(sql: str, tag: str, at: int) -> int:
    """Return the place behind a string in dollars, whose text begins at ``at``."""
    closing = sql.find(tag, at)
    return len(sql) if closing < 0 else closing + len(tag)


def _changed(sql: str, code: Callable[[str], str], words: Callable[[str], str] = str) -> str:
    return "".join(code(part) if is_code else words(part) for is_code, part in parts(sql))


def parts(sql: str) -> Iterator[tuple[bool, str]]:
    """Yield an SQL text piece by piece, each with whether it is code."""
    at = 0
    while match := _WORDS.search(sql, at):
        yield True, sql[at : match.start()]
        at = match.end()
        if match["block"]:
            at = behind_comment(sql, at)
        elif match["dollar"]:
            at = behind_dollars(sql, match["dollar"], at)
        yield False, sql[match.start() : at]
    yield True, sql[at:]
