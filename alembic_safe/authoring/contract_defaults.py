"""What does a contract do to the default of a column, and what takes that back?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import ops
from sqlalchemy import DefaultClause

from alembic_safe.authoring.change_operations import plain_text
from alembic_safe.authoring.recipes.records import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.operations.ops import MigrateOperation

    from alembic_safe.inspecting.settles import Settle

    Lines = Sequence[Settle]
    Defaults = dict[str, str | None]


def swapped_defaults(swaps: Lines, settles: Lines) -> tuple[Defaults, Defaults]:
    """Return which columns get another default than the old one in the swap, and which one is there again behind it.

    :param swaps: the lines of the columns that change names together; ``settles``: all lines.
    """
    forth: Defaults = {}
    back: Defaults = {}
    for line in swaps:
        if "had" in line.facts:
            back[line.name] = line.facts["had"]
        for one in _said_of(line, settles):
            forth[line.name], back[line.name] = one.facts.get("to"), one.facts.get("was")
    return forth, back


def defaults_back(swaps: Lines, schema: str | None, settles: Lines) -> list[MigrateOperation]:
    """Return what gives the old columns the defaults that they had, once they have their names again."""
    return [
        ops.AlterColumnOp(
            line.table, line.name, schema=schema, modify_server_default=_clause(one.facts.get("was"))
        )
        for line in swaps for one in _said_of(line, settles)
    ]  # fmt: skip


def changed_default(line: Settle, schema: str | None, settles: Lines, *, is_swapped: bool) -> list[Step]:
    """Return what sets or drops a default; nothing where the swap of its column does.

    :param is_swapped: whether the column changes names with another one: together with an enum, the default is set behind it.
    """
    in_swap = any(
        one.verb == "swap_columns" and _is_of(one, line) and "enum" not in one.facts for one in settles
    )  # fmt: skip
    if in_swap:
        return []
    to, was = line.facts.get("to"), line.facts.get("was")
    change = ops.AlterColumnOp(
        line.table, line.name, schema=schema, existing_server_default=_clause(was), modify_server_default=_clause(to)
    )
    if to is None:
        # the old type's default would not fit the new type's column: the swap back has it
        return [Step(f"{line.name} has no default", (change,), undo=() if is_swapped else None)]
    return [Step(f"the default of {line.name}", (change,), undo=())]


def _said_of(line: Settle, settles: Lines) -> list[Settle]:
    return [one for one in settles if one.verb in {"set_default", "drop_default"} and _is_of(one, line)]


def _is_of(one: Settle, other: Settle) -> bool:
    return (one.schema, one.table, one.name) == (other.schema, other.table, other.name)


def _clause(sql: str | None) -> DefaultClause | None:
    return DefaultClause(plain_text(sql)) if sql else None
