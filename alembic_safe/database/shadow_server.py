"""What a server that may hold shadows is asked and told: make one, tag it, copy it, drop it, find leftovers."""

# Only a database that says itself that it is ours is ever dropped (shadow_tag.py). Whether its run is alive is known by an
# advisory lock on its name, which the server itself lets go of when the run's connection ends, however that ends.
from __future__ import annotations

import select
import time
import uuid
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.pq import ConnStatus, ExecStatus

from alembic_safe.database.shadow_drops import Drops, order_drop
from alembic_safe.database.shadow_sql import (
    comment_statement,
    connections_statement,
    create_statement,
    drop_statement,
    rename_statement,
)
from alembic_safe.database.shadow_tag import MARK, NAME, TAG, Leftover, Tag
from alembic_safe.database.statements import run
from alembic_safe.errors import Missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.pq.abc import PGresult

    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.database.shadow_sql import Locale

_ASK_AGAIN = 0.1
_REFUSED_WITHIN = 0.01
"""Seconds within which a server says that it will not drop a database."""
_ALIVE = 0x5AFE
_BUILDING = 0x5AFF

_NO_TIMEOUTS = """
SELECT set_config(name, '0', false) FROM pg_settings
WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_session_timeout', 'transaction_timeout',
  'client_connection_check_interval') AND setting <> '0'
"""
_LEFTOVERS = f"""
SELECT d.datname AS name, shobj_description(d.oid, 'pg_database') AS tag,
       EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid AND a.backend_type = 'client backend') AS in_use,
       ARRAY(SELECT l.objid::bigint FROM pg_locks l
             WHERE l.locktype = 'advisory' AND l.classid = {_ALIVE} AND l.objsubid = 2) AS alive,
       pg_has_role(current_user, d.datdba, 'USAGE') AS droppable
FROM pg_database d
WHERE starts_with(shobj_description(d.oid, 'pg_database'), :tag)
  OR (shobj_description(d.oid, 'pg_database') IS NULL AND starts_with(d.datname, :name) AND d.datconnlimit = {MARK})
ORDER BY d.datname
"""


