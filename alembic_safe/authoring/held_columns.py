"""Would the contract refuse to take a column away, because something else needs it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.authoring.change_operations import SqlOp, is_known
from alembic_safe.authoring.recipes.naming import named_in
from alembic_safe.authoring.recipes.standing_on import dropped_name, table_of
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.operations.retire_column import RetireColumnOp

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alembic.operations.ops import MigrateOperation

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.holding import Holding
    from alembic_safe.inspecting.settles import Settle

_AGAIN = "alembic revision --autogenerate"


def require_nothing_holds(settles: Iterable[Settle], every: Sequence[MigrateOperation], facts: Facts) -> None:
    """Stop where something keeps a column from going, and does not go in the same change.

    :param every: all operations of the change.
    :raises Refused: naming what depends on the column.
    """
    for line in settles:
        if line.verb in {"retire_column", "drop_column"}:
            id_ = ObjectId("column", line.schema, line.name, line.table)
            held = [one for one in facts.holding.get(id_, ()) if not any(_takes_away(op, one, facts) for op in every)]
            if held:
                raise _held(line, held, facts)


def _takes_away(op: MigrateOperation, held: Holding, facts: Facts) -> bool:
    if not is_known(op):
        return True
    if type(op) is SqlOp:
        return named_in(op.sql, held.names[-1])
    table = table_of(op, facts)
    if isinstance(op, RetireColumnOp):
        return held.names == (table.schema, table.name, op.column.name)
    return held.names == (table.schema, table.name, dropped_name(op))


def _held(line: Settle, held: Sequence[Holding], facts: Facts) -> Refused:
    shown = facts.shown(line.table, line.schema, line.name)
    them = "them" if len(held) > 1 else "it"
    news = line.facts.get("replaced_by") or line.facts.get("reshaped", {}).get("new") or ()
    new = " and ".join([news] if isinstance(news, str) else news)
    away = f"take {them} away, or make {them} without {line.name}, in a revision before; upgrade, and then"
    steps = [NextStep(away, _AGAIN)]
    if new:
        steps.append(
            NextStep(f"make {them} again over {new} in a revision behind the copy; the contract comes after that")
        )
    return Refused(
        f"{shown} goes in the contract, which takes nothing else along, and this depends on it:"
        f" {', '.join(one.shown for one in held)}.",
        next_steps=steps,
    )
