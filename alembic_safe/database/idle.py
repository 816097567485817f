"""How env.py's session outlives a wait in which nothing is sent on it."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from alembic_safe.database.statements import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

_READ = "SELECT pg_catalog.current_setting('idle_session_timeout', true) AS it"
_SET = "SELECT pg_catalog.set_config('idle_session_timeout', :value, false)"


@contextmanager
def kept_awake(connection: Connection) -> Iterator[None]:
    """Keep the server from ending a session while a lock is waited for, a question asked or a backup taken.

    ``idle_session_timeout`` (PostgreSQL 14), which administrators give to roles and databases, is off inside the
    block and afterwards what it was: a pooled connection goes back as it came.

    :param connection: not in a transaction, before and after.
    """
    before = run(connection, _READ)[0]["it"]
    if before in (None, "0"):
        connection.rollback()
        yield
        return
    run(connection, _SET, {"value": "0"})
    connection.commit()
    try:
        yield
    finally:
        if not connection.closed and not connection.invalidated:
            with suppress(SQLAlchemyError):  # a session that was lost took its settings along
                connection.rollback()
                run(connection, _SET, {"value": before})
                connection.commit()
