"""How is an expression of the server's written so that the server writes it the same way again?"""

# pg_get_expr() and its kin do not always print what comes back as the same expression. The one usual case is a list:
# `status IN ('a', 'b')` on a varchar is printed with the whole array cast to text[], and read again with each element
# cast (parse_expr.c, transformTypeCast: a cast of ARRAY[] is pushed down to its elements). Without the outer cast the
# array is coerced as a whole again, which is what there was.
from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

_ARRAY = "(ARRAY["
_CAST = re.compile(r"\)::(?:\"(?:[^\"]|\"\")+\"|[a-z_][\w$]*)(?:\.(?:\"(?:[^\"]|\"\")+\"|[a-z_][\w$]*))?\[\]")
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\w*)\$.*?\$\1\$|[()\[\],]|[^'"()\[\],$]+|.""", re.DOTALL)
# keywords that cannot be the name of a column or of a function; PostgreSQL's list has them beside the reserved ones
_COLUMN_WORDS = frozenset({
    "between", "bigint", "bit", "boolean", "char", "character", "coalesce", "dec", "decimal", "exists", "extract",
    "float", "greatest", "grouping", "inout", "int", "integer", "interval", "least", "national", "nchar", "none",
    "normalize", "nullif", "numeric", "out", "overlay", "position", "precision", "real", "row", "setof", "smallint",
    "substring", "time", "timestamp", "treat", "trim", "values", "varchar", "xmlattributes", "xmlconcat",
    "xmlelement", "xmlexists", "xmlforest", "xmlnamespaces", "xmlparse", "xmlpi", "xmlroot", "xmlserialize",
    "xmltable",
})  # fmt: skip
_IDENTIFIER = re.compile(r'"((?:[^"]|"")+)"|([^\W\d][\w$]*)')


def respelled(sql: str) -> str:
    """Return SQL without the casts around whole arrays; where there are none, the same."""
    openings = [
        token.start() for token in _TOKEN.finditer(sql) if token[0] == "(" and sql.startswith(_ARRAY, token.start())
    ]
    for opening in reversed(openings):
        end = _closing(sql, opening)
        cast = _CAST.match(sql, end) if end >= 0 else None
        if cast:
            sql = sql[:opening] + sql[opening + 1 : end] + sql[cast.end() :]
    return sql


def unquoted(sql: str) -> str:
    """Return SQL without quotes around names that need none; what is tried afterwards tells whether that holds."""
    return _TOKEN.sub(lambda token: _unquoted(token[0]), sql)


def _unquoted(token: str) -> str:
    plain = token[1:-1]
    is_plain = token.startswith('"') and re.fullmatch(r"[a-z_][a-z0-9_]*", plain) and plain not in RESERVED_WORDS
    return plain if is_plain and plain not in _COLUMN_WORDS else token


def _closing(sql: str, opening: int) -> int:
    """Return where the parenthesis closes that opens somewhere; -1 where it does not."""
    depth = 0
    for token in _TOKEN.finditer(sql, opening):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token[0], 0)
        if depth == 0:
            return token.start()
    return -1


def split(sql: str) -> list[str]:
    """Return what stands between the commas of a list, as the server wrote it."""
    parts, depth = [""], 0
    for token in _TOKEN.finditer(sql):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token[0], 0)
        if token[0] == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += token[0]
    return [part.strip() for part in parts]


def bracketed(sql: str, start: int) -> tuple[str, int]:
    """Return what stands in the parentheses that open at or behind a place, and where they have closed.

    :raises ValueError: when there are none.
    """
    opening = sql.index("(", start)
    closing = _closing(sql, opening)
    if closing < 0:
        raise ValueError(sql)
    return sql[opening + 1 : closing], closing + 1


def name(sql: str) -> str | None:
    """Return the name that an identifier of the server's stands for; ``None`` where it is something else."""
    found = _IDENTIFIER.fullmatch(sql.strip())
    if found is None:
        return None
    return found[1].replace('""', '"') if found[1] else found[2]


def names(sql: str) -> list[str]:
    """Return the names in a list of identifiers.

    :raises ValueError: when something else is among them.
    """
    return list(_names(sql))


def _names(sql: str) -> Iterator[str]:
    for part in split(sql):
        found = name(part)
        if found is None:
            raise ValueError(part)
        yield found
