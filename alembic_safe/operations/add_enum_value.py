"""``op.add_enum_value``: what it says, and how it is written into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations.ops import MigrateOperation

from alembic_safe.operations.rendering import call, name_of

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.base import Operations


class AddEnumValueOp(MigrateOperation):
    """Give an enum one more value."""

    verb = "add_enum_value"

    def __init__(
        self,
        type_name: str,
        value: str,
        *,
        before: str | None = None,
        after: str | None = None,
        schema: str | None = None,
    ) -> None:
        if before is not None and after is not None:
            raise ValueError(f"add_enum_value {type_name}: say before or after, not both")
        self.type_name = type_name
        self.value = value
        self.before = before
        self.after = after
        self.schema = schema

    @classmethod
    def add_enum_value(
        cls,
        operations: Operations,
        type_name: str,
        value: str,
        *,
        before: str | None = None,
        after: str | None = None,
        schema: str | None = None,
    ) -> Any:
        """Give an enum one more value, at its place; no table is locked and no row is written.

        PostgreSQL lets nobody use the value in the transaction that added it. An application that reads a value which it
        does not know may fail (SQLAlchemy's ``Enum`` raises ``LookupError``): deploy the readers first. Where the value
        is there already, nothing happens.

        :param before: the value that it stands before; ``after``: behind; neither: at the end.
        """
        return operations.invoke(cls(type_name, value, before=before, after=after, schema=schema))

    def reverse(self) -> Any:
        """Say that there is nothing to take back: PostgreSQL cannot take a value from an enum."""
        raise NotImplementedError("op.add_enum_value has no reverse: an enum keeps its values")

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("add_enum_value", self.schema, self.type_name, self.value)


def render_add_enum_value(autogen_context: AutogenContext, op: AddEnumValueOp) -> str:
    """Return the line that stands in a revision file."""
    named = {"before": op.before, "after": op.after}
    return call(autogen_context, op.verb, [name_of(op.type_name), repr(str(op.value))], named, op.schema)
