"""Recipe: a column is called otherwise from now on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from alembic.operations import ops
from sqlalchemy import Column, DefaultClause

from alembic_safe.authoring.change_operations import (
    DefaultOp,
    FillOp,
    KeyOp,
    NotNullNamedOp,
    RenameColumnOp,
    RenamedPartOp,
    plain_text,
)
from alembic_safe.authoring.recipes.conversions import conversion, is_free, require_alone, type_sql
from alembic_safe.authoring.recipes.defaults import defaults_of
from alembic_safe.authoring.recipes.naming import named_in, worded
from alembic_safe.authoring.recipes.records import Phased, Step, Words, settle, two_revisions
from alembic_safe.authoring.recipes.replacing import Replacement, guarded_twice, held_by_checks, replaced
from alembic_safe.authoring.recipes.standing_on import dropped_name, table_of, unbuildable
from alembic_safe.operations.not_null import SetNotNullOp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Table

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.errors import Refused
    from alembic_safe.inspecting.catalog_records import ObjectId

    Operations = Sequence[ops.MigrateOperation]


def rename_column(op: ops.MigrateOperation, every: Operations, facts: Facts) -> Phased | None:
    """Split a rename: the new column beside the old one, both kept equal, the old one retired in the contract.

    What else changes about the column, its type included, is part of it: no second copy is needed.
    """
    if not isinstance(op, RenameColumnOp):
        return None
    table = facts.tables.get(facts.id_of(op.table_name, op.schema))
    if table is None or op.column_name not in table.columns:
        return None
    old, new = op.column_name, op.new
    shown = facts.shown(op.table_name, op.schema)
    title = f"{shown}.{old} becomes {shown}.{new}"
    altered = [one for one in every if _alters(one, op)]
    wanted = facts.column(op.table_name, op.schema, new)
    said = facts.said.get(wanted, {})
    up, down = said.get("up"), said.get("down")
    typed = next((one for one in altered if one.modify_type is not None), None)
    was = str(facts.catalog.objects.get(facts.column(op.table_name, op.schema, old), {}).get("type", ""))
    becomes = was if typed is None else type_sql(typed.modify_type)
    reason = unbuildable(facts, table, old)
    if reason:
        if not is_free(was, becomes):
            raise _type_as_well(f"{shown}.{old}", f"{shown}.{new}", becomes, reason)
        sentence = f"{shown}.{old} is renamed at once, as {reason}: an application that uses {old} fails from then on."
        return Phased(title, ordinary=(op,), words=Words(ordinary=(sentence,)))
    if typed is not None and not is_free(was, becomes):
        up, down = conversion(typed, said, was, becomes, f"{shown}.{new}")
        # there it is said of the new name, and the way there starts from the old one
        up = None if up is None else worded(up, {new: old})
    own = [one for one in every if table_of(one, facts) == facts.id_of(op.table_name, op.schema)]
    require_alone({"up": [up], "down": [down]}, {old, new}, table, own, title)
    for one in own:
        if isinstance(one, KeyOp) and one.is_primary and named_in(one.sql, new):
            raise _key_as_well(f"{shown}.{old}", f"{shown}.{new}", one.part.name)
    names = {one.part.name: one.new for one in own if isinstance(one, RenamedPartOp)}
    dropped = frozenset(str(dropped_name(one)) for one in own if dropped_name(one))
    said_of_default = defaults_of(wanted, every, facts)
    defaults = [one.op for one in said_of_default if isinstance(one.op, DefaultOp)]
    late = _filled_later(table.columns[old], altered, said, filled=any(_fills(one, wanted) for one in every))
    column = _as_wanted(table, old, new, [one for one in altered if one not in late])
    if defaults:
        to = said_of_default[-1].to
        column.server_default = None if to is None else DefaultClause(plain_text(to))
    moves = _renamed_together(op, every, facts)
    split = replaced(facts, Replacement(table, old, column, up, down, names, dropped, moves=moves))
    gone = facts.column(op.table_name, op.schema, old)
    optional = column.nullable and not table.columns[old].nullable
    retire = settle("retire_column", gone, replaced_by=new, up=up, down=down, null_from_expand=optional or None)
    parts = {*split.parts, *(names.get(part, part) for part in split.parts)}
    named = [one for one in every if isinstance(one, NotNullNamedOp) and one.column == wanted]
    follow = [one for one in own if (one.part.name if isinstance(one, RenamedPartOp) else dropped_name(one)) in parts]
    return Phased(
        title, expand=(*(_optional(op) if optional else ()), *split.expand), copy=split.copy,
        settles=(*split.settles, retire),
        words=_words(shown, old, new, split.unique, held_by_checks(table, old, f"{shown}.{old}", dropped)),
        fresh=(gone._replace(name=new),),
        consumed=(*(one for one in altered if one not in late), *follow, *defaults, *named),
    )  # fmt: skip


def _optional(op: RenameColumnOp) -> tuple[Step, ...]:
    """Return what lets the old column be NULL: the new application may leave it out, and the trigger then has no value."""
    name, schema = op.column_name, op.schema
    free = ops.AlterColumnOp(op.table_name, name, schema=schema, modify_nullable=True)
    return (Step(f"{name} may be NULL", (free,), undo=(SetNotNullOp(op.table_name, name, schema=schema),)),)


def _renamed_together(op: RenameColumnOp, every: Operations, facts: Facts) -> dict[str, str]:
    """Return the columns of a table that are renamed in phases: what stands on several of them is built with the last."""
    id_ = facts.id_of(op.table_name, op.schema)
    table = facts.tables[id_]
    own = [one for one in every if isinstance(one, RenameColumnOp) and facts.id_of(one.table_name, one.schema) == id_]
    return {
        one.column_name: one.new
        for one in own
        if one.column_name in table.columns and not unbuildable(facts, table, one.column_name)
    }


def _type_as_well(old: str, new: str, becomes: str, reason: str) -> Refused:
    return two_revisions(
        f"{old} becomes {new} and {becomes} in the same revision, and its name can only change at once, as {reason}.",
        "the name first",
    )


def _key_as_well(old: str, new: str, key: str) -> Refused:
    # NOT NULL comes to the new column in the contract, whose way back a primary key over it does not let by
    return two_revisions(
        f"{old} becomes {new}, and the primary key {key}, which it comes into, becomes another one in the same revision.",
        "the name first",
    )


def _alters(one: ops.MigrateOperation, op: RenameColumnOp) -> TypeGuard[ops.AlterColumnOp]:
    return (
        isinstance(one, ops.AlterColumnOp)
        and one is not op
        and (one.schema, one.table_name, one.column_name) == (op.schema, op.table_name, op.new)
    )


def _fills(one: ops.MigrateOperation, column: ObjectId) -> bool:
    return isinstance(one, FillOp) and one.column == column


def _filled_later(
    was: Column[Any], altered: Sequence[ops.AlterColumnOp], said: Mapping[str, Any], *, filled: bool
) -> list[ops.AlterColumnOp]:
    """Return what makes a column NOT NULL into which NULL is copied: the old application writes it until the contract.

    A formula of a person may give those rows a value, and is taken at its word where nothing is said to fill them with.
    """
    if not was.nullable or ("up" in said and "fill" not in said and not filled):
        return []
    return [one for one in altered if one.modify_nullable is False]


def _as_wanted(table: Table, old: str, new: str, altered: Sequence[Any]) -> Column[Any]:
    """Return the column as it will be in the end."""
    was = table.columns[old]
    type_, nullable, default, comment = was.type, was.nullable, was.server_default, was.comment
    for one in altered:
        type_ = one.modify_type if one.modify_type is not None else type_
        nullable = one.modify_nullable if one.modify_nullable is not None else nullable
        default = one.modify_server_default if one.modify_server_default is not False else default
        comment = one.modify_comment if one.modify_comment is not False else comment
    return Column(new, type_, nullable=nullable, server_default=default, comment=comment)


def _words(table: str, old: str, new: str, unique: Sequence[str], held: Sequence[str]) -> Words:
    return Words(
        expand=(
            f"Adds {table}.{new} and keeps it equal to {old}, whichever of the two an application writes.", *held,
        ),
        copy=(
            f"Fills {table}.{new} in the rows that were there before the expand, then builds for it what stands on {old}.",
            *guarded_twice(unique),
        ),
    )  # fmt: skip
