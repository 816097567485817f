"""How does a replay go on while the server is still at its last statement?"""

# A history is hundreds of small statements whose answers nobody looks at. While the server makes a table, the next
# CREATE TABLE can be written: libpq's pipeline mode sends it without waiting. Whatever does look at an answer (a query, a
# commit, a statement of the revision's own) waits until all that was sent is done. An error comes late then, at some other
# statement: a replay that had one is no answer, and is done again from nothing, one statement after the other.
from __future__ import annotations

import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, final

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import Connection

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.engine import Engine


class SentAheadFailed(BaseException):
    """Something that was sent ahead failed; no ``except Exception`` of a revision is to take it for its own error."""


@final
class SentAhead:
    """Sends what changes the schema, and goes on.

    What is sent: DDL that SQLAlchemy wrote (every operation of Alembic but ``execute`` and ``bulk_insert``), and what
    Alembic writes into its version table.

    :param engine: of psycopg 3.
    """

    def __init__(self, engine: Engine) -> None:
        self.was_used = False
        self.failed = False
        self._pipeline: ExitStack | None = None
        self._version_table: Table | None = None
        self._driver: Any = None
        engine._connection_cls = _Watched  # noqa: SLF001 - SQLAlchemy's own way to another class of connections
        event.listen(engine, "do_execute", self._execute)
        for name in ("do_executemany", "do_execute_no_params"):
            event.listen(engine, name, self.wait)
        for name in ("commit", "rollback"):
            event.listen(engine, name, self.wait)

    def begin(self, connection: Connection, version_table: Table) -> None:
        """Send ahead from now on, on one connection.

        :param version_table: Alembic's, as the migration context has it.
        """
        self._driver = connection.connection.driver_connection
        self._version_table = version_table
        if isinstance(connection, _Watched):
            connection.sent_ahead = self

    def end(self) -> None:
        """Send nothing ahead any more, and wait for what was sent.

        :raises SentAheadFailed: when some of it failed.
        """
        self._version_table = None
        self.wait()

    def wait(self, *_: Any) -> None:
        """Wait until everything that was sent is done; also what an event is answered with: nothing.

        :raises SentAheadFailed: when some of it failed.
        """
        stack, self._pipeline = self._pipeline, None
        if stack is None:
            return
        try:
            stack.close()
        except psycopg.Error as error:
            self._give_up(error)

    def _execute(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:
        if not self._may_go_ahead(cursor, context):
            self.wait()
            return None
        connection = cursor.connection
        if self._pipeline is None:
            self.was_used = True
            self._pipeline = ExitStack()
            self._pipeline.enter_context(connection.pipeline())
        try:
            connection.cursor().execute(statement, parameters)
        except psycopg.Error as error:  # of a statement before this one
            self._give_up(error)
        if not context.isddl:
            context._rowcount = 1  # noqa: SLF001 - what Alembic expects to have written; a redo would find out
        return True

    def _may_go_ahead(self, cursor: Any, context: Any) -> bool:
        if self._version_table is None or cursor.connection is not self._driver:
            return False
        # psycopg begins a transaction with its first statement, and a failure must not find one half committed
        if (
            cursor.connection.autocommit
            or cursor.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        ):
            return False
        if context.isddl:
            return True
        if not context.isupdate:  # an INSERT brings its key back
            return False
        compiled = getattr(context, "compiled", None)
        is_version = getattr(getattr(compiled, "statement", None), "table", None) is self._version_table
        return is_version and hasattr(type(context), "_rowcount")

    def _give_up(self, error: psycopg.Error) -> None:
        self.failed = True
        stack, self._pipeline = self._pipeline, None
        if stack is not None:
            with suppress(psycopg.Error):  # the same one again, or what it made of the statements behind it
                stack.close()
        raise SentAheadFailed from error


class _Watched(Connection):
    """A connection that knows when somebody goes past it, to the driver: that one wants every answer at once."""

    sent_ahead: SentAhead | None = None

    @property
    def connection(self) -> Any:
        """The pool's connection; whoever is not SQLAlchemy itself may keep it, and nothing is sent ahead any more."""
        if self.sent_ahead is not None:
            self.sent_ahead.wait()
            if not sys._getframe(1).f_globals.get("__name__", "").startswith("sqlalchemy."):  # noqa: SLF001
                self.sent_ahead.end()
        return super().connection


def can_send_ahead(engine: Engine) -> bool:
    """Whether the driver has libpq's pipeline mode."""
    return engine.dialect.driver == "psycopg" and psycopg.capabilities.has_pipeline()
