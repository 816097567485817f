"""What was a plan made of, and does the database still say the same behind a lock?"""

# Who holds a table against everybody lets all of them wait for each question that is put behind the lock. So a plan is made
# before it, and behind it one question tells whether anything that the plan was made of has changed.
from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any

from alembic_safe.database.sql_words import with_code
from alembic_safe.database.statements import literal, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg
    from sqlalchemy import Connection

_PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


class Reads:
    """Asks a database, and knows what it was told.

    Rows come as JSON: a query casts what JSON has no type for, such as an ``oid``.
    """

    def __init__(self, connection: Connection | psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._asked: list[tuple[str, str]] = []
        self._moving: set[str] = set()
        self._prepared = ""

    def rows(self, sql: str, params: Mapping[str, object] | None = None) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a query; what was asked before is not asked again."""
        asked = _with_values(sql, params or {})
        known = next((said for before, said in self._asked if before == asked), None)
        return self.together([(sql, params or {})])[0] if known is None else json.loads(known)

    def moving(self, queries: Sequence[tuple[str, Mapping[str, object]]]) -> None:
        """Ask what goes on while others write: behind the lock it is told anew, and makes no plan untrue."""
        self.together(queries)
        self._moving.update(_with_values(sql, params) for sql, params in queries)

    def together(self, queries: Sequence[tuple[str, Mapping[str, object]]]) -> Sequence[Sequence[Mapping[str, Any]]]:
        """Return the rows of several queries, which are asked at once."""
        asked = [_with_values(sql, params) for sql, params in queries]
        told = _told(run(self.connection, _at_once(asked)))
        self._asked += zip(asked, told, strict=True)
        return [json.loads(said) for said in told]

    def prepare(self) -> None:
        """Ask all of it once more, so that the server knows how, and to ask again takes a moment.

        The settings of the session are those under which it will be asked behind the lock.
        """
        self._prepared = f"alembic_safe_reads_{secrets.token_hex(4)}"
        run(self.connection, f"PREPARE {self._prepared} AS {_at_once([sql for sql, _ in self._asked])}")
        run(self.connection, f"EXECUTE {self._prepared}")

    def are_true(self) -> bool:
        """Whether everything is told again, word for word; asked once behind :meth:`prepare`, in the same transaction."""
        told = _told(run(self.connection, f"EXECUTE {self._prepared}"))
        before, self._asked = self._asked, [(sql, said) for (sql, _), said in zip(self._asked, told, strict=True)]
        pairs = zip(before, told, strict=True)
        return all(was == said or sql in self._moving for (sql, was), said in pairs)

    @property
    def ending(self) -> str:
        """The statement that undoes :meth:`prepare`, to be sent with the next ones: everybody waits for each message."""
        return f"DEALLOCATE {self._prepared}"


def rows_of(
    source: Connection | psycopg.Connection[Any] | Reads, sql: str, params: Mapping[str, object] | None = None
) -> Sequence[Mapping[str, Any]]:
    """Return the rows of a query, whoever is asked."""
    return source.rows(sql, params) if isinstance(source, Reads) else run(source, sql, params)


def _at_once(queries: Sequence[str]) -> str:
    """Return one query for the rows of several, each as JSON."""
    parts = [
        "(SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(alembic_safe_row)), '[]')::text"
        f" FROM ({sql}\n) AS alembic_safe_row) AS said_{number}"
        for number, sql in enumerate(queries)
    ]
    return f"SELECT {', '.join(parts)}"


def _told(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(rows[0].values())


def _with_values(sql: str, params: Mapping[str, object]) -> str:
    """Return a query that needs no parameters: what is prepared by name takes none from a driver."""
    return with_code(sql, lambda code: _PARAMETER.sub(lambda match: _literal(params[match[1]]), code))


def _literal(value: object) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"ARRAY[{', '.join(_literal(one) for one in value)}]::text[]"
    if not isinstance(value, str):
        raise TypeError(type(value))
    return literal(value)
