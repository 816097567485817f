"""``op.add_constraint_using_index``: what it says, how it is written into a file, and its reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from alembic.operations.ops import AlterTableOp, DropConstraintOp
from sqlalchemy.sql.elements import conv

from alembic_safe.operations.rendering import call, name_of

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.base import Operations


class AddConstraintUsingIndexOp(AlterTableOp):
    """Make a unique index the index of a constraint."""

    verb = "add_constraint_using_index"

    def __init__(
        self,
        constraint_name: str,
        table_name: str,
        index_name: str,
        type_: Literal["unique", "primary"],
        *,
        deferrable: bool | None = None,
        initially: str | None = None,
        replace: bool = False,
        schema: str | None = None,
    ) -> None:
        super().__init__(table_name, schema=schema)
        if type_ not in ("unique", "primary"):
            raise ValueError(f"add_constraint_using_index {constraint_name}: type_ is 'unique' or 'primary'")
        self.constraint_name = constraint_name
        self.index_name = index_name
        self.type_ = type_
        self.deferrable = deferrable
        self.initially = initially
        self.replace = replace

    @classmethod
    def add_constraint_using_index(
        cls,
        operations: Operations,
        constraint_name: str,
        table_name: str,
        index_name: str,
        type_: Literal["unique", "primary"],
        *,
        deferrable: bool | None = None,
        initially: str | None = None,
        replace: bool = False,
        schema: str | None = None,
    ) -> None:
        """Make a unique index that is there the index of a UNIQUE or PRIMARY KEY constraint, for a moment's lock.

        The index takes the constraint's name. Running it again changes nothing.

        :param type_: ``unique`` or ``primary``; for a primary key, the columns are NOT NULL before.
        :param replace: where a constraint of that name and kind stands on another index, let it go in the same moment.
        :raises Refused: where the index is not there, not valid, not unique, or over expressions or a part of the rows.
        """
        op = cls(
            constraint_name, table_name, index_name, type_, deferrable=deferrable, initially=initially,
            replace=replace, schema=schema,
        )  # fmt: skip
        return operations.invoke(op)

    def reverse(self) -> DropConstraintOp:
        """Return the operation that takes the constraint away, and its index with it."""
        return DropConstraintOp(
            conv(self.constraint_name), self.table_name, type_=self.type_, schema=self.schema, if_exists=True
        )  # fmt: skip

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("add_constraint", self.schema, self.table_name, self.constraint_name, self.type_)


def render_constraint_using_index(autogen_context: AutogenContext, op: AddConstraintUsingIndexOp) -> str:
    """Return the line that stands in a revision file."""
    words = [name_of(op.constraint_name), name_of(op.table_name), name_of(op.index_name), repr(op.type_)]
    named = {"deferrable": op.deferrable, "initially": op.initially, "replace": op.replace}
    return call(autogen_context, op.verb, words, named, op.schema)