class ShadowServer:
    """One server with shadows on it; a connection of ours holds the locks that tell that we are alive."""

    def __init__(self, endpoint: Endpoint, rung: str, *, private: bool = False) -> None:
        self.endpoint = endpoint
        self.rung = rung
        self.private = private
        self.connection = endpoint.connect()
        # a role's own limits are for the application: this connection is idle while revisions run, and drops at the end
        run(self.connection, _NO_TIMEOUTS)
        self.version: int = self.connection.info.server_version
        self._made: list[str] = []
        self._drops = Drops(endpoint, lambda connection: run(connection, _NO_TIMEOUTS))

    def close(self) -> None:
        """Drop what this run made, and go; the server may still be dropping the last of them for a moment.

        :raises psycopg.Error: when one of them could not be dropped; the others are gone.
        """
        problem: psycopg.Error | Missing | None = None
        self._has_gone(self._drops.wait())
        self._drops.end()
        names = tuple(self._made)
        for name in names:
            may_leave = name == names[-1] and not self.private and not self.connection.closed
            try:
                self._order_drop(name) if may_leave else self._drop_now(name)
            except (psycopg.Error, Missing) as error:  # the others can still go
                problem = problem or error
        self.connection.close()
        if problem is not None:
            raise problem

    def _order_drop(self, name: str) -> None:
        """Send the order to drop a database, and do not wait until it is done: a drop waits for a checkpoint.

        The server goes through what it has received, whether or not somebody is there for the answer; the lock that
        tells that we are alive is held until then. Only of the last: a backend that could not deliver an answer
        takes no further order. A refusal comes at once, and is waited for.

        :raises psycopg.Error: when the server refuses.
        """
        order_drop(self.connection, name)
        pgconn = self.connection.pgconn
        if select.select([pgconn.socket], [], [], _REFUSED_WITHIN)[0]:
            result = pgconn.get_result()
            if result is not None and result.status == ExecStatus.FATAL_ERROR:
                raise psycopg.errors.error_from_result(result, self.connection.info.encoding)

    def create(self, *, locale: Locale | None = None, template: str | None = None) -> str:
        """Make a tagged database.

        :param locale: for an empty one: its encoding and collation.
        :param template: make it a copy of this database of ours instead.
        :raises psycopg.Error: when the server does not let us.
        """
        name = f"{NAME}{uuid.uuid4().hex[:12]}"
        self.connection.execute("SELECT pg_advisory_lock(%s, %s)", (_ALIVE, _key(name)))
        self._made.append(name)
        try:
            self._create_tagged(
                create_statement(name, locale, template, self.version), comment_statement(name, Tag.now().comment())
            )
            # a replay commits behind each revision, and nobody needs a shadow that a crash has cut short
            self.connection.execute(
                sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name))
            )
        except psycopg.Error:
            self._made.remove(name)
            raise
        return name

    def drop(self, name: str) -> None:
        """Let the server drop a database that this run made, while we go on; whoever is connected to it is sent away.

        What does not go that way goes with the others, at the end.
        """
        self._has_gone(self._drops.begin(name))

    def _has_gone(self, name: str) -> None:
        if name in self._made:
            self._made.remove(name)
            if not self.connection.closed:
                self.connection.execute("SELECT pg_advisory_unlock(%s, %s)", (_ALIVE, _key(name)))

    def _drop_now(self, name: str) -> None:
        connection = self.connection
        if connection.closed:
            # it went while we worked; one more try, then the next run finds what is left by its tag
            connection = self.endpoint.connect()
        connection.execute(drop_statement(name))
        self._made.remove(name)
        connection.execute("SELECT pg_advisory_unlock(%s, %s)", (_ALIVE, _key(name)))
        if connection is not self.connection:
            connection.close()

    def keep_as_template(self, name: str, template: str, tag: Tag) -> None:
        """Turn a finished shadow into a template to copy from: it stays, under its own name, and takes no connections."""
        self.connection.execute(connections_statement(name, allowed=False))
        self.connection.execute(rename_statement(name, template))
        self.connection.execute(comment_statement(template, tag.comment()))
        self._made.remove(name)

    @contextmanager
    def building(self, key: str) -> Iterator[None]:
        """Wait until nobody else builds or reads the template of this key, and keep others waiting meanwhile."""
        # asked again and again: a statement that waits would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for it
        while self.connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (_BUILDING, _key(key))).fetchone() != (
            True,
        ):
            time.sleep(_ASK_AGAIN)
        try:
            yield
        finally:
            if not self.connection.closed:
                self.connection.execute("SELECT pg_advisory_unlock(%s, %s)", (_BUILDING, _key(key)))

    @contextmanager
    def opened(self, template: str) -> Iterator[None]:
        """Let a template be connected to while this lasts; nobody prunes it meanwhile.

        :raises psycopg.Error: when it is gone, or not ours to open.
        """
        self.connection.execute("SELECT pg_advisory_lock(%s, %s)", (_ALIVE, _key(template)))
        try:
            self.connection.execute(connections_statement(template, allowed=True))
            yield
        finally:
            if not self.connection.closed:
                with suppress(psycopg.Error):  # somebody dropped it by hand
                    self.connection.execute(connections_statement(template, allowed=False))
                self.connection.execute("SELECT pg_advisory_unlock(%s, %s)", (_ALIVE, _key(template)))

    def leftovers(self) -> tuple[Leftover, ...]:
        """Return every database here that carries our tag, those of this run included."""
        found: list[Leftover] = []
        for row in run(self.connection, _LEFTOVERS, {"tag": TAG, "name": NAME}):
            # a kill between CREATE DATABASE and its comment
            tag = Tag.now() if row["tag"] is None else Tag.read(row["tag"])
            if tag is not None:
                alive = row["in_use"] or (_key(row["name"]) & 0xFFFFFFFF) in row["alive"]
                found.append(Leftover(row["name"], tag, alive, row["droppable"]))
        return tuple(found)

    def keeps_templates(self) -> bool:
        """Whether any replay is kept here."""
        return any(one.tag.kind == "template" for one in self.leftovers())

    def prune(self, *, templates_kept: int | None = None) -> tuple[Leftover, ...]:
        """Drop the shadows whose run is gone, and all templates but the newest.

        :param templates_kept: how many templates stay; ``None``: all of them.
        :return: what was dropped.
        """
        found = [one for one in self.leftovers() if one.droppable and not one.alive]
        templates = sorted((one for one in found if one.tag.kind == "template"), key=lambda one: one.tag.made_at)
        surplus = [] if templates_kept is None else templates[: max(0, len(templates) - templates_kept)]
        dropped: list[Leftover] = []
        for one in [*(one for one in found if one.tag.kind != "template"), *surplus]:
            try:
                self.connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(one.name)))
            except psycopg.errors.ObjectInUse:  # somebody came in between
                continue
            dropped.append(one)
        return tuple(dropped)

    def _create_tagged(self, create: sql.Composed, comment: sql.Composed) -> None:
        """Send CREATE DATABASE and its comment together, so that no kill of ours can leave a database without a tag.

        A client that dies in between has already sent both: the server goes through what it received. They must be
        two transactions, as CREATE DATABASE takes none, so each has a Sync of its own.
        """
        statements = [statement.as_bytes(self.connection) for statement in (create, comment)]
        if not psycopg.capabilities.has_pipeline():
            for statement in statements:
                self.connection.execute(statement)
            return
        with self.connection.lock:  # another thread may be about to ask something
            results = self._sent_together(statements)
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise psycopg.errors.error_from_result(result, self.connection.info.encoding)

    def _sent_together(self, statements: list[bytes]) -> list[PGresult]:
        pgconn = self.connection.pgconn
        results: list[PGresult] = []
        pgconn.enter_pipeline_mode()
        try:
            for statement in statements:
                pgconn.send_query_params(statement, None)
                pgconn.pipeline_sync()
            syncs = 0
            while syncs < len(statements):
                result = pgconn.get_result()
                if pgconn.status != ConnStatus.OK:
                    raise psycopg.OperationalError("the connection was lost while a shadow was made")
                if result is not None:
                    results.append(result)
                    syncs += result.status == ExecStatus.PIPELINE_SYNC
        finally:
            if pgconn.status == ConnStatus.OK:
                pgconn.exit_pipeline_mode()
        return results


def _key(name: str) -> int:
    """Return an advisory lock's second number for a name: a signed 32-bit integer."""
    number = zlib.crc32(name.encode())
    return number - (1 << 32) if number >= 1 << 31 else number
