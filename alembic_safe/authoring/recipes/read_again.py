"""What does PostgreSQL read or build again where a column's type changes in place?"""

# Measured by the scans of the table within the statement: a plain, unique or covering index, a foreign key and an exclusion
# of plain columns are taken over as they are, and so is a check that is NOT VALID; any other check is held to every row, and an
# index with a predicate or an expression is built anew.
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from alembic_safe.authoring.recipes.naming import named_in
from alembic_safe.authoring.recipes.partitions import parts_of_heirs, parts_of_partitions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.catalog_records import ObjectId

_QUOTED = re.compile(r'"(?:[^"]|"")*"|\'(?:[^\']|\'\')*\'')
_BESIDE_THE_KEY = re.compile(r" (?:INCLUDE|WITH) \(")


def checked_again(facts: Facts, table: ObjectId, column: str) -> tuple[ObjectId, ...]:
    """Return the checks of a table that every row is held to again, in the order of their names."""
    objects = facts.catalog.objects
    return tuple(id_ for id_ in sorted(facts.catalog.parts(table)) if _is_checked(id_, objects[id_], column))


def built_again(facts: Facts, table: ObjectId, column: str) -> tuple[ObjectId, ...]:
    """Return what is read or built again and cannot stand aside for it: indexes, and what tables below have alone."""
    objects = facts.catalog.objects
    own = [id_ for id_ in sorted(facts.catalog.parts(table)) if _is_built(id_, objects[id_], column)]
    alone = (*parts_of_partitions(facts, table), *parts_of_heirs(facts, table))
    return (*own, *(id_ for id_, said in alone if _is_built(id_, said, column) or _is_checked(id_, said, column)))


def made_anew(parts: Sequence[ObjectId]) -> str:
    """Return what a sentence says of these: what happens to them, and to everybody else meanwhile."""
    names = " and ".join(one.name for one in parts)
    return f"{names} made anew while nobody reads or writes the table"


def behind_using(definition: str) -> str:
    """Return what an index or an exclusion is over: the names in front of that may be spelled like a column."""
    return definition[_start(definition) :]


def _is_checked(id_: ObjectId, said: Mapping[str, Any], column: str) -> bool:
    holds = not (said.get("not_valid") or said.get("not_enforced") or said.get("inherited"))
    return id_.kind == "constraint" and said.get("sort") == "c" and holds and named_in(str(said["definition"]), column)


def _is_built(id_: ObjectId, said: Mapping[str, Any], column: str) -> bool:
    definition = str(said.get("definition", ""))
    has_keys = id_.kind in {"index", "constraint"} and _start(definition) > 0
    if not has_keys or not named_in(behind_using(definition), column):
        return False
    plain = _BESIDE_THE_KEY.sub(" ", _masked(definition)[_start(definition) :])
    return " WHERE " in plain or plain.count("(") > 1


def _start(definition: str) -> int:
    at = _masked(definition).find(" USING ")
    return at + len(" USING ") if at >= 0 else 0


def _masked(definition: str) -> str:
    """Return a text of the same length in which names and strings say nothing."""
    return _QUOTED.sub(lambda found: "x" * len(found[0]), definition)
