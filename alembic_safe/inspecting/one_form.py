"""Do two expressions say the same, where PostgreSQL prints one thing in two ways?"""

# `k IN ('a', 'b')` over a varchar is stored as an array that is cast as a whole, and printed as such:
# `(ARRAY['a'::character varying, ...])::text[]`. Whoever runs that text gets each element cast
# (parse_expr.c, transformTypeCast: a cast of ARRAY[] is pushed down to its elements), which is printed otherwise:
# `ARRAY[('a'::character varying)::text, ...]`. So it is with `((p OR q) OR r)`, which an IN of columns or rows is stored as:
# read again it is `(p OR q OR r)` (gram.y, makeOrExpr). The second form, which stays as it is, is the one to compare in.
# Only to compare: what is run or written is what PostgreSQL printed.
from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from alembic_safe.database.sql_words import parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TypeAlias

    from alembic_safe.inspecting.catalog_records import Value

    Piece: TypeAlias = "str | _Array | _Chain"
    Pieces: TypeAlias = list[Piece]

EXPRESSIONS = frozenset(
    {"default", "expression", "definition", "using", "check", "partition_key", "partition_bound", "tables"}
)
"""Attributes that are, or hold, an expression as the server prints it."""

_TWO_WAYS = re.compile(r"ARRAY\[|\) (?:AND|OR) ")
_TOKEN = re.compile(r"::|[^\W\d][\w$]*|\d[\w.]*|\s+|.", re.DOTALL)
_WORD = re.compile(r'"|[^\W\d]')
_MODIFIERS = re.compile(r"\([\w ,-]*\)")
_FLOAT = re.compile(r"(?=\d*[.eE])\d*\.?\d*(?:[eE][+-]?\d+)?")
_BRACKETS = {"(": ")", "[": "]"}


class _Array:
    """An ``ARRAY[...]``: the texts of its elements, those that are arrays as what they are."""

    def __init__(self, elements: Iterable[Piece]) -> None:
        self.elements = tuple(elements)

    def cast(self, type_: str) -> _Array:
        """Return it with every element cast, as PostgreSQL reads a cast of the whole."""
        return _Array(one.cast(type_) if isinstance(one, _Array) else _cast(str(one), type_) for one in self.elements)

    def __str__(self) -> str:
        return f"ARRAY[{', '.join(map(str, self.elements))}]"


class _Chain:
    """Operands in parentheses, with ``AND`` or ``OR`` between them."""

    def __init__(self, word: str, operands: Sequence[Pieces]) -> None:
        first = operands[0][0] if len(operands[0]) == 1 else None
        self.word = word
        self.said: tuple[str, ...] = tuple(map(_text, operands))
        if isinstance(first, _Chain) and first.word == word:
            self.said = (*first.said, *self.said[1:])

    def __str__(self) -> str:
        return f"({f' {self.word} '.join(self.said)})"


def same(name: str, one: Value | None, other: Value | None) -> bool:
    """Whether two values of an attribute say the same."""
    if one == other:
        return True
    return one is not None and other is not None and in_one_form(name, one) == in_one_form(name, other)


def in_one_form(name: str, value: Value) -> Value:
    """Return the value of an attribute so that those that say the same are equal."""
    if name not in EXPRESSIONS:
        return value
    if isinstance(value, tuple):
        return tuple(map(one_form, value))
    return one_form(value) if isinstance(value, str) else value


def one_form(sql: str) -> str:
    """Return SQL of the server's as the server prints it once it has read its own text."""
    return _formed(sql) if _TWO_WAYS.search(sql) else sql


@lru_cache(maxsize=4096)
def _formed(sql: str) -> str:
    tokens = list(_tokens(sql))
    levels: list[Pieces] = [[]]
    at = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token in _BRACKETS:
            levels.append([token])
        elif len(levels) > 1 and _BRACKETS[str(levels[-1][0])] == token:
            at = _close(levels, tokens, at)
        else:
            levels[-1].append(token)
    return "".join(map(_text, levels))


def _tokens(sql: str) -> Iterator[str]:
    for is_code, part in parts(sql):
        if is_code:
            yield from _TOKEN.findall(part)
        elif part:
            yield part


def _close(levels: list[Pieces], tokens: Sequence[str], at: int) -> int:
    """Make one piece of what brackets enclose, which closed before ``at``; return where to go on."""
    opening, *inner = levels.pop()
    around = levels[-1]
    if opening == "[":
        if around[-1:] == ["ARRAY"] and inner:
            around[-1] = _Array(one[0] if len(one) == 1 else _text(one) for one in _split(inner, ","))
        else:
            around.append(f"[{_text(inner)}]")
        return at
    type_, behind = _array_type(tokens, at)
    if type_ and len(inner) == 1 and isinstance(inner[0], _Array):
        around.append(inner[0].cast(type_))
        return behind
    words = {"AND", "OR"} & {one for one in inner if isinstance(one, str)}
    if len(words) == 1:
        word = words.pop()
        around.append(_Chain(word, _split(inner, word)))
    else:
        around.append(f"({_text(inner)})")
    return at


def _split(pieces: Pieces, at: str) -> list[Pieces]:
    """Return what stands between commas or words, without the spaces around it."""
    found: list[Pieces] = [[]]
    for one in pieces:
        if one == at:
            found.append([])
        else:
            found[-1].append(one)
    return [_stripped(one) for one in found]


def _stripped(pieces: Pieces) -> Pieces:
    told = [n for n, one in enumerate(pieces) if not isinstance(one, str) or one.strip()]
    return pieces[told[0] : told[-1] + 1] if told else [""]


def _text(pieces: Pieces) -> str:
    return "".join(map(str, pieces))


def _array_type(tokens: Sequence[str], at: int) -> tuple[str, int]:
    """Return the type of the elements where a cast to an array begins, and where that ends; else nothing."""
    if tokens[at : at + 1] != ["::"]:
        return "", at
    start = at = at + 1
    while at < len(tokens):
        if tokens[at : at + 2] == ["[", "]"]:
            return "".join(tokens[start:at]), at + 2
        if tokens[at] == "(" and at > start and ")" in tokens[at:]:
            end = tokens.index(")", at) + 1
            if not _MODIFIERS.fullmatch("".join(tokens[at:end])):
                break
            at = end
        elif tokens[at] in {" ", "."} or _WORD.match(tokens[at]):
            at += 1
        else:
            break
    return "", start


def _cast(element: str, type_: str) -> str:
    """Return an element with a cast, as the server prints it: a literal has one type, with the length that it is cast to."""
    base = "interval" if type_.startswith("interval ") else re.sub(r"\(.*?\)", "", type_)
    literal = element.removesuffix(f"::{base}")
    is_literal = literal != element and [is_code for is_code, part in parts(literal) if part] == [False]
    if base != type_ and (is_literal or (base == "numeric" and _FLOAT.fullmatch(element))):
        return f"{literal}::{type_}"
    return f"({element})::{type_}"
