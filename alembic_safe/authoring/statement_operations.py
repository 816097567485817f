"""How do SQL statements stand in a revision file, one after the other, with those that take them back?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.autogenerate.render import _alembic_autogenerate_prefix, renderers
from alembic.operations import ops

from alembic_safe.inspecting.difference_sql_names import owner_sql
from alembic_safe.operations.statement_text import for_text, literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.autogenerate.api import AutogenContext

    from alembic_safe.inspecting.difference_sql import Undo


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
