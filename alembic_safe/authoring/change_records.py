"""What is a database to become, and what did that take?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.operations import ops
    from sqlalchemy import MetaData

    from alembic_safe.authoring.renames import Rename
    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId
    from alembic_safe.inspecting.comparison import Difference


class LabelTooNew(Exception):
    """A new label of an enum is used in the transaction that added it, which PostgreSQL does not allow.

    :param statements: what adds the labels, to be committed first.
    """

    def __init__(self, statements: Sequence[str]) -> None:
        super().__init__("; ".join(statements))
        self.statements = tuple(statements)


@dataclass(frozen=True)
class Ways:
    """How the values of a column become those of another type, and back: SQL over it; ``None``: nobody has said."""

    up: str | None = None
    down: str | None = None


@dataclass(frozen=True)
class Aim:
    """What a database is to become.

    :param models: the project's, as a sequence.
    :param catalog: what they are as a database, see :func:`~alembic_safe.inspecting.models_catalog.models_catalog`.
    :param renames: what was decided about names.
    :param keep: objects that only the database has, and keeps.
    :param fills: an SQL expression for the rows that have no value yet, or none that converts, by column.
    :param casts: columns whose values may change in a conversion: a person has consented.
    :param ways: how values convert, and back, as the models say, by column.
    :param accept: consents for the operations that retire and restore, such as ``retire-without-key:users.nick``.
    :param labels_committed: add labels of enums in transactions of their own, so that the rest can use them.
    """

    models: tuple[MetaData, ...]
    catalog: Catalog
    renames: tuple[Rename, ...] = ()
    keep: frozenset[ObjectId] = frozenset()
    fills: Mapping[ObjectId, str] = field(default_factory=dict)
    casts: frozenset[ObjectId] = frozenset()
    ways: Mapping[ObjectId, Ways] | None = None
    labels_committed: bool = False
    accept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """Operations that belong together, and those that take them back, both in their order."""

    forward: tuple[ops.MigrateOperation, ...]
    backward: tuple[ops.MigrateOperation, ...] = ()


@dataclass(frozen=True)
class Unsettled:
    """A difference that no operation settles, and why."""

    difference: Difference
    reason: str


@dataclass(frozen=True)
class Changes:
    """What was done, in order, and what could not be.

    :param catalog: the database afterwards.
    """

    changes: tuple[Change, ...]
    unsettled: tuple[Unsettled, ...]
    catalog: Catalog

    @property
    def upgrade(self) -> tuple[ops.MigrateOperation, ...]:
        """Every operation, in order."""
        return tuple(op for change in self.changes for op in change.forward)

    @property
    def downgrade(self) -> tuple[ops.MigrateOperation, ...]:
        """Every operation that takes them back, in order."""
        return tuple(op for change in reversed(self.changes) for op in change.backward)
