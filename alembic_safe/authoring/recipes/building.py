"""Which steps build an index or a constraint while everybody goes on writing?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from alembic.operations import ops
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, UniqueConstraint

from alembic_safe.authoring.change_operations import plain_text
from alembic_safe.authoring.recipes.naming import worded
from alembic_safe.authoring.recipes.records import Step
from alembic_safe.authoring.written_sql import sql_text
from alembic_safe.operations.concurrent_indexes import CreateIndexConcurrentlyOp
from alembic_safe.operations.constraint_using_index import AddConstraintUsingIndexOp
from alembic_safe.operations.constraints_not_valid import (
    CreateCheckNotValidOp,
    CreateForeignKeyNotValidOp,
    ValidateConstraintOp,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Index, Table


def steps_for(part: Any, table: Table, moves: Mapping[str, str], name: str) -> Iterator[Step]:
    """Yield what builds the same as an index or constraint over other columns.

    :param part: reflected.
    :param moves: the columns that it stands on now, each with the one that takes its place.
    """
    if isinstance(part, ForeignKeyConstraint):
        yield from foreign_key_steps(foreign_key_for(part, moves, {}, name))
    elif isinstance(part, CheckConstraint):
        condition = worded(str(part.sqltext), moves)
        yield from check_steps(name, table.name, condition, table.schema)
    elif isinstance(part, UniqueConstraint):
        columns = [moves.get(column.name, column.name) for column in part.columns]
        included = part.dialect_kwargs.get("postgresql_include") or ()
        options: dict[str, Any] = {
            key: value
            for key, value in {
                "deferrable": part.deferrable, "initially": part.initially,
                "postgresql_nulls_not_distinct": part.dialect_kwargs.get("postgresql_nulls_not_distinct"),
                "postgresql_include": [moves.get(name, name) for name in included],
            }.items()
            if value
        }  # fmt: skip
        yield from unique_steps(name, table.name, columns, table.schema, **options)
    else:
        yield from index_steps(index_for(part, table, moves, name))


def made_again(part: Any, moves: Mapping[str, str]) -> tuple[ops.MigrateOperation, ...]:
    """Return what makes a constraint again, as it was reflected.

    :param moves: columns that are called otherwise since.
    """
    steps = steps_for(part, part.table, moves, str(part.name))
    return tuple(op for step in steps for op in step.operations)


def index_steps(create: ops.CreateIndexOp) -> tuple[Step, ...]:
    """Return what builds an index while everybody goes on writing."""
    kw = said_options(create.kw)
    kw.pop("postgresql_concurrently", None)
    made = CreateIndexConcurrentlyOp(
        str(create.index_name), create.table_name, list(create.columns), unique=create.unique, schema=create.schema, **kw
    )  # fmt: skip
    return (Step(f"index {create.index_name}", (made,)),)


def said_options(kw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an index that say something; a predicate of SQLAlchemy's compares with nothing."""
    return {
        key: value for key, value in kw.items()
        if value is not None and value is not False and not (isinstance(value, (dict, list, tuple)) and not value)
    }  # fmt: skip


def unique_steps(
    name: str, table: str, columns: list[str], schema: str | None, *, type_: Literal["unique", "primary"] = "unique",
    deferrable: Any = None, initially: Any = None, **kw: Any,
) -> tuple[Step, ...]:  # fmt: skip
    """Return what adds a unique constraint or a primary key: its index first, then the constraint on that."""
    index = CreateIndexConcurrentlyOp(name, table, columns, unique=True, schema=schema, **kw)
    added = AddConstraintUsingIndexOp(
        name, table, name, type_, deferrable=deferrable, initially=initially, schema=schema
    )  # fmt: skip
    # the index goes together with the constraint that it has become; one that has become none yet goes by itself
    return (Step(f"index for {name}", (index,)), Step(f"constraint {name}", (added,)))


def foreign_key_steps(create: CreateForeignKeyNotValidOp) -> tuple[Step, ...]:
    """Return what adds a foreign key: for new rows first, then for those that are there."""
    name = str(create.constraint_name)
    check = ValidateConstraintOp(name, create.source_table, schema=create.kw.get("source_schema"))
    return (Step(f"foreign key {name}, for new rows", (create,)), Step(f"foreign key {name}, for all rows", (check,)))


def check_steps(name: str, table: str, condition: str, schema: str | None) -> tuple[Step, ...]:
    """Return what adds a check: for new rows first, then for those that are there."""
    create = CreateCheckNotValidOp(name, table, condition, schema=schema)
    return (
        Step(f"check {name}, for new rows", (create,)),
        Step(f"check {name}, for all rows", (ValidateConstraintOp(name, table, schema=schema),)),
    )


def foreign_key_for(
    part: ForeignKeyConstraint, moves: Mapping[str, str], referred: Mapping[str, str], name: str
) -> CreateForeignKeyNotValidOp:
    """Return what adds the same foreign key over other columns.

    :param moves: its own columns that others take the place of; ``referred``: those that it refers to.
    """
    created: Any = ops.CreateForeignKeyOp.from_constraint(part)
    return foreign_key_again(created, moves, referred, name)


def foreign_key_again(
    op: Any, moves: Mapping[str, str], referred: Mapping[str, str], name: str
) -> CreateForeignKeyNotValidOp:
    """Return what adds the foreign key of an operation over other columns; see :func:`foreign_key_for`."""
    kw = {key: value for key, value in op.kw.items() if value is not None}
    if "ondelete" in kw:
        # SET NULL (column, ...) and SET DEFAULT (column, ...) name columns, too: PostgreSQL 15
        action, bracket, named = str(kw["ondelete"]).partition("(")
        kw["ondelete"] = f"{action}{bracket}{worded(named, moves)}"
    local = [moves.get(str(column), str(column)) for column in op.local_cols]
    remote = [referred.get(str(column), str(column)) for column in op.remote_cols]
    return CreateForeignKeyNotValidOp(name, op.source_table, op.referent_table, local, remote, **kw)


def index_for(part: Index, table: Table, moves: Mapping[str, str], name: str) -> ops.CreateIndexOp:
    """Return what makes the same index over other columns; see :func:`steps_for`."""
    created: Any = ops.CreateIndexOp.from_index(part)
    columns: list[Any] = []
    for one in created.columns:
        if isinstance(one, (Column, str)):
            called = one if isinstance(one, str) else one.name
            columns.append(moves.get(called, called))
        else:
            columns.append(plain_text(worded(sql_text(one), moves)))
    kw = keywords_for(created.kw, moves)
    return ops.CreateIndexOp(name, table.name, columns, schema=table.schema, unique=bool(created.unique), **kw)


def keywords_for(kw: Mapping[str, Any], moves: Mapping[str, str]) -> dict[str, Any]:
    """Return the keywords of an index or a unique constraint for other columns: some of them name columns, too."""
    made = dict(kw)
    if made.get("postgresql_where") is not None:
        made["postgresql_where"] = plain_text(worded(sql_text(made["postgresql_where"]), moves))
    if made.get("postgresql_include"):
        made["postgresql_include"] = [moves.get(name, name) for name in included(made)]
    if made.get("postgresql_ops"):
        made["postgresql_ops"] = {moves.get(key, key): value for key, value in made["postgresql_ops"].items()}
    return made


def included(kw: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns that an index includes."""
    return [str(getattr(one, "name", one)) for one in kw.get("postgresql_include") or ()]
