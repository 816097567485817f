"""Which sequences come with a column, and to which table do the others belong?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.history.expressions import bracketed, names
from alembic_safe.history.table_operations import serial_sequence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId

_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


@dataclass(frozen=True)
class Sequences:
    """The sequences of a catalog that belong to tables.

    :param serial: those that SQLAlchemy makes together with a primary key, by table.
    :param owned: those that are made before their table and given to it afterwards, by table.
    """

    serial: Mapping[ObjectId, tuple[ObjectId, ...]]
    owned: Mapping[ObjectId, tuple[ObjectId, ...]]

    @classmethod
    def of(cls, catalog: Catalog) -> Sequences:
        """Sort the sequences of a catalog."""
        serial: dict[ObjectId, tuple[ObjectId, ...]] = {}
        owned: dict[ObjectId, tuple[ObjectId, ...]] = {}
        for id_, a in catalog.objects.items():
            if id_.kind == "constraint" and a.get("sort") == "p":
                primary = key_columns(str(a["definition"]))
                column = id_._replace(kind="column", name=primary[0])
                found = serial_sequence(catalog, column, primary) if len(primary) == 1 else None
                if found:
                    serial[id_._replace(kind="table", name=id_.parent, parent="")] = (found,)
        taken = {one for found in serial.values() for one in found}
        for id_, a in sorted(catalog.objects.items()):
            if id_.kind == "sequence" and "owned_by" in a and id_ not in taken:
                schema, table, _ = (
                    (part[1] or "").replace('""', '"') or part[2] for part in _PART.finditer(str(a["owned_by"]))
                )
                key = id_._replace(kind="table", schema=schema, name=table)
                owned[key] = (*owned.get(key, ()), id_)
        return cls(serial, owned)

    def comes_with_its_table(self, sequence: ObjectId) -> bool:
        """Whether nothing has to make a sequence but its table."""
        return any(sequence in found for found in self.serial.values())


def key_columns(definition: str) -> list[str]:
    """Return the columns of a primary key."""
    return names(bracketed(definition, 0)[0])
