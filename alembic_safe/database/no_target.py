"""How is env.py run where its database cannot be reached: connected to throw-away ones instead?"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from alembic_safe.database.libpq_words import libpq_names, place_in_environment
from alembic_safe.database.shadow import url_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.database.shadow import Shadow


@contextmanager
def without_target(shadow: Shadow) -> Iterator[None]:
    """While this lasts, whoever connects to a PostgreSQL in this process gets to an empty database of a shadow's server.

    One for each database that is asked for. Connections to the shadow's own databases are left as they are.
    """
    instead: dict[tuple[str, ...], Endpoint] = {}

    def redirect(dialect: Any, record: Any, arguments: list[Any], parameters: dict[str, Any]) -> None:
        del record
        if dialect.name != "postgresql":
            return
        asked = place_in_environment() | libpq_names(parameters)
        ours = {one.database for one in (*shadow.databases.values(), *instead.values())}
        if asked.get("dbname") in ours:
            return
        place = tuple(str(asked.get(word) or "") for word in ("host", "hostaddr", "port", "dbname"))
        if place not in instead:
            instead[place] = shadow.another()
        _, own = dialect.create_connect_args(url_of(instead[place], f"postgresql+{dialect.driver}"))
        arguments.clear()
        parameters.clear()
        parameters.update(own)

    event.listen(Engine, "do_connect", redirect)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", redirect)
