"""The catalog of a database, read on a connection of our own while somebody else, such as a replay, is waited for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from alembic_safe.database.statements import run
from alembic_safe.errors import SafeError
from alembic_safe.inspecting.catalog import read_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.inspecting.target import Target

_PATIENCE = "1s"
"""How long this waits for somebody's lock; who waits longer says so, which a reader in the background does not."""


@contextmanager
def read_beside(target: Target, leave_out: frozenset[str]) -> Iterator[Callable[[], Catalog | None]]:
    """Begin to read a database's catalog in a thread; nothing is written.

    :param leave_out: as :func:`alembic_safe.inspecting.catalog.read_catalog` has it.
    :return: a function that waits for the catalog. It returns ``None`` where this way did not lead there: a lock, no
        further connection, a right that only ``env.py``'s own session has. Then the caller asks on that one.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="alembic-safe-catalog") as pool:
        reading = pool.submit(_read, target, leave_out)
        yield reading.result


def _read(target: Target, leave_out: frozenset[str]) -> Catalog | None:
    try:
        with target.connect() as connection, connection.transaction(force_rollback=True):
            run(connection, "SET TRANSACTION READ ONLY")
            run(connection, f"SET LOCAL lock_timeout = '{_PATIENCE}'")
            return read_catalog(connection, leave_out=leave_out)
    except (psycopg.Error, SafeError):
        return None
