"""Which columns do the models say came from another table?"""

# Autogenerate sees a column that goes in one table, and one that comes in another. Said in the models, that they are the
# same is evidence as a rename is (see renames.py); it may stay, and then says nothing more.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe import MOVED_FROM
from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic_safe.inspecting.catalog_records import Catalog


@dataclass(frozen=True)
class Moving:
    """Columns that move together from one table to another.

    :param source: the table that they leave, ``target``: the one that they come to.
    :param columns: the source's column, and the target's; ``on``: what the rows find each other by, likewise.
    """

    source: ObjectId
    target: ObjectId
    columns: tuple[tuple[str, str], ...]
    on: tuple[tuple[str, str], ...]

    @property
    def old(self) -> tuple[ObjectId, ...]:
        """The columns that go."""
        return tuple(column_of(self.source, name) for name, _ in self.columns)

    @property
    def new(self) -> tuple[ObjectId, ...]:
        """The columns that come."""
        return tuple(column_of(self.target, name) for _, name in self.columns)


def column_of(table: ObjectId, name: str) -> ObjectId:
    """Return the object that a column of a table is."""
    return ObjectId("column", table.schema, name, table.name)


def movings(said: Mapping[ObjectId, Mapping[str, Any]]) -> tuple[Moving, ...]:
    """Return what the models say of columns of other tables, one for each of them.

    :param said: the ``info`` of columns, in the order of the models.
    """
    found = []
    for id_, info in said.items():
        if MOVED_FROM in info:
            schema, table, column, on = info[MOVED_FROM]
            source = ObjectId("table", schema or id_.schema, str(table))
            target = ObjectId("table", id_.schema, id_.parent)
            pairs = tuple(sorted((str(one), str(other)) for one, other in on))
            found.append(Moving(source, target, ((str(column), id_.name),), pairs))
    return tuple(found)


def leaving(said: Mapping[ObjectId, Mapping[str, Any]], database: Catalog) -> tuple[Moving, ...]:
    """Return those whose old columns a database has, and whose new ones it has not; what moves together as one."""
    there = database.objects.keys()
    found: dict[tuple[Any, ...], Moving] = {}
    for one in movings(said):
        if one.old[0] in there and one.new[0] not in there:
            key = (one.source, one.target, frozenset(one.on))
            before = found.get(key)
            # in one order, whoever reads them: that of settles, too
            columns = tuple(sorted((*(before.columns if before else ()), *one.columns)))
            found[key] = Moving(one.source, one.target, columns, before.on if before else one.on)
    return tuple(found.values())


def moved_fills(said: Mapping[ObjectId, Mapping[str, Any]], database: Catalog) -> dict[ObjectId, str]:
    """Return what the rows that are there get in each of the columns that come."""
    fills = {}
    for one in leaving(said, database):
        source = quoted(one.source.schema, one.source.name)
        target = quoted(one.target.schema, one.target.name)
        alias = other_name(one.target.name)
        on = " AND ".join(f"{alias}.{quoted(old)} = {target}.{quoted(new)}" for old, new in one.on)
        for (old, _), id_ in zip(one.columns, one.new, strict=True):
            fills[id_] = f"(SELECT {alias}.{quoted(old)} FROM {source} AS {alias} WHERE {on})"
    return fills


def other_name(table: str) -> str:
    """Return what a subquery calls the table that is not this one."""
    return "moved" if table != "moved" else "other"


def moved_sources(said: Mapping[ObjectId, Mapping[str, Any]]) -> frozenset[ObjectId]:
    """Return the columns that go without having been renamed: what became of them is said."""
    return frozenset(id_ for one in movings(said) for id_ in one.old)
