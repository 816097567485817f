"""How does one column take the place of another while both are written to?"""

# The new column comes without a default, that of its type included, and without NOT NULL: an INSERT of the old application
# must not look like one of the new. Triggers keep both equal. What stood on the old column is built for the new one behind
# the copy, when there is nothing left to keep up to date, each in a transaction of its own.
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import CheckConstraint

from alembic_safe.authoring.recipes.domains import default_then, plain_column
from alembic_safe.authoring.recipes.naming import quoted_if_needed
from alembic_safe.authoring.recipes.records import Step, settle
from alembic_safe.authoring.recipes.standing_on import built_anew, parts_on
from alembic_safe.authoring.written_sql import default_sql
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.operations.backfill import BackfillOp
from alembic_safe.operations.constraints_not_valid import ValidateConstraintOp
from alembic_safe.operations.not_null import ProveNotNullOp, proof_name
from alembic_safe.operations.retire_column import RetireColumnOp
from alembic_safe.operations.sync_columns import DropSyncOp, SyncColumnsOp
from alembic_safe.operations.verify_copied import VerifyCopiedOp

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Column, Table

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.settles import Settle


@dataclass(frozen=True)
class Replacement:
    """One column in the place of another.

    :param table: reflected, as it is before.
    :param new: the new column as it will be in the end, under the name that it has until then.
    :param up: SQL over the table's columns that gives the new value from the old; ``None``: the old column itself.
    :param down: the way back.
    :param names: what the dependants are called in the end, where that is another name than now.
    :param dropped: the dependants that the new column has no like of.
    :param swaps: whether the new column takes the old one's name in the end.
    :param moves: every column of the table that another takes the place of in this change; empty: this one.
    :param elsewhere: what stands on the column, and somebody else takes care of.
    """

    table: Table
    old: str
    new: Column[Any]
    up: str | None = None
    down: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    swaps: bool = False
    moves: Mapping[str, str] = field(default_factory=dict)
    elsewhere: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Replaced:
    """The phases of a replacement; its contract begins with ``settles``.

    :param parts: what stands on the old column, by name.
    :param unique: the unique indexes that are built beside those of the old column.
    """

    expand: tuple[Step, ...]
    copy: tuple[Step, ...]
    settles: tuple[Settle, ...]
    parts: frozenset[str]
    unique: tuple[str, ...] = ()


def replaced(facts: Facts, what: Replacement) -> Replaced:
    """Return the phases in which a column takes the place of another."""
    table, old, new = what.table, what.old, what.new
    schema = table.schema
    plain = plain_column(new, facts)
    words: dict[str, Any] = {"up": what.up, "down": what.down, "schema": schema}
    sync = SyncColumnsOp(table.name, old, new.name, **words)
    up = what.up or quoted_if_needed(old)
    undo = (
        DropSyncOp(table.name, old, new.name, **words),
        # the old column has what the new application wrote; what it could not say is kept
        RetireColumnOp(table.name, plain, replaced_by=old, down=up, schema=schema),
    )
    expand = (
        # apart: reading both formulas takes longer than the lock of the one who adds a column should
        Step(f"add {new.name}", (ops.AddColumnOp(table.name, plain, schema=schema, if_not_exists=True),), undo=()),
        Step(f"{new.name} and {old} are equal from now on", (sync,), undo=undo),
    )
    copy = [
        Step(
            f"copy {old} to {new.name}",
            (BackfillOp(table.name, set_={new.name: up}, schema=schema),),
        ),
        Step(f"compare {old} and {new.name}", (VerifyCopiedOp(table.name, old, new.name, **words),)),
    ]
    moves = what.moves or {old: new.name}
    standing = built_anew(facts, table, old, moves, what.names, what.dropped, what.elsewhere, swaps=what.swaps)
    copy += standing.steps
    now = ObjectId("column", schema or facts.default_schema, new.name, table.name)
    settles: list[Settle] = []
    if not new.nullable:
        copy += proof_steps(table.name, new.name, schema)
        settles.append(settle("set_not_null", now))
    default = facts.catalog.objects.get(now._replace(name=old), {}).get("default")
    to = None
    if new.server_default is not None:
        given = getattr(new.server_default, "arg", None)
        to = default_sql(new.server_default) if given is not None else str(default or "")
    if not what.swaps:  # a swap brings the default of the name that stays
        settles += default_then(now, new, facts, to=to, instead_of=old)
    return Replaced(expand, tuple(copy), (*settles, *standing.settles), standing.names, standing.unique)


def guarded_twice(unique: Sequence[str]) -> tuple[str, ...]:
    """Return what must be known of unique indexes that stand beside others: ON CONFLICT names one of each two."""
    if not unique:
        return ()
    sentence = (
        "Until the contract, of two sessions that upsert the same new value in the same moment (ON CONFLICT), one can fail"
        f" on {' or '.join(unique)}, and has to try again."
    )
    return (sentence,)


def held_by_checks(
    table: Table, old: str, shown: str, gone: Collection[str], coming: Sequence[tuple[Any, tuple[ObjectId, Any]]] = ()
) -> tuple[str, ...]:
    """Return what must be known of the checks that go with the old column: until then they are in force.

    :param shown: the old column.
    :param gone: what the new column has no like of.
    :param coming: what it gets besides, which may have the same name.
    """
    names = {str(one.name) for one in parts_on(table, old) if isinstance(one, CheckConstraint) and one.name in gone}
    return tuple(
        f"The check {name} goes with what {shown} is now; until the contract a value that it refuses is refused."
        for name in sorted(names - {part.name for _, (part, _) in coming})
    )


def proof_steps(table: str, column: str, schema: str | None) -> tuple[Step, ...]:
    """Return what proves a column free of NULLs, so that the contract sets it NOT NULL without a scan."""
    return (
        Step(f"{column} gets no further NULL", (ProveNotNullOp(table, column, schema=schema),)),
        Step(f"{column} holds no NULL", (ValidateConstraintOp(proof_name(column), table, schema=schema),)),
    )
