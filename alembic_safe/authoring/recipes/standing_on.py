"""What stands on a column, and how is the same built for the one that takes its place?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from alembic.operations import ops
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, UniqueConstraint

from alembic_safe.authoring.change_operations import CheckOp, DefaultOp, DropPartOp, FillOp, RenamedPartOp, plain_text
from alembic_safe.authoring.recipes.records import Step, settle
from alembic_safe.authoring.renamed_operations import name_of_created
from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.operations.concurrent_indexes import CreateIndexConcurrentlyOp
from alembic_safe.operations.constraint_using_index import AddConstraintUsingIndexOp
from alembic_safe.operations.constraints_not_valid import (
    CreateCheckNotValidOp,
    CreateForeignKeyNotValidOp,
    ValidateConstraintOp,
)
from alembic_safe.operations.swap_names import beside

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Index, Table

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.settles import Settle


@dataclass(frozen=True)
class Standing:
    """The same for the new column.

    :param steps: what builds it, behind the copy.
    :param settles: what goes with the old column, and what gets its final name when that has gone.
    :param names: what stands on the old column, by name.
    """

    steps: tuple[Step, ...] = ()
    settles: tuple[Settle, ...] = ()
    names: frozenset[str] = frozenset()


def built_anew(
    facts: Facts, table: Table, old: str, new: str, names: Mapping[str, str], dropped: frozenset[str] = frozenset(),
    *, swaps: bool = False,
) -> Standing:  # fmt: skip
    """Return what builds the indexes and constraints of a column for the one that takes its place.

    :param table: reflected.
    :param names: what a dependant is called afterwards, where that is another name than now.
    :param dropped: what the new column has no like of.
    :param swaps: whether the columns change names in the end, and what stands on them with them.
    """
    steps: list[Step] = []
    settles: list[Settle] = []
    every: set[str] = set()
    for part in _parts(table, old):
        kind = _kind(part)
        was = str(part.name)
        final = names.get(was, was)
        made = final if final != was else beside(was)
        id_ = ObjectId(kind, table.schema or facts.default_schema, was, table.name)
        every.add(was)
        settles.append(
            settle(f"drop_{kind}", id_._replace(name=made) if swaps else id_, goes_with=new if swaps else old)
        )
        if was in dropped or final in dropped:
            continue
        steps += _steps(part, table, old, new, made)
        if made != final and not swaps:
            settles.append(settle(f"rename_{kind}", id_._replace(name=made), to=final, behind=old))
    return Standing(tuple(steps), tuple(settles), frozenset(every))


def names_on(table: Table, column: str) -> dict[str, str]:
    """Return what stands on a column: ``index`` or ``constraint``, by name."""
    return {str(part.name): _kind(part) for part in _parts(table, column)}


def table_of(op: ops.MigrateOperation, facts: Facts) -> ObjectId:
    """Return the table that an operation is about."""
    if isinstance(op, (CheckOp, DropPartOp, RenamedPartOp)):
        return facts.id_of(op.part.parent, op.part.schema or None)
    if isinstance(op, (DefaultOp, FillOp)):
        return facts.id_of(op.column.parent, op.column.schema or None)
    name = getattr(op, "table_name", None) or getattr(op, "source_table", None) or ""
    return facts.id_of(str(name), getattr(op, "schema", None) or getattr(op, "source_schema", None))


def dropped_name(op: ops.MigrateOperation) -> str | None:
    """Return the name of the index or constraint that an operation drops; ``None`` for every other operation."""
    if isinstance(op, ops.DropIndexOp):
        return str(op.index_name)
    if isinstance(op, DropPartOp):
        return op.part.name
    return str(op.constraint_name) if isinstance(op, ops.DropConstraintOp) else None


def _kind(part: Any) -> str:
    return "constraint" if isinstance(part, (CheckConstraint, ForeignKeyConstraint, UniqueConstraint)) else "index"


def built_for(
    op: ops.MigrateOperation, facts: Facts, old: str, new: str
) -> tuple[ObjectId, tuple[Step, ...]] | None:  # fmt: skip
    """Return what builds an index or constraint that is to stand on a column for the one that takes its name later.

    :return: what it is called in the end, and the steps; ``None`` for an operation that does not name the column.
    """
    table = table_of(op, facts)
    if isinstance(op, CheckOp):
        if not named_in(op.condition, old):
            return None
        schema = None if table.schema == facts.default_schema else table.schema
        return op.part, check_steps(beside(op.part.name), table.name, worded(op.condition, old, new), schema)
    if not isinstance(op, (ops.CreateIndexOp, ops.CreateUniqueConstraintOp)):
        return None
    where = op.kw.get("postgresql_where")
    words = [str(getattr(one, "name", one)) for one in op.columns]
    if not any(named_in(word, old) for word in [*words, *([str(where)] if where is not None else [])]):
        return None
    columns = [new if word == old else worded(word, old, new) for word in words]
    if isinstance(op, ops.CreateUniqueConstraintOp):
        name = name_of_created(op, table.name)
        kw = {key: value for key, value in op.kw.items() if value}
        found = unique_steps(beside(name), table.name, columns, op.schema, **kw)
        return ObjectId("constraint", table.schema, name, table.name), found
    kw = dict(op.kw)
    if where is not None:
        kw["postgresql_where"] = plain_text(worded(str(where), old, new))
    made = ops.CreateIndexOp(
        beside(str(op.index_name)), op.table_name, columns, schema=op.schema, unique=op.unique, **kw
    )
    return ObjectId("index", table.schema, str(op.index_name), table.name), index_steps(made)


def unbuildable(facts: Facts, table: Table, old: str) -> str:
    """Return what stands on a column that nothing here can build for another one; empty where there is none."""
    if old in table.primary_key.columns:
        return f"{old} is part of the primary key"
    schema = table.schema or facts.default_schema
    for id_, said in facts.catalog.objects.items():
        definition = str(said.get("definition", ""))
        own = (id_.schema, id_.parent) == (schema, table.name)
        if id_.kind == "constraint" and said.get("sort") == "x" and own and named_in(definition, old):
            return f"the exclusion constraint {id_.name} needs {old}"
        target = rf"REFERENCES {_written(schema, table.name)}\((?P<columns>[^)]*)\)"
        found = re.search(target, definition) if id_.kind == "constraint" and said.get("sort") == "f" else None
        if found is not None and named_in(found["columns"], old):
            return f"the foreign key {id_.name} of {id_.parent} refers to {old}"
    for column in table.columns:
        if column.computed is not None and named_in(str(column.computed.sqltext), old):
            return f"{column.name} is computed from {old}"
    if table.columns[old].computed is not None or table.columns[old].identity is not None:
        return f"{old} is generated by the database"
    return ""


def worded(sql: str, old: str, new: str) -> str:
    """Return an expression in which a column is called otherwise; strings in it are left alone."""
    name = new if re.fullmatch(r"[a-z_][a-z0-9_]*", new) else quoted(new)
    pattern = rf"'(?:[^']|'')*'|(?<![\w\"]){re.escape(old)}(?![\w\"])|{re.escape(quoted(old))}"
    return re.sub(pattern, lambda match: match[0] if match[0].startswith("'") else name, sql)


def named_in(sql: str, column: str) -> bool:
    """Tell whether an expression names a column."""
    return worded(sql, column, f"{column}'") != sql


def _written(*names: str) -> str:
    # as ruleutils writes a name: quoted where it must be
    plain = r"[a-z_][a-z0-9_]*"
    return r"\.".join(
        rf'"?{re.escape(name)}"?' if re.fullmatch(plain, name) else re.escape(quoted(name)) for name in names
    )


def _parts(table: Table, old: str) -> Iterator[Any]:
    """Yield what names the column, in an order that a reader finds again: indexes, keys, checks, by name."""
    column = table.columns[old]
    for index in sorted(table.indexes, key=lambda one: str(one.name)):
        if _stands_on(index, old):
            yield index
    for constraint in sorted(table.constraints, key=lambda one: (type(one).__name__, str(one.name))):
        if isinstance(constraint, UniqueConstraint):
            is_on = column in list(constraint.columns)
        elif isinstance(constraint, ForeignKeyConstraint):
            is_on = old in constraint.column_keys
        else:
            is_on = isinstance(constraint, CheckConstraint) and named_in(str(constraint.sqltext), old)
        if is_on:
            yield constraint


def _stands_on(index: Index, old: str) -> bool:
    where = index.dialect_kwargs.get("postgresql_where")
    include = index.dialect_kwargs.get("postgresql_include") or ()
    words = [getattr(one, "name", None) or str(one) for one in index.expressions]
    return any(word == old or named_in(str(word), old) for word in [*words, *include]) or (
        where is not None and named_in(str(where), old)
    )


def _steps(part: Any, table: Table, old: str, new: str, name: str) -> Iterator[Step]:
    if isinstance(part, ForeignKeyConstraint):
        yield from foreign_key_steps(_foreign_key(part, old, new, name))
    elif isinstance(part, CheckConstraint):
        condition = worded(str(part.sqltext), old, new)
        yield from check_steps(name, table.name, condition, table.schema)
    elif isinstance(part, UniqueConstraint):
        columns = [new if column.name == old else column.name for column in part.columns]
        options: dict[str, Any] = {
            key: value
            for key, value in {
                "deferrable": part.deferrable, "initially": part.initially,
                "postgresql_nulls_not_distinct": part.dialect_kwargs.get("postgresql_nulls_not_distinct"),
                "postgresql_include": part.dialect_kwargs.get("postgresql_include"),
            }.items()
            if value
        }  # fmt: skip
        yield from unique_steps(name, table.name, columns, table.schema, **options)
    else:
        yield from index_steps(_index(part, table, old, new, name))


def made_again(part: Any) -> tuple[ops.MigrateOperation, ...]:
    """Return what makes a constraint again, as it was reflected."""
    steps = _steps(part, part.table, "", "", str(part.name))
    return tuple(op for step in steps for op in step.operations)


def index_steps(create: ops.CreateIndexOp) -> tuple[Step, ...]:
    """Return what builds an index while everybody goes on writing."""
    kw = {key: value for key, value in create.kw.items() if value not in (None, False, {}, [], ())}
    kw.pop("postgresql_concurrently", None)
    made = CreateIndexConcurrentlyOp(
        str(create.index_name), create.table_name, list(create.columns), unique=create.unique, schema=create.schema, **kw
    )  # fmt: skip
    return (Step(f"index {create.index_name}", (made,)),)


def unique_steps(
    name: str, table: str, columns: list[str], schema: str | None, *, type_: Literal["unique", "primary"] = "unique",
    deferrable: Any = None, initially: Any = None, **kw: Any,
) -> tuple[Step, ...]:  # fmt: skip
    """Return what adds a unique constraint or a primary key: its index first, then the constraint on that."""
    index = CreateIndexConcurrentlyOp(name, table, columns, unique=True, schema=schema, **kw)
    added = AddConstraintUsingIndexOp(
        name, table, name, type_, deferrable=deferrable, initially=initially, schema=schema
    )  # fmt: skip
    # the index goes together with the constraint that it becomes
    return (Step(f"index for {name}", (index,), undo=()), Step(f"constraint {name}", (added,)))


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


def _foreign_key(
    part: ForeignKeyConstraint, old: str, new: str, name: str
) -> CreateForeignKeyNotValidOp:  # fmt: skip
    created: Any = ops.CreateForeignKeyOp.from_constraint(part)
    kw = {key: value for key, value in created.kw.items() if value is not None}
    local = [new if column == old else str(column) for column in created.local_cols]
    return CreateForeignKeyNotValidOp(
        name, created.source_table, created.referent_table, local, list(map(str, created.remote_cols)), **kw
    )


def _index(part: Index, table: Table, old: str, new: str, name: str) -> ops.CreateIndexOp:
    created: Any = ops.CreateIndexOp.from_index(part)
    columns: list[Any] = []
    for one in created.columns:
        if isinstance(one, (Column, str)):
            called = one if isinstance(one, str) else one.name
            columns.append(new if called == old else called)
        else:
            columns.append(plain_text(worded(str(one), old, new)))
    kw = dict(created.kw)
    if kw.get("postgresql_where") is not None:
        kw["postgresql_where"] = plain_text(worded(str(kw["postgresql_where"]), old, new))
    if kw.get("postgresql_include"):
        kw["postgresql_include"] = [new if column == old else column for column in kw["postgresql_include"]]
    if kw.get("postgresql_ops"):
        kw["postgresql_ops"] = {new if key == old else key: value for key, value in kw["postgresql_ops"].items()}
    return ops.CreateIndexOp(name, table.name, columns, schema=table.schema, unique=bool(created.unique), **kw)
