"""What does an SQL expression over a table's columns mean, wherever and under whichever search path it is evaluated?"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Refused
from alembic_safe.inspecting.syncs import ROW
from alembic_safe.operations.dependants import server_words
from alembic_safe.operations.kept import fixed_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sqlalchemy import Connection

    from alembic_safe.operations.kept import FixedText
    from alembic_safe.operations.living import LivingTable

OWN_VIEWS = "alembic_safe_expression_"
"""What the names of the views begin with that expressions are for a moment, in the session's own temporary schema."""
_ROW_FROM = ' FROM {} AS {} CROSS JOIN (SELECT 1 AS "alembic_safe_one") AS "alembic_safe_beside"'
# What the parser made of the expression, as text: https://www.postgresql.org/docs/current/catalog-pg-rewrite.html.
_TREES = """
SELECT pg_get_viewdef(w.ev_class) AS text, w.ev_action::text AS tree,
  ARRAY(SELECT DISTINCT a.attname FROM pg_depend d JOIN pg_attribute a
    ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = CAST(:oid AS oid) ORDER BY 1)::text[] AS columns,
  EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
    AND d.refclassid <> 'pg_class'::regclass AND d.refclassid <> 'pg_namespace'::regclass) AS names_others
FROM unnest(CAST(:views AS text[])) WITH ORDINALITY v (name, place)
JOIN pg_rewrite w ON w.ev_class = CAST(v.name AS regclass) ORDER BY v.place
"""
_TEXTS = """
SELECT pg_get_viewdef(CAST(v.name AS regclass)) AS text FROM unnest(CAST(:views AS text[])) WITH ORDINALITY v (name, place)
ORDER BY v.place
"""
_VOLATILITY = """
SELECT f.place, bool_or(p.provolatile = 'v') AS is_volatile, bool_or(p.provolatile = 's') AS is_stable
FROM unnest(CAST(:places AS int[]), CAST(:oids AS oid[])) f (place, oid) JOIN pg_proc p ON p.oid = f.oid GROUP BY f.place
"""
_INPUT_OUTPUT = """
SELECT coalesce(bool_or(f.provolatile <> 'i'), false) AS it FROM pg_type t JOIN pg_proc f ON f.oid IN (t.typinput, t.typoutput)
WHERE t.oid = ANY(CAST(:oids AS oid[]))
"""
_FUNCTIONS = re.compile(r":(?:funcid|opfuncid) (\d+)")
_THROUGH_TEXT = re.compile(
    r"\{COERCEVIAIO :arg (?:\{(?:VAR|CONST|PARAM) [^{}]*?:(?:vartype|consttype|paramtype) (\d+)[^{}]*\})?"
)
_RESULT = re.compile(r":resulttype (\d+)")


@dataclass(frozen=True)
class Wanted:
    """An expression to be looked at.

    :param sql: as somebody wrote it.
    :param type: what it is cast to; empty: nothing.
    :param said_as: how a message names it.
    :param may_look: whether it may look into tables with a subquery.
    """

    sql: str
    type: str
    said_as: str
    may_look: bool = False


@dataclass(frozen=True)
class Expression:
    """An expression whose meaning is fixed.

    :param sql: every name in it qualified, every column one of the row ``new``.
    :param columns: which columns it reads.
    :param is_volatile: whether it can say something else each time.
    :param is_stable: whether it depends on settings of the session, such as the time zone.
    :param names_others: whether it uses functions, types or the like that did not come with PostgreSQL.
    """

    sql: str
    columns: tuple[str, ...]
    is_volatile: bool
    is_stable: bool
    names_others: bool


