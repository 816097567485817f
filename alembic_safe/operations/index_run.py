"""What happens when a revision says ``op.create_index_concurrently`` or ``op.drop_index_concurrently``."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from sqlalchemy import Column
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex
from sqlalchemy.types import NullType

from alembic_safe.database.failures import sqlstate_of
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import ddl_text, quoted, run
from alembic_safe.errors import Findings, NextStep, Refused
from alembic_safe.operations.concurrent_indexes import CreateIndexConcurrentlyOp
from alembic_safe.operations.dependants import server_words
from alembic_safe.operations.index_facts import find_index, has_part, says_the_same
from alembic_safe.operations.index_partitions import build_on_partitions, refuse_foreign_partitions
from alembic_safe.operations.speaking import concurrently, is_script, place, say, table_of

if TYPE_CHECKING:
    from alembic.operations.base import Operations
    from sqlalchemy import Connection

    from alembic_safe.operations.concurrent_indexes import DropIndexConcurrentlyOp
    from alembic_safe.operations.index_facts import Index
    from alembic_safe.operations.living import LivingTable


def create_index_concurrently(operations: Operations, op: CreateIndexConcurrentlyOp) -> None:
    """Run ``op.create_index_concurrently``."""
    if is_script(operations):
        with operations.migration_context.autocommit_block():
            say(operations, _statement(operations, op, concurrently=True))
        return
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    name = _name(operations, op)
    found = find_index(connection, table.schema, name)
    if found is not None and (found.table != table.oid or not _says_the_same(operations, op, found, table)):
        raise Refused(
            f"op.{op.verb}: another index has the name {name} already, and says something else.",
            detail=[f"It is there: {found.definition}"],
        )
    if found is not None and found.is_valid:
        return
    block = concurrently(operations)
    with block or nullcontext(connection) as c:
        if table.kind == "p":
            _build_partitioned(c, operations, op, table, concurrently=block is not None)
            return
        if found is not None:
            # only a build that failed leaves an INVALID index on a plain table
            run(c, _drop(found, concurrently=block is not None))
        if block is None:
            run(c, _statement(operations, op, concurrently=False))
        else:
            _build(c, operations, op, table)


def _build(connection: Connection, operations: Operations, op: CreateIndexConcurrentlyOp, table: LivingTable) -> None:
    name = _name(operations, op)
    try:
        run(connection, _statement(operations, op, concurrently=True))
    except DBAPIError as error:
        left = None if error.connection_invalidated else find_index(connection, table.schema, name)
        if left is not None and not left.is_valid:
            run(connection, _drop(left, concurrently=True))
        if sqlstate_of(error) != "23505":
            raise
        raise Findings(
            f"Index {name} on {table.shown} cannot be unique: rows hold the same values.",
            detail=[server_words(error)],
            next_steps=[NextStep("make them differ in a copy revision before this one, then", "alembic safe-upgrade")],
        ) from error


def _build_partitioned(
    connection: Connection,
    operations: Operations,
    op: CreateIndexConcurrentlyOp,
    table: LivingTable,
    *,
    concurrently: bool,
) -> None:
    name = _name(operations, op)
    refuse_foreign_partitions(connection, table, f"op.{op.verb}: {name}")
    if find_index(connection, table.schema, name) is None:
        run(connection, _statement(operations, op, concurrently=False, only=True))
    parent = find_index(connection, table.schema, name)
    if parent is not None:
        build_on_partitions(connection, parent, concurrently=concurrently)


def drop_index_concurrently(operations: Operations, op: DropIndexConcurrentlyOp) -> None:
    """Run ``op.drop_index_concurrently``."""
    if is_script(operations):
        with operations.migration_context.autocommit_block():
            say(operations, f"DROP INDEX CONCURRENTLY IF EXISTS {place(op.index_name, op.schema)}")
        return
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    found = find_index(connection, table.schema, op.index_name)
    if found is None or not (op.replaced_by is None or has_part(connection, table.oid, op.replaced_by)):
        return
    if found.table != table.oid:
        raise Refused(f"op.{op.verb}: index {op.index_name} is not one of {table.shown}.")
    if found.constraint:
        raise Refused(
            f"op.{op.verb}: index {op.index_name} belongs to constraint {found.constraint} of {table.shown}.",
            next_steps=[NextStep("take the constraint away instead", "op.drop_constraint(...)")],
        )
    block = None if found.kind == "I" else concurrently(operations)
    with block or nullcontext(connection) as c:
        run(c, _drop(found, concurrently=block is not None))


def _drop(index: Index, *, concurrently: bool) -> str:
    how = "CONCURRENTLY " if concurrently else ""
    return f"DROP INDEX {how}IF EXISTS {quoted(index.schema, index.name)}"


def _name(operations: Operations, op: CreateIndexConcurrentlyOp) -> str:
    return str(op.to_index(operations.migration_context).name)


def _statement(operations: Operations, op: CreateIndexConcurrentlyOp, *, concurrently: bool, only: bool = False) -> str:
    """Return the CREATE INDEX, as SQLAlchemy writes it.

    :param only: of a partitioned table, without its partitions.
    """
    index = op.to_index(operations.migration_context)
    if index.table is not None:
        for name in index.dialect_options["postgresql"]["include"] or ():
            if name not in index.table.c:
                index.table.append_column(Column(name, NullType))
    text = verbatim(ddl_text(CreateIndex(index)))
    head = "CREATE UNIQUE INDEX " if index.unique else "CREATE INDEX "
    if concurrently:
        return f"{head}CONCURRENTLY {text.removeprefix(head)}"
    if only:
        begin = verbatim(f"{head}{_quoted_as_written(text, head)} ON ")
        return f"{begin}ONLY {text.removeprefix(begin)}"
    return text


def _quoted_as_written(text: str, head: str) -> str:
    """Return the index's name as the statement has it: quoted where it must be."""
    rest = text.removeprefix(head)
    if not rest.startswith('"'):
        return rest.split(" ", 1)[0]
    at = 1
    while rest[at] != '"' or rest[at : at + 2] == '""':
        at += 2 if rest[at] == '"' else 1
    return rest[: at + 1]


def _says_the_same(operations: Operations, op: CreateIndexConcurrentlyOp, found: Index, table: LivingTable) -> bool:
    def on_clone(index: str, clone: str) -> str:
        kw = {name: value for name, value in op.kw.items() if name != "postgresql_tablespace"}
        one = CreateIndexConcurrentlyOp(index, clone, op.columns, schema="pg_temp", unique=op.unique, **kw)
        return _statement(operations, one, concurrently=False)

    return says_the_same(operations.get_bind(), found, table, on_clone)
