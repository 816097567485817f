"""``op.create_enum_type``, ``op.swap_enum_types`` and their reverses: what they say, how they are written into a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from alembic.operations.ops import MigrateOperation

from alembic_safe.operations.rendering import call, name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.base import Operations


_LABEL = re.compile(r"E?'(?:[^']|'')*'::.+")


def is_label(default: str) -> bool:
    """Tell whether a default, as the server writes it, is a label or an array of labels: only those are said in others."""
    return _LABEL.fullmatch(default) is not None


class _EnumTypeOp(MigrateOperation):
    """An enum and its labels.

    :param labels: in their order.
    """

    verb = ""

    def __init__(self, type_name: str, labels: Sequence[str], *, schema: str | None = None) -> None:
        self.type_name = type_name
        self.labels = tuple(labels)
        self.schema = schema


class CreateEnumTypeOp(_EnumTypeOp):
    """Make an enum."""

    verb = "create_enum_type"

    def __init__(
        self, type_name: str, labels: Sequence[str], *, schema: str | None = None, if_not_exists: bool = False
    ) -> None:
        super().__init__(type_name, labels, schema=schema)
        self.if_not_exists = if_not_exists

    @classmethod
    def create_enum_type(
        cls,
        operations: Operations,
        type_name: str,
        labels: Sequence[str],
        *,
        schema: str | None = None,
        if_not_exists: bool = False,
    ) -> Any:
        """Make an enum; where one of this name has these labels already, nothing happens.

        :param labels: in their order.
        :param if_not_exists: whether nothing happens where one of this name has other labels, either: before two enums
            change names, the name is the other one's.
        :raises Refused: where the name is another type's.
        """
        return operations.invoke(cls(type_name, labels, schema=schema, if_not_exists=if_not_exists))

    def reverse(self) -> DropEnumTypeOp:
        """Return the operation that takes it away."""
        return DropEnumTypeOp(self.type_name, self.labels, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("add_enum_type", self.schema, self.type_name, self.labels)


class DropEnumTypeOp(_EnumTypeOp):
    """Take an enum away that nothing uses."""

    verb = "drop_enum_type"

    def __init__(
        self, type_name: str, labels: Sequence[str], *, schema: str | None = None, if_unused: bool = False
    ) -> None:
        super().__init__(type_name, labels, schema=schema)
        self.if_unused = if_unused

    @classmethod
    def drop_enum_type(
        cls,
        operations: Operations,
        type_name: str,
        labels: Sequence[str],
        *,
        schema: str | None = None,
        if_unused: bool = False,
    ) -> Any:
        """Take an enum away; where there is none of this name, nothing happens. What still uses it stops it.

        :param labels: what it has, for the way back.
        :param if_unused: whether it stays, and what needs it is said, where something does.
        """
        return operations.invoke(cls(type_name, labels, schema=schema, if_unused=if_unused))

    def reverse(self) -> CreateEnumTypeOp:
        """Return the operation that makes it; where what came before it has not run, the name is another enum's still."""
        return CreateEnumTypeOp(self.type_name, self.labels, schema=self.schema, if_not_exists=True)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("remove_enum_type", self.schema, self.type_name, self.labels)


class _SwapEnumsOp(MigrateOperation):
    """Two enums, and the columns in sync between them.

    :param old: the name that stays; ``new``: the name that the enum with the labels of tomorrow has until then.
    """

    verb = ""

    def __init__(self, old: str, new: str, *, schema: str | None = None) -> None:
        self.old = old
        self.new = new
        self.schema = schema


class SwapEnumTypesOp(_SwapEnumsOp):
    """Let two enums, and the columns of them that are in sync, change their names."""

    verb = "swap_enum_types"

    @classmethod
    def swap_enum_types(cls, operations: Operations, old: str, new: str, *, schema: str | None = None) -> Any:
        """Let two enums change their names, and with them every pair of columns that is in sync between them.

        All of it is one transaction, with a short exclusive lock on each of the tables: a statement that names the type
        (``CAST(... AS status)``) finds the column of that type, before and after. A default is said in the other labels.
        Running it again changes nothing.

        :raises Refused: where no columns of these types are in sync.
        """
        return operations.invoke(cls(old, new, schema=schema))

    def reverse(self) -> SwapEnumTypesBackOp:
        """Return the operation that swaps them back."""
        return SwapEnumTypesBackOp(self.old, self.new, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("swap_enum_types", self.schema, self.old, self.new)


class SwapEnumTypesBackOp(_SwapEnumsOp):
    """Give two enums, and their columns, the names back that they had."""

    verb = "swap_enum_types_back"

    @classmethod
    def swap_enum_types_back(cls, operations: Operations, old: str, new: str, *, schema: str | None = None) -> Any:
        """Take ``op.swap_enum_types`` back; running it again changes nothing."""
        return operations.invoke(cls(old, new, schema=schema))

    def reverse(self) -> SwapEnumTypesOp:
        """Return the operation that swaps them again."""
        return SwapEnumTypesOp(self.old, self.new, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("swap_enum_types_back", self.schema, self.old, self.new)


def render_enum_type(autogen_context: AutogenContext, op: _EnumTypeOp) -> str:
    """Return the line that stands in a revision file."""
    words = [name_of(op.type_name), repr([str(label) for label in op.labels])]
    more = {name: getattr(op, name, False) for name in ("if_not_exists", "if_unused")}
    return call(autogen_context, op.verb, words, more, op.schema)


def render_swap_enums(autogen_context: AutogenContext, op: _SwapEnumsOp) -> str:
    """Return the line that stands in a revision file."""
    return call(autogen_context, op.verb, [name_of(op.old), name_of(op.new)], {}, op.schema)
