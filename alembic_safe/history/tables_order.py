"""In which order are tables made, and which foreign keys have to wait for all of them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId

_TABLES = frozenset({"table", "foreign table"})


def tables_in_order(catalog: Catalog, seeded: AbstractSet[ObjectId]) -> tuple[list[ObjectId], frozenset[ObjectId]]:
    """Return the tables, each behind those that it refers to, and the foreign keys for which that cannot be.

    :param seeded: tables that get rows as soon as all are made; a reference of such a table to itself waits for them.
    """
    tables = sorted(id_ for id_ in catalog.objects if id_.kind in _TABLES)
    keys = {table: _keys(catalog, table) for table in tables}
    above = {table: _above(catalog, table) for table in tables}
    done: dict[ObjectId, None] = {}
    late: set[ObjectId] = set()
    for first in tables:
        path: list[tuple[ObjectId, list[ObjectId]]] = []
        open_: set[ObjectId] = set()

        def enter(table: ObjectId) -> None:
            open_.add(table)  # noqa: B023 - called within this turn of the loop only
            below = [*above[table], *(target for _, target in keys[table])]
            path.append((table, sorted(set(below), reverse=True)))  # noqa: B023

        if first not in done:
            enter(first)
        while path:
            table, waiting = path[-1]
            if waiting:
                target = waiting.pop()
                if target not in done and target not in open_ and target in keys:
                    enter(target)
                continue
            path.pop()
            late |= {key for key, target in keys[table] if target in keys and target not in done and target != table}
            late |= {key for key, target in keys[table] if target == table and table in seeded}
            open_.discard(table)
            done[table] = None
    return list(done), frozenset(late)


def _keys(catalog: Catalog, table: ObjectId) -> list[tuple[ObjectId, ObjectId]]:
    """Return the foreign keys of a table, and the tables that they refer to."""
    found = []
    for part in catalog.parts(table):
        references = catalog.objects[part].get("references")
        if references is not None:
            target = catalog.by_server_name.get(str(references))
            if target is not None:
                found.append((part, target))
    return found


def _above(catalog: Catalog, table: ObjectId) -> list[ObjectId]:
    """Return the tables that a table is a partition or an heir of."""
    parents = catalog.objects[table].get("inherits", ())
    return list(_found(catalog, parents if isinstance(parents, tuple) else ()))


def _found(catalog: Catalog, names: Iterable[str]) -> Iterable[ObjectId]:
    return (catalog.by_server_name[name] for name in names if name in catalog.by_server_name)
