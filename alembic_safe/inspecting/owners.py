"""Who owns what a replay made, held against a database whose objects belong to somebody?"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId, Value


def owned_as(expected: Catalog, actual: Catalog, *, made_by: str) -> Catalog:
    """Return a replayed catalog with the owners that its objects usually have in the other one; pure.

    The files say nothing of owners: whoever runs them owns what they make. So a role that owns everything here is
    held to be the one that ran them; one table that belongs to somebody else is a difference.

    :param made_by: the role that ran the replay.
    """
    replayed = {id_ for id_, attributes in expected.objects.items() if attributes.get("owner") == made_by}
    owners = Counter(str(actual.objects[id_]["owner"]) for id_ in replayed if actual.objects.get(id_, {}).get("owner"))
    usual = owners.most_common(1)[0][0] if owners else made_by
    objects: dict[ObjectId, Mapping[str, Value]] = {
        id_: {**attributes, "owner": usual} if id_ in replayed else attributes
        for id_, attributes in expected.objects.items()
    }
    return replace(expected, objects=objects)


def usual_owner(catalog: Catalog) -> str:
    """Return the role that owns most of a database; empty where nothing has an owner."""
    owners = Counter(str(attributes["owner"]) for attributes in catalog.objects.values() if attributes.get("owner"))
    del owners["pg_database_owner"]
    return owners.most_common(1)[0][0] if owners else ""
