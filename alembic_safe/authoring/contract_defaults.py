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

    from alembic_safe.authoring.contract_lines import Lines
    from alembic_safe.inspecting.settles import Settle

    Defaults = dict[str, str | None]


def swapped_defaults(swaps: Sequence[Settle], lines: Lines) -> tuple[Defaults, Defaults]:
    """Return which columns get another default than the old one in the swap, and which one is there again behind it.

    :param swaps: the lines of the columns that change names together.
    """
    forth: Defaults = {}
    back: Defaults = {}
    for line in swaps:
        if "had" in line.facts:
            back[line.name] = line.facts["had"]
        for one in _said_of(line, lines):
            forth[line.name], back[line.name] = one.facts.get("to"), one.facts.get("was")
    return forth, back


def defaults_back(swaps: Sequence[Settle], lines: Lines) -> list[MigrateOperation]:
    """Return what gives the old columns the defaults that they had, once they have their names again."""
    return [
        ops.AlterColumnOp(
            line.table, line.name, schema=lines.schema(line), modify_server_default=clause(one.facts.get("was"))
        )
        for line in swaps for one in _said_of(line, lines)
    ]  # fmt: skip


def changed_default(lines: Lines, line: Settle) -> list[Step]:
    """Return what sets or drops a default; nothing where the swap of its column does."""
    swaps = [one for one in lines.of_table(line, "swap_columns") if one.name == line.name]
    if any("enum" not in one.facts for one in swaps):
        return []  # together with an enum, the default is set behind it
    to, was = line.facts.get("to"), line.facts.get("was")
    change = ops.AlterColumnOp(
        line.table, line.name, schema=lines.schema(line), existing_server_default=clause(was),
        modify_server_default=clause(to),
    )  # fmt: skip
    if to is None:
        # the old type's default would not fit the new type's column: the swap back has it
        return [Step(f"{line.name} has no default", (change,), undo=() if swaps else None)]
    return [Step(f"the default of {line.name}", (change,), undo=())]


def _said_of(line: Settle, lines: Lines) -> list[Settle]:
    return [one for one in lines.of_table(line, "set_default", "drop_default") if one.name == line.name]


def clause(sql: str | None) -> DefaultClause | None:
    """Return a default as an operation takes it; ``None``: none."""
    return DefaultClause(plain_text(sql)) if sql else None
