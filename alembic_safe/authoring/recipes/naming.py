"""Which names does an SQL expression of the models or the catalog say, and how does it read under others?"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.sql.compiler import IdentifierPreparer

_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_NAMES = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
# What stands behind :: and AS is a type, also where a column has its name (date, status); so is what a string follows.
# https://www.postgresql.org/docs/current/sql-expressions.html#SQL-SYNTAX-TYPE-CASTS
_TYPE = (
    rf"{_NAMES}(?:\s+(?:precision|varying)\b)?(?:\s*\(\s*\d+(?:\s*,\s*-?\d+)?\s*\))?"
    r"(?:\s+(?:with|without)\s+time\s+zone\b)?"
)
_TOKEN = re.compile(
    rf"(?P<other>\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|::\s*{_TYPE}|\bAS\s+{_TYPE}|\bCOLLATE\s+{_NAMES}"
    rf"|\bEXTRACT\s*\(\s*\w+\s+FROM\b|\bAT\s+TIME\s+ZONE\b)|(?<![\w$])(?P<name>{_NAME})(?P<no_column>(?=\s*[(.']))?",
    re.IGNORECASE | re.DOTALL,
)


def quoted_if_needed(name: str) -> str:
    """Return a column's name as SQL: quoted only where it must be."""
    return str(_preparer().quote(name))


def worded(sql: str, moves: Mapping[str, str]) -> str:
    """Return an expression in which columns are called otherwise; strings, types and functions in it are left alone.

    :param moves: each name with the one that takes its place.
    """
    if not moves:
        return sql

    def other(match: re.Match[str]) -> str:
        new = moves.get(_column(match) or "")
        return match[0] if new is None else quoted_if_needed(new)

    return _TOKEN.sub(other, sql)


def named_in(sql: str, column: str) -> bool:
    """Tell whether an expression names a column."""
    return any(_column(match) == column for match in _TOKEN.finditer(sql))


def _column(match: re.Match[str]) -> str | None:
    """Return which column a word means; ``None`` for one that means none."""
    written = match["name"]
    if written is None or match["no_column"] is not None:
        return None
    if written.startswith('"'):
        return written[1:-1].replace('""', '"')
    name = written.lower()
    return None if name in _preparer().reserved_words else name


@cache
def _preparer() -> IdentifierPreparer:
    from sqlalchemy.dialects import postgresql

    return postgresql.dialect(paramstyle="named").identifier_preparer  # type: ignore[no-untyped-call,unused-ignore]
