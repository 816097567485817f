"""The new database that a backup is restored into: made like its source, and taken back when that fails."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from alembic_safe.deploying.backup_contents import connect_as
from alembic_safe.errors import BackupFailed, Interrupted, Missing, NextStep, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import LiteralString

    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.deploying.backup_contents import DatabaseFacts


_LOCALE_OPTION: dict[str, LiteralString] = {"icu": "ICU_LOCALE", "builtin": "BUILTIN_LOCALE"}


def any_database(endpoint: Endpoint) -> Endpoint:
    """Return a way to some database of the server: the lost one may be why somebody restores."""
    failures: list[Missing] = []
    for name in (endpoint.database, "postgres", "template1"):
        try:
            endpoint.with_database(name).connect().close()
        except Missing as error:  # noqa: PERF203 - three attempts at the most
            failures.append(error)
        else:
            return endpoint.with_database(name)
    raise failures[0]


@contextmanager
def new_database(maintenance: Endpoint, role: str | None, name: str, like: DatabaseFacts | None) -> Iterator[None]:
    """Make a database, and take it back again when what follows fails: it is this run's own and holds nothing else."""
    with connect_as(maintenance, role) as connection:
        try:
            connection.execute(_create_statement(name, like))
        except psycopg.errors.DuplicateDatabase as error:
            raise Refused(
                f"There is a database {name} already; a backup is restored into a new one only.",
                next_steps=[NextStep("choose another name with --to")],
            ) from error
        except psycopg.errors.InsufficientPrivilege as error:
            who = role or maintenance.user
            quoted = sql.Identifier(who).as_string(connection)
            raise Missing(
                f"{who} may not create a database.",
                next_steps=[NextStep("a superuser runs", f"ALTER ROLE {quoted} CREATEDB;")],
            ) from error
        except psycopg.Error as error:
            raise BackupFailed(f"The database {name} could not be created.", detail=str(error).splitlines()) from error
    try:
        yield
    except BaseException as error:
        state = _take_back(maintenance, role, name)
        if isinstance(error, BackupFailed):
            raise BackupFailed(error.summary, detail=error.detail, next_steps=error.next_steps, state=state) from error
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("The restore was interrupted.", state=state) from error
        raise


def _take_back(maintenance: Endpoint, role: str | None, name: str) -> str:
    try:
        with connect_as(maintenance, role) as connection:
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
    except (Missing, psycopg.Error) as error:
        words = str(error).splitlines()[0]
        return f"The unfinished database {name} is still there and not to be used ({words}). Nothing else was changed."
    return f"The unfinished database {name}, made by this run, is gone again. Nothing else was changed."


def _create_statement(name: str, like: DatabaseFacts | None) -> sql.Composed:
    """Return CREATE DATABASE with the encoding and locale of the source: text sorts and compares by them."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
    if like is None:
        return statement
    options: list[tuple[LiteralString, str]] = [
        ("ENCODING", like.encoding),
        ("LC_COLLATE", like.collate),
        ("LC_CTYPE", like.ctype),
    ]
    provider = {"i": "icu", "b": "builtin"}.get(like.provider or "c")
    if provider is not None:
        options += [("LOCALE_PROVIDER", provider), (_LOCALE_OPTION[provider], like.locale or "")]
    parts = [sql.SQL("{} = {}").format(sql.SQL(key), sql.Literal(value)) for key, value in options if value]
    return statement + sql.SQL(" ") + sql.SQL(" ").join(parts)
