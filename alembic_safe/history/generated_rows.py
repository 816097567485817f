"""Which rows can be put into every table of a database, so that what happens to rows is seen?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg

from alembic_safe.database.statements import quoted
from alembic_safe.history.expressions import bracketed, names
from alembic_safe.history.table_operations import columns_of
from alembic_safe.history.tables_order import tables_in_order
from alembic_safe.inspecting.difference_sql_names import literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId, Value

_PER_TABLE = 2
_LITERAL = re.compile(r"'((?:[^']|'')+)'")
_LENGTH = re.compile(r"\((\d+)\)")


def fill(connection: psycopg.Connection[Any], catalog: Catalog, full: AbstractSet[ObjectId] = frozenset()) -> int:
    """Put rows into every table that takes them, in one transaction; return how many there are.

    The same catalog gets the same rows each time. A table whose constraints nothing here fulfils stays empty.

    :param full: tables that have rows, and get no others.
    """
    filled = 0
    order, _ = tables_in_order(catalog, frozenset())
    with connection.transaction():
        # the values are the point, not when triggers of the application fire
        connection.execute("SET LOCAL search_path = public, pg_catalog")
        for table in order:
            if table in full or table.kind != "table" or "partition_bound" in catalog.objects[table]:
                continue
            filled += sum(_insert(connection, catalog, table, n) for n in range(1, _PER_TABLE + 1))
    return filled


def _insert(connection: psycopg.Connection[Any], catalog: Catalog, table: ObjectId, n: int) -> int:
    columns = [c for c in columns_of(catalog, table) if "generated" not in catalog.objects[c]]
    if not columns:
        return 0
    texts = _accepted(catalog, table)
    references = _references(catalog, table)
    values = [
        references.get(column.name, "").format(n=n - 1)
        or _value(catalog, catalog.objects[column], texts.get(column.name), n)
        for column in columns
    ]
    listed = ", ".join(quoted(column.name) for column in columns)
    into = quoted(table.schema, table.name)
    for attempt in (values, _least(catalog, columns, values)):
        chosen = ", ".join(attempt)
        statement = f"INSERT INTO {into} ({listed}) OVERRIDING SYSTEM VALUE VALUES ({chosen})"
        try:
            with connection.transaction():
                connection.execute(statement.encode())
        except psycopg.Error:
            continue
        return 1
    return 0


def _least(catalog: Catalog, columns: list[ObjectId], values: list[str]) -> list[str]:
    """Return values with NULL, or the default, wherever that is allowed."""
    objects = catalog.objects
    return [
        "DEFAULT" if {"default", "identity"} & objects[c].keys() else value if objects[c].get("not_null") else "NULL"
        for c, value in zip(columns, values, strict=True)
    ]


def _references(catalog: Catalog, table: ObjectId) -> Mapping[str, str]:
    """Return where the values of columns come from that refer to other tables."""
    found: dict[str, str] = {}
    for part in catalog.parts(table):
        a = catalog.objects[part]
        target = catalog.by_server_name.get(str(a.get("references")))
        if a.get("sort") != "f" or target is None:
            continue
        try:
            definition = str(a["definition"])
            local, at = bracketed(definition, 0)
            remote, _ = bracketed(definition, at)
            for own, other in zip(names(local), names(remote), strict=True):
                name = quoted(other).replace("{", "{{").replace("}", "}}")
                where = quoted(target.schema, target.name).replace("{", "{{").replace("}", "}}")
                found[own] = f"(SELECT {name} FROM {where} ORDER BY 1 LIMIT 1 OFFSET {{n}})"
        except ValueError:
            continue
    return found


def _accepted(catalog: Catalog, table: ObjectId) -> Mapping[str, list[str]]:
    """Return the strings that stand in the checks of a column: one of them will be right."""
    found: dict[str, list[str]] = {}
    for part in catalog.parts(table):
        a = catalog.objects[part]
        if a.get("sort") == "c":
            texts = [text.replace("''", "'") for text in _LITERAL.findall(str(a["definition"]))]
            for column in columns_of(catalog, table):
                if texts and re.search(rf"\b{re.escape(column.name)}\b", str(a["definition"])):
                    found.setdefault(column.name, []).extend(texts)
    return found


def _value(catalog: Catalog, a: Mapping[str, Value], texts: list[str] | None, n: int) -> str:
    type_ = str(a["type"])
    if type_.endswith("[]"):
        return "'{}'"
    enum = catalog.types_by_server_name.get(type_)
    if enum is not None:
        b = catalog.objects[enum]
        labels = b.get("labels", ())
        if enum.kind == "enum" and isinstance(labels, tuple) and labels:
            return literal(labels[(n - 1) % len(labels)])
        return _value(catalog, {"type": b.get("type", "text")}, texts, n) if enum.kind == "domain" else "NULL"
    if texts and type_.startswith(("character", "text")):
        return literal(texts[(n - 1) % len(texts)])
    return _plain(type_, n)


def _plain(type_: str, n: int) -> str:
    length = _LENGTH.search(type_)
    if type_.startswith(("smallint", "integer", "bigint", "numeric", "real", "double")):
        return str(n)
    if type_.startswith(("character", "text", "name")) or type_.endswith("citext"):
        text = f"generated {n}" if length is None or int(length[1]) >= len("generated 1") else str(n)
        return literal(text)
    plain = {"boolean": "true", "date": f"'2020-01-0{n}'", "uuid": f"'00000000-0000-4000-8000-00000000000{n}'",
             "json": "'{}'", "jsonb": "'{}'", "bytea": f"'\\x0{n}'", "inet": f"'10.0.0.{n}'", "cidr": f"'10.0.{n}.0/24'",
             "interval": "'1 day'", "tsvector": "''", "money": f"'{n}'", "oid": str(n)}  # fmt: skip
    if type_ in plain:
        return plain[type_]
    if type_.startswith("timestamp"):
        return f"'2020-01-0{n} 12:00:00+00'"
    if type_.startswith("time"):
        return f"'1{n}:00:00'"
    return "NULL"
