"""Where do connections go that others make in this process: to their own place, or to a shadow in its stead?"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import event
from sqlalchemy.engine import Engine

from alembic_safe.database.libpq_words import libpq_names, place_in_environment
from alembic_safe.database.shadow import url_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from alembic_safe.database.endpoint import Endpoint


@contextmanager
def connections_redirected(instead: Callable[[Mapping[str, str | None], str], Endpoint | None]) -> Iterator[None]:
    """While this lasts, every connection to a PostgreSQL that an SQLAlchemy engine makes is asked after.

    :param instead: given what libpq would be told (``host``, ``dbname``, ...) and the name of the driver, returns where the
        connection goes; ``None``: where it was going. May raise, and no connection is made.
    """

    def redirect(dialect: Any, record: Any, arguments: list[Any], parameters: dict[str, Any]) -> None:
        del record
        if dialect.name != "postgresql":
            return
        dsn = conninfo_to_dict(arguments[0]) if arguments and isinstance(arguments[0], str) else {}
        endpoint = instead(place_in_environment() | libpq_names(dsn | parameters), dialect.driver)
        if endpoint is None:
            return
        _, own = dialect.create_connect_args(url_of(endpoint, f"postgresql+{dialect.driver}"))
        arguments.clear()
        parameters.clear()
        parameters.update(own)

    event.listen(Engine, "do_connect", redirect)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", redirect)
