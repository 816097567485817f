"""Which steps of a contract end a move: the column of the one table goes, that of the other one stays?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.authoring.moved import other_name
from alembic_safe.authoring.recipes.move_column import words_of
from alembic_safe.authoring.recipes.naming import quoted_if_needed
from alembic_safe.authoring.recipes.records import Step
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.operations.backfill import BackfillOp
from alembic_safe.operations.keep_column import KeepColumnOp
from alembic_safe.operations.retire_column import RetireColumnOp
from alembic_safe.operations.sync_tables import DropTableSyncOp, VerifyMovedOp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.operations.ops import MigrateOperation
    from sqlalchemy import Column

    from alembic_safe.inspecting.settles import Settle


def moved_steps(
    line: Settle,
    moved: dict[str, Any],
    columns: Sequence[Column[Any]],
    with_it: Sequence[MigrateOperation],
    default: str,
) -> list[Step]:
    """Return the steps that compare once more, keep what the old columns hold, and let them go as the sync ends.

    :param line: the first of those that say it.
    :param columns: the old ones as they are when the contract begins.
    :param with_it: what the new ones get in the moment in which the old ones go.
    """
    source = ObjectId("table", line.schema, line.table)
    target = ObjectId("table", moved["schema"], moved["table"])
    words = words_of(source, target, moved["columns"], moved["on"], default)
    own = words["source_schema"]
    keep = [KeepColumnOp(line.table, column, schema=own) for column in columns]
    retire = [RetireColumnOp(line.table, column, schema=own) for column in columns]
    end = DropTableSyncOp(**words)
    old = " and ".join(f"{line.table}.{name}" for name in moved["columns"])
    new = " and ".join(f"{target.name}.{name}" for name in moved["columns"].values())
    partner, _ = _partner(source, target, moved, default)
    # the other table knows better what was written since
    undo = (
        *(one.reverse() for one in reversed(retire)),
        BackfillOp(
            line.table,
            set_=_back(source, target, moved, default),
            where=f"EXISTS (SELECT 1 FROM {partner})",
            schema=own,
        ),
        *(one.reverse() for one in with_it),
        end.reverse(),
    )
    goes = "goes" if len(columns) == 1 else "go"
    return [
        Step(f"compare {old} and {new} once more", (VerifyMovedOp(**words),)),
        *(
            Step(f"keep what {line.table}.{column.name} holds", (one,))
            for column, one in zip(columns, keep, strict=True)
        ),
        Step(f"{old} {goes}", (end, *with_it, *retire), undo=undo),
    ]


def _back(source: ObjectId, target: ObjectId, moved: dict[str, Any], default: str) -> dict[str, str]:
    partner, alias = _partner(source, target, moved, default)
    return {
        old: f"(SELECT {alias}.{quoted_if_needed(new)} FROM {partner})" for old, new in moved["columns"].items()
    }  # fmt: skip


def _partner(source: ObjectId, target: ObjectId, moved: dict[str, Any], default: str) -> tuple[str, str]:
    """Return the row of the other table that a row belongs to, as a subquery has it, and what that is called there."""
    alias = other_name(source.name)
    name = quoted_if_needed(target.name)
    table = name if target.schema == default else f"{quoted_if_needed(target.schema)}.{name}"
    on = " AND ".join(
        f"{alias}.{quoted_if_needed(new)} = {quoted_if_needed(source.name)}.{quoted_if_needed(old)}"
        for old, new in moved["on"].items()
    )
    return f"{table} AS {alias} WHERE {on}", alias
