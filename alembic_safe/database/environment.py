"""Which database this is: the marker in it, the declarations about it, and what follows from both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alembic_safe.database.statements import quoted, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg
    from sqlalchemy import Connection

    from alembic_safe.settings import Declaration, Settings

SCHEMA_COMMENT = "alembic-safe journal"
"""How a schema of ours begins its comment; the marker is found by it, whatever the schema is called."""
PREFIX = "alembic_safe_"
"""What the journal's tables start with where they have to live in a schema of somebody else's."""

OWN_SCHEMA = f"""(
  coalesce(obj_description(n.oid, 'pg_namespace'), '') LIKE '{SCHEMA_COMMENT}%' OR EXISTS (
    SELECT FROM pg_catalog.pg_class m JOIN pg_catalog.pg_attribute a ON a.attrelid = m.oid
    WHERE m.relnamespace = n.oid AND m.relname = 'environment' AND m.relkind = 'r' AND NOT a.attisdropped
      AND a.attname IN ('environment', 'protected', 'system_identifier', 'database_oid', 'set_by', 'set_at')
    HAVING count(*) = 6))"""
"""Whether namespace ``n`` is ours: by its comment, or, where a dump was restored without comments, by the marker."""
IS_MARKER = f"(c.relkind = 'r' AND (c.relname = '{PREFIX}environment' OR c.relname = 'environment' AND {OWN_SCHEMA}))"
"""Whether table ``c`` of namespace ``n`` holds a marker."""
MARKED = (
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE {IS_MARKER}) AS it"
)

_MARKERS = f"""SELECT n.nspname || '.' || c.relname AS it
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE {IS_MARKER} ORDER BY n.nspname"""

_FACTS = f"""
SELECT pg_backend_pid() AS session, current_database() AS database, current_user AS role, d.oid::bigint AS database_oid,
       current_setting('server_version_num')::int AS server_version, pg_is_in_recovery() AS in_recovery,
       current_setting('default_transaction_read_only') = 'on' AS read_only,
       has_function_privilege('pg_control_system()', 'EXECUTE') AS knows_system,
       has_database_privilege(current_database(), 'CREATE') AS may_create,
       EXISTS (
         SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
           AND NOT (c.relname = :version_table AND n.nspname = coalesce(:version_schema, current_schema()))
           AND c.relname NOT LIKE :prefix AND NOT {OWN_SCHEMA}
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid
                           AND e.deptype = 'e')
       ) AS has_tables,
       ARRAY({_MARKERS})::text[] AS markers,
       ARRAY(
         SELECT n.nspname || '.' || c.relname
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE {IS_MARKER} AND (row_security_active(c.oid)
           OR NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')))
       )::text[] AS hidden
FROM pg_catalog.pg_database d WHERE d.datname = current_database()
"""

# An empty service container stays a development database for the process that met it empty: a test run
# that migrates it up, down and up again is one story. Keyed by server and database, for this process only.
_met_empty: set[tuple[str, int, int]] = set()


@dataclass(frozen=True)
class Place:
    """What the server and the connection say about a database."""

    host: str
    port: int
    is_loopback: bool
    database: str
    role: str
    database_oid: int
    server_version: int
    in_recovery: bool
    read_only: bool
    may_create: bool
    has_tables: bool
    journals: tuple[Journals, ...]
    system_identifier: str | None = None
    hidden: tuple[Journals, ...] = ()
    """Those of the journals whose marker this role may not read."""
    session: int = field(default=0, compare=False)
    """The server process that was asked."""

    @property
    def server(self) -> str:
        """The server's version as people write it: 16.14."""
        return f"{self.server_version // 10000}.{self.server_version % 10000}"

    @property
    def shown(self) -> str:
        """The database and its host in one phrase: ``shop on db.internal``."""
        if self.host.startswith("/"):
            return f"{self.database} on a local socket"
        port = "" if self.port in (0, 5432) else f":{self.port}"
        return f"{self.database} on {self.host}{port}"


@dataclass(frozen=True)
class Journals:
    """Where the tables of ours are: a schema of our own, or prefixed names in somebody else's."""

    schema: str
    prefix: str = ""

    def table(self, name: str) -> str:
        """Return the quoted, qualified name of one of the journal's tables."""
        return quoted(self.schema, self.prefix + name)


@dataclass(frozen=True)
class Marker:
    """What is written in the database about itself."""

    environment: str
    protected: bool
    system_identifier: str | None
    database_oid: int
    set_by: str
    set_at: datetime

    def is_of(self, place: Place) -> bool:
        """Whether this marker was written in this very database, and did not travel here in a copy."""
        same_system = None in (self.system_identifier, place.system_identifier) or (
            self.system_identifier == place.system_identifier
        )
        return same_system and self.database_oid == place.database_oid


@dataclass(frozen=True)
class Identity:
    """What a database counts as, and why.

    :param environment: its name; ``undeclared`` when nobody said.
    :param protected: whether development verbs and unguarded stock commands are refused.
    :param why: the reason, as the end of a sentence: "set by maria on 2 March".
    :param declared: whether a marker or a declaration said so, rather than the circumstances.
    :param copied: whether a protected database's marker travelled here in a logical copy.
    """

    environment: str
    why: str
    place: Place
    marker: Marker | None = None
    protected: bool = True
    declared: bool = False
    copied: bool = False

    @property
    def undeclared(self) -> bool:
        """Whether nobody has said what this database is; it is then protected from everything but an upgrade."""
        return self.environment == "undeclared"


def read_place(
    connection: Connection, *, host: str, port: int, is_loopback: bool, version_table: str, version_schema: str | None
) -> Place:
    """Ask the database for the facts that its identity rests on; one statement, which only reads."""
    facts: dict[str, Any] = dict(
        run(
            connection, _FACTS,
            {"version_table": version_table, "version_schema": version_schema,
             "prefix": PREFIX.replace("_", "\\_") + "%"},
        )[0]
    )  # fmt: skip
    journals = tuple(_journals(name) for name in facts.pop("markers"))
    hidden = tuple(_journals(name) for name in facts.pop("hidden"))
    knows_system = facts.pop("knows_system")
    place = Place(host=host, port=port, is_loopback=is_loopback, journals=journals, hidden=hidden, **facts)
    if journals and knows_system:
        return _with_system(connection, place)
    return place


def journals_in(connection: Connection | psycopg.Connection[Any]) -> tuple[Journals, ...]:
    """Return where the journals of a database are, one beside the other."""
    return tuple(_journals(row["it"]) for row in run(connection, _MARKERS))


def _journals(name: str) -> Journals:
    schema, _, table = name.rpartition(".")
    return Journals(schema, PREFIX if table.startswith(PREFIX) else "")


def _with_system(connection: Connection, place: Place) -> Place:
    from dataclasses import replace

    return replace(place, system_identifier=read_system_identifier(connection))


def read_system_identifier(connection: Connection) -> str:
    """Return the cluster's own number, which a physical copy shares and a logical one does not."""
    rows = run(connection, "SELECT system_identifier::text AS it FROM pg_control_system()")
    return str(rows[0]["it"])


def read_markers(connection: Connection, place: Place) -> tuple[Marker, ...]:
    """Return the markers that stand in the database (several only where several version tables share it)."""
    found: list[Marker] = []
    for journals in place.journals:
        if journals in place.hidden:
            continue
        # a row whose environment somebody has emptied still says that the database is protected, or is not
        rows = run(
            connection,
            "SELECT coalesce(environment, 'undeclared') AS environment, protected, system_identifier, database_oid,"
            f" set_by, set_at FROM {journals.table('environment')}",
        )
        found.extend(Marker(**row) for row in rows)
    return tuple(found)


def identify(connection: Connection, place: Place, heads: Sequence[str], settings: Settings) -> Identity:
    """Say what a database counts as.

    :param heads: the rows of its version table; a database with neither rows nor tables is an empty one.
    """
    key = (place.host, place.port, place.database_oid)
    if not place.has_tables and not heads:
        _met_empty.add(key)
    markers = read_markers(connection, place) if place.journals else ()
    return judge_identity(place, markers, settings.declarations, met_empty=key in _met_empty)


def judge_identity(
    place: Place, markers: Sequence[Marker], declarations: Sequence[Declaration], *, met_empty: bool
) -> Identity:
    """Weigh marker, declarations and circumstances; no database is asked.

    The marker counts; a declaration can only add to it. Without one the most severe declaration counts, and with
    neither the circumstances. A logical copy of a protected database is nobody's yet, and no variable makes it
    less: whoever restores production somewhere says so in the copy itself.
    """
    if place.hidden:
        table = place.hidden[0].table("environment")
        why = f"it has a marker, {table}, which {place.role} may not read; unread, it counts as protected"
        return Identity("unknown", why, place, protected=True, declared=False)
    severe = max(declarations, key=lambda d: d.protected, default=None)
    marker = max(markers, key=lambda m: (m.protected, m.is_of(place)), default=None)
    if marker is not None and marker.protected and not marker.is_of(place):
        if severe is not None and severe.protected:
            return _declared(severe, place, marker, copied=True)
        why = f"a copy of a database that {marker.set_by} marked as {marker.environment}; nobody has declared the copy"
        return Identity("undeclared", why, place, marker, protected=True, declared=False, copied=True)
    if marker is not None:
        if severe is not None and severe.protected and not marker.protected:
            return _declared(severe, place, marker)
        why = f"set by {marker.set_by} on {marker.set_at:%Y-%m-%d}"
        return Identity(marker.environment, why, place, marker, protected=marker.protected, declared=True)
    if severe is not None:
        return _declared(severe, place)
    if place.is_loopback:
        return _circumstantial("development", "on this machine, and nobody declared it otherwise", place)
    if met_empty:
        return _circumstantial("development", "an empty database, and nobody declared it otherwise", place)
    return _circumstantial("undeclared", f"on {place.host}, with tables in it, and nobody has declared it", place)


def _declared(by: Declaration, place: Place, marker: Marker | None = None, *, copied: bool = False) -> Identity:
    why = f"declared by {by.source}"
    return Identity(by.environment, why, place, marker, protected=by.protected, declared=True, copied=copied)


def _circumstantial(environment: str, why: str, place: Place) -> Identity:
    return Identity(environment, why, place, protected=environment == "undeclared", declared=False)
