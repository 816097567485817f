"""What stands on one partition only, or on one table that inherits, of which the table above knows nothing?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alembic_safe.authoring.recipes.records import Facts


def parts_of_partitions(facts: Facts, table: ObjectId) -> Iterator[tuple[ObjectId, Mapping[str, Any]]]:
    """Yield the indexes and constraints that partitions have by themselves, with what the catalog says of them.

    :param table: the partitioned table; partitions of its partitions count, too.
    """
    objects = facts.catalog.objects
    for id_, said in _parts(facts, _below(facts, table, partitions=True)):
        same = ObjectId(id_.kind, table.schema, id_.name, table.name)
        if not (said.get("attached_to") or said.get("inherited") or same in objects):
            yield id_, said


def parts_of_heirs(facts: Facts, table: ObjectId) -> Iterator[tuple[ObjectId, Mapping[str, Any]]]:
    """Yield the same of tables that inherit and are no partitions; a check that they have as well is their own."""
    yield from (
        (id_, said) for id_, said in _parts(facts, _below(facts, table, partitions=False)) if not said.get("inherited")
    )


def _parts(facts: Facts, tables: list[ObjectId]) -> Iterator[tuple[ObjectId, Mapping[str, Any]]]:
    for id_, said in facts.catalog.objects.items():
        if id_.kind in {"index", "constraint"} and ObjectId("table", id_.schema, id_.parent) in tables:
            yield id_, said


def _below(facts: Facts, table: ObjectId, *, partitions: bool) -> list[ObjectId]:
    above = [table]
    for parent in above:
        above += [
            id_ for id_, said in facts.catalog.objects.items()
            if id_.kind == "table" and (said.get("partition_bound") is not None) is partitions
            and parent in map(facts.catalog.by_server_name.get, cast("tuple[str, ...]", said.get("inherits") or ()))
        ]  # fmt: skip
    return above[1:]
