"""Which SQL turns one side of a comparison into the other?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.inspecting.catalog_records import RELATIONS, Catalog, ObjectId
from alembic_safe.inspecting.comparison import COLUMN_ORDER, EXISTS, Difference
from alembic_safe.inspecting.difference_sql_make import alter_sql, create_sql, drop_sql
from alembic_safe.inspecting.difference_sql_names import name_of
from alembic_safe.inspecting.difference_sql_parts import REMADE
from alembic_safe.inspecting.difference_sql_tables import CannotSay

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What is made first; what is dropped goes in the opposite order, after everything that had to be made or altered.
ORDER = (
    "schema", "extension", "language", "access method", "collation", "enum", "base type", "composite type", "domain",
    "range type", "domain constraint", "sequence", "function", "procedure", "aggregate", "operator", "operator family",
    "operator class", "cast", "conversion", "transform", "text search parser", "text search template",
    "text search dictionary", "text search configuration", "foreign-data wrapper", "server", "user mapping", "table",
    "foreign table", "column", "index", "constraint", "view", "materialized view", "view column", "statistics", "rule",
    "trigger", "partition trigger", "policy", "publication", "subscription", "event trigger", "default privileges",
    "system grant", "security label",
)  # fmt: skip
_RANK = {kind: 2 * number for number, kind in enumerate(ORDER)}
_LATE = ("owner", "grants", "comment")


@dataclass(frozen=True)
class Undo:
    """What undoes one difference: the SQL that turns the right side into the left one.

    :param statements: in their order, without semicolons; empty when there are none.
    :param reason: why there are none, or what they cannot bring back.
    :param destroys_data: they drop a table, a column or a sequence, with what is in it.
    """

    difference: Difference
    statements: tuple[str, ...]
    reason: str = ""
    destroys_data: bool = False

    @property
    def sql(self) -> str | None:
        """The statements as one script, or ``None`` when there are none."""
        return "".join(f"{statement};\n" for statement in self.statements) or None


def undo_sql(differences: Iterable[Difference], left: Catalog, right: Catalog) -> tuple[Undo, ...]:
    """Return what undoes each difference, in the order to run it.

    :param differences: what :func:`~alembic_safe.inspecting.comparison.compare` found between the two, or some of it.
    """
    ordered = sorted(differences, key=lambda difference: _place(difference, left, right))
    there = set(right.objects)
    remade: set[ObjectId] = set()
    undone = []
    for difference in ordered:
        found = _undo(difference, left, right, there, remade)
        if difference.is_missing and found.statements:
            there.add(difference.object)
        undone.append(found)
    return tuple(undone)


def _undo(difference: Difference, left: Catalog, right: Catalog, there: set[ObjectId], remade: set[ObjectId]) -> Undo:
    id_ = difference.object
    try:
        if difference.is_missing:
            return Undo(difference, tuple(create_sql(left, id_, there)), _lost(id_))
        if difference.is_extra:
            destroys = id_.kind in {"table", "column"}
            return Undo(difference, tuple(drop_sql(right, id_)), _lost(id_) if destroys else "", destroys)
        if id_ in remade:
            return Undo(difference, (), f"told with the {id_.kind} itself, which is made anew")
        if difference.what == COLUMN_ORDER:
            return Undo(difference, (), "PostgreSQL cannot change the order of a table's columns")
        statements = tuple(alter_sql(left, right, difference))
        if REMADE in statements:
            remade.add(id_)
            statements = (*drop_sql(right, id_), *create_sql(left, id_, there | {id_}))
    except CannotSay as answer:
        return Undo(difference, (), str(answer))
    if not statements:
        return Undo(difference, (), f"told with another attribute of the {id_.kind}")
    destroys = any(" DROP COLUMN " in s for s in statements) and "generated" not in right.objects.get(id_, {})
    return Undo(difference, statements, _lost(id_) if destroys else "", destroys)


def _lost(id_: ObjectId) -> str:
    """Return what no SQL brings back."""
    if id_.kind == "table":
        return "the table's rows are not part of a catalog: they come from a backup, or are gone with it"
    if id_.kind == "column":
        return "the column's values are not part of a catalog: they come from a backup, or are gone with it"
    return ""


def _place(difference: Difference, left: Catalog, right: Catalog) -> tuple[int, int, int, int, ObjectId, str]:
    """Return where a difference's SQL stands: made, then altered, then dropped, then rights and comments."""
    id_ = difference.object
    rank = _RANK.get(id_.kind, len(ORDER))
    if difference.is_extra and (id_.schema, id_.name) in {
        (other.schema, other.name) for other in left.objects if other.kind in RELATIONS and other != id_
    }:
        return (0, 0, 0, 0, id_, "")  # its name is needed for something of another kind
    if difference.is_extra:
        rank = _RANK["table"] if id_.kind in {"function", "procedure"} and _uses_relation(id_, right) else rank
        return (2, -rank, -_depth(id_, right), 0, id_, "")
    if difference.what == EXISTS:
        depth = _depth(id_, left)
        # a function over the rows of a table comes behind the table
        rank = _RANK["table"] if id_.kind in {"function", "procedure"} and _uses_relation(id_, left) else rank
        foreign_key = left.objects[id_].get("sort") == "f"
        return (1, rank, int(foreign_key), depth, id_, "")
    # attributes of what both have come in the same order; those that make anew before those that only set
    if difference.what == "not_null" and not difference.left and id_.kind == "column":
        rank = _RANK["constraint"] + 1  # while a primary key has the column it stays NOT NULL
    late = 1 + _LATE.index(difference.what) if difference.what in _LATE else 0
    return (1 if not late else 3, rank, late, 0 if _is_definition(difference.what) else 1, id_, difference.what)


def _is_definition(what: str) -> bool:
    return what in {"definition", "type", "not_null", "generated", "partition_bound", "using"}


def _uses_relation(id_: ObjectId, catalog: Catalog) -> bool:
    uses = catalog.objects[id_].get("depends_on", ())
    return isinstance(uses, tuple) and any("(" not in name for name in uses)


def _depth(id_: ObjectId, catalog: Catalog, seen: Sequence[str] = ()) -> int:
    """Return how many objects of the catalog stand below an object, one upon the other."""
    attributes = catalog.objects.get(id_, {})
    below: list[ObjectId] = []
    for key in ("depends_on", "inherits"):
        names = attributes.get(key, ())
        below += [found for name in (names if isinstance(names, tuple) else ()) if (found := _find(catalog, name))]
    if id_.kind in {"table", "foreign table"}:
        for part in catalog.parts(id_):
            target = catalog.objects[part].get("references")
            if target is not None and (found := _find(catalog, str(target))) and found != id_:
                below.append(found)
    name = name_of(id_)
    if name in seen:
        return 0
    return max((1 + _depth(other, catalog, (*seen, name)) for other in below), default=0)


def _find(catalog: Catalog, name: str) -> ObjectId | None:
    return catalog.by_server_name.get(name)
