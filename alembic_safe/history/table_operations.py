"""What does a table look like as ``op.create_table``, with its columns and what is said inside of it?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alembic_safe.database.names import LONGEST_NAME
from alembic_safe.history.column_types import type_text
from alembic_safe.history.expressions import bracketed, name, names, respelled
from alembic_safe.history.python_text import call, string, text_call
from alembic_safe.operations.statement_text import for_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId, Value

    Attributes = Mapping[str, Value]

_NEXTVAL = re.compile(r"nextval\('((?:[^']|'')+)'::regclass\)")
_REFERENCES = re.compile(
    r"\s*REFERENCES\s+((?:\"(?:[^\"]|\"\")+\"|[\w$]+)(?:\.(?:\"(?:[^\"]|\"\")+\"|[\w$]+))?)", re.ASCII
)
_ACTION = re.compile(r" ON (UPDATE|DELETE) (CASCADE|RESTRICT|SET NULL|SET DEFAULT)(?= |$)")
_MATCH = re.compile(r" MATCH (FULL)(?= |$)")
USUAL = "heap"
"""The access method that tables have everywhere, unless somebody says otherwise."""
_LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


class NoCall(Exception):
    """There is no operation that says this."""


def create_table(catalog: Catalog, table: ObjectId, inside: Sequence[ObjectId], default_schema: str) -> str:
    """Return the call that makes a table.

    :param inside: its constraints that are said inside of the call.
    :param default_schema: where tables without a schema go.
    :raises NoCall: when a part of it has no word in SQLAlchemy.
    """
    a = catalog.objects[table]
    is_plain = not {"partition_bound", "inherits", "of_type"} & a.keys() and a.get("access_method", USUAL) == USUAL
    if not is_plain or table.kind != "table":
        raise NoCall
    arguments = [string(table.name)]
    key = next((c for c in inside if catalog.objects[c].get("sort") == "p"), None)
    primary = names(bracketed(str(catalog.objects[key]["definition"]), 0)[0]) if key else []
    arguments += [_column(catalog, column, primary, default_schema) for column in columns_of(catalog, table)]
    arguments += [_inside(catalog, constraint, default_schema) for constraint in inside]
    if table.schema != default_schema:
        arguments.append(f"schema={string(table.schema)}")
    if "comment" in a:
        arguments.append(f"comment={string(str(a['comment']))}")
    if "partition_key" in a:
        arguments.append(f"postgresql_partition_by={string(str(a['partition_key']))}")
    if a.get("unlogged"):
        arguments.append('prefixes=["UNLOGGED"]')
    return call("op.create_table", arguments)


def said_inside(catalog: Catalog, constraint: ObjectId, default_schema: str) -> bool:
    """Whether a constraint can stand inside of the call that makes its table, or beside its columns in SQL."""
    a = catalog.objects[constraint]
    if a.get("not_valid") or a.get("inherited") or a["sort"] == "x":
        return False
    target = catalog.by_server_name.get(str(a.get("references")))
    if target is not None and "partition_key" in catalog.objects[target]:
        return False  # the partitions come behind, and their own keys with them
    try:
        _inside(catalog, constraint, default_schema)
    except NoCall:
        return False
    return True


def columns_of(catalog: Catalog, table: ObjectId) -> list[ObjectId]:
    """Return the columns of a table in their order."""
    found = [part for part in catalog.parts(table) if part.kind == "column"]
    return sorted(found, key=lambda column: catalog.objects[column]["position"])


def serial_sequence(catalog: Catalog, column: ObjectId, primary: Sequence[str]) -> ObjectId | None:
    """Return the sequence of a column that SQLAlchemy makes by itself, as SERIAL, if it is one.

    :param primary: the columns of the table's primary key.
    """
    a = catalog.objects[column]
    found = _NEXTVAL.fullmatch(str(a.get("default", "")))
    usual = f"{column.parent}_{column.name}_seq"
    sequence = column._replace(kind="sequence", name=usual, parent="")
    b = catalog.objects.get(sequence, {})
    is_usual = (
        found is not None
        and list(primary) == [column.name]
        and len(usual.encode()) <= LONGEST_NAME
        and name(found[1].replace("''", "'").rpartition(".")[2]) == usual
        and b.get("owned_by") is not None
        and (b["type"], b["start"], b["increment"], b["minimum"], b["cache"]) == (a["type"], 1, 1, 1, 1)
        and b["maximum"] == _LARGEST.get(str(a["type"]))
        and not b.get("cycle")
    )
    return sequence if is_usual else None


def _column(catalog: Catalog, column: ObjectId, primary: Sequence[str], default_schema: str) -> str:
    a = catalog.objects[column]
    collation = str(a.get("collation", ""))
    type_ = type_text(catalog, str(a["type"]), default_schema, (name(collation) or "?") if collation else "")
    if type_ is None or "?" in (name(collation) or "" if collation else ""):
        raise NoCall
    said = [string(column.name), type_]
    if "generated" in a:
        said.append(f"sa.Computed({_text(a['expression'])}, persisted={a['generated'] == 'stored'})")
    elif "identity" in a:
        said.append(_identity(catalog, column))
    serial = serial_sequence(catalog, column, primary)
    if (
        serial is None
        and list(primary) == [column.name]
        and a["type"] in _LARGEST
        and not {"identity", "default"} & a.keys()
    ):
        said.append("autoincrement=False")
    if "default" in a and serial is None:
        said.append(f"server_default={text_call(respelled(str(a['default'])))}")
    said.append(f"nullable={not a.get('not_null')}")
    if "comment" in a:
        said.append(f"comment={string(str(a['comment']))}")
    return f"sa.Column({', '.join(said)})"


def _identity(catalog: Catalog, column: ObjectId) -> str:
    table = column._replace(kind="table", name=column.parent, parent="")
    sequence = next(
        (p for p in catalog.parts(table) if p.kind == "sequence" and catalog.objects[p]["identity_of"] == column.name),
        None,
    )
    said = [f"always={catalog.objects[column]['identity'] == 'always'}"]
    b = catalog.objects.get(sequence, {}) if sequence else {}
    largest = _LARGEST.get(str(catalog.objects[column]["type"]))
    usual = (("start", "start", 1), ("increment", "increment", 1), ("minvalue", "minimum", 1),
             ("maxvalue", "maximum", largest), ("cache", "cache", 1))  # fmt: skip
    said += [f"{word}={b[key]}" for word, key, value in usual if key in b and b[key] != value]
    if b.get("cycle"):
        said.append("cycle=True")
    return f"sa.Identity({', '.join(said)})"


def _inside(catalog: Catalog, constraint: ObjectId, default_schema: str) -> str:
    """Return a constraint as it stands inside of the call."""
    a = catalog.objects[constraint]
    given = f"name=op.f({string(constraint.name)})"
    flags = _flags(a)
    definition = str(a["definition"])
    match a["sort"]:
        case "p" | "u":
            word = "PRIMARY KEY" if a["sort"] == "p" else "UNIQUE"
            class_ = "PrimaryKeyConstraint" if a["sort"] == "p" else "UniqueConstraint"
            return f"sa.{class_}({_listed(_only_columns(definition, word))}, {', '.join([given, *flags])})"
        case "c":
            return f"sa.CheckConstraint({_text(_condition(definition))}, {given})"
        case "f":
            local, table, remote, options = foreign_key(catalog, constraint)
            where = ".".join(
                part for part in (table.schema if table.schema != default_schema else "", table.name) if part
            )
            columns = ", ".join(string(f"{where}.{column}") for column in remote)
            return f"sa.ForeignKeyConstraint([{_listed(local)}], [{columns}], {', '.join([given, *options])})"
    raise NoCall


def create_foreign_key(catalog: Catalog, constraint: ObjectId, default_schema: str) -> str:
    """Return the call that adds a foreign key.

    :raises NoCall: when there is none for it.
    """
    local, table, remote, options = foreign_key(catalog, constraint)
    arguments = [
        f"op.f({string(constraint.name)})", string(constraint.parent), string(table.name),
        f"[{_listed(local)}]", f"[{_listed(remote)}]",
    ]  # fmt: skip
    if constraint.schema != default_schema:
        arguments.append(f"source_schema={string(constraint.schema)}")
    if table.schema != default_schema:
        arguments.append(f"referent_schema={string(table.schema)}")
    return call("op.create_foreign_key", [*arguments, *options])


def create_unique(catalog: Catalog, constraint: ObjectId, default_schema: str) -> str:
    """Return the call that adds a unique constraint.

    :raises NoCall: when there is none for it.
    """
    a = catalog.objects[constraint]
    columns = _listed(_only_columns(str(a["definition"]), "UNIQUE"))
    arguments = [f"op.f({string(constraint.name)})", string(constraint.parent), f"[{columns}]", *_flags(a)]
    if constraint.schema != default_schema:
        arguments.append(f"schema={string(constraint.schema)}")
    return call("op.create_unique_constraint", arguments)


def foreign_key(catalog: Catalog, constraint: ObjectId) -> tuple[list[str], ObjectId, list[str], list[str]]:
    """Return what a foreign key says: its columns, the other table, the columns there, and its options in Python.

    :raises NoCall: when it says something else as well.
    """
    a = catalog.objects[constraint]
    definition = str(a["definition"])
    table = catalog.by_server_name.get(str(a["references"]))
    try:
        local, at = bracketed(definition, 0)
        refers = _REFERENCES.match(definition, at)
        if refers is None or table is None:
            raise NoCall
        remote, at = bracketed(definition, refers.end())
        rest = definition[at:]
        options = [f"on{kind.lower()}={string(what)}" for kind, what in _ACTION.findall(rest)]
        options += [f"match={string(what)}" for what in _MATCH.findall(rest)]
        if _MATCH.sub("", _ACTION.sub("", rest)).strip():
            raise NoCall
        return names(local), table, names(remote), [*options, *_flags(a)]
    except ValueError as error:
        raise NoCall from error


def _flags(a: Attributes) -> list[str]:
    if a.get("not_enforced"):
        raise NoCall
    said = []
    if "deferrable" in a:
        said.append("deferrable=True")
        if str(a["deferrable"]).startswith("INITIALLY"):
            said.append('initially="DEFERRED"')
    if a.get("not_valid"):
        if a["sort"] != "f":
            raise NoCall
        said.append("postgresql_not_valid=True")
    return said


def _only_columns(definition: str, word: str) -> list[str]:
    try:
        inner, end = bracketed(definition, 0)
        if definition[: definition.index("(")].strip() != word or definition[end:].strip():
            raise NoCall  # INCLUDE, NULLS NOT DISTINCT, WITHOUT OVERLAPS
        return names(inner)
    except ValueError as error:
        raise NoCall from error


def _condition(definition: str) -> str:
    if not definition.startswith("CHECK (") or not definition.endswith(")"):
        raise NoCall
    inner = definition.removeprefix("CHECK (").removesuffix(")")
    if inner.startswith("("):  # the server writes one pair more than anybody would
        within, end = bracketed(inner, 0)
        inner = within if end == len(inner) else inner
    return respelled(inner)


def _text(expression: Value) -> str:
    return string(for_text(respelled(str(expression))))


def _listed(found: Iterable[str]) -> str:
    return ", ".join(string(one) for one in found)
