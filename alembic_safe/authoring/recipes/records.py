"""What does a recipe get to know, and what does it say?"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.catalog_records import Catalog, ObjectId
from alembic_safe.inspecting.settles import Settle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.operations.ops import MigrateOperation
    from sqlalchemy import Table

    from alembic_safe.inspecting.holding import Holding
    from alembic_safe.inspecting.leaning import Leaning


@dataclass(frozen=True)
class Facts:
    """What is known of the database that the operations start from, and of the models.

    :param server_version: as ``server_version_num``.
    :param catalog: everything that the database is.
    :param tables: the tables that the operations touch, reflected.
    :param said: the ``info`` of the models' tables and columns, where it is not empty.
    :param leaning: what nothing of ours makes again, by the column that it names, where a type changes.
    :param pinned: what the server changes no type under and a swap makes again, likewise.
    :param holding: what keeps a column that goes from being dropped.
    :param synced: the columns that triggers keep equal to others, of an open change or of this one: only those fill them.
    :param defaults: what the models say as the default of the columns whose type, or the labels of whose type, change, as SQL.
    :param unfit: the columns whose type changes to one that their present default is of no use to.
    """

    server_version: int
    default_schema: str
    catalog: Catalog
    tables: Mapping[ObjectId, Table] = field(default_factory=dict)
    said: Mapping[ObjectId, Mapping[str, Any]] = field(default_factory=dict)
    leaning: Mapping[ObjectId, tuple[Leaning, ...]] = field(default_factory=dict)
    pinned: Mapping[ObjectId, tuple[Leaning, ...]] = field(default_factory=dict)
    holding: Mapping[ObjectId, tuple[Holding, ...]] = field(default_factory=dict)
    synced: frozenset[ObjectId] = frozenset()
    defaults: Mapping[ObjectId, str] = field(default_factory=dict)
    unfit: frozenset[ObjectId] = frozenset()

    def id_of(self, table: str, schema: str | None) -> ObjectId:
        """Return the object that an operation means by a table."""
        return ObjectId("table", schema or self.default_schema, table)

    def column(self, table: str, schema: str | None, name: str) -> ObjectId:
        """Return the object that an operation means by a column."""
        return ObjectId("column", schema or self.default_schema, name, table)

    def shown(self, table: str, schema: str | None, name: str = "") -> str:
        """Return an object as a person calls it: the default schema unsaid."""
        parts = (schema if schema and schema != self.default_schema else "", table, name)
        return ".".join(part for part in parts if part)


@dataclass(frozen=True)
class Step:
    """What happens together, in one transaction.

    :param name: what it does, in a few words.
    :param undo: what takes it back, in its order; ``None``: the reverse of each operation that has one.
    """

    name: str
    operations: tuple[MigrateOperation, ...]
    undo: tuple[MigrateOperation, ...] | None = None


@dataclass(frozen=True)
class Words:
    """What the docstrings say: a sentence for each thing that a reviewer must know."""

    ordinary: tuple[str, ...] = ()
    expand: tuple[str, ...] = ()
    copy: tuple[str, ...] = ()
    contract: tuple[str, ...] = ()
    """Made from the lines of ``settles``, never by a recipe."""
    done: tuple[str, ...] = ()
    """What the ordinary operations do, for a file that stands in front of phases; made from them, never by a recipe."""


@dataclass(frozen=True)
class Phased:
    """What becomes of one operation.

    :param title: the whole in a few words, such as ``users.nick becomes users.handle``.
    :param ordinary: what needs no phases, for the revision in front of them.
    :param settles: what the contract does, line by line; the contract is written from it.
    :param fresh: columns that nothing is built on before they are filled.
    :param consumed: further operations that this one takes care of.
    :param is_first: whether its expand stands in front of all others: what comes on a column is built for its new type.
    """

    title: str
    ordinary: tuple[MigrateOperation, ...] = ()
    expand: tuple[Step, ...] = ()
    copy: tuple[Step, ...] = ()
    settles: tuple[Settle, ...] = ()
    words: Words = field(default_factory=Words)
    fresh: tuple[ObjectId, ...] = ()
    consumed: tuple[MigrateOperation, ...] = ()
    is_first: bool = False


def two_revisions(sentence: str, order: str) -> Refused:
    """Return what stops a revision that does two things of which one needs the other shipped, or not there.

    :param sentence: which two, and why.
    :param order: which of them comes first, such as ``the key first``.
    """
    way = NextStep(f"make two revisions of it, {order}; for each", "alembic revision --autogenerate")
    return Refused(sentence, next_steps=[way])


def settle(verb: str, id_: ObjectId, **more: Any) -> Settle:
    """Return a line of ``settles`` about a table, about a part of one, or about an enum.

    :param more: what its contract needs besides; ``None`` is left out.
    """
    given = {key: value for key, value in more.items() if value is not None}
    rest = json.dumps(given, sort_keys=True, ensure_ascii=False) if given else ""
    if id_.kind in {"table", "enum"}:
        return Settle(verb, id_.schema, id_.name, "", rest)
    return Settle(verb, id_.schema, id_.parent, id_.name, rest)
