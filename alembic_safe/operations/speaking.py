"""Where an operation of ours says its SQL: to the database, or into a script (``--sql``)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from alembic_safe.database.statements import as_text, quoted, run
from alembic_safe.database.steps import step_runner
from alembic_safe.errors import Refused
from alembic_safe.operations.consent import online
from alembic_safe.operations.living import find_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from alembic.operations.base import Operations
    from sqlalchemy import Connection

    from alembic_safe.operations.living import LivingTable


def is_script(operations: Operations) -> bool:
    """Whether this run only writes a script."""
    return bool(operations.migration_context.as_sql)


def say(operations: Operations, sql: str) -> None:
    """Run a statement, or write it into the script.

    :param sql: names quoted, what somebody else wrote in it :func:`~alembic_safe.operations.kept.verbatim`.
    """
    if is_script(operations):
        operations.migration_context.impl.execute(as_text(sql))
    else:
        run(online(operations, ""), sql)


def place(name: str, schema: str | None) -> str:
    """Return a table as the file names it, quoted."""
    return quoted(name) if schema is None else quoted(schema, name)


def table_of(operations: Operations, verb: str, name: str, schema: str | None) -> tuple[Connection, LivingTable]:
    """Return the connection and the table that an operation works on.

    :raises Refused: where there is no such table.
    """
    connection = online(operations, verb)
    table = find_table(connection, name, schema)
    if table is None or table.kind not in ("r", "p"):
        shown = ".".join(part for part in (schema, name) if part)
        raise Refused(f"op.{verb}: there is no table {shown}.")
    return connection, table


def commit_if_stepwise(operations: Operations) -> None:
    """Commit what was done so far where steps have transactions of their own; the caller's is left alone."""
    runner = step_runner(operations.migration_context.opts)
    if runner is not None:
        runner.commit()


@contextmanager
def _as_it_is(connection: Connection) -> Iterator[Connection]:
    yield connection


def concurrently(operations: Operations) -> AbstractContextManager[Connection] | None:
    """Return a block in which statements run outside a transaction, or ``None`` where the caller's one is open."""
    runner = step_runner(operations.migration_context.opts)
    if runner is not None:
        return runner.autocommit()
    connection = operations.migration_context.connection
    if connection is not None and getattr(connection.connection.dbapi_connection, "autocommit", False):
        return _as_it_is(connection)
    return None
