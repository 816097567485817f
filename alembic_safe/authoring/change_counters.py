"""How does a column that counts with a sequence come to count as an identity, and back?"""

# Both need a sequence, mostly of the same name, and neither can be had beside the other. The count goes on behind the
# highest value that is there.
from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.difference_sql_make import create_sql
from alembic_safe.inspecting.difference_sql_names import literal, name_of
from alembic_safe.inspecting.difference_sql_tables import identity_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId
    from alembic_safe.inspecting.comparison import Difference


def swapped_counters(
    models: Catalog, database: Catalog, found: Sequence[Difference]
) -> Iterator[tuple[list[str], list[str]]]:
    """Yield, for each column whose way to count changes, the statements there, and those back."""
    for one in found:
        if one.object.kind != "column" or one.what != "identity" or (one.left and one.right):
            continue
        old, new = _counter(database, one.object), _counter(models, one.object)
        there = [*_without(database, one.object, old), *_with(models, one.object, new)]
        back = [*_without(models, one.object, new), *_with(database, one.object, old)]
        yield there, back


def _counter(catalog: Catalog, column: ObjectId) -> ObjectId | None:
    """Return the sequence that belongs to a column without being its identity."""
    owner = f"{column.schema}.{column.parent}.{column.name}"
    return next(
        (
            id_
            for id_, attributes in catalog.objects.items()
            if id_.kind == "sequence" and str(attributes.get("owned_by", "")).replace('"', "") == owner
        ),
        None,
    )


def _without(catalog: Catalog, column: ObjectId, counter: ObjectId | None) -> Iterator[str]:
    alter = f"ALTER TABLE {quoted(column.schema, column.parent)} ALTER COLUMN {quoted(column.name)}"
    attributes = catalog.objects[column]
    if "identity" in attributes:
        yield f"{alter} DROP IDENTITY"
    if "default" in attributes:
        yield f"{alter} DROP DEFAULT"
    if counter is not None:
        yield f"DROP SEQUENCE {name_of(counter)}"


def _with(catalog: Catalog, column: ObjectId, counter: ObjectId | None) -> Iterator[str]:
    table = quoted(column.schema, column.parent)
    alter = f"ALTER TABLE {table} ALTER COLUMN {quoted(column.name)}"
    attributes = catalog.objects[column]
    if "identity" in attributes:
        yield f"{alter} ADD {identity_sql(catalog, column)}"
    if counter is not None:
        yield from create_sql(catalog, counter, set(catalog.objects))
    if "default" in attributes:
        yield f"{alter} SET DEFAULT {attributes['default']}"
    if "identity" in attributes or counter is not None:
        sequence = f"pg_get_serial_sequence({literal(table)}, {literal(column.name)})"
        yield f"SELECT setval({sequence}, coalesce(max({quoted(column.name)}), 0) + 1, false) FROM {table}"
