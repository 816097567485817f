"""What is a piece of a squash: the object that it makes, and the ways to make it?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted
from alembic_safe.history.expressions import bracketed, respelled, split, unquoted
from alembic_safe.history.python_text import execute
from alembic_safe.history.table_operations import USUAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId

SECTIONS = (
    "Schemas and extensions", "Types", "Functions", "Sequences", "Tables", "Rows that every database has",
    "Foreign keys of tables that refer to each other", "Views", "Functions that use tables and views",
    "Triggers and rules", "Row level security", "The rest", "Rights", "Rights on what is made later",
)  # fmt: skip
"""Under which headings the pieces stand, in this order."""

TABLES, ROWS, LATE_KEYS, SECURITY, REST, RIGHTS, DEFAULT_RIGHTS = (
    SECTIONS[4], SECTIONS[5], SECTIONS[6], SECTIONS[10], SECTIONS[11], SECTIONS[12], SECTIONS[13],
)  # fmt: skip

_OF_KIND = {
    **dict.fromkeys(("schema", "extension", "language", "access method", "collation"), SECTIONS[0]),
    **dict.fromkeys(("enum", "base type", "composite type", "domain", "range type"), SECTIONS[1]),
    **dict.fromkeys(("function", "procedure", "aggregate", "operator", "operator family", "operator class", "cast",
                     "text search parser", "text search template", "text search dictionary",
                     "text search configuration"), SECTIONS[2]),
    "sequence": SECTIONS[3],
    **dict.fromkeys(("foreign-data wrapper", "server", "user mapping", "table", "foreign table", "column", "index",
                     "constraint"), TABLES),
    **dict.fromkeys(("view", "materialized view"), SECTIONS[7]),
    **dict.fromkeys(("trigger", "rule", "partition trigger"), SECTIONS[9]),
    "policy": SECURITY, "default privileges": DEFAULT_RIGHTS, "system grant": RIGHTS,
}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """One way to make what a piece makes.

    :param code: lines of Python, as they stand in ``upgrade()``.
    :param is_call: whether an operation of Alembic's makes it; otherwise SQL does.
    """

    code: str
    is_call: bool


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of the squash that makes an object, with what belongs to it.

    :param objects: what it makes; the first one gives it its name.
    :param section: one of :data:`SECTIONS`.
    :param forms: ways to make it, the best first.
    """

    objects: tuple[ObjectId, ...]
    section: str
    forms: tuple[Form, ...]


@dataclass(frozen=True)
class Wanted:
    """What a squash has to make.

    :param catalog: what the real files made of an empty database.
    :param empty: what an empty database is.
    :param default_schema: where a table without a schema goes.
    :param owner: whose everything is of which nothing else is said.
    :param seeded: tables that have rows.
    :param unfilled: materialized views that were never filled.
    """

    catalog: Catalog = field(repr=False)
    empty: Catalog = field(repr=False)
    default_schema: str
    owner: str
    seeded: frozenset[ObjectId] = frozenset()
    unfilled: frozenset[ObjectId] = frozenset()

    def made_usual(self, statements: Iterable[str]) -> Iterator[str]:
        """Yield statements without those that give something to whom it belongs already."""
        ending = f" OWNER TO {quoted(self.owner)}"
        return (one for one in statements if not (one.startswith("ALTER ") and one.endswith(ending)))


def section_of(id_: ObjectId, catalog: Catalog) -> str:
    """Return under which heading an object stands."""
    uses = catalog.objects.get(id_, {}).get("depends_on", ())
    if (
        id_.kind in {"function", "procedure", "aggregate"}
        and isinstance(uses, tuple)
        and any("(" not in u for u in uses)
    ):
        return SECTIONS[8]
    return _OF_KIND.get(id_.kind, REST)


def sql_forms(statements: Iterable[str]) -> tuple[Form, ...]:
    """Return the statements as forms: as the server reads them back unchanged, and as it wrote them."""
    found = [pretty(one) for one in statements]
    texts = dict.fromkeys("\n".join(execute(spelled(one)) for one in found) for spelled in (_readable, respelled, str))
    return tuple(Form(text, is_call=False) for text in texts if text)


def _readable(statement: str) -> str:
    return unquoted(respelled(statement))


def pretty(statement: str) -> str:
    """Return CREATE TABLE with a line for each column, and any other statement as it is."""
    if not statement.startswith(("CREATE TABLE", "CREATE UNLOGGED TABLE", "CREATE FOREIGN TABLE")):
        return statement
    # a name may hold a parenthesis
    start = statement.find('" (') + 1 or statement.find(" (")
    inner, end = bracketed(statement, start)
    if not inner:
        return statement
    end_of_it = statement[end:].removesuffix(f' USING "{USUAL}"')
    return statement[:start] + " (\n  " + ",\n  ".join(split(inner)) + "\n)" + end_of_it
