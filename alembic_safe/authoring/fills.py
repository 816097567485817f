"""What may the SQL read that fills a column, when columns of its table change names or go in the same change?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alembic_safe.authoring.change_operations import RenameColumnOp
from alembic_safe.authoring.recipes.naming import named_in, worded
from alembic_safe.errors import NextStep, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alembic.operations.ops import MigrateOperation

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.catalog_records import ObjectId
    from alembic_safe.inspecting.settles import Settle


def fills_behind(facts: Facts, operations: Iterable[MigrateOperation]) -> Facts:
    """Return the facts with fills that call columns as they are called when rows are filled.

    :param operations: ordinary ones; a column that is renamed among them has its new name before anything is filled. A
        name that another one gets at the same time is taken for that one.
    """
    moves: dict[tuple[str, str], dict[str, str]] = {}
    for op in operations:
        if isinstance(op, RenameColumnOp):
            id_ = facts.column(op.table_name, op.schema, str(op.column_name))
            moves.setdefault((id_.schema, id_.parent), {})[id_.name] = op.new

    def called(id_: ObjectId, said: dict[str, Any]) -> dict[str, Any]:
        names = moves.get((id_.schema, id_.parent), {})
        names = {old: new for old, new in names.items() if old not in names.values()}
        return {**said, "fill": worded(said["fill"], names)} if names and said.get("fill") else said

    if not moves:
        return facts
    return replace(facts, said={id_: called(id_, dict(said)) for id_, said in facts.said.items()})


def filled_from_what_goes(lines: Sequence[Settle]) -> frozenset[Settle]:
    """Return the lines of columns that are filled from one that goes in the same contract, so must be filled before it.

    :raises Refused: where one is filled only when that one has gone, because triggers keep both equal until then.
    """
    found = set()
    for line in lines:
        fill = line.facts.get("fill") if line.verb == "set_not_null" else None
        if not fill:
            continue
        for gone in lines:
            is_here = (gone.schema, gone.table) == (line.schema, line.table)
            if not is_here or gone.verb not in {"retire_column", "drop_column"} or not named_in(fill, gone.name):
                continue
            if line.name in _instead_of(gone):
                raise Refused(
                    f"{line.table}.{line.name} is filled when {gone.name} is gone, so its fill cannot read that.",
                    detail=[f"It says: {fill}", f"Until then triggers keep {line.name} equal to {gone.name}."],
                    next_steps=[
                        NextStep(
                            f"say the fill without {gone.name}, or what becomes of it in up=; then",
                            "alembic revision --autogenerate",
                        )
                    ],
                )
            found.add(line)
    return frozenset(found)


def _instead_of(line: Settle) -> tuple[str, ...]:
    """Return the columns of the same table that take a column's place."""
    return (line.facts.get("replaced_by") or "", *line.facts.get("reshaped", {}).get("new", ()))
