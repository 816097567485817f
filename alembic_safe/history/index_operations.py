"""What does an index look like as ``op.create_index``?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic_safe.history.expressions import bracketed, name, names, respelled, split
from alembic_safe.history.python_text import call, string, text_call
from alembic_safe.history.table_operations import NoCall

if TYPE_CHECKING:
    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId

_HEAD = re.compile(r"CREATE (UNIQUE )?INDEX (?:\"(?:[^\"]|\"\")+\"|[\w$]+) ON (?:ONLY )?[^(]*? USING (\w+) (?=\()")
_OPTION = re.compile(r"(\w+)='([^']*)'")


def create_index(catalog: Catalog, index: ObjectId, default_schema: str) -> str:
    """Return the call that makes an index.

    :raises NoCall: when there is none for it.
    """
    a = catalog.objects[index]
    definition = str(a["definition"])
    head = _HEAD.match(definition)
    if head is None or "attached_to" in a or a.get("invalid"):
        raise NoCall
    inner, at = bracketed(definition, head.end())
    columns = [_column(part) for part in split(inner)]
    arguments = [f"op.f({string(index.name)})", string(index.parent), f"[{', '.join(columns)}]"]
    if index.schema != default_schema:
        arguments.append(f"schema={string(index.schema)}")
    arguments.append(f"unique={bool(head[1])}")
    if head[2] != "btree":
        arguments.append(f"postgresql_using={string(head[2])}")
    return call("op.create_index", [*arguments, *_options(definition[at:])])


def _column(part: str) -> str:
    plain = name(part)
    return string(plain) if plain is not None else text_call(respelled(part))


def _options(rest: str) -> list[str]:
    """Return what stands behind the columns, in the order in which the server writes it."""
    said = []
    try:
        if rest.startswith(" INCLUDE ("):
            inner, at = bracketed(rest, 0)
            said.append(f"postgresql_include=[{', '.join(string(one) for one in names(inner))}]")
            rest = rest[at:]
        if rest.startswith(" NULLS NOT DISTINCT"):
            said.append("postgresql_nulls_not_distinct=True")
            rest = rest.removeprefix(" NULLS NOT DISTINCT")
        if rest.startswith(" WITH ("):
            inner, at = bracketed(rest, 0)
            pairs = ", ".join(f"{string(key)}: {string(value)}" for key, value in _OPTION.findall(inner))
            said.append(f"postgresql_with={{{pairs}}}")
            rest = rest[at:]
    except ValueError as error:
        raise NoCall from error
    if rest.startswith(" WHERE "):
        condition = rest.removeprefix(" WHERE ")
        within, end = bracketed(condition, 0) if condition.startswith("(") else (condition, -1)
        said.append(f"postgresql_where={text_call(respelled(within if end == len(condition) else condition))}")
        rest = ""
    if rest.strip():
        raise NoCall
    return said
