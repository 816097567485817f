"""Whether a pooler hands our statements to different sessions of the server, where no session lock holds."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg

from alembic_safe.errors import Missing, NextStep

if TYPE_CHECKING:
    from collections.abc import Callable

_STATEMENTS = 4
_PID = "SELECT pg_backend_pid()"


def refuse_pooler(connection: psycopg.Connection[Any], connect: Callable[[], psycopg.Connection[Any]]) -> None:
    """Stop behind a pooler that changes sessions between transactions; a pooler in session mode is none of these.

    :param connection: ours, in autocommit.
    :param connect: opens one more, which is closed here; only called when something stands between us and the server.
    :raises Missing: when there is such a pooler.
    """
    pids = {_pid(connection) for _ in range(_STATEMENTS)}
    if len(pids) > 1:
        raise looks_shared()
    # The server tells its process id at connection; a pooler has no such process, and tells something of its own.
    if pids == {connection.info.backend_pid}:
        return
    # An idle pooler gives us the same session each time, by chance. Two clients of one session are no chance.
    with closing(connect()) as other:
        other.autocommit = True
        try:
            with other.transaction():
                shared = _pid(other) in pids or _pid(connection) not in pids
        except psycopg.errors.ProtocolViolation as error:  # a pool in statement mode allows no transaction at all
            raise looks_shared() from error
        if shared:
            raise looks_shared()


def looks_shared() -> Missing:
    """Return the error for a connection whose statements do not stay in one session."""
    return Missing(
        "This URL leads to a pooler in transaction mode: statements of one connection run in different sessions of the "
        "server, where neither the deploy lock nor SET holds.",
        next_steps=[
            NextStep("give the URL of the server itself (or of a pool in session mode) to deployments; pgbouncer's is"
                     " usually on port 6432, the server's on 5432"),
        ],
    )  # fmt: skip


def _pid(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(_PID).fetchone()
    return int(row[0]) if row else 0
