"""How do SQL statements stand in a revision file, to the letter?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic.autogenerate.render import _alembic_autogenerate_prefix, renderers
from alembic.operations import ops

from alembic_safe.inspecting.difference_sql_names import owner_sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alembic.autogenerate.api import AutogenContext

    from alembic_safe.inspecting.difference_sql import Undo

# The two rules of SQLAlchemy's text(): a colon before a word is a parameter, and a backslash before a colon is dropped
# (sqlalchemy/sql/elements.py, TextClause._bind_params_regex; sql/compiler.py, BIND_PARAMS_ESC).
_PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w+(?!:))")
_DROPPED = re.compile(r"\\(:[\w$]*)(?![:\w$])")
_WIDEST = 96


def for_text(sql: str) -> str:
    """Return SQL as ``op.execute()`` must be given it, so that it reaches the server as it is."""
    given = _PARAMETER.sub(r"\\:", sql)
    arrives = _DROPPED.sub(r"\1", given) == sql and not _PARAMETER.search(given)
    # in the odd cases, such as ':a:', every colon; it reads worse and always holds
    return given if arrives else sql.replace(":", r"\:")


class StatementsOp(ops.MigrateOperation):
    """Statements that run one after the other, with those that take them back.

    :param statements: in their order, without semicolons.
    :param undo: in their order, too.
    """

    def __init__(self, statements: tuple[str, ...], undo: tuple[str, ...]) -> None:
        self.statements = statements
        self.undo = undo

    def reverse(self) -> StatementsOp:
        """Return the statements that take these back."""
        return StatementsOp(self.undo, self.statements)

    def to_diff_tuple(self) -> tuple[str, ...]:
        """Return what ``alembic check`` prints."""
        return ("execute", *self.statements)


class NoWayBackOp(StatementsOp):
    """Statements below which there is nothing: taking them back would drop what was there before any revision."""

    def __init__(self, statements: tuple[str, ...], why: str) -> None:
        super().__init__(statements, ())
        self.why = why

    def reverse(self) -> StatementsOp:
        """Return what says so."""
        return _RefusedOp(self.why)


class _RefusedOp(StatementsOp):
    def __init__(self, why: str) -> None:
        super().__init__((), ())
        self.why = why


def statements_of(items: Iterable[Undo], *, owner: str) -> tuple[str, ...]:
    """Return the statements of differences as a revision has them: whoever runs it owns what it makes.

    :param owner: the role that is not named for what is made; that a database is given to somebody else is kept.
    """
    found: list[str] = []
    for item in items:
        made = owner_sql(item.difference.object, owner) if item.difference.is_missing else ""
        found += [statement for statement in item.statements if statement != made]
    return tuple(found)


@renderers.dispatch_for(StatementsOp)
def _statements(context: AutogenContext, op: StatementsOp) -> list[str]:
    execute = f"{_alembic_autogenerate_prefix(context)}execute"
    return [
        f"{execute}({literal(for_text(statement)).removeprefix('(').removesuffix(')')})" for statement in op.statements
    ]


@renderers.dispatch_for(_RefusedOp)
def _refused(context: AutogenContext, op: _RefusedOp) -> list[str]:
    del context
    return [f"raise NotImplementedError({literal(op.why)})"]


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
