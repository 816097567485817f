"""``op.prove_not_null`` and ``op.set_not_null``: what they say, how they are written into a file, and their reverse."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from alembic.autogenerate.render import _repr_type
from alembic.operations.ops import AlterColumnOp, AlterTableOp, DropConstraintOp
from sqlalchemy.sql.elements import conv

from alembic_safe.operations.rendering import call, name_of

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.base import Operations

PROOF = "alembic_safe_not_null_"
"""What the name of the CHECK begins with that proves a column free of NULLs; it lives between two steps."""


def proof_name(column: str) -> str:
    """Return the name of the CHECK that proves a column free of NULLs."""
    return PROOF + hashlib.sha256(column.encode()).hexdigest()[:12]


class ProveNotNullOp(AlterTableOp):
    """Let no further NULL into a column, without looking at the rows that are there."""

    verb = "prove_not_null"

    def __init__(self, table_name: str, column_name: str, *, schema: str | None = None) -> None:
        super().__init__(table_name, schema=schema)
        self.column_name = column_name

    @classmethod
    def prove_not_null(
        cls, operations: Operations, table_name: str, column_name: str, *, schema: str | None = None
    ) -> None:
        """Add a CHECK (NOT VALID, under a name of ours) that the column is not NULL.

        From now on every write of a row that holds NULL there fails: copy first. ``op.set_not_null``, in a later step,
        uses it and takes it away. Running it again changes nothing.
        """
        return operations.invoke(cls(table_name, column_name, schema=schema))

    def reverse(self) -> DropConstraintOp:
        """Return the operation that takes the CHECK away."""
        name = conv(proof_name(self.column_name))
        return DropConstraintOp(name, self.table_name, type_="check", schema=self.schema, if_exists=True)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("prove_not_null", self.schema, self.table_name, self.column_name)


class SetNotNullOp(AlterTableOp):
    """Make a column NOT NULL without a scan under its lock."""

    verb = "set_not_null"

    def __init__(
        self, table_name: str, column_name: str, *, existing_type: Any = None, if_exists: bool = False,
        schema: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(table_name, schema=schema)
        self.column_name = column_name
        self.if_exists = if_exists
        self.existing_type = existing_type

    @classmethod
    def set_not_null(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        *,
        existing_type: Any = None,
        if_exists: bool = False,
        schema: str | None = None,
    ) -> None:
        """Make a column NOT NULL: the CHECK of ``op.prove_not_null`` is validated, then used, then taken away.

        Validating reads the table beside its readers and writers; the exclusive lock behind it is held for a moment, as
        PostgreSQL takes the valid CHECK for the proof. Running it again changes nothing.

        :param existing_type: the column's type, for the reverse operation only.
        :param if_exists: where the column is gone, nothing happens: a later step of the same revision gives it another
            name, and the revision may go on from there.
        :raises Findings: where rows hold NULL, naming how many.
        """
        op = cls(table_name, column_name, existing_type=existing_type, if_exists=if_exists, schema=schema)
        return operations.invoke(op)

    def reverse(self) -> AlterColumnOp:
        """Return the operation that allows NULL again."""
        return AlterColumnOp(
            self.table_name, self.column_name, schema=self.schema, existing_type=self.existing_type,
            existing_nullable=False, modify_nullable=True,
        )  # fmt: skip

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints: the form of a changed column."""
        words = {"existing_type": self.existing_type}
        return ("modify_nullable", self.schema, self.table_name, self.column_name, words, True, False)


def render_prove_not_null(autogen_context: AutogenContext, op: ProveNotNullOp) -> str:
    """Return the line that stands in a revision file."""
    return call(autogen_context, op.verb, [name_of(op.table_name), name_of(op.column_name)], {}, op.schema)


def render_set_not_null(autogen_context: AutogenContext, op: SetNotNullOp) -> str:
    """Return the line that stands in a revision file."""
    words = [name_of(op.table_name), name_of(op.column_name)]
    if op.existing_type is not None:
        words.append(f"existing_type={_repr_type(op.existing_type, autogen_context)}")
    return call(autogen_context, op.verb, words, {"if_exists": op.if_exists}, op.schema)
