"""Which columns get another type together, and how do the foreign keys that refer to them follow?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import ForeignKeyConstraint

from alembic_safe.authoring.recipes.building import foreign_key_again, foreign_key_for, foreign_key_steps
from alembic_safe.authoring.recipes.conversions import without_size
from alembic_safe.authoring.recipes.records import Step, settle
from alembic_safe.authoring.recipes.standing_on import dropped_name, referred_columns, table_of
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.created_names import name_of_created
from alembic_safe.operations.swap_names import beside

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Table

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.settles import Settle

_NUMBERS = ("smallint", "integer", "bigint", "numeric")
_TEXTS = ("character", "character varying", "text")


@dataclass(frozen=True)
class Moves:
    """Columns that others take the place of, in the order of their operations.

    :param columns: by table, each column with the one beside it.
    :param types: what each of them becomes.
    :param last: the last of the operations: when it is done, every column is copied.
    """

    columns: Mapping[ObjectId, Mapping[str, str]]
    types: Mapping[ObjectId, str]
    last: ops.MigrateOperation | None

    def of(self, table: ObjectId) -> Mapping[str, str]:
        """Return the columns of one table."""
        return self.columns.get(table, {})


@dataclass(frozen=True)
class Referring:
    """The foreign keys that refer to such columns, made anew between the new ones.

    :param names: those that are there, by table.
    """

    names: frozenset[tuple[str, str, str]] = frozenset()
    steps: tuple[Step, ...] = ()
    settles: tuple[Settle, ...] = ()
    consumed: tuple[ops.MigrateOperation, ...] = ()
    words: tuple[str, ...] = ()
    default_schema: str = field(default="public", repr=False)

    def names_of(self, table: Table) -> frozenset[str]:
        """Return those of one table."""
        place = (table.schema or self.default_schema, table.name)
        return frozenset(name for schema, parent, name in self.names if (schema, parent) == place)

    def none(self) -> Referring:
        """Return the same for an operation that is not the last: it has nothing to do with them."""
        return Referring()


def foreign_keys(every: Sequence[ops.MigrateOperation], facts: Facts, moves: Moves) -> Referring:
    """Return what becomes of the foreign keys that refer to columns that move.

    Each is built between the new columns, valid before the contract, in which the old one goes and this one has its name:
    from then on nothing refers to the old columns, and every table can be swapped by itself.

    :raises Refused: where a column refers to one whose type has nothing to do with its own any more.
    """
    steps: list[Step] = []
    settles: list[Settle] = []
    consumed: list[ops.MigrateOperation] = []
    words: dict[str, None] = {}
    names: set[tuple[str, str, str]] = set()
    gone = {(table_of(op, facts), dropped_name(op)) for op in every if dropped_name(op)}
    for id_, part, referent in _referring(facts, moves):
        names.add((id_.schema, id_.parent, id_.name))
        child = ObjectId("table", id_.schema, id_.parent)
        if (child, id_.name) in gone:
            continue
        words |= dict.fromkeys(_unlike(facts, moves, child, part, referent))
        made = beside(id_.name)
        steps += foreign_key_steps(foreign_key_for(part, moves.of(child), moves.of(referent), made))
        settles.append(settle("drop_constraint", id_, new=made, type="foreignkey"))
    for op in every:
        if isinstance(op, ops.CreateForeignKeyOp):
            again = _created(op, facts, moves)
            if again is not None:
                consumed.append(op)
                steps += again[0]
                settles.append(again[1])
    return Referring(
        frozenset(names), tuple(steps), tuple(settles), tuple(consumed), tuple(words), facts.default_schema
    )  # fmt: skip


def _referring(facts: Facts, moves: Moves) -> Iterator[tuple[ObjectId, ForeignKeyConstraint, ObjectId]]:
    """Yield each foreign key that is there: its name, as it was reflected, and what it refers to."""
    for id_, said in sorted(facts.catalog.objects.items()):
        if id_.kind != "constraint" or said.get("sort") != "f":
            continue
        for referent, columns in moves.columns.items():
            if not set(columns) & set(referred_columns(said, referent.schema, referent.name)):
                continue
            table = facts.tables[ObjectId("table", id_.schema, id_.parent)]
            part = next(one for one in table.constraints if one.name == id_.name)
            assert isinstance(part, ForeignKeyConstraint)  # noqa: S101 - the catalog says so
            yield id_, part, referent


def _created(op: Any, facts: Facts, moves: Moves) -> tuple[tuple[Step, ...], Settle] | None:
    """Return what a foreign key becomes that comes together with another type of its columns."""
    child = table_of(op, facts)
    referent = facts.id_of(str(op.referent_table), op.kw.get("referent_schema"))
    own, referred = moves.of(child), moves.of(referent)
    if not set(own) & set(map(str, op.local_cols)) and not set(referred) & set(map(str, op.remote_cols)):
        return None
    name = name_of_created(op, child.name)
    made = foreign_key_again(op, own, referred, beside(name))
    part = ObjectId("constraint", child.schema, beside(name), child.name)
    return foreign_key_steps(made), settle("rename_constraint", part, to=name)


def _unlike(
    facts: Facts, moves: Moves, child: ObjectId, part: ForeignKeyConstraint, referent: ObjectId
) -> Iterator[str]:
    """Yield what must be known of columns that keep their type while what they refer to gets another.

    :raises Refused: where no foreign key can stand between the two.
    """
    for one, element in zip(part.columns, part.elements, strict=True):
        target = ObjectId("column", referent.schema, element.column.name, referent.name)
        becomes = moves.types.get(target)
        if becomes is None or one.name in moves.of(child):
            continue
        has = str(facts.catalog.objects[ObjectId("column", child.schema, one.name, child.name)]["type"])
        schema = None if child.schema == facts.default_schema else child.schema
        shown, other = facts.shown(child.name, schema, one.name), f"{referent.name}.{element.column.name}"
        if without_size(has) == without_size(becomes):
            continue
        if not any({without_size(has), without_size(becomes)} <= set(family) for family in (_NUMBERS, _TEXTS)):
            raise Refused(
                f"{other} becomes {becomes}, and {shown} refers to it and stays {has}: no foreign key can stand between"
                " the two.",
                next_steps=[NextStep(f"give {shown} that type in the models as well; then", "alembic revision --autogenerate")],
            )  # fmt: skip
        yield f"{shown} stays {has}, and cannot refer to a row of {referent.name} whose {element.column.name} it cannot hold."
