"""How does a column that counts with a sequence come to count as an identity, and back?"""

# Both need a sequence, mostly of the same name, and neither can be had beside the other. The count goes on where it
# stood: the sequence of before has another name until the new one is there. What counted with nothing goes on behind
# the highest value. The column has its former type as yet, and its sequence follows it to the new one.
from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.names import names_ending_in
from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.catalog_records import Catalog
from alembic_safe.inspecting.difference_sql_make import create_sql
from alembic_safe.inspecting.difference_sql_names import literal, name_of
from alembic_safe.inspecting.difference_sql_tables import identity_sql
from alembic_safe.operations.swap_counters import WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alembic_safe.inspecting.catalog_records import ObjectId, Value
    from alembic_safe.inspecting.comparison import Difference

_ASIDE = "_before"
_TYPES = {type_: (-most - 1, most) for type_, most in WHOLE.items()}
"""How far a sequence counts that is told nothing else."""


def swapped_counters(
    models: Catalog, database: Catalog, found: Sequence[Difference]
) -> Iterator[tuple[list[str], list[str]]]:
    """Yield, for each column whose way to count changes, the statements there, and those back."""
    for one in found:
        if one.object.kind != "column" or one.what != "identity" or (one.left and one.right):
            continue
        wanted = _of_type(models, one.object, database)
        yield list(_swapped(database, wanted, one.object)), list(_swapped(wanted, database, one.object))


def _of_type(models: Catalog, column: ObjectId, database: Catalog) -> Catalog:
    """Return the models with an identity that counts as far as the type goes that its column still has."""
    becomes, was = (str(catalog.objects[column]["type"]) for catalog in (models, database))
    sequence = _counter(models, column)
    if sequence is None or not sequence.parent or not {becomes, was} <= _TYPES.keys():
        return models
    attributes = dict(models.objects[sequence])
    for name, its, other in zip(("minimum", "maximum"), _TYPES[becomes], _TYPES[was], strict=True):
        if attributes[name] == its:
            attributes[name] = other
    return Catalog({**models.objects, sequence: attributes}, models.server_version)


def _counter(catalog: Catalog, column: ObjectId) -> ObjectId | None:
    """Return the sequence that a column counts with: the one of its identity, or one that it owns."""
    owner = f"{column.schema}.{column.parent}.{column.name}"
    for id_, attributes in catalog.objects.items():
        if id_.kind != "sequence":
            continue
        if (id_.schema, id_.parent, attributes.get("identity_of")) == (column.schema, column.parent, column.name):
            return id_
        if str(attributes.get("owned_by", "")).replace('"', "") == owner:
            return id_
    return None


def _swapped(old: Catalog, new: Catalog, column: ObjectId) -> Iterator[str]:
    table = quoted(column.schema, column.parent)
    alter = f"ALTER TABLE {table} ALTER COLUMN {quoted(column.name)}"
    was, becomes = _counter(old, column), _counter(new, column)
    before = None if was is None else was._replace(name=_free_name(old, new, was))
    if was is not None and before is not None:
        yield f"ALTER SEQUENCE {name_of(was)} RENAME TO {quoted(before.name)}"
    if "default" in old.objects[column]:
        yield f"{alter} DROP DEFAULT"
    if "identity" in new.objects[column]:
        yield f"{alter} ADD {identity_sql(new, column)}"
    elif becomes is not None:
        yield from create_sql(new, becomes, set(new.objects))
    if was is not None and becomes is not None and before is not None:
        yield _set_as_before(becomes, new.objects[becomes], before, old.objects[was])
    elif becomes is not None:
        value = f"coalesce(max({quoted(column.name)}), 0) + 1"
        yield f"SELECT setval({literal(name_of(becomes))}, {value}, false) FROM {table}"
    if "identity" in old.objects[column]:
        yield f"{alter} DROP IDENTITY"
    elif before is not None:
        yield f"DROP SEQUENCE {name_of(before)}"
    if "default" in new.objects[column]:
        yield f"{alter} SET DEFAULT {new.objects[column]['default']}"


def _set_as_before(
    sequence: ObjectId, bounds: Mapping[str, Value], before: ObjectId, bounds_before: Mapping[str, Value]
) -> str:
    """Return what lets a sequence go on where the one of before stood, as far as it can stand there."""
    least, most = (int(str(bounds[name])) for name in ("minimum", "maximum"))
    is_shorter = int(str(bounds_before["minimum"])) < least, int(str(bounds_before["maximum"])) > most
    up = f"greatest(last_value, {int(least)})" if is_shorter[0] else "last_value"
    value = f"least({up}, {int(most)})" if is_shorter[1] else up
    return f"SELECT setval({literal(name_of(sequence))}, {value}, is_called) FROM {name_of(before)}"


def _free_name(old: Catalog, new: Catalog, sequence: ObjectId) -> str:
    taken = {(id_.schema, id_.name) for catalog in (old, new) for id_ in catalog.objects}
    return next(name for name in names_ending_in(sequence.name, _ASIDE) if (sequence.schema, name) not in taken)
