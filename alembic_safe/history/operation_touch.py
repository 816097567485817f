"""What does an operation of Alembic's touch, so that it is known which others it may change places with?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import Column, Computed, ForeignKeyConstraint, Sequence
from sqlalchemy.sql import quoted_name
from sqlalchemy.types import ARRAY, SchemaType, TypeDecorator

from alembic_safe.history.reduced_table import made_up_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Name = tuple[str, str]
"""Schema and name; the schema is empty where none was said."""


@dataclass(frozen=True)
class Touch:
    """What an operation reads or changes.

    :param tables: tables, those that a foreign key refers to among them, with the columns in question.
    :param names: names that only one thing can have: of indexes, constraints and types.
    :param appends: whether it puts a column behind the others.
    :param is_alone: whether it is nothing to a table that is tied to its own by a foreign key that is there already.
    """

    tables: Mapping[Name, frozenset[str] | None]
    names: frozenset[Name] = frozenset()
    appends: bool = False
    is_alone: bool = False


@dataclass(frozen=True)
class Ties:
    """What is known of a database beside the operations themselves.

    :param links: pairs of tables of which one refers to the other, inherits from it or is a part of it.
    :param indexes: which table an index is on.
    """

    links: frozenset[frozenset[Name]] = frozenset()
    indexes: Mapping[Name, Name] = field(default_factory=dict)


def touch_of(operation: ops.MigrateOperation, ties: Ties) -> Touch | None:
    """Return what an operation touches; ``None``: that may be anything."""
    if isinstance(operation, ops.DropIndexOp):
        name = _name(operation.schema, operation.index_name)
        table = _table(operation) if operation.table_name else ties.indexes.get(name)
        return None if table is None else Touch({table: None}, frozenset({name}), is_alone=True)
    if isinstance(operation, ops.RenameTableOp):
        new = _name(operation.schema, operation.new_table_name)
        return Touch({_table(operation): None, new: None}, frozenset({new}), is_alone=True)
    if isinstance(operation, ops.CreateTableOp):
        names = {_table(operation), *_part_names(operation)}
        return Touch({**referents(operation.columns), _table(operation): None}, frozenset(names))
    if isinstance(operation, (ops.AddColumnOp, ops.AlterColumnOp, ops.DropColumnOp)):
        return _column(operation)
    if isinstance(operation, (ops.CreateIndexOp, ops.AddConstraintOp, ops.DropConstraintOp)):
        return _part(operation)
    if isinstance(operation, (ops.CreateTableCommentOp, ops.DropTableCommentOp)):
        return Touch({_table(operation): None}, is_alone=True)
    return Touch({_table(operation): None}) if isinstance(operation, ops.DropTableOp) else None


def _column(operation: Any) -> Touch:
    if isinstance(operation, ops.DropColumnOp):
        return Touch({_table(operation): frozenset({str(operation.column_name)})})
    if isinstance(operation, ops.AddColumnOp):
        column = operation.column
        touched = None if isinstance(column.server_default, Computed) else frozenset({str(column.name)})
        return Touch({_table(operation): touched}, frozenset(_type_names(column.type)), appends=True, is_alone=True)
    names = {str(name) for name in (operation.column_name, operation.modify_name) if name is not None}
    types = frozenset(_type_names(operation.modify_type))
    return Touch({_table(operation): frozenset(names)}, types, is_alone=operation.modify_type is None)


def _part(operation: Any) -> Touch:
    table = table_of(operation)
    names = _names(table[0], operation)
    if isinstance(operation, ops.CreateForeignKeyOp):
        referent = _name(operation.kw.get("referent_schema"), operation.referent_table)
        own, remote = frozenset(map(str, operation.local_cols)), frozenset(map(str, operation.remote_cols))
        return Touch({referent: remote, table: own | remote if table == referent else own}, names)
    if isinstance(operation, ops.CreateUniqueConstraintOp):
        return Touch({table: frozenset(map(str, operation.columns))}, names)
    if isinstance(operation, ops.CreateIndexOp):
        columns = [one.name if isinstance(one, Column) else one for one in operation.columns]
        is_plain = not operation.kw and all(type(one) is str or isinstance(one, quoted_name) for one in columns)
        return Touch({table: frozenset(map(str, columns)) if is_plain else None}, names, is_alone=not operation.unique)
    return Touch({table: None}, names)


def table_of(operation: Any) -> Name:
    """Return the table that an operation is done to."""
    if isinstance(operation, ops.CreateForeignKeyOp):
        return _name(operation.kw.get("source_schema"), operation.source_table)
    return _table(operation)


def makes_more(column: Column[Any]) -> bool:
    """Whether more comes into being with a column than the column: a type, a sequence of its own name."""
    if isinstance(column.default, Sequence) or isinstance(column.server_default, Sequence):
        return True
    return any(_is_made_along(one) for one in _types(column.type))


def ties_of(operations: Iterable[ops.MigrateOperation]) -> frozenset[frozenset[Name]]:
    """Return the pairs of tables that the operations themselves tie to each other."""
    found: set[frozenset[Name]] = set()
    for operation in operations:
        if isinstance(operation, (ops.CreateTableOp, ops.CreateForeignKeyOp)):
            touch = touch_of(operation, Ties())
            own = table_of(operation)
            found.update(frozenset({own, other}) for other in (touch.tables if touch else {}) if other != own)
    return frozenset(found)


def _name(schema: str | None, name: Any) -> Name:
    return str(schema or ""), str(name)


def _table(operation: Any) -> Name:
    return _name(operation.schema, operation.table_name)


def _names(schema: str | None, operation: Any) -> frozenset[Name]:
    name = getattr(operation, "constraint_name", None) or getattr(operation, "index_name", None)
    name = name or made_up_name(table_of(operation)[1], operation)
    return frozenset() if name is None else frozenset({_name(schema, name)})


def _part_names(operation: ops.CreateTableOp) -> Iterator[Name]:
    for one in operation.columns:
        if isinstance(one, Column):
            yield from _type_names(one.type)
        else:
            name = getattr(one, "name", None) or made_up_name(operation.table_name, one)
            yield from [_name(operation.schema, name)] if name else []


def referents(items: Iterable[Any]) -> dict[Name, frozenset[str]]:
    """Return the tables that columns and foreign keys refer to, with the columns there."""
    found: dict[Name, frozenset[str]] = {}
    for item in items:
        keys = item.elements if isinstance(item, ForeignKeyConstraint) else getattr(item, "foreign_keys", ())
        for key in keys:
            before, _, column = str(key.target_fullname).rpartition(".")
            schema, _, table = before.rpartition(".")
            name = _name(schema, table)
            found[name] = found.get(name, frozenset()) | {column}
    return found


def _types(type_: Any) -> Iterator[Any]:
    yield type_
    if isinstance(type_, ARRAY):
        yield from _types(type_.item_type)
    if isinstance(type_, TypeDecorator):
        yield from _types(type_.impl_instance if hasattr(type_, "impl_instance") else type_.impl)


def _is_made_along(type_: Any) -> bool:
    return isinstance(type_, SchemaType) and bool(getattr(type_, "create_type", True)) and hasattr(type_, "enums")


def _type_names(type_: Any) -> Iterator[Name]:
    for one in _types(type_):
        if getattr(one, "name", None) and isinstance(one, SchemaType):
            yield _name(getattr(one, "schema", None), one.name)
