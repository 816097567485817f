"""The statements that make, tag, open and drop a shadow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from alembic_safe.database.shadow_tag import MARK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import LiteralString

_LOCALE_OPTION: dict[str, LiteralString] = {"icu": "ICU_LOCALE", "builtin": "BUILTIN_LOCALE"}


@dataclass(frozen=True)
class Locale:
    """Encoding and collation of a database, in the words of CREATE DATABASE."""

    encoding: str
    collate: str
    ctype: str
    provider: str = "c"
    locale: str | None = None


def comment_statement(name: str, comment: str) -> sql.Composed:
    """Return the statement that tags a database."""
    return sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(comment))


def drop_statement(name: str) -> sql.Composed:
    """Return the statement that drops a database, whoever is connected to it."""
    return sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))


def create_statement(name: str, locale: Locale | None, template: str | None, version: int) -> sql.Composed:
    """Return the statement that makes a database: empty, or a copy of one of ours.

    :param locale: for an empty one: its encoding and collation.
    :param version: the server's, as PostgreSQL counts it: 160014.
    """
    source = sql.Identifier(template or "template0")
    marked = sql.SQL("CREATE DATABASE {} CONNECTION LIMIT {} TEMPLATE {}")
    statement = marked.format(sql.Identifier(name), sql.Literal(MARK), source)
    if template is not None:
        # file_copy would force two checkpoints on everybody who works on that server
        return statement + sql.SQL(" STRATEGY wal_log" if version >= 150000 else "")
    if locale is None:
        return statement
    options: list[tuple[LiteralString, str]] = [
        ("ENCODING", locale.encoding), ("LC_COLLATE", locale.collate), ("LC_CTYPE", locale.ctype),
    ]  # fmt: skip
    provider = {"i": "icu", "b": "builtin"}.get(locale.provider)
    if provider is not None and version >= 150000:
        options += [("LOCALE_PROVIDER", provider), (_LOCALE_OPTION[provider], locale.locale or "")]
    parts: Sequence[sql.Composed] = [sql.SQL("{} = {}").format(sql.SQL(k), sql.Literal(v)) for k, v in options if v]
    return statement + sql.SQL(" ") + sql.SQL(" ").join(parts)


def connections_statement(name: str, *, allowed: bool) -> sql.Composed:
    """Return the statement that says whether anybody may connect to a database from now on."""
    word = sql.SQL("true" if allowed else "false")
    return sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(sql.Identifier(name), word)


def rename_statement(name: str, new: str) -> sql.Composed:
    """Return the statement that renames a database."""
    return sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(new))
