"""Which operations do revision files invoke, while they run on a shadow?"""

from __future__ import annotations

import copy
import io
import itertools
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alembic.operations import Operations, ops
from alembic.operations.base import AbstractOperations
from alembic.operations.schemaobj import SchemaObjects
from alembic.runtime.migration import MigrationContext
from alembic.util import sqla_compat
from sqlalchemy import Column, ColumnElement, DefaultClause, Index, PrimaryKeyConstraint, TextClause
from sqlalchemy.sql.elements import conv

from alembic_safe.database.replay import replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import RevisionStep
    from alembic.script import ScriptDirectory

    from alembic_safe.database.replay import Replayed
    from alembic_safe.database.shadow import Shadow

_KNOWN = (
    ops.CreateTableOp, ops.DropTableOp, ops.RenameTableOp, ops.AddColumnOp, ops.DropColumnOp, ops.AlterColumnOp,
    ops.CreateIndexOp, ops.DropIndexOp, ops.AddConstraintOp, ops.DropConstraintOp, ops.CreateTableCommentOp,
    ops.DropTableCommentOp, ops.ExecuteSQLOp,
)  # fmt: skip
_MAKES_INDEX = re.compile(r"^CREATE (UNIQUE )?INDEX ", re.MULTILINE)  # the lines of a statement are sorted


@dataclass(frozen=True)
class Invoked:
    """What one revision invoked.

    :param operations: in their order, each taken apart into what it does: a column that comes with a key is a column and a key.
    :param sql: what Alembic makes of the very operations, one text for each statement.
    :param unknown: an operation that is no schema operation of Alembic's, by its class; empty: there was none.
    :param number: how many operations that is; an unknown one counts as one.
    """

    operations: tuple[ops.MigrateOperation, ...] = field(repr=False)
    sql: tuple[str, ...] = field(repr=False)
    unknown: str
    number: int


def record(
    config: Config,
    script: ScriptDirectory,
    shadow: Shadow,
    to: str,
    only: Sequence[str] | None = None,
) -> tuple[dict[str, Invoked], Replayed]:
    """Run files on a shadow from where that stands, and note the operations of each revision.

    :raises ReplayFailed: when one does not run through.
    """
    found: dict[str, Invoked] = {}

    @contextmanager
    def watch(context: MigrationContext, step: RevisionStep) -> Iterator[None]:
        with noted(context) as notes:
            yield
        found[step.revision.revision] = notes.invoked()

    done = replay(config, script, shadow, to=to, only=only, watch=watch)
    return found, done


class _Notes:
    def __init__(self, context: MigrationContext) -> None:
        self.context = context
        self.operations: list[ops.MigrateOperation] = []
        self.sql: list[str] = []
        self.unknown = ""
        self.number = 0

    def note(self, operation: ops.MigrateOperation, again: ops.MigrateOperation) -> None:
        """Take an operation that has run.

        :param operation: with columns of its own: those of the one that ran belong to a table now; :param again: once more.
        """
        if not isinstance(operation, _KNOWN):
            self.number += 1
            self.unknown = self.unknown or type(operation).__name__
            return
        try:
            parts = [*taken_apart(operation, self.context)]
            self.sql += sql_of(again, self.context)
            self.operations += parts
            self.number += len(parts)
        except Exception as error:  # noqa: BLE001 - types of the application's own compile here: the revision is carried then
            self.number += 1
            self.unknown = self.unknown or f"{type(operation).__name__}: {error}"

    def invoked(self) -> Invoked:
        return Invoked(tuple(self.operations), tuple(self.sql), self.unknown, self.number)


@contextmanager
def noted(context: MigrationContext) -> Iterator[_Notes]:
    """Note each operation that is invoked, batches included, but not those that an operation invokes itself."""
    notes, original = _Notes(context), AbstractOperations.invoke
    depth = [0]

    def invoke(self: AbstractOperations, operation: Any) -> Any:
        copies = () if depth[0] else (with_own_columns(operation), with_own_columns(operation))
        depth[0] += 1
        try:
            result = original(self, operation)
        finally:
            depth[0] -= 1
        if depth[0] == 0:
            depth[0] += 1  # it is invoked once more, to see its SQL
            try:
                notes.note(*copies)
            finally:
                depth[0] -= 1
        return result

    AbstractOperations.invoke = invoke  # type: ignore[method-assign]
    try:
        yield notes
    finally:
        AbstractOperations.invoke = original  # type: ignore[method-assign]


def with_own_columns(operation: Any) -> Any:
    """Return the same operation with copies of its columns and indexes.

    A column that was put into a table once has given its foreign keys to that table: a copy of it has none. An index that was
    put into one fits into no other.
    """
    if isinstance(operation, ops.AddColumnOp):
        made = copy.copy(operation)
        made.column = _fresh(operation.column)
        return made
    if isinstance(operation, ops.CreateTableOp):
        made_table = copy.copy(operation)
        made_table.columns = [_fresh(one) for one in operation.columns]
        return made_table
    return operation


def _fresh(item: Any) -> Any:
    if isinstance(item, Index) and item.table is None:
        return Index(item.name, *item.expressions, unique=item.unique, **item.kwargs)
    return sqla_compat._copy(item) if isinstance(item, Column) and item.table is None else item  # noqa: SLF001 - Alembic's own


