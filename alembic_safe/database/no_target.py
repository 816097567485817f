"""How is env.py run where its database cannot be reached: connected to throw-away ones instead?"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from alembic_safe.database.redirected import connections_redirected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.database.shadow import Shadow


@contextmanager
def without_target(shadow: Shadow) -> Iterator[None]:
    """While this lasts, whoever connects to a PostgreSQL in this process gets to an empty database of a shadow's server.

    One for each database that is asked for. Connections to the shadow's own databases are left as they are.
    """
    made: dict[tuple[str, ...], Endpoint] = {}

    def instead(asked: Mapping[str, str | None], driver: str) -> Endpoint | None:
        del driver
        if asked.get("dbname") in {one.database for one in (*shadow.databases.values(), *made.values())}:
            return None
        place = tuple(asked.get(word) or "" for word in ("host", "hostaddr", "port", "dbname"))
        if place not in made:
            made[place] = shadow.another()
        return made[place]

    with connections_redirected(instead):
        yield
