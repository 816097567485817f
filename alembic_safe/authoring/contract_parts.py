"""Which steps of a contract do lines about indexes and constraints stand for?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy.sql.elements import conv

from alembic_safe.authoring.recipes.building import index_for, index_steps, made_again
from alembic_safe.authoring.recipes.records import Step
from alembic_safe.operations.concurrent_indexes import DropIndexConcurrentlyOp
from alembic_safe.operations.rename_part import RenameConstraintOp, RenameIndexOp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.operations.ops import MigrateOperation

    from alembic_safe.authoring.contract_lines import Lines
    from alembic_safe.inspecting.settles import Settle


def renamed_behind(lines: Lines, line: Settle) -> list[MigrateOperation]:
    """Return what gets its final name when a column has gone with all that stood on it.

    :param line: the column's.
    """
    return [_rename(lines, one) for one in _renames(lines, line) if one.facts.get("behind") == line.name]


def _renames(lines: Lines, line: Settle) -> Iterator[Settle]:
    return lines.of_table(line, "rename_index", "rename_constraint")


def _rename(lines: Lines, line: Settle) -> MigrateOperation:
    kind = RenameIndexOp if line.verb == "rename_index" else RenameConstraintOp
    return kind(line.name, line.facts["to"], line.table, schema=lines.schema(line))


def _rename_index(lines: Lines, line: Settle) -> list[Step]:
    return [Step(f"{line.facts['to']} has its name", (_rename(lines, line),))]


def _rename_constraint(lines: Lines, line: Settle) -> list[Step]:
    drops = [one for one in lines.settles if one.verb == "drop_constraint" and not one.is_part]
    # part of the step in which the other one goes
    return [] if any(_successor(lines, one) == line for one in drops) else _rename_index(lines, line)


def _successor(lines: Lines, line: Settle) -> Settle | None:
    """Return what gets the name of an index or a constraint that goes, in a step of its own."""
    return next((one for one in _renames(lines, line) if one.facts["to"] == line.name and not one.is_part), None)


def _drop_index(lines: Lines, line: Settle) -> list[Step]:
    table = lines.table(line)
    index = next((one for one in table.indexes if one.name == line.name), None)
    made_by: Any = None
    if index is not None:
        made_by = index_steps(index_for(index, table, lines.moves(line), line.name))[0].operations[0]
    new = _successor(lines, line)
    drop = DropIndexConcurrentlyOp(
        line.name, line.table, schema=lines.schema(line), replaced_by=new.name if new else None, made_by=made_by
    )
    return [Step(f"index {line.name} goes", (drop,))]


def _drop_constraint(lines: Lines, line: Settle) -> list[Step]:
    new = _successor(lines, line)
    if line.facts.get("new"):
        return [_replaced(lines, line, line.facts["new"])]
    if new is not None and new.verb == "rename_constraint":
        return [_replaced(lines, line, new.name)]
    drop = ops.DropConstraintOp(
        conv(line.name), line.table, type_=line.facts.get("type"), schema=lines.schema(line), if_exists=True
    )  # fmt: skip
    return [Step(f"constraint {line.name} goes", (drop,), undo=_made_again(lines, line))]


def _replaced(lines: Lines, line: Settle, new: str) -> Step:
    """Return the step in which a constraint takes the place of another: by name, a later run could not tell them apart."""
    rename = RenameConstraintOp(new, line.name, line.table, replace=True, schema=lines.schema(line))
    return Step(f"{new} takes the place of {line.name}", (rename,), undo=(rename.reverse(), *_made_again(lines, line)))


def _made_again(lines: Lines, line: Settle) -> tuple[MigrateOperation, ...]:
    found = next((one for one in lines.table(line).constraints if one.name == line.name), None)
    return () if found is None else tuple(made_again(found, lines.moves(line)))


PART_STEPS: dict[str, Callable[[Lines, Settle], list[Step]]] = {
    "rename_index": _rename_index,
    "rename_constraint": _rename_constraint,
    "drop_index": _drop_index,
    "drop_constraint": _drop_constraint,
}
"""By the verb of a line."""
