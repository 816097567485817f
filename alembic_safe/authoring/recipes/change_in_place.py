"""Recipe: a column gets another type where it stands, as PostgreSQL touches no row for it."""

# A check that names the column would be held to every row under the lock. It goes out of the way, and comes again NOT VALID in
# the same transaction, so that nobody sees the table without it; the rows that are there are read later, beside everybody.
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic.operations import ops
from sqlalchemy.sql.elements import conv

from alembic_safe.authoring.change_operations import CheckOp, DropPartOp, RenamedPartOp, SqlOp
from alembic_safe.authoring.keeping import taken_back_by
from alembic_safe.authoring.phase_words import prepared_once
from alembic_safe.authoring.recipes.conversions import is_free, types_of
from alembic_safe.authoring.recipes.defaults import defaults_of
from alembic_safe.authoring.recipes.read_again import built_again, checked_again, made_anew
from alembic_safe.authoring.recipes.records import Phased, Step, Words
from alembic_safe.authoring.recipes.standing_on import table_of
from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.difference_sql_names import comment_sql
from alembic_safe.operations.constraints_not_valid import CreateCheckNotValidOp, ValidateConstraintOp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.catalog_records import ObjectId

_DEFINITION = re.compile(r"CHECK \((.*)\)", re.DOTALL)


def change_in_place(op: ops.MigrateOperation, every: Sequence[ops.MigrateOperation], facts: Facts) -> Phased | None:
    """Put the checks that name the column out of the way of its new type, and hold the rows to them behind it.

    An index that would be built anew cannot be put out of the way: another column takes the place of this one, unless a person
    has said that it may hold everybody up, which is told then.

    :param every: those alone that no other recipe takes care of.
    """
    if not isinstance(op, ops.AlterColumnOp) or op.modify_type is None or not is_free(*types_of(op, facts)):
        return None
    table, column = facts.id_of(op.table_name, op.schema), str(op.column_name)
    title = f"{facts.shown(op.table_name, op.schema, column)} becomes {types_of(op, facts)[1]}"
    built, checked = built_again(facts, table, column), checked_again(facts, table, column)
    if built:
        held = made_anew((*built, *checked))
        return Phased(title, ordinary=(op,), words=Words(ordinary=(f"{title} at once, with {held}.",)))
    own = [one for one in every if table_of(one, facts) == table]
    asides = [one for id_ in checked if (one := _aside(id_, op, own, facts)) is not None]
    if not asides:
        return None
    before, behind = _defaults(op, every, facts)
    gone, back = [one.drop for one in asides], [made for one in asides for made in one.back]
    steps = (
        Step(title, (*before, *gone, op, *back, *behind)),
        *(Step(f"check {one.name}, for all rows", (_validated(one.name, op),)) for one in asides),
    )
    names = " and ".join(one.name for one in asides)
    shown = facts.shown(op.table_name, op.schema, column)
    sentence = f"{title} where it stands; the rows are held to {names} again behind it."
    return Phased(
        title, expand=steps, words=Words(expand=(sentence, prepared_once([shown]))), is_first=True,
        consumed=(*(said for one in asides for said in one.said), *before, *behind),
    )  # fmt: skip


@dataclass(frozen=True)
class _Aside:
    """A check that goes out of the way, and comes again.

    :param name: what it is called by then.
    :param back: what makes it again, for new rows.
    :param said: the operations that say that it goes and comes.
    """

    name: str
    drop: ops.DropConstraintOp
    back: tuple[ops.MigrateOperation, ...]
    said: tuple[ops.MigrateOperation, ...]


def _aside(
    id_: ObjectId, op: ops.AlterColumnOp, own: Sequence[ops.MigrateOperation], facts: Facts
) -> _Aside | None:  # fmt: skip
    """Return how a check stands aside; ``None`` for one that goes before the type changes, and does not come again."""
    drops = [one for one in own if isinstance(one, DropPartOp) and one.part.name == id_.name]
    comes = [one for one in own if isinstance(one, CheckOp) and one.part.name == id_.name] if drops else []
    if drops and not comes:
        return None
    renamed = {one.part.name: one.new for one in own[: own.index(op)] if isinstance(one, RenamedPartOp)}
    name = renamed.get(id_.name, id_.name)
    same = tuple(_not_valid(id_, name, op, facts))
    drop = ops.DropConstraintOp(conv(name), op.table_name, type_="check", schema=op.schema)
    taken_back_by([drop], [*same, _validated(name, op)])
    new = tuple(CreateCheckNotValidOp(name, op.table_name, one.condition, schema=op.schema) for one in comes)
    return _Aside(name, drop, new or same, (*drops, *comes))


def _defaults(
    op: ops.AlterColumnOp, every: Sequence[ops.MigrateOperation], facts: Facts
) -> tuple[list[ops.MigrateOperation], list[ops.MigrateOperation]]:
    """Return what takes the column's default out of the type's way, and what sets it behind; nothing where it goes."""
    said = defaults_of(facts.column(op.table_name, op.schema, op.column_name), every, facts)
    if not said or said[-1].to is None:
        return [], []
    places = {id(one): n for n, one in enumerate(every)}
    before = [one.op for one in said if places[id(one.op)] < places[id(op)]]
    return before, [one.op for one in said if one.op not in before]


def _not_valid(id_: ObjectId, name: str, op: ops.AlterColumnOp, facts: Facts) -> Iterator[ops.MigrateOperation]:
    """Yield what makes a check again for new rows, under the name that it has by then."""
    said = facts.catalog.objects[id_]
    definition = str(said["definition"])
    plain = _DEFINITION.fullmatch(definition)
    now = id_._replace(name=name)
    if plain is not None:
        yield CreateCheckNotValidOp(name, op.table_name, plain[1], schema=op.schema)
    else:  # NO INHERIT
        alter = f"ALTER TABLE {quoted(id_.schema, id_.parent)}"
        add = f"ADD CONSTRAINT {quoted(name)} {definition} NOT VALID"
        yield SqlOp(f"{alter} {add}", f"{alter} DROP CONSTRAINT {quoted(name)}")
    if said.get("comment") is not None:
        comment = SqlOp(comment_sql(now, said["comment"]))
        taken_back_by([comment], [])
        yield comment


def _validated(name: str, op: ops.AlterColumnOp) -> ValidateConstraintOp:
    return ValidateConstraintOp(name, op.table_name, schema=op.schema)
