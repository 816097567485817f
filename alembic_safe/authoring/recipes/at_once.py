"""Recipe: what PostgreSQL has no other way for stays as it is, with consent where it holds everybody up."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import ops

from alembic_safe.authoring.change_operations import ExcludeOp, GeneratedOp, KeyOp, RenamedTableOp, SqlOp
from alembic_safe.authoring.recipes.naming import named_in
from alembic_safe.authoring.recipes.records import Phased, Words, two_revisions
from alembic_safe.authoring.recipes.standing_on import dropped_name, is_partitioned, referred_columns, table_of
from alembic_safe.database.statements import quoted
from alembic_safe.errors import ConsentMissing, NextStep, Refused
from alembic_safe.inspecting.created_names import name_of_created
from alembic_safe.operations.retire_column import RetireColumnOp
from alembic_safe.operations.retire_table import RetireTableOp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ForeignKeyConstraint

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.catalog_records import ObjectId

_VIRTUAL = 180000
"""The first PostgreSQL whose generated columns need not be stored: https://www.postgresql.org/docs/18/release-18.html."""
CONSENT = "at_once"
"""The word in ``info`` by which a person says that everybody may be held up for it."""
_NO_OTHER_WAY = "while nobody reads or writes it: PostgreSQL has no other way."
_NO_CONSTRAINT = (
    "while nobody writes it: of a partitioned table,"
    " PostgreSQL makes no constraint out of an index that was built beside it."
)
_KEY = "while nobody reads or writes it: it is made anew."
_INSTEAD = {
    _NO_OTHER_WAY: ("or let a trigger look, as long as two writers cannot meet",),
    _NO_CONSTRAINT: (
        "or let a unique index do the same, which is built beside everybody",
        "sa.Index(..., unique=True)",
    ),
    _KEY: (
        "or by hand, on an index that is built beside it first (docs/operations.md)",
        "op.add_constraint_using_index(..., replace=True)",
    ),
}
"""What can be done instead, and its code."""
_INSTEAD_OF_GENERATED = ("or, from PostgreSQL 18 on, compute it when it is read", 'sa.Computed("...", persisted=False)')


def at_once(op: ops.MigrateOperation, every: Sequence[ops.MigrateOperation], facts: Facts) -> Phased | None:
    """Leave it an ordinary operation, and say what it does to whom.

    :raises ConsentMissing: where nobody has said that it may, naming how to say it, and what could be done instead.
    """
    # behind a renaming the table has its new name, as everything else that is known has
    table = facts.id_of(op.new_table_name, op.schema) if isinstance(op, RenamedTableOp) else table_of(op, facts)
    if table not in facts.tables:
        return None
    if isinstance(op, RenamedTableOp):
        was = facts.shown(op.table_name, op.schema)
        sentence = (
            f"{was} is renamed to {op.new_table_name} at once: an application that uses {was} fails from then on."
        )
    elif isinstance(op, (CreateExcludeConstraintOp, ExcludeOp)):
        name = op.part.name if isinstance(op, ExcludeOp) else str(op.constraint_name)
        sentence = _reading(table, "exclusion constraint", name, _NO_OTHER_WAY, facts)
    elif isinstance(op, ops.CreateUniqueConstraintOp):
        if not is_partitioned(facts, table):
            return None
        name = name_of_created(op, table.name)
        if any(dropped_name(one) == name and table_of(one, facts) == table for one in every):
            raise _of_two_revisions(name, "the one of before goes", "what goes")
        sentence = _reading(table, "unique constraint", name, _NO_CONSTRAINT, facts)
    elif isinstance(op, KeyOp):
        _require_nothing_that_waits(op, table, every, facts)
        sentence = _reading(table, "primary key" if op.is_primary else "unique constraint", op.part.name, _KEY, facts)
    elif isinstance(op, (ops.AddColumnOp, GeneratedOp)):
        found = _column(op, facts)
        if found is None:
            return None
        sentence = found
    else:
        return None
    return Phased("", ordinary=(op,), words=Words(ordinary=(sentence,)))


def _require_nothing_that_waits(
    op: KeyOp, table: ObjectId, every: Sequence[ops.MigrateOperation], facts: Facts
) -> None:  # fmt: skip
    """Stop where a key is made anew while something of the same change that it cannot do without, or with, comes later.

    A column that comes is filled in phases, as is one that gets NOT NULL, which a primary key would make it at once; what
    refers to the key until it goes, goes in the contract. A foreign key that comes is checked against the new key, which is
    not there before.
    """
    for one in every:
        if isinstance(one, RetireTableOp):
            goes = facts.id_of(one.table_name, one.schema)
            if _foreign_keys(goes, table, facts):
                raise _of_two_revisions(
                    op.part.name, f"{_shown(goes, facts)}, which refers to {_shown(table, facts)}, goes", "the table"
                )
        elif isinstance(one, RetireColumnOp):
            child = table_of(one, facts)
            if any(one.column.name in part.columns for part in _foreign_keys(child, table, facts)):
                shown = f"{_shown(child, facts)}.{one.column.name}"
                raise _of_two_revisions(
                    op.part.name, f"{shown}, which refers to {_shown(table, facts)}, goes", "the column"
                )
        elif _comes_to_refer(one, table, every):
            raise _of_two_revisions(
                op.part.name, f"a foreign key that refers to {_shown(table, facts)} comes", "the key"
            )
        elif isinstance(one, ops.AddColumnOp) and table_of(one, facts) == table and named_in(op.sql, one.column.name):
            shown = f"{_shown(table, facts)}.{one.column.name}"
            raise _of_two_revisions(op.part.name, f"{shown}, which is part of it, comes", "the column")
        elif _gets_not_null_with(one, op) and table_of(one, facts) == table:
            shown = f"{_shown(table, facts)}.{one.column_name}"
            raise _of_two_revisions(op.part.name, f"{shown}, which is part of it, gets NOT NULL", "NOT NULL")


