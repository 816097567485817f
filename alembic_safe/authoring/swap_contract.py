"""Which steps of a contract let columns change names with those that have taken their place?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.authoring.keeping import reverses
from alembic_safe.authoring.recipes.records import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.operations.ops import MigrateOperation


@dataclass(frozen=True)
class Swap:
    """What one column of a swap takes.

    :param end: the operation whose reverse makes the sync again; ``retire`` ends it by itself.
    """

    old: str
    new: str
    compare: MigrateOperation
    keep: MigrateOperation
    end: MigrateOperation
    retire: MigrateOperation


def swapped(swaps: Sequence[Swap], together: Step) -> list[Step]:
    """Return the steps of columns that change names in one of them."""
    return [
        *(Step(f"compare {one.old} and {one.new} once more", (one.compare,)) for one in swaps),
        together,
        *(Step(f"keep what {one.old} held", (one.keep,)) for one in swaps),
        *(
            Step(_the_old_values(one.old, swaps), (one.retire,), undo=tuple(reverses((one.end, one.retire))))
            for one in swaps
        ),
    ]


def _the_old_values(column: str, swaps: Sequence[Swap]) -> str:
    return "the old values go" if len(swaps) == 1 else f"the old values of {column} go"
