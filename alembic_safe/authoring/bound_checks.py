"""Which check comes along with a column's type, and how does it come on its own?"""

# An Enum that is no type of the server and has create_constraint=True makes a check of its labels. Alembic adds it in the
# statement that adds or alters the column, and reads every row for it while nobody else can; another of its name that is
# there already it does not see.
from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import CheckConstraint, Enum, inspect

from alembic_safe.authoring.change_operations import CheckOp, DropPartOp, SqlOp
from alembic_safe.authoring.keeping import taken_back_by
from alembic_safe.authoring.written_sql import sql_text
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.created_names import name_of_check

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection, Table


def without_check(type_: Any) -> Any:
    """Return a type that brings no check along; every other type as it is."""
    if not isinstance(type_, Enum) or type_.native_enum or not type_.create_constraint:
        return type_
    bare = copy.copy(type_)
    bare.create_constraint = False
    return bare


def with_checks_apart(
    operations: Iterable[ops.MigrateOperation], tables: Mapping[ObjectId, Table], connection: Connection, default: str
) -> Iterator[ops.MigrateOperation]:
    """Yield operations in which the check of a column's type is an operation of its own.

    :param tables: those of the models.
    :param connection: where a check of its name may be already.
    :param default: the schema of a table that says none.
    """
    for op in operations:
        type_ = op.modify_type if isinstance(op, ops.AlterColumnOp) else _added_type(op)
        bare = without_check(type_)
        if bare is type_:
            yield op
            continue
        made: Any = copy.copy(op)
        if isinstance(op, ops.AlterColumnOp):
            made.modify_type, name = bare, str(op.column_name)
        else:
            made.column = made.column._copy()  # noqa: SLF001 - what Alembic's own operations do
            made.column.type, name = bare, str(made.column.name)
        check = _check_of(tables, ObjectId("column", made.schema or default, name, made.table_name))
        if check is None:
            yield made
            continue
        was = _same_name(connection, check, made)
        if was is not None:
            yield was
        yield made
        yield CheckOp(*check)


def _added_type(op: ops.MigrateOperation) -> Any:
    return op.column.type if isinstance(op, ops.AddColumnOp) else None


def _check_of(tables: Mapping[ObjectId, Table], column: ObjectId) -> tuple[ObjectId, str] | None:
    """Return the check that the models' column has from its type, and its condition."""
    table = tables.get(ObjectId("table", column.schema, column.parent))
    for one in () if table is None else table.constraints:
        if not isinstance(one, CheckConstraint) or not getattr(one, "_type_bound", False):
            continue
        if [str(part.name) for part in one.columns] == [column.name]:
            return column._replace(kind="constraint", name=name_of_check(one, column.name)), sql_text(one.sqltext)
    return None


def _same_name(connection: Connection, check: tuple[ObjectId, str], op: Any) -> DropPartOp | None:
    """Return what drops the check of that name which is there."""
    part, _ = check
    for there in inspect(connection).get_check_constraints(op.table_name, schema=op.schema):
        if there["name"] == part.name:
            before = CheckOp(part, str(there["sqltext"]))
            drop = DropPartOp(part, before.undo)
            taken_back_by([drop], [SqlOp(before.sql)])
            return drop
    return None
