"""Which values of a column do not convert to its new type, or come out as others?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.live_facts import ask

if TYPE_CHECKING:
    from collections.abc import Iterable

_USING = re.compile(r"\bUSING\b(?P<it>.*)$", re.IGNORECASE | re.DOTALL)
_END = re.compile(r";|\$\w*\$")
"""Where a statement ends that stands in a DO block or in the body of a function."""
_PLAIN = re.compile(r'^\(*\s*"?[\w$]+"?\s*\)*(\s*::\s*[\w\s."\[\]()]+)+$')
_BOUNDED = re.compile(r"^(?P<type>character varying|character|bit varying|bit)\((?P<most>\d+)\)$")
_TEXTUAL = ("text", "character", "citext", "name", "json", "jsonb", "xml", "bytea")
_FRACTIONS = ("numeric", "double precision", "real")
_INTEGERS = ("smallint", "integer", "bigint")
_DATA = ("22", "23")
"""The classes of SQLSTATE that say that a value is wrong: data exception, integrity constraint violation."""


@dataclass(frozen=True)
class Converting:
    """A column that gets another type.

    :param name: what it is called by then.
    :param statement: the text that changed it, for its USING.
    :param rows: where its rows are: a quoted table or a query in brackets.
    :param labels: of the enum that it becomes, where the revisions made that.
    """

    name: str
    old: str
    new: str
    statement: str
    rows: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class TypeFailure:
    """What was found.

    :param where: the condition under which a row ``x`` is one of them; empty where that cannot be said.
    :param unknown: why nobody can say; then nothing else counts.
    """

    kind: str = ""
    rows: int | None = None
    text: str = ""
    where: str = ""
    unknown: str = ""


def type_failure(connection: Any, one: Converting) -> TypeFailure | None:
    """Ask the rows of a column whether they convert; ``None`` where all do, and stay what they are."""
    column, using = f"x.{quoted(one.name)}", _using(one.statement)
    plain = using is None or bool(_PLAIN.match(using.strip()))
    if one.labels and plain:
        return _labels(connection, one, column)
    bounded = _BOUNDED.match(one.new)
    if bounded is not None and plain:
        return _too_long(connection, one, column, int(bounded["most"]), cut=using is not None)
    expression = f"{column}::{one.new}" if plain else f"({(using or '').strip()})"
    found = ask(connection, f"SELECT count({expression}) AS it FROM {one.rows} x")
    if not isinstance(found, DBAPIError):
        return _changed(connection, one, column) if plain else None
    state = _state(found)
    if not state.startswith(_DATA):
        return TypeFailure(
            unknown=f"whether its values convert could not be asked ({' '.join(str(found.orig).split())[:120]})"
        )
    text = f"do not convert from {one.old} to {one.new}"
    if plain:
        # a number is rounded on its way to an integer, which its text is not
        rounded = _is_one_of(one.old, _FRACTIONS) and one.new in _INTEGERS
        value = f"round({column})" if rounded else column
        where = f"NOT pg_input_is_valid({value}::text, '{one.new.replace(chr(39), chr(39) * 2)}')"
        counted = ask(connection, f"SELECT count(*) AS it FROM {one.rows} x WHERE {where}")
        if not isinstance(counted, DBAPIError) and counted[0]["it"]:
            return TypeFailure("uncastable-values", int(counted[0]["it"]), text, where)
    # before PostgreSQL 16 nobody can ask a value without failing over it
    return TypeFailure("uncastable-values", None, text)


def _labels(connection: Any, one: Converting, column: str) -> TypeFailure | None:
    known = ", ".join("'" + label.replace("'", "''") + "'" for label in one.labels)
    where = f"{column}::text NOT IN ({known})"
    return _counted(
        connection,
        one,
        where,
        "uncastable-values",
        f"hold a label that {one.new} does not have: only {', '.join(one.labels)}",
    )


def _too_long(connection: Any, one: Converting, column: str, most: int, *, cut: bool) -> TypeFailure | None:
    where = f"length({column}::text) > {most}"
    if cut:
        return _counted(connection, one, where, "values-change", f"are cut off after {most} characters")
    return _counted(connection, one, where, "uncastable-values", f"are longer than {one.new} allows")


def _changed(connection: Any, one: Converting, column: str) -> TypeFailure | None:
    if _is_one_of(one.old, _TEXTUAL) or _is_one_of(one.new, _TEXTUAL):
        return None
    where = f"({column}::{one.new})::{one.old} IS DISTINCT FROM {column}"
    return _counted(connection, one, where, "values-change", f"are another value as {one.new} than as {one.old}")


def _counted(connection: Any, one: Converting, where: str, kind: str, text: str) -> TypeFailure | None:
    found = ask(connection, f"SELECT count(*) AS it FROM {one.rows} x WHERE {where}")
    if isinstance(found, DBAPIError):
        return None if _state(found).startswith("42") else TypeFailure(unknown=" ".join(str(found.orig).split())[:120])
    return TypeFailure(kind, int(found[0]["it"]), text, where) if found[0]["it"] else None


def _using(statement: str) -> str | None:
    """Return the formula of an ALTER TYPE that stands there by itself; only what the database is asked depends on it."""
    match = _USING.search(statement)
    if match is None:
        return None
    if statement.lstrip()[:5].upper() == "ALTER":
        return match["it"].rstrip("; \n")
    it = _END.split(match["it"], maxsplit=1)[0]
    if it.count("'") % 2:  # EXECUTE 'ALTER ... USING ...': its own quotes stand there twice
        it = it[: it.rindex("'")].replace("''", "'")
    return it


def _is_one_of(type_: str, names: Iterable[str]) -> bool:
    return any(type_.startswith(name) for name in names)


def _state(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or ""
