"""Which SQL makes what stands beside tables, types and routines, and gives it back an attribute?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.difference_sql_names import (
    address,
    foreign_options_sql,
    fresh_foreign_options,
    literal,
    name_of,
)
from alembic_safe.inspecting.difference_sql_parts import REMADE
from alembic_safe.inspecting.difference_sql_tables import STATES, CannotSay

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alembic_safe.inspecting.catalog_records import ObjectId, Value

    Attributes = Mapping[str, Value]


def rest_sql(id_: ObjectId, a: Attributes) -> str:  # noqa: C901, PLR0912 - one case for each kind or attribute
    """Return the statement that makes an object of one of the rarer kinds.

    :raises CannotSay: when there is none, with where to take it from.
    """
    name = name_of(id_)
    match id_.kind:
        case "schema":
            return f"CREATE SCHEMA {name}"
        case "extension":
            return f"CREATE EXTENSION {name} SCHEMA {quoted(str(a['schema']))} VERSION {literal(str(a['version']))}"
        case "event trigger":
            tags = ", ".join(literal(tag) for tag in _texts(a.get("tags")))
            when = f" WHEN TAG IN ({tags})" if tags else ""
            return f"CREATE EVENT TRIGGER {name} ON {a['event']}{when} EXECUTE FUNCTION {a['function']}"
        case "foreign-data wrapper":
            clauses = "".join(f" {key.upper()} {a[key]}" for key in ("handler", "validator") if key in a)
            return f"CREATE FOREIGN DATA WRAPPER {name}{clauses}{_foreign(a)}"
        case "server":
            clauses = "".join(f" {key.upper()} {literal(str(a[key]))}" for key in ("type", "version") if key in a)
            return f"CREATE SERVER {name}{clauses} FOREIGN DATA WRAPPER {quoted(str(a['wrapper']))}{_foreign(a)}"
        case "user mapping":
            return f"CREATE {address(id_)}{_foreign(a)}"
        case "publication":
            return f"CREATE PUBLICATION {name}{_published(a)} WITH ({_publication_options(a)})"
        case "statistics":
            return str(a["definition"])
        case "cast":
            how = {"i": "WITH INOUT", "b": "WITHOUT FUNCTION"}.get(
                str(a["method"]), f"WITH FUNCTION {a.get('function')}"
            )
            context = {"a": " AS ASSIGNMENT", "i": " AS IMPLICIT"}.get(str(a["context"]), "")
            return f"CREATE CAST {name} {how}{context}"
        case "access method":
            word = "TABLE" if a["type"] == "t" else "INDEX"
            return f"CREATE ACCESS METHOD {name} TYPE {word} HANDLER {a['handler']}"
        case "text search configuration":
            return f"CREATE TEXT SEARCH CONFIGURATION {name} (PARSER = {a['parser']})"
        case "text search dictionary":
            options = f", {a['options']}" if "options" in a else ""
            return f"CREATE TEXT SEARCH DICTIONARY {name} (TEMPLATE = {a['template']}{options})"
        case "subscription":
            raise CannotSay("its connection string, which may hold a password, is not part of a catalog")
        case _:
            raise CannotSay(f"take the {id_.kind} from a pg_dump --schema-only of the other side")


def rest_attribute(id_: ObjectId, what: str, left: Attributes, right: Attributes) -> Iterator[str]:  # noqa: C901, PLR0912 - one case for each kind or attribute
    """Yield the statements that give an object of one of the rarer kinds back one attribute, or :data:`REMADE`.

    :raises CannotSay: when none can.
    """
    alter = f"ALTER {address(id_)}"
    value = left.get(what)
    match (id_.kind, what):
        case ("extension", "version"):
            yield f"{alter} UPDATE TO {literal(str(value))}"
        case ("extension", "schema"):
            yield f"{alter} SET SCHEMA {quoted(str(value))}"
        case ("event trigger", "enabled"):
            yield f"{alter} {STATES[None if value is None else str(value)]}"
        case (_, "foreign_options"):
            if any(option.endswith("=(hidden)") for option in (*_texts(value), *_texts(right.get(what)))):
                raise CannotSay("one of the options looks like a secret, and secrets are not part of a catalog")
            yield f"{alter} {foreign_options_sql(value, right.get(what))}"
        case ("publication", "tables" | "schemas") if _published(left):
            yield f"{alter} SET {_published(left).removeprefix(' FOR ')}"
        case ("publication", "tables"):
            yield f"{alter} DROP TABLE {', '.join(_bare(table) for table in _texts(right.get(what)))}"
        case ("publication", "schemas"):
            yield f"{alter} DROP TABLES IN SCHEMA {', '.join(_texts(right.get(what)))}"
        case ("publication", "publishes" | "via_root" | "generated_columns"):
            yield f"{alter} SET ({_publication_options(left, explicit=what)})"
        case ("statistics", "statistics"):
            yield f"{alter} SET STATISTICS {-1 if value is None else value}"
        case ("text search configuration", "mappings"):
            wanted, held = (dict(entry.split(" ", 1) for entry in _texts(side.get(what))) for side in (left, right))
            yield from (f"{alter} DROP MAPPING FOR {quoted(token)}" for token in held if token not in wanted)
            for token, dictionaries in wanted.items():
                if held.get(token) != dictionaries:
                    yield f"{alter} {'ALTER' if token in held else 'ADD'} MAPPING FOR {quoted(token)} WITH {dictionaries}"
        case ("subscription", "enabled"):
            yield f"{alter} {'ENABLE' if value else 'DISABLE'}"
        case ("subscription", "binary" | "disable_on_error" | "run_as_owner"):
            yield f"{alter} SET ({what} = {'true' if value else 'false'})"
        case ("event trigger" | "cast" | "statistics" | "access method" | "text search dictionary", _):
            yield REMADE
        case _:
            raise CannotSay(
                f"take the {what.replace('_', ' ')} of the {id_.kind} from a pg_dump --schema-only of the other side"
            )


def _published(a: Attributes) -> str:
    """Return what a publication is for, as its clause says it."""
    if a.get("all_tables"):
        return " FOR ALL TABLES"
    parts = [f"TABLE {table}" for table in _texts(a.get("tables"))]
    parts += [f"TABLES IN SCHEMA {schema}" for schema in _texts(a.get("schemas"))]
    return f" FOR {', '.join(parts)}" if parts else ""


def _publication_options(a: Attributes, *, explicit: str = "") -> str:
    options = [f"publish = {literal(str(a.get('publishes', '')))}"]
    options.append(f"publish_via_partition_root = {'true' if a.get('via_root') else 'false'}")
    if "generated_columns" in a or explicit == "generated_columns":
        options.append(f"publish_generated_columns = {a.get('generated_columns', 'none')}")
    return ", ".join(options)


def _bare(table: str) -> str:
    """Return a published table without its columns and its WHERE."""
    return table.partition(" (")[0].partition(" WHERE (")[0]


def _foreign(a: Attributes) -> str:
    if any(option.endswith("=(hidden)") for option in _texts(a.get("foreign_options"))):
        raise CannotSay("one of the options looks like a secret, and secrets are not part of a catalog")
    return fresh_foreign_options(a.get("foreign_options"))


def _texts(value: Value | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()
