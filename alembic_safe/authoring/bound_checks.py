"""Which check comes, or goes, along with a column's type, and how is it an operation of its own?"""

# An Enum that is no type of the server and has create_constraint=True makes a check of its labels. Alembic adds it in the
# statement that adds or alters the column, and reads every row for it while nobody else can; another of its name that is
# there already it does not see; nor does it see that the check of the type of before has to go with that type, as it compares
# no checks.
from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import CheckConstraint, Enum, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.schema import CreateTable

from alembic_safe.authoring.change_operations import CheckOp, DropPartOp, RenameColumnOp, RenamedPartOp, SqlOp
from alembic_safe.authoring.keeping import taken_back_by
from alembic_safe.authoring.recipes.conversions import type_sql
from alembic_safe.authoring.recipes.naming import named_in, worded
from alembic_safe.authoring.recipes.standing_on import dropped_name
from alembic_safe.authoring.renamed_facts import former_names
from alembic_safe.authoring.written_sql import sql_text
from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.created_names import name_of_check

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table

_WORD = r"(?:E?'(?:[^']|'')*'(?:::(?:character varying|text|bpchar))*)"
_WORDS = rf"(?:= ANY \(\(?ARRAY\[{_WORD}(?:, {_WORD})*\]\)?(?:::text\[\])?\)|= {_WORD})"
"""How the server prints the labels of a type that is none of its own."""
_ZERO_OR_ONE = r"= ANY \(ARRAY\[0, 1\]\)"
"""How it prints those of a Boolean that is kept as a number."""


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
    """Yield operations in which the check of a column's type is an operation of its own, that of its type of before as well.

    :param tables: those of the models.
    :param connection: where a check of its name may be already.
    :param default: the schema of a table that says none.
    """
    operations = tuple(operations)
    for op in operations:
        if isinstance(op, ops.AlterColumnOp) and op.modify_type is not None:
            yield from _left_by_type(op, operations, tables, connection, default)
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
            return _drop(part, str(there["sqltext"]))
    return None


def _drop(part: ObjectId, condition: str) -> DropPartOp:
    before = CheckOp(part, condition)
    drop = DropPartOp(part, before.undo)
    taken_back_by([drop], [SqlOp(before.sql)])
    return drop


def _left_by_type(
    op: ops.AlterColumnOp, every: Sequence[ops.MigrateOperation], tables: Mapping[ObjectId, Table],
    connection: Connection, default: str,
) -> Iterator[DropPartOp]:  # fmt: skip
    """Yield what drops the checks that a column has from the type of before, and of which the models know nothing.

    Such a check says what the values of that type are, and nothing besides: every other one may be somebody's by hand, and
    stays.
    """
    table = ObjectId("table", op.schema or default, op.table_name)
    models = tables.get(table)
    said = None if models is None else _names_said(models, str(op.column_name))
    if said is None:
        return
    was = former_names(every, default).get(table, table)
    column = next(
        (
            one.column_name for one in every
            if isinstance(one, RenameColumnOp) and (one.schema or default, one.table_name) == (table.schema, table.name)
            and one.new == op.column_name
        ),
        str(op.column_name),
    )  # fmt: skip
    shape = _of_no_use_to(op.modify_type, column)
    known = {
        *said, *(one.part.name for one in every if isinstance(one, RenamedPartOp) and one.new in said),
        *(name for one in every if (name := dropped_name(one)) is not None),
    }  # fmt: skip
    try:
        there = inspect(connection).get_check_constraints(
            was.name, schema=None if was.schema == default else was.schema
        )
    except NoSuchTableError:
        return
    for one in there:
        condition = str(one["sqltext"])
        if one["name"] not in known and shape is not None and shape.fullmatch(condition):
            part = ObjectId("constraint", table.schema, str(one["name"]), table.name)
            yield _drop(part, worded(condition, {column: str(op.column_name)}))


def _names_said(table: Table, column: str) -> frozenset[str] | None:
    """Return the names of the models' checks; ``None`` where one over the column has none, and may be any."""
    names = set()
    for one in table.constraints:
        if not isinstance(one, CheckConstraint) or not _is_made(one):
            continue
        if not isinstance(one.name, str):
            if not named_in(sql_text(one.sqltext), column):
                continue
            if not getattr(one, "_type_bound", False):
                return None
        names.add(name_of_check(one, column))
    return frozenset(names)


def _is_made(check: CheckConstraint) -> bool:
    """Tell whether the server gets a check: one that a type brings along is not made where it has the type itself."""
    rule = getattr(check, "_create_rule", None)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call,unused-ignore]
    return rule is None or bool(rule(dialect.ddl_compiler(dialect, CreateTable(check.table))))


def _of_no_use_to(type_: Any, column: str) -> re.Pattern[str] | None:
    """Return how a check of the type of before reads that the values of another type have nothing to do with.

    Text that becomes text has no such check: nothing tells it from one by hand.
    """
    name = rf"\(?(?:{re.escape(quoted(column))}|{re.escape(column)})\)?"
    becomes = type_sql(type_)
    if becomes == "boolean":
        return re.compile(rf"{name}(?:::text)? {_WORDS}|{name} {_ZERO_OR_ONE}")
    is_text = becomes.startswith(("character", "text")) and not becomes.endswith("[]")
    if is_text and without_check(type_) is type_:
        return None
    return re.compile(rf"{name}(?:::text)? {_WORDS}")
