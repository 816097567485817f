"""Which columns do the models say were made of one, and which one of several?"""

# Autogenerate sees columns that come and columns that go; only a person knows that they are the same values in another
# shape. Said in the models, it is evidence as a rename is (see renames.py); it may stay, and then says nothing more.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe import MERGED_FROM, SPLIT_FROM
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.models import columns_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Table

    from alembic_safe.inspecting.catalog_records import Catalog


@dataclass(frozen=True)
class Reshaping:
    """Columns of one table whose values others have in another shape.

    :param old: the columns that go; ``new``: those that come.
    :param up: SQL over the old columns for each new one; ``down``: over the new ones for each old one.
    """

    schema: str
    table: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    up: tuple[str, ...]
    down: tuple[str, ...]

    def column(self, name: str) -> ObjectId:
        """Return the object that one of its columns is."""
        return ObjectId("column", self.schema, name, self.table)


def said_of_columns(tables: Mapping[ObjectId, Table]) -> dict[ObjectId, Mapping[str, Any]]:
    """Return the ``info`` of the columns of the models' tables, where it is not empty."""
    return {id_: dict(column.info) for id_, column in columns_of(tables).items() if column.info}


def reshapings(said: Mapping[ObjectId, Mapping[str, Any]]) -> tuple[Reshaping, ...]:
    """Return what the models say of columns in another shape.

    :param said: the ``info`` of columns, in the order of the models.
    :raises Refused: where two parts of one column say two ways back, or a way is missing.
    """
    found: list[Reshaping] = []
    parts: dict[ObjectId, list[tuple[str, str, str]]] = {}
    for id_, info in said.items():
        if SPLIT_FROM in info:
            old, up, down = info[SPLIT_FROM]
            parts.setdefault(id_._replace(name=str(old)), []).append((id_.name, up, down))
        if MERGED_FROM in info:
            olds, up, downs = info[MERGED_FROM]
            found.append(_counted(Reshaping(id_.schema, id_.parent, tuple(olds), (id_.name,), (up,), tuple(downs))))
    for old, each in parts.items():
        downs = list(dict.fromkeys(down for _, _, down in each))
        if len(downs) > 1:
            raise _two_ways_back(old, downs)
        ups = tuple(up for _, up, _ in each)
        found.append(Reshaping(old.schema, old.parent, (old.name,), tuple(n for n, _, _ in each), ups, tuple(downs)))
    return tuple(found)


def coming(said: Mapping[ObjectId, Mapping[str, Any]], database: Catalog) -> tuple[Reshaping, ...]:
    """Return those whose old columns a database has, and whose new ones it has not."""
    there = database.objects.keys()
    return tuple(
        one for one in reshapings(said)
        if all(one.column(name) in there for name in one.old) and not any(one.column(name) in there for name in one.new)
    )  # fmt: skip


def fills_of(said: Mapping[ObjectId, Mapping[str, Any]], database: Catalog) -> dict[ObjectId, str]:
    """Return what the rows that are there get in each of the columns that come."""
    return {
        one.column(name): up for one in coming(said, database) for name, up in zip(one.new, one.up, strict=True)
    }  # fmt: skip


def sources_of(said: Mapping[ObjectId, Mapping[str, Any]]) -> frozenset[ObjectId]:
    """Return the columns that go without having been renamed: what became of them is said."""
    return frozenset(one.column(name) for one in reshapings(said) for name in one.old)


def _counted(one: Reshaping) -> Reshaping:
    if len(one.old) == len(one.down):
        return one
    raise Refused(
        f"{one.table}.{one.new[0]} is merged from {', '.join(one.old)}, and down has {len(one.down)} expressions.",
        next_steps=[NextStep("say one for each of the old columns", 'merged_from(("first", "last"), up=..., down=(..., ...))')],
    )  # fmt: skip


def _two_ways_back(old: ObjectId, downs: list[str]) -> Refused:
    return Refused(
        f"The columns that {old.parent}.{old.name} is split into say two ways back to it.",
        detail=[f"down={down!r}" for down in downs],
        next_steps=[NextStep("say the same down in each of them")],
    )
