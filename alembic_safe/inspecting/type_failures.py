"""Which values of a column do not convert to its new type, or come out as others?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.live_facts import ask, reason_of
from alembic_safe.inspecting.syncs import ROW
from alembic_safe.operations.kept import fixed_text, literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alembic_safe.inspecting.syncs import SyncText

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
_SILENT = ("25", "42", "53", "54", "55", "57")
"""Those of the server's own words about objects and resources: they name no value of a row."""
_COLUMN = re.compile(
    rf'\(*{ROW}\.(?:[a-z_][\w$]*|"(?:[^"]|"")+")\)*(?: COLLATE [^()]+\))?(?:::(?P<type>[a-z ]+(?:\[\])?))?'
)
"""A column, as the server writes it, and what it is cast to."""
_SIZED = re.compile(
    r".*::(?P<type>character varying|character|bit varying|bit)\((?P<most>\d+)\)(?P<array>\[\])?", re.DOTALL
)
_AS_ASSIGNED = {
    "character varying": ("varchar", 4),
    "character": ("bpchar", 4),
    "bit varying": ("varbit", 0),
    "bit": ("bit", 0),
}
"""The server's own function behind an assignment to a type with a length, and what its modifier is longer by."""
_NEVER_FAIL = (
    ("smallint", "integer", "bigint", "numeric"), ("smallint", "integer", "bigint", "double precision"),
    ("real", "double precision"), ("date", "timestamp without time zone"), ("jsonb", "json"),
)  # fmt: skip
"""Each converts into those behind it, whatever the value; json does not into jsonb, which takes no character of code 0."""


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
    :param query: lists them, or fails at the first; where ``where`` does not say it.
    """

    kind: str = ""
    rows: int | None = None
    text: str = ""
    where: str = ""
    unknown: str = ""
    query: str = ""


@dataclass(frozen=True)
class Syncing:
    """Columns that triggers are going to fill from others, in every row that is written to.

    :param rows: where the table's rows are: a quoted table or a query in brackets.
    :param types: what its columns are of in the target, by the names that they have by then.
    :param labels: what the revisions add to enums, by enum.
    """

    text: SyncText
    rows: str
    types: Mapping[str, str]
    labels: Mapping[str, Sequence[str]]


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


def sync_failure(connection: Any, one: Syncing, *, show_value: bool) -> TypeFailure | None:
    """Ask the rows whether each gives the new columns a value; ``None`` where all do, or no value can fail.

    :param show_value: whether what the server says of the first that does not is told: it may name the value.
    """
    text, was = one.text, one.types.get(one.text.old[0], "") if len(one.text.old) == 1 else ""
    pairs = zip(text.compiled_up, text.assigned_up, strict=True)
    formulas = [_as_assigned(*pair) for pair in pairs if not _never_fails(pair[0], was)]
    if not formulas:
        return None
    where = _without_label(text.compiled_up[0], one.labels) if len(text.new) == 1 else ""
    what = "count(*)" if where else ", ".join(f"count({formula})" for formula in formulas)
    query = f"SELECT {what} AS it FROM {one.rows} AS {quoted(ROW)}{where}"
    with fixed_text(connection, search_path="pg_catalog, pg_temp"):
        found = ask(connection, query)
    said = f"cannot give {', '.join(text.new)} a value{' by ' if text.up else ''}{', '.join(text.up)}"
    then = "; from then on no UPDATE of such a row succeeds, and the copy stops at it"
    if not isinstance(found, DBAPIError):
        rows = int(found[0]["it"]) if where else 0
        listed = query.replace("count(*) AS it", "*", 1)
        if rows:
            return TypeFailure("uncastable-values", rows, said + then, query=f"{listed};")
        arrays = [one for one in map(_SIZED.fullmatch, text.compiled_up) if one is not None and one["array"]]
        too_long = [f"whether a value is too long for {one['type']}({one['most']}) in an array" for one in arrays]
        return TypeFailure(unknown=too_long[0]) if too_long else None
    state = _state(found)
    if not state.startswith(_DATA):
        # what a function raises by itself need not be about the value, and may name it
        told = show_value or state.startswith(_SILENT)
        return TypeFailure(unknown=reason_of(found) if told else f"its formula fails with SQLSTATE {state}")
    why = f": {' '.join(str(found.orig).split())[:120]}" if show_value else ""
    return TypeFailure("uncastable-values", None, said + why + then, query=f"{query};")


def _never_fails(formula: str, was: str) -> bool:
    """Whether every value of a column is one of what a formula makes of it: then no row is asked."""
    match = _COLUMN.fullmatch(formula)
    if match is None:
        return False
    new = match["type"]
    if new in {None, "text", "character varying"}:
        return True
    old, new, alike = was.removesuffix("[]"), new.removesuffix("[]"), was.endswith("[]") == new.endswith("[]")
    return alike and any(old in row and new in row and row.index(new) > row.index(old) for row in _NEVER_FAIL)


def _as_assigned(compiled: str, assigned: str) -> str:
    """Return a formula that fails on a value that is too long, as the assignment of a trigger does, and no cast.

    Not for elements of an array, and not behind a domain.
    """
    sized = _SIZED.fullmatch(compiled)
    if sized is None or sized["array"]:
        return compiled
    function, more = _AS_ASSIGNED[sized["type"]]
    return f'pg_catalog."{function}"({assigned}, {int(sized["most"]) + more}, false)'


def _without_label(formula: str, labels: Mapping[str, Sequence[str]]) -> str:
    """Return the condition that a row is no label of an enum that the revisions make or add to; empty for another type."""
    inner, _, type_ = formula.rpartition("::")
    name = type_.replace('"', "").removeprefix("public.")
    if name not in labels:
        return ""
    added = ", ".join(literal(label) for label in labels[name])
    there = f"SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = to_regtype({literal(type_)})"
    return f" WHERE ({inner})::text <> ALL (ARRAY[{added}] || ARRAY({there}))"


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
