"""How env.py is given a connection to a shadow in the place of the one it made itself."""

# env.py stays as it is: it connects to the target, says on that connection who it is and where it looks, and hands it
# to context.configure(). There it is swapped; what env.py had set in its session is set on the shadow, too.
from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool

from alembic_safe.database.bootstrap import run_bootstrap
from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.libpq_words import DEFAULT_PORT
from alembic_safe.database.redirected import connections_redirected
from alembic_safe.database.sent_ahead import SentAhead, can_send_ahead
from alembic_safe.database.shadow import url_of
from alembic_safe.database.shadow_patience import Patience
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import OutOfTime, SafeError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection, Engine, RootTransaction

    from alembic_safe.database.shadow import Shadow

_SESSION = """
SELECT current_setting('role') AS role, current_schema() AS schema,
       to_regclass(:version_table)::oid AS version_table,
       (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = to_regclass(:version_table)) AS version_schema,
       coalesce((SELECT jsonb_object_agg(name, current_setting(name)) FROM pg_settings WHERE source = 'session'), '{}')
         AS settings
"""
_SETTABLE = """
SELECT set_config(s.name, :settings ::jsonb ->> s.name, false) FROM pg_settings s
WHERE s.context IN ('user', 'superuser') AND :settings ::jsonb ? s.name
"""
_SYNC_DRIVERS = ("psycopg", "psycopg2")
# part of the way to the target, or bound to the connection that they were set on
_OWN_OPTIONS = frozenset({"compiled_cache", "logging_token", "stream_results", "yield_per"})


class Swap:
    """Hands out connections to a shadow while ``env.py`` runs, one database for each place that env.py connects to.

    :param one_by_one: each revision gets a transaction of its own, whatever env.py says.
    :param bootstrap: a script with what is there before the first revision, for databases that are made here.
    """

    def __init__(self, shadow: Shadow, *, one_by_one: bool, bootstrap: Path | None = None) -> None:
        self.shadow = shadow
        self.one_by_one = one_by_one
        self.together = False
        """Whether the revisions of a context share one transaction."""
        self._bootstrap = bootstrap
        self.patience = Patience(shadow)
        self.places: list[str] = []
        """The places that env.py connected to, in its order."""
        self._engines: list[Engine] = []
        self._connections: list[Connection] = []
        self._given: dict[int, Connection] = {}
        self._outer: dict[int, RootTransaction] = {}
        self._ahead: dict[int, SentAhead] = {}

    def prepare(self, env: EnvironmentContext) -> None:
        """Wrap ``configure`` on the instance: alembic.context finds the method there, and no subclass is asked."""
        configure = env.configure

        def configure_on_shadow(connection: Connection | None = None, *args: Any, **kw: Any) -> None:
            if self.one_by_one:
                kw["transaction_per_migration"] = True
            self.together = self.together or not kw.get("transaction_per_migration")
            if connection is not None and connection.dialect.name == "postgresql":
                outer = connection.in_transaction() and not self.one_by_one
                connection = self._instead_of(connection)
                if outer:
                    self.together = True
                    self._outer[id(connection)] = connection.begin()
            configure(connection, *args, **kw)

        env.configure = configure_on_shadow  # type: ignore[method-assign]

    def place_of(self, context: MigrationContext) -> str:
        """Return which of the target's places a context stands for."""
        return place_of(self._given[id(context.connection)])

    def settle(self, context: MigrationContext) -> None:
        """Set on the shadow's session what env.py has set on its own: role, search path, and whatever else.

        Called when the run begins, as env.py may say it on either side of ``configure()``.
        """
        connection: Any = context.connection
        given = self._given[id(connection)]
        table = quoted(*filter(None, (context.version_table_schema, context.version_table)))
        with _left_as_it_was(given):
            said = run(given, _SESSION, {"version_table": table})[0]
        with _committed(connection):
            run(connection, _SETTABLE.replace("::jsonb ?", "::jsonb OPERATOR(pg_catalog.?)"),
                {"settings": _json(said["settings"])})  # fmt: skip
            schema = context.version_table_schema or said["version_schema"] or said["schema"]
            # before the first revision its schema must be there: on the target, somebody made it beforehand
            if schema and not context.get_current_heads() and not _has_schema(connection, schema):
                run(connection, f"CREATE SCHEMA {quoted(schema)}")
                if said["role"] != "none":
                    run(connection, f"GRANT ALL ON SCHEMA {quoted(schema)} TO {quoted(said['role'])}")
            if said["role"] != "none":
                run(connection, f"SET ROLE {quoted(said['role'])}")
        connection.dialect.default_schema_name = given.dialect.default_schema_name

    def end(self, connection: Connection) -> None:
        """Commit what stands for a transaction that env.py had begun on its own connection before ``configure()``."""
        outer = self._outer.get(id(connection))
        if outer is not None and outer.is_active:
            outer.commit()
        elif outer is not None and connection.in_transaction():
            connection.commit()  # a revision has ended the outer one itself; what came behind is part of the same

    @contextmanager
    def sent_ahead(self, context: MigrationContext) -> Iterator[None]:
        """While revisions run in the transactions that env.py wants: send statements before the last one is done.

        :raises SentAheadFailed: when one of them failed, and it is not known which.
        """
        connection: Any = context.connection
        ahead = self._ahead.get(id(connection))
        if ahead is None:
            yield
            return
        ahead.begin(connection, context._version)  # noqa: SLF001 - Alembic's own table
        yield
        ahead.end()

    @property
    def failed_ahead(self) -> bool:
        """Whether a statement that was sent ahead failed: then nothing that was seen since is an answer."""
        return any(ahead.failed for ahead in self._ahead.values())

    def may_go_otherwise(self, error: BaseException) -> bool:
        """Whether revisions that failed may run through when each has a transaction, and every statement its answer."""
        if self.failed_ahead:  # an env.py that rolls back what was sent ahead may fail in any way
            return True
        was_quick = self.together or any(ahead.was_used for ahead in self._ahead.values())
        return was_quick and isinstance(error, SafeError) and not isinstance(error, OutOfTime)

    def close(self) -> None:
        """Let every connection to the shadow go."""
        for connection in self._connections:
            connection.close()
        for engine in self._engines:
            engine.dispose()

    def _instead_of(self, given: Connection) -> Connection:
        place = place_of(given)
        if place not in self.places:
            self.places.append(place)
            if self._bootstrap is not None and self.shadow.makes(place):
                run_bootstrap(self.shadow.database_for(place), self._bootstrap)
        dialect: Any = given.dialect
        # an async env.py hands over a facade that works inside its event loop; a shadow's connection needs none
        driver = dialect.driver if dialect.driver in _SYNC_DRIVERS else "psycopg"
        url = url_of(self.shadow.database_for(place), f"postgresql+{driver}")
        options = given.engine.url.query.get("options")
        engine = create_engine(
            url.update_query_dict({"options": options}) if options else url,
            poolclass=NullPool,
            json_serializer=getattr(dialect, "_json_serializer", None),
            json_deserializer=getattr(dialect, "_json_deserializer", None),
        )
        if dialect.paramstyle not in ("format", "pyformat"):
            event.listen(engine, "before_cursor_execute", _percent_is_percent, retval=True)
        kept = {key: value for key, value in given.get_execution_options().items() if key not in _OWN_OPTIONS}
        ahead = SentAhead(engine) if can_send_ahead(engine) and not self.one_by_one else None
        connection = engine.connect().execution_options(**kept)
        if ahead is not None:
            self._ahead[id(connection)] = ahead
        self._engines.append(engine)
        self._connections.append(connection)
        self._given[id(connection)] = given
        return connection


