"""What stands on one partition only, of which the partitioned table knows nothing?"""

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
    below = _partitions(facts, table)
    for id_, said in objects.items():
        if id_.kind not in {"index", "constraint"} or ObjectId("table", id_.schema, id_.parent) not in below:
            continue
        same = ObjectId(id_.kind, table.schema, id_.name, table.name)
        if not (said.get("attached_to") or said.get("inherited") or same in objects):
            yield id_, said


def _partitions(facts: Facts, table: ObjectId) -> list[ObjectId]:
    above = [table]
    for parent in above:
        above += [
            id_ for id_, said in facts.catalog.objects.items()
            if id_.kind == "table" and said.get("partition_bound") is not None
            and parent in map(facts.catalog.by_server_name.get, cast("tuple[str, ...]", said.get("inherits") or ()))
        ]  # fmt: skip
    return above[1:]
