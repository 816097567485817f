"""Which database a migration context works on, and what it counts as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.environment import Identity, Journals, identify, read_place
from alembic_safe.database.envpy import own_run_of
from alembic_safe.database.statements import quoted, run
from alembic_safe.inspecting.history import version_table_of

if TYPE_CHECKING:
    import psycopg
    from alembic.runtime.migration import MigrationContext

    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class Target:
    """A database as one look found it.

    :param heads: the rows of its version table.
    :param version_table: the name under which the journal keeps its revisions.
    """

    endpoint: Endpoint
    identity: Identity
    heads: tuple[str, ...]
    version_table: str
    version_schema: str

    @property
    def journals(self) -> Journals | None:
        """Where the journal is, if there is one; the nearest one where several version tables share a database."""
        found = self.identity.place.journals
        beside = [journals for journals in found if journals.prefix and journals.schema == self.version_schema]
        own = [journals for journals in found if not journals.prefix]
        return next(iter([*beside, *own]), None)

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection of our own, with the role that ``env.py`` works as."""
        connection = self.endpoint.connect()
        role = self.identity.place.role
        if run(connection, "SELECT current_user AS it")[0]["it"] != role:
            run(connection, f"SET ROLE {quoted(role)}")
        return connection


def look_at(context: MigrationContext, settings: Settings) -> Target:
    """Find out; reads only, and leaves the transaction that reading begins to the caller."""
    connection: Any = context.connection
    endpoint = Endpoint.from_connection(connection)
    place = read_place(
        connection,
        host=endpoint.host,
        port=endpoint.port,
        is_loopback=endpoint.is_loopback,
        version_table=context.version_table,
        version_schema=context.version_table_schema,
    )
    own = own_run_of(context)
    if own is not None:  # from here on tables are read, and somebody may hold one of them
        own.reading.follow(connection, place.session, endpoint.connect, budget=float(settings.lock_budget))
    heads = context.get_current_heads()
    return Target(
        endpoint,
        identify(connection, place, heads, settings),
        heads,
        version_table_of(context),
        context.version_table_schema or context.dialect.default_schema_name or "public",
    )


def version_tables(target: Target, context: MigrationContext) -> frozenset[str]:
    """Return what is Alembic's own in the database, as :func:`read_catalog` leaves it out."""
    return frozenset({f"{target.version_schema}.{context.version_table}"})
