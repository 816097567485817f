"""Which objects does a database have, and what does its server say of each? Asked in a handful of queries."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from alembic_safe.database.statements import run
from alembic_safe.inspecting.catalog_sql import ALWAYS, Part
from alembic_safe.inspecting.catalog_sql_rest import FOREIGN, REPLICATION, SCHEMAS, STATISTICS, SYSTEM_GRANTS
from alembic_safe.inspecting.catalog_sql_search import OPERATORS, SEARCH
from alembic_safe.inspecting.catalog_sql_tables import ATTACHED, COLUMNS, CONSTRAINTS, INDEXES, RELATIONS, SEQUENCES
from alembic_safe.inspecting.catalog_sql_types import ROUTINES, TYPES
from alembic_safe.inspecting.rights import roles_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import psycopg

    AnyConnection = Connection | psycopg.Connection[Any]

GROUPS = (
    SCHEMAS, RELATIONS, COLUMNS, CONSTRAINTS, INDEXES, SEQUENCES, ATTACHED, TYPES, ROUTINES, FOREIGN, REPLICATION, STATISTICS,
    OPERATORS, SEARCH, SYSTEM_GRANTS,
)  # fmt: skip

# Everything that changes how the server writes an expression; local to the transaction. The search path is empty, so
# that every name comes with its schema, whatever the session's own is.
SETTINGS = {
    "search_path": "", "DateStyle": "ISO, YMD", "IntervalStyle": "postgres", "TimeZone": "UTC", "extra_float_digits": "3",
    "bytea_output": "hex", "quote_all_identifiers": "off", "standard_conforming_strings": "on",
    "jit": "off",  # compiling these queries takes longer than running them
}  # fmt: skip
_SET = "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in SETTINGS.items())


def described(connection: AnyConnection, hidden: list[str]) -> Iterator[Mapping[str, Any]]:
    """Yield a row for every object of the kinds that the database has.

    Which ones it has is asked behind those that it always has: so what a column needs is found where the column was.
    """
    for group in GROUPS:
        yield from _found(connection, [part for part in group if part.source == ALWAYS], hidden)
    sources = list(dict.fromkeys(part.source for group in GROUPS for part in group if part.source != ALWAYS))
    asked = ", ".join(f"EXISTS (SELECT FROM {source})" for source in sources)
    answers = run(connection, f"SELECT ARRAY[{asked}] AS it")[0]["it"]
    there = {source for source, answer in zip(sources, answers, strict=True) if answer}
    for group in GROUPS:
        yield from _found(connection, [part for part in group if part.source in there], hidden)


def _found(connection: AnyConnection, parts: list[Part], hidden: list[str]) -> Sequence[Mapping[str, Any]]:
    if not parts:
        return ()
    every = " UNION ALL ".join(part.sql for part in parts)
    query = f"SELECT * FROM ({every}) AS found (kind, schema, name, parent, attributes)"
    return run(connection, query, {"hidden": hidden} if ":hidden" in query else {})


def spelled_in(connection: AnyConnection, every: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of roles that hold rights beside the owners, as the server quotes them."""
    names = {
        role for found in every if found.get("grants") for role in roles_in(found["grants"]) - {found["grants_owner"]}
    }
    if not names:
        return {}
    query = "SELECT it, quote_ident(it) AS spelled FROM unnest(CAST(:names AS text[])) AS it"
    return {row["it"]: row["spelled"] for row in run(connection, query, {"names": sorted(names)})}


@contextmanager
def reading(connection: AnyConnection) -> Iterator[None]:
    """Open what SET LOCAL is local to, and undo it: a transaction, or a savepoint where there is one already."""
    if not isinstance(connection, Connection):
        with connection.transaction(force_rollback=True):
            run(connection, _SET)
            yield
        return
    own = None if connection.in_transaction() else connection.begin()
    try:
        if _is_in_block(connection):
            savepoint = connection.begin_nested()
            try:
                run(connection, _SET)
                yield
            finally:
                savepoint.rollback()
        else:
            connection.exec_driver_sql("BEGIN")
            try:
                run(connection, _SET)
                yield
            finally:
                connection.exec_driver_sql("ROLLBACK")
    finally:
        if own is not None:
            own.rollback()


def _is_in_block(connection: Connection) -> bool:
    """Tell whether the server is in a transaction block: in autocommit SQLAlchemy believes so when it is not.

    Within a block the time stands still.
    """
    times = [run(connection, "SELECT now()::text AS it")[0]["it"] for _ in range(2)]
    return bool(times[0] == times[1])
