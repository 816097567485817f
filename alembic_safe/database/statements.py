"""How SQL of ours is run: one way, on SQLAlchemy's connections and on our own."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, quoted_name, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from alembic_safe.database.sql_words import as_sent, for_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import psycopg
    from sqlalchemy import TextClause
    from sqlalchemy.schema import DDLElement

OURS = {"alembic_safe_ours": True}
"""The execution options of a statement that is ours: it ends no transaction."""
# named: a preparer for a driver with % parameters would double every % here, and text() once more
_DIALECT = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call,unused-ignore]
_PREPARER = _DIALECT.identifier_preparer


def quoted(*names: str) -> str:
    """Return a (qualified) identifier, every part quoted whatever it holds: ``"public"."Order"``."""
    return ".".join(_PREPARER.quote_identifier(quoted_name(name, quote=True)) for name in names)


def ddl_text(element: DDLElement) -> str:
    """Return SQLAlchemy's text for a CREATE or DROP, every % in it single."""
    return str(element.compile(dialect=_DIALECT))


def run(
    connection: Connection | psycopg.Connection[Any], sql: str, params: Mapping[str, object] | None = None
) -> Sequence[Mapping[str, Any]]:
    """Run one statement and return its rows as mappings.

    :param connection: SQLAlchemy's (any driver, also inside an async ``env.py``) or a psycopg connection of ours.
    :param sql: PostgreSQL with ``:name`` parameters; identifiers in it come from :func:`quoted`, what somebody else wrote
        from ``sql_words.verbatim``. A colon in a string, a quoted name or a comment is no parameter.
    """
    values = dict(params or {})
    if isinstance(connection, Connection):
        result = connection.execute(as_text(sql), values, execution_options=OURS)
        return [dict(row) for row in result.mappings()] if result.returns_rows else []
    from psycopg.rows import dict_row

    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(_for_psycopg(sql).encode(), values)
        return cursor.fetchall() if cursor.description else []


def run_at_once(connection: Connection, statements: Sequence[str]) -> None:
    """Run statements that return nothing, all of them sent at once, whatever the driver.

    :param statements: as :func:`run` takes them, without parameters.
    """
    if statements:
        run(connection, together(statements))


def together(statements: Sequence[str]) -> str:
    """Return one statement that runs several which return nothing."""
    if len(statements) == 1:
        return statements[0]
    return f"DO $together$ BEGIN{''.join(map(_executed, statements))} END $together$"


def _executed(statement: str) -> str:
    """Return one statement of a block, to be read in the server's log where nothing in it ends the block."""
    sent = as_sent(statement)
    if "$together$" in sent or "$statement$" in sent:
        return f" EXECUTE {literal(sent)};"
    return f" EXECUTE $statement$ {sent} $statement$;"


def literal(value: str) -> str:
    """Return a text as SQL without a dollar, so that it ends no string in dollars around it."""
    for character, written in (("\\", "\\\\"), ("'", "''"), ("$", "\\x24")):
        value = value.replace(character, written)
    return f"E'{value}'"


def run_counting(
    connection: Connection | psycopg.Connection[Any], sql: str, params: Mapping[str, object] | None = None
) -> int:
    """Run one statement that returns no rows, and return how many it wrote."""
    values = dict(params or {})
    if isinstance(connection, Connection):
        return max(0, connection.execute(as_text(sql), values).rowcount)
    with connection.cursor() as cursor:
        cursor.execute(_for_psycopg(sql).encode(), values)
        return max(0, cursor.rowcount)


def set_local(connection: Connection | psycopg.Connection[Any], settings: Mapping[str, str]) -> None:
    """Set parameters for the running transaction, in one statement."""
    _set(connection, settings, is_local=True)


def set_session(connection: Connection | psycopg.Connection[Any], settings: Mapping[str, str]) -> None:
    """Set parameters for the rest of the session, once the running transaction is committed, in one statement."""
    _set(connection, settings, is_local=False)


def current_settings(connection: Connection, names: Iterable[str]) -> dict[str, str]:
    """Return what parameters are, asked in one statement: whoever waits for a lock of ours waits for every one we send."""
    wanted = list(names)
    shown = ", ".join(f"pg_catalog.current_setting(:name_{n}) AS value_{n}" for n in range(len(wanted)))
    row = run(connection, f"SELECT {shown}", {f"name_{n}": name for n, name in enumerate(wanted)})[0]
    return {name: str(row[f"value_{n}"]) for n, name in enumerate(wanted)}


def setting_local(settings: Mapping[str, str]) -> list[str]:
    """Return what sets parameters for the running transaction, to be sent together with other statements."""
    calls = [f"pg_catalog.set_config({literal(name)}, {literal(value)}, true)" for name, value in settings.items()]
    return [f"SELECT {', '.join(calls)}"] if calls else []


@contextmanager
def session_settings(connection: Connection, settings: Mapping[str, str]) -> Iterator[None]:
    """Let parameters hold in every transaction inside, and put them back behind the last, whatever ended it.

    :param connection: in no transaction, also at the end.
    """
    with connection.begin():
        before = current_settings(connection, settings)
        set_session(connection, settings)
    try:
        yield
    finally:
        if not connection.closed and not connection.invalidated:
            try:
                connection.rollback()
                with connection.begin():
                    set_session(connection, before)
            except DBAPIError:
                if not connection.invalidated:  # a session that is gone has no settings
                    raise


def _set(connection: Connection | psycopg.Connection[Any], settings: Mapping[str, str], *, is_local: bool) -> None:
    if not settings:
        return
    local = "true" if is_local else "false"
    calls = ", ".join(f"pg_catalog.set_config(:name_{n}, :value_{n}, {local})" for n in range(len(settings)))
    params: dict[str, object] = {}
    for n, (name, value) in enumerate(settings.items()):
        params |= {f"name_{n}": name, f"value_{n}": value}
    run(connection, f"SELECT {calls}", params)


@functools.lru_cache(maxsize=256)
def as_text(sql: str) -> TextClause:
    """Return a statement as SQLAlchemy takes it."""
    return text(for_text(sql))


@functools.cache
def _for_psycopg(sql: str) -> str:
    from sqlalchemy.dialects.postgresql import psycopg as dialect

    return str(as_text(sql).compile(dialect=dialect.dialect()))  # type: ignore[no-untyped-call,unused-ignore]
