"""Which names does an SQL expression of the models or the catalog say, and how does it read under others?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping


def worded(sql: str, moves: Mapping[str, str]) -> str:
    """Return an expression in which columns are called otherwise; strings in it are left alone.

    :param moves: each name with the one that takes its place.
    """
    if not moves:
        return sql
    names = {written: new for old, new in moves.items() for written in (old, quoted(old))}
    plain = "|".join(rf"(?<![\w\"]){re.escape(old)}(?![\w\"])|{re.escape(quoted(old))}" for old in moves)

    def other(match: re.Match[str]) -> str:
        if match[0].startswith("'"):
            return match[0]
        new = names[match[0]]
        return new if re.fullmatch(r"[a-z_][a-z0-9_]*", new) else quoted(new)

    return re.sub(rf"'(?:[^']|'')*'|{plain}", other, sql)


def named_in(sql: str, column: str) -> bool:
    """Tell whether an expression names a column."""
    return worded(sql, {column: f"{column}'"}) != sql
