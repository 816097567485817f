"""What stands on a column, and how is the same built for the one that takes its place?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint

from alembic_safe.authoring.change_operations import (
    CheckOp,
    DefaultOp,
    DropPartOp,
    ExcludeOp,
    FillOp,
    GeneratedOp,
    KeyOp,
    PartCommentOp,
    RenamedPartOp,
    plain_text,
)
from alembic_safe.authoring.recipes.building import (
    check_steps,
    included,
    index_steps,
    keywords_for,
    steps_for,
    unique_steps,
)
from alembic_safe.authoring.recipes.domains import takes_no_null
from alembic_safe.authoring.recipes.naming import named_in, worded
from alembic_safe.authoring.recipes.partitions import parts_of_partitions
from alembic_safe.authoring.recipes.read_again import behind_using
from alembic_safe.authoring.recipes.records import Step, settle
from alembic_safe.authoring.written_sql import sql_text
from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.created_names import name_of_created
from alembic_safe.inspecting.operation_table import table_of_operation
from alembic_safe.operations.swap_names import beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Index, Table

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.settles import Settle


_PLAIN_KEY = re.compile(r'PRIMARY KEY \((?:"(?:[^"]|"")+"|[^)"])+\)')
_REFERENCES = r'REFERENCES {}\((?P<columns>(?:"(?:[^"]|"")+"|[^)"])*)\)'


@dataclass(frozen=True)
class Standing:
    """The same for the new column.

    :param steps: what builds it, behind the copy.
    :param settles: what goes with the old column, and what gets its final name when that has gone.
    :param names: what stands on the old column, by name.
    :param unique: the indexes among what is built that let no value in twice, as the old ones beside them.
    """

    steps: tuple[Step, ...] = ()
    settles: tuple[Settle, ...] = ()
    names: frozenset[str] = frozenset()
    unique: tuple[str, ...] = ()


def built_anew(
    facts: Facts, table: Table, old: str, moves: Mapping[str, str], names: Mapping[str, str],
    dropped: frozenset[str] = frozenset(), elsewhere: frozenset[str] = frozenset(), *, swaps: bool = False,
) -> Standing:  # fmt: skip
    """Return what builds the indexes and constraints of a column for the one that takes its place.

    :param table: reflected.
    :param moves: the columns of the table that others take the place of; what stands on several is built with the last.
    :param names: what a dependant is called afterwards, where that is another name than now.
    :param dropped: what the new column has no like of.
    :param elsewhere: what somebody else takes care of.
    :param swaps: whether the columns change names in the end, and what stands on them with them.
    """
    steps: list[Step] = []
    settles: list[Settle] = []
    unique: list[str] = []
    every: set[str] = set()
    new = moves[old]
    for part in parts_on(table, old):
        if str(part.name) in elsewhere or last_of(moves, lambda one, part=part: _is_on(part, table, one)) != old:  # type: ignore[misc]
            continue
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
            if swaps:  # the old one finds no other to change names with
                settles.append(settle(f"drop_{kind}", id_, goes_with=new))
            continue
        steps += steps_for(part, table, moves, made)
        unique += [made] if isinstance(part, UniqueConstraint) or getattr(part, "unique", False) else []
        if made != final and not swaps:
            settles.append(settle(f"rename_{kind}", id_._replace(name=made), to=final, behind=old))
    return Standing(tuple(steps), tuple(settles), frozenset(every), tuple(unique))


def names_on(table: Table, column: str) -> dict[str, str]:
    """Return what stands on a column: ``index`` or ``constraint``, by name."""
    return {str(part.name): _kind(part) for part in parts_on(table, column)}


def table_of(op: ops.MigrateOperation, facts: Facts) -> ObjectId:
    """Return the table that an operation is about."""
    if isinstance(op, (CheckOp, DropPartOp, ExcludeOp, KeyOp, PartCommentOp, RenamedPartOp)):
        return facts.id_of(op.part.parent, op.part.schema or None)
    if isinstance(op, (DefaultOp, FillOp, GeneratedOp)):
        return facts.id_of(op.column.parent, op.column.schema or None)
    schema, name = table_of_operation(op, facts.default_schema)
    return ObjectId("table", schema, name)


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
    op: ops.MigrateOperation, facts: Facts, old: str, moves: Mapping[str, str]
) -> tuple[ObjectId, tuple[Step, ...]] | None:  # fmt: skip
    """Return what builds an index or constraint that is to stand on a column for the one that takes its name later.

    :param moves: see :func:`built_anew`.
    :return: what it is called in the end, and the steps; ``None`` for an operation that does not name the column.
    """
    table = table_of(op, facts)
    if isinstance(op, CheckOp):
        if last_of(moves, lambda one: named_in(op.condition, one)) != old:
            return None
        schema = None if table.schema == facts.default_schema else table.schema
        return op.part, check_steps(beside(op.part.name), table.name, worded(op.condition, moves), schema)
    if not isinstance(op, (ops.CreateIndexOp, ops.CreateUniqueConstraintOp)):
        return None
    where = op.kw.get("postgresql_where")
    # a function has a name, too, which is no column's
    names = [one.name if isinstance(one, Column) else one if isinstance(one, str) else None for one in op.columns]
    said = [sql_text(one) for one, name in zip(op.columns, names, strict=True) if name is None]
    said += [] if where is None else [sql_text(where)]
    there = {*names, *included(op.kw)}
    if last_of(moves, lambda one: one in there or any(named_in(text, one) for text in said)) != old:
        return None
    columns: list[Any] = [
        plain_text(worded(sql_text(one), moves)) if name is None else moves.get(name, name)
        for one, name in zip(op.columns, names, strict=True)
    ]
    if isinstance(op, ops.CreateUniqueConstraintOp):
        name = name_of_created(op, table.name)
        kw = {key: value for key, value in keywords_for(op.kw, moves).items() if value}
        found = unique_steps(beside(name), table.name, columns, op.schema, **kw)
        return ObjectId("constraint", table.schema, name, table.name), found
    kw = keywords_for(op.kw, moves)
    made = ops.CreateIndexOp(
        beside(str(op.index_name)), op.table_name, columns, schema=op.schema, unique=op.unique, **kw
    )
    return ObjectId("index", table.schema, str(op.index_name), table.name), index_steps(made)


def last_of(moves: Mapping[str, str], is_named: Callable[[str], bool]) -> str | None:
    """Return the last of the columns that move of which something is true: then the others are copied already."""
    return next((one for one in reversed(list(moves)) if is_named(one)), None)


def unbuildable(facts: Facts, table: Table, old: str, *, swaps: bool = False) -> str:
    """Return what stands on a column that nothing here can build for another one; empty where there is none.

    :param swaps: whether the columns change names in the end: then a primary key, what refers to the column and what
        counts it can go with the name.
    """
    if old in table.primary_key.columns and not swaps:
        return f"{old} is part of the primary key"
    if old in table.primary_key.columns and not is_plain_key(facts, table):
        return f"{old} is part of the primary key, whose index cannot be built beside it"
    if old not in table.primary_key.columns and old in _included_in_key(facts, table):
        return f"the primary key includes {old}"
    if table.columns[old].computed is not None or (table.columns[old].identity is not None and not swaps):
        return f"{old} is generated by the database"
    computed = [one for one in table.columns if one.computed is not None and named_in(str(one.computed.sqltext), old)]
    if computed:
        return f"{computed[0].name} is computed from {old}"
    domain = takes_no_null(table.columns[old].type, facts)
    if domain:
        return f"the domain {domain}, of which {old} is, takes no NULL"
    return _unbuildable_constraint(facts, table, old, swaps=swaps) or _of_a_partition_alone(facts, table, old)


def _of_a_partition_alone(facts: Facts, table: Table, old: str) -> str:
    """Return what stands on a column of one partition only: the partitioned table does not have it, and its twin would not."""
    for id_, said in parts_of_partitions(facts, facts.id_of(table.name, table.schema)):
        text = str(said["definition"])
        if named_in(behind_using(text) if id_.kind == "index" else text, old):
            return f"the {id_.kind} {id_.name} of the partition {id_.parent} alone needs {old}"
    return ""


def _included_in_key(facts: Facts, table: Table) -> tuple[str, ...]:
    id_ = ObjectId("constraint", table.schema or facts.default_schema, str(table.primary_key.name), table.name)
    definition = str(facts.catalog.objects.get(id_, {}).get("definition", ""))
    return tuple(one.name for one in table.columns if " INCLUDE (" in definition and named_in(definition, one.name))


def _unbuildable_constraint(facts: Facts, table: Table, old: str, *, swaps: bool) -> str:
    schema = table.schema or facts.default_schema
    for id_, said in facts.catalog.objects.items():
        sort = said.get("sort") if id_.kind == "constraint" else None
        own = (id_.schema, id_.parent) == (schema, table.name)
        if sort == "x" and own and named_in(str(said["definition"]), old):
            return f"the exclusion constraint {id_.name} needs {old}"
        if sort == "u" and own and named_in(str(said["definition"]), old) and is_partitioned(facts, id_):
            return f"the unique constraint {id_.name} of a partitioned table needs {old}"
        if sort == "f" and old in referred_columns(said, schema, table.name):
            follows = swaps and ObjectId("table", id_.schema, id_.parent) in facts.tables
            if not follows:
                return f"the foreign key {id_.name} of {id_.parent} refers to {old}"
    return ""


def is_partitioned(facts: Facts, of: ObjectId) -> bool:
    """Tell whether a table, or that of a part, is partitioned: no index of it can become a constraint."""
    table = ObjectId("table", of.schema, of.parent or of.name)
    return facts.catalog.objects.get(table, {}).get("partition_key") is not None


def key_without(table: Table, column: str) -> bool:
    """Tell whether something tells the rows of a table apart that a column is no part of."""
    keys: list[list[Any]] = [list(table.primary_key.columns)]
    keys += [list(one.columns) for one in table.constraints if isinstance(one, UniqueConstraint)]
    keys += [
        list(one.expressions) for one in table.indexes if one.unique and not one.dialect_kwargs.get("postgresql_where")
    ]
    return any(
        key and all(isinstance(one, Column) and one.name != column and not one.nullable for one in key) for key in keys
    )


def is_plain_key(facts: Facts, table: Table) -> bool:
    """Tell whether a primary key is one that an index built beside it can become."""
    schema = table.schema or facts.default_schema
    own = facts.catalog.objects.get(ObjectId("table", schema, table.name), {})
    key = facts.catalog.objects.get(ObjectId("constraint", schema, str(table.primary_key.name), table.name), {})
    definition = str(key.get("definition", ""))
    is_alone = own.get("partition_key") is None and own.get("partition_bound") is None
    return is_alone and not key.get("index_options") and bool(_PLAIN_KEY.fullmatch(definition))


def referred_columns(foreign_key: Mapping[str, Any], schema: str, table: str) -> tuple[str, ...]:
    """Return the columns of a table that a foreign key refers to; none where it refers to another table.

    :param foreign_key: what the catalog says of it.
    """
    found = re.search(_REFERENCES.format(_written(schema, table)), str(foreign_key.get("definition", "")))
    if found is None:
        return ()
    names = re.findall(r'"(?:[^"]|"")+"|[^\s,]+', found["columns"])
    return tuple(name[1:-1].replace('""', '"') if name.startswith('"') else name for name in names)


def referring_to(foreign_key: Mapping[str, Any], names: Mapping[ObjectId, ObjectId]) -> Mapping[str, Any]:
    """Return what the catalog says of a foreign key, when tables that it may refer to are called otherwise."""
    definition = str(foreign_key.get("definition", ""))
    for old, new in names.items():
        there = re.search(_REFERENCES.format(_written(old.schema, old.name)), definition)
        if there is not None:
            renamed = f"REFERENCES {quoted(new.schema, new.name)}{definition[there.start('columns') - 1 :]}"
            return {**foreign_key, "definition": definition[: there.start()] + renamed}
    return foreign_key


def _written(*names: str) -> str:
    # as ruleutils writes a name: quoted where it must be
    plain = r"[a-z_][a-z0-9_]*"
    return r"\.".join(
        rf'"?{re.escape(name)}"?' if re.fullmatch(plain, name) else re.escape(quoted(name)) for name in names
    )


def parts_on(table: Table, column: str) -> Iterator[Any]:
    """Yield what names the column, in an order that a reader finds again: indexes, keys, checks, by name."""
    constraints = sorted(table.constraints, key=lambda one: (type(one).__name__, str(one.name)))
    for part in (*sorted(table.indexes, key=lambda one: str(one.name)), *constraints):
        if _is_on(part, table, column):
            yield part


def _is_on(part: Any, table: Table, column: str) -> bool:
    if isinstance(part, UniqueConstraint):
        included = part.dialect_kwargs.get("postgresql_include") or ()
        return table.columns[column] in list(part.columns) or column in included
    if isinstance(part, ForeignKeyConstraint):
        return column in part.column_keys
    if isinstance(part, CheckConstraint):
        return named_in(str(part.sqltext), column)
    return not isinstance(part, PrimaryKeyConstraint) and _stands_on(part, column)


def _stands_on(index: Index, old: str) -> bool:
    where = index.dialect_kwargs.get("postgresql_where")
    include = index.dialect_kwargs.get("postgresql_include") or ()
    names = {getattr(one, "name", None) for one in index.expressions} | set(include)
    texts = [str(one) for one in index.expressions if getattr(one, "name", None) is None]
    return old in names or any(named_in(one, old) for one in [*texts, *([] if where is None else [str(where)])])