def _percent_is_percent(
    connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
) -> tuple[str, Any]:
    """Let a percent sign in a driver's own SQL stand for itself, as with a driver whose parameters are not written so.

    ``exec_driver_sql("SELECT format('%I', ...)")`` runs under asyncpg, and psycopg would look for a parameter there.
    """
    del connection, cursor, executemany
    by_driver = getattr(context, "compiled", None) is None and not getattr(context, "no_parameters", False)
    return (statement.replace("%", "%%") if by_driver and not parameters else statement), parameters


@contextmanager
def elsewhere_refused(swap: Swap) -> Iterator[None]:
    """While revisions run: whoever connects to one of the target's places gets to its shadow instead.

    A revision that works through the application's own session would otherwise write to the target.
    """
    places = {place: swap.shadow.database_for(place) for place in swap.places}

    def instead(asked: Mapping[str, str | None], driver: str) -> Endpoint | None:
        endpoint = places.get(_place(asked.get("host"), asked.get("hostaddr"), asked.get("port"), asked.get("dbname")))
        if endpoint is not None and driver not in _SYNC_DRIVERS:
            raise WrongUsage(
                f"A revision connects to the target by itself, with {driver}, while it is replayed on a shadow;"
                " its connection was not made.",
            )
        return endpoint

    with connections_redirected(instead):
        yield


def place_of(connection: Connection) -> str:
    """Return the address of the database that a connection is to; users and options are no part of it."""
    endpoint = Endpoint.from_connection(connection)
    return _place(endpoint.host, dict(endpoint.parameters).get("hostaddr"), str(endpoint.port), endpoint.database)


def _place(host: str | None, hostaddr: str | None, port: str | None, database: str | None) -> str:
    return f"{hostaddr or host or ''}:{port or DEFAULT_PORT}/{database or ''}"


def _has_schema(connection: Connection, name: str) -> bool:
    return bool(
        run(connection, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :name) AS it", {"name": name})[0]["it"]
    )


def _json(settings: Any) -> str:
    import json

    return settings if isinstance(settings, str) else json.dumps(settings)


@contextmanager
def _left_as_it_was(connection: Connection) -> Iterator[None]:
    """End a transaction that only our own reading began."""
    was = connection.in_transaction()
    try:
        yield
    finally:
        if not was and connection.in_transaction():
            connection.rollback()


@contextmanager
def _committed(connection: Connection) -> Iterator[None]:
    """Commit what a session is told, unless env.py holds a transaction open itself: then it goes with that one."""
    was = connection.in_transaction()
    yield
    if not was and connection.in_transaction():
        connection.commit()
