"""How is a database dropped while we go on with other work?"""

# DROP DATABASE makes a checkpoint of the whole server, and waits for it: a proof that needs forty copies would wait for
# half of its time. One is on its way at a time, on a connection of its own; nothing is asked of it before the next one.
from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import ConnStatus, ExecStatus

from alembic_safe.database.shadow_sql import drop_statement
from alembic_safe.errors import Missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic_safe.database.endpoint import Endpoint


class Drops:
    """The databases of one server that go."""

    def __init__(self, endpoint: Endpoint, prepare: Callable[[psycopg.Connection[Any]], object]) -> None:
        self._endpoint = endpoint
        self._prepare = prepare
        self._connection: psycopg.Connection[Any] | None = None
        self._going = ""

    def begin(self, name: str) -> str:
        """Let the server drop a database, once the one before has gone; whoever is connected to it is sent away.

        :return: the one before, if it has gone; empty: there was none, or it is still there.
        """
        gone = self.wait()
        try:
            if self._connection is None or self._connection.closed:
                self._connection = self._endpoint.connect()
                self._prepare(self._connection)
            order_drop(self._connection, name)
        except (psycopg.Error, Missing):  # no room for another connection: it goes at the end
            self.end()
        else:
            self._going = name
        return gone

    def wait(self) -> str:
        """Wait for the one that is on its way, and return it if it has gone."""
        name, self._going = self._going, ""
        if not name or self._connection is None:
            return ""
        pgconn = self._connection.pgconn
        has_gone = True
        try:
            while (result := pgconn.get_result()) is not None:
                has_gone = has_gone and result.status == ExecStatus.COMMAND_OK
        except psycopg.Error:
            has_gone = False
        if pgconn.status != ConnStatus.OK:
            self.end()
            return ""
        return name if has_gone else ""

    def end(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def order_drop(connection: psycopg.Connection[Any], name: str) -> None:
    """Send the order to drop a database, whoever is connected to it; the answer is not waited for.

    :raises psycopg.Error: when it cannot be sent.
    """
    pgconn = connection.pgconn
    pgconn.send_query(drop_statement(name).as_bytes(connection))
    while pgconn.flush():
        select.select([], [pgconn.socket], [])
