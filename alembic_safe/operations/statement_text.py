"""How does an SQL statement stand in a revision file, to the letter?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# The two rules of SQLAlchemy's text(): a colon before a word is a parameter, and a backslash before a colon is dropped
# (sqlalchemy/sql/elements.py, TextClause._bind_params_regex; sql/compiler.py, BIND_PARAMS_ESC).
_PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w+(?!:))")
_DROPPED = re.compile(r"\\(:[\w$]*)(?![:\w$])")
_WIDEST = 96


def for_text(sql: str) -> str:
    """Return SQL as ``op.execute()`` must be given it, so that it reaches the server as it is."""
    given = _PARAMETER.sub(r"\\:", sql)
    # in the odd cases, such as ':a:', every colon; it reads worse and always holds
    return given if arrives(given) == sql and not _PARAMETER.search(given) else sql.replace(":", r"\:")


def arrives(given: str) -> str:
    """Return what reaches the server of SQL that ``op.execute()`` is given."""
    return _DROPPED.sub(r"\1", given)


def literal(text: str) -> str:
    """Return a text as a Python literal that a person can read: a line for each of its lines.

    A triple-quoted one would not do: Alembic indents what it writes, and the body of a function is compared as it is.
    """
    lines = text.splitlines(keepends=True)
    if len(lines) <= 1 and len(text) <= _WIDEST:
        return _quoted(text)
    pieces = [piece for line in lines for piece in _pieces(line)]
    return "(\n" + "\n".join(f"    {_quoted(piece)}" for piece in pieces) + "\n)" if len(pieces) > 1 else _quoted(text)


def _quoted(text: str) -> str:
    """Quote with double quotes where that needs no backslash more, as formatters do."""
    plain = repr(text)
    if plain.startswith("'") and '"' not in text:
        return f'"{plain[1:-1]}"'
    return plain


def _pieces(line: str) -> Iterator[str]:
    """Cut a long line behind blanks."""
    while len(line) > _WIDEST:
        at = line.rfind(" ", 1, _WIDEST) + 1 or line.find(" ", _WIDEST) + 1
        if not 0 < at < len(line):
            break
        yield line[:at]
        line = line[at:]
    yield line