class Views:
    """Expressions as the views that PostgreSQL made of them: their names follow a column that is renamed.

    :param first: the number of the first view, where others are there already.
    """

    def __init__(
        self, connection: Connection, table: LivingTable, wanted: Sequence[Wanted], row: str = ROW, *, first: int = 0
    ) -> None:
        self._connection = connection
        self._first = first
        self._table = table
        self._wanted = tuple(wanted)
        # a type without a length is what it is cast to twice
        self._views: dict[tuple[str, str], Wanted] = {}
        for one in self._wanted:
            self._views.setdefault((one.sql, one.type), one)
        self._from = _ROW_FROM.format(table.quoted, quoted(row))
        self.select_fields = False
        """Whether one of those that were read names a field of a row type, which may be a table's own."""

    def make(self) -> None:
        """Make the views.

        :raises Refused: with the server's words where an expression is none over the table's columns.
        """
        self._view(0, "NULL::pg_catalog.text")
        savepoint = self._connection.begin_nested()
        for number, one in enumerate(self._views.values(), 1):
            cast = f"CAST(({verbatim(one.sql)}) AS {verbatim(one.type)})" if one.type else f"({verbatim(one.sql)})"
            try:
                self._view(number, cast)
            except DBAPIError as error:
                savepoint.rollback()
                raise Refused(
                    f"{one.said_as} is no expression over the columns of {self._table.shown}: {server_words(error)}.",
                    detail=[f"It says: {one.sql}"],
                ) from error
        savepoint.commit()

    def _view(self, number: int, expression: str) -> None:
        name = self._name(number)
        run(self._connection, f'CREATE TEMPORARY VIEW {name} AS SELECT {expression} AS "it"{self._from}')

    def read(self, fixed: FixedText | None = None) -> tuple[Expression, ...]:
        """Return what they mean, by the names that the columns have now.

        :param fixed: fixed text under an empty search path, of somebody who knows the settings already.
        """
        with fixed or fixed_text(self._connection, search_path=""):
            first, *rows = run(self._connection, _TREES, {"views": self._names, "oid": self._table.oid})
            tail = str(first["text"]).removeprefix(" SELECT NULL::text")
            self.select_fields = any("{FIELDSELECT" in row["tree"] for row in rows)
            used = [(n, int(oid)) for n, row in enumerate(rows) for oid in _FUNCTIONS.findall(row["tree"])]
            words = {"places": [place for place, _ in used], "oids": [oid for _, oid in used]}
            found = {row["place"]: row for row in run(self._connection, _VOLATILITY, words)} if used else {}
            places = {key: n for n, key in enumerate(self._views)}
            of = [(one, places[one.sql, one.type]) for one in self._wanted]
            return tuple(self._read(one, rows[n], tail, found.get(n, {})) for one, n in of)

    def read_again(self, found: Sequence[Expression], fixed: FixedText) -> tuple[Expression, ...]:
        """Return expressions that were read before columns changed their names, by the names of now."""
        with fixed:
            first, *texts = (str(row["text"]) for row in run(self._connection, _TEXTS, {"views": self._names}))
        tail = first.removeprefix(" SELECT NULL::text")
        places = {key: n for n, key in enumerate(self._views)}
        pairs = zip(self._wanted, found, strict=True)
        return tuple(replace(old, sql=_between(texts[places[one.sql, one.type]], tail, one)) for one, old in pairs)

    def _read(self, one: Wanted, row: Mapping[str, Any], tail: str, functions: Mapping[str, Any]) -> Expression:
        tree = row["tree"]
        for word, what in (
            ("{SUBLINK", "a subquery"),
            ("{AGGREF", "an aggregate"),
            ("{WINDOWFUNC", "a window function"),
        ):
            if word in tree and not (one.may_look and word == "{SUBLINK"):
                raise Refused(f"{one.said_as} holds {what}.", detail=[f"It says: {one.sql}"])
        return Expression(
            sql=_between(str(row["text"]), tail, one),
            columns=tuple(name for name in row["columns"]),
            is_volatile=functions.get("is_volatile", False),
            is_stable=functions.get("is_stable", False) or "{SQLVALUEFUNCTION" in tree or self._reads_settings(tree),
            names_others=row["names_others"],
        )

    def _reads_settings(self, tree: str) -> bool:
        """Whether a cast through the text form of a value depends on settings: dates do, numbers do not."""
        through = _THROUGH_TEXT.findall(tree)
        if not through:
            return False
        types = [*through, *_RESULT.findall(tree)]
        if "" in types:
            return True  # of what is cast, the type cannot be told
        return bool(run(self._connection, _INPUT_OUTPUT, {"oids": [int(oid) for oid in types]})[0]["it"])

    def drop(self) -> None:
        """Take the views away."""
        run(self._connection, self.dropping)

    @property
    def dropping(self) -> str:
        """The statement that takes the views away."""
        return f"DROP VIEW {', '.join(self._names)} RESTRICT"

    @property
    def count(self) -> int:
        """How many views there are."""
        return len(self._names)

    @property
    def _names(self) -> list[str]:
        return [self._name(number) for number in range(len(self._views) + 1)]

    def _name(self, number: int) -> str:
        return quoted("pg_temp", f"{OWN_VIEWS}{self._first + number}")


def _between(text: str, tail: str, one: Wanted) -> str:
    """Return what a view selects: behind a blank, or on a line of its own, as PostgreSQL writes what begins with CASE."""
    selected = text.removesuffix(tail).removeprefix(" SELECT")
    if not text.endswith(tail) or not text.startswith(" SELECT") or not selected[:1].isspace():
        raise Refused(f"{one.said_as} cannot be read back from PostgreSQL.", detail=[f"It says: {one.sql}"])
    return selected.lstrip()


def read_expressions(
    connection: Connection, table: LivingTable, wanted: Sequence[Wanted], row: str = ROW
) -> tuple[Expression, ...]:
    """Return what expressions over a table's columns mean, and leave nothing behind.

    :param row: what the table is called in them.
    :raises Refused: where one is none, or holds a subquery.
    """
    views = Views(connection, table, wanted, row)
    views.make()
    found = views.read()
    views.drop()
    return found