def _gets_not_null_with(one: ops.MigrateOperation, key: KeyOp) -> TypeGuard[ops.AlterColumnOp]:
    """Tell whether an operation sets NOT NULL on a column of that name which a primary key is over."""
    return (
        isinstance(one, ops.AlterColumnOp) and one.modify_nullable is False
        and key.is_primary and named_in(key.sql, one.column_name)
    )  # fmt: skip


def _comes_to_refer(op: ops.MigrateOperation, to: ObjectId, every: Sequence[ops.MigrateOperation]) -> bool:
    """Tell whether an operation is the SQL of a foreign key that was not there; one that only makes room comes back."""
    if not isinstance(op, SqlOp) or " FOREIGN KEY " not in op.sql:
        return False
    gone = [quoted(name) for one in every if (name := dropped_name(one)) is not None]
    return bool(referred_columns({"definition": op.sql}, to.schema, to.name)) and not any(
        f" ADD CONSTRAINT {name} " in op.sql for name in gone
    )


def _foreign_keys(table: ObjectId, to: ObjectId, facts: Facts) -> list[ForeignKeyConstraint]:
    """Return the foreign keys of one table that refer to another, which need not be among the facts itself."""
    there = facts.catalog.parts(table)
    names = {id_.name for id_ in there if referred_columns(facts.catalog.objects[id_], to.schema, to.name)}
    found = facts.tables.get(table)
    return [one for one in (() if found is None else found.foreign_key_constraints) if one.name in names]


def _of_two_revisions(name: str, what: str, first: str) -> Refused:
    return two_revisions(f"{name} becomes another one in the same revision in which {what}.", f"{first} first")


def _reading(table: ObjectId, what: str, name: str, why: str, facts: Facts) -> str:
    shown = _shown(table, facts)
    sentence = f"{name} reads all of {shown} {why}"
    if name not in facts.said.get(table, {}).get(CONSENT, ()):
        raise ConsentMissing(
            f"The {what} {sentence}",
            next_steps=[
                NextStep(
                    f"if that may be, in the model of {shown}; then generate again",
                    f'__table_args__ = (..., {{"info": {{"{CONSENT}": ["{name}"]}}}})',
                ),
                NextStep(*_INSTEAD[why]),
            ],
        )  # fmt: skip
    return sentence


def _column(op: ops.AddColumnOp | GeneratedOp, facts: Facts) -> str | None:
    """Return what is to be said of a column that comes with a value of its own in every row."""
    if isinstance(op, GeneratedOp):
        id_, counts = op.column, False
        if not op.is_stored:
            return None
    else:
        column = op.column
        id_ = facts.column(op.table_name, op.schema, str(column.name))
        is_virtual = column.computed is not None and (
            column.computed.persisted is not True and facts.server_version >= _VIRTUAL
        )
        counts = column.identity is not None and column.primary_key
        if is_virtual or (column.computed is None and not counts):
            return None
    shown = f"{_shown(id_._replace(kind='table', name=id_.parent), facts)}.{id_.name}"
    sentence = f"{shown} is written into every row at once {_NO_OTHER_WAY}"
    what, instead = ("identity", None) if counts else ("generated", _INSTEAD_OF_GENERATED)
    require_consent(id_, f"The {what} column {sentence}", facts, instead)
    return sentence


def require_consent(column: ObjectId, said: str, facts: Facts, instead: tuple[str, str] | None = None) -> None:
    """Stop where nobody has said that a column may hold everybody up.

    :param said: what it does.
    :param instead: another way, and its code.
    :raises ConsentMissing: naming how to say it.
    """
    if may_be_at_once(column, facts):
        return
    ways = [NextStep("if that may be, in the model; then generate again", f'info={{"{CONSENT}": True}}')]
    raise ConsentMissing(said, next_steps=[*ways, *([NextStep(*instead)] if instead else [])])


def may_be_at_once(column: ObjectId, facts: Facts) -> bool:
    """Tell whether a person has said that a column may hold everybody up."""
    return bool(facts.said.get(column, {}).get(CONSENT))


def _shown(table: ObjectId, facts: Facts) -> str:
    return facts.shown(table.name, table.schema)