def sql_of(operation: ops.MigrateOperation, context: MigrationContext) -> list[str]:
    """Return the statements that Alembic makes of an operation, none of them sent."""
    found = sql_in(context, lambda op: op.invoke(operation))
    # a table's indexes are in no order of their own; written, they come behind its comments
    return sorted(found, key=_makes_index) if isinstance(operation, ops.CreateTableOp) else found


def same_statements(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether statements are the same, in whatever order indexes are made that are made one after the other."""
    return _with_indexes_sorted(one) == _with_indexes_sorted(other)


def _with_indexes_sorted(statements: Sequence[str]) -> list[str]:
    runs = [(is_index, list(run)) for is_index, run in itertools.groupby(statements, _makes_index)]
    return [one for is_index, run in runs for one in (sorted(run) if is_index else run)]


def _makes_index(statement: str) -> bool:
    return bool(_MAKES_INDEX.search(statement))


def sql_in(context: MigrationContext, work: Callable[[Operations], object]) -> list[str]:
    """Return the statements that Alembic makes of some calls, none of them sent."""
    buffer = io.StringIO()
    offline = MigrationContext(context.dialect, None, {**context.opts, "as_sql": True, "output_buffer": buffer})
    work(Operations(offline))
    return [_comparable(text) for text in buffer.getvalue().split(";\n\n") if text.strip()]


def _comparable(text: str) -> str:
    """Return a statement without the order of its lines: Alembic writes the constraints of a table in that of their text."""
    return "\n".join(sorted(line.strip().rstrip(",") for line in text.splitlines() if line.strip()))


def taken_apart(operation: ops.MigrateOperation, context: MigrationContext) -> Iterator[ops.MigrateOperation]:
    """Yield the operations that an operation is made of, each with the names that it gives.

    :raises ValueError: for one that cannot be written into a file.
    """
    if isinstance(operation, ops.CreateTableOp):
        table = operation.to_table(context)
        made = ops.CreateTableOp.from_table(table)
        made.if_not_exists = operation.if_not_exists
        yield made
        for index in sorted(table.indexes, key=lambda one: str(one.name)):
            yield ops.CreateIndexOp.from_index(index)
    elif isinstance(operation, ops.AddColumnOp):
        yield from _column(operation, context)
    elif isinstance(operation, ops.AddConstraintOp):
        yield ops.AddConstraintOp.from_constraint(operation.to_constraint(context))
    elif isinstance(operation, ops.DropConstraintOp):
        name = _dropped_name(operation, context)
        made_drop = ops.DropConstraintOp(
            name,
            operation.table_name,
            operation.constraint_type,
            schema=operation.schema,
            if_exists=operation.if_exists,
        )
        yield made_drop
    elif isinstance(operation, ops.AlterColumnOp):
        yield _with_instances(operation)
    elif isinstance(operation, ops.ExecuteSQLOp):
        yield ops.ExecuteSQLOp(_plain(operation))
    else:
        yield operation


def _column(operation: ops.AddColumnOp, context: MigrationContext) -> Iterator[ops.MigrateOperation]:
    if operation.inline_references or operation.inline_primary_key or operation.column.primary_key:
        raise ValueError("a column with its key in its own definition")
    table = ops.CreateTableOp(
        operation.table_name,
        [sqla_compat._copy(operation.column)],  # noqa: SLF001 - Alembic's own
        schema=operation.schema,
    ).to_table(context)
    column = next(one for one in table.c if one.name == operation.column.name)
    yield ops.AddColumnOp(operation.table_name, column, schema=operation.schema, if_not_exists=operation.if_not_exists)
    for constraint in sorted(table.constraints, key=lambda one: one._creation_order):  # noqa: SLF001 - the order it is made in
        if not isinstance(constraint, PrimaryKeyConstraint):
            yield ops.AddConstraintOp.from_constraint(constraint)
    for index in sorted(table.indexes, key=lambda one: str(one.name)):
        yield ops.CreateIndexOp.from_index(index)


def _with_instances(operation: ops.AlterColumnOp) -> ops.AlterColumnOp:
    """Return the same with types and defaults as a column has them: ``sa.Text`` and ``sa.func.now()`` may have been given."""
    made = copy.copy(operation)
    for name in ("modify_type", "existing_type"):
        given = getattr(made, name)
        setattr(made, name, given() if isinstance(given, type) else given)
    for name in ("modify_server_default", "existing_server_default"):
        given = getattr(made, name)
        setattr(made, name, DefaultClause(given) if isinstance(given, (TextClause, ColumnElement)) else given)
    return made


def _dropped_name(operation: ops.DropConstraintOp, context: MigrationContext) -> Any:
    """Return the name of a constraint as it is in the database, after the naming convention had its say."""
    if isinstance(operation.constraint_name, conv) or operation.constraint_name is None:
        return operation.constraint_name
    made = SchemaObjects(context).generic_constraint(
        operation.constraint_name, operation.table_name, operation.constraint_type, schema=operation.schema
    )
    return made.name


def _plain(operation: ops.ExecuteSQLOp) -> str:
    given = operation.sqltext
    if isinstance(given, str):
        return given
    if isinstance(given, TextClause) and not given._bindparams and not operation.execution_options:  # noqa: SLF001
        return given.text
    raise ValueError("a statement that is no text")
