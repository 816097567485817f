"""What does a table look like before it belongs to a metadata, while a later version may still change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, MetaData, Table, UniqueConstraint

if TYPE_CHECKING:
    from collections.abc import Sequence

Part = Column[Any] | CheckConstraint | ForeignKeyConstraint | UniqueConstraint | Index

NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


@dataclass
class Draft:
    """One table of one model version.

    A SQLAlchemy ``Table`` cannot lose or rename a column once it is made. A draft can, because its columns are not
    attached to anything yet: version N takes the drafts of version N-1 and says only what is different.
    """

    name: str
    comment: str
    parts: list[Part]
    schema: str | None = None

    def column(self, name: str) -> Column[Any]:
        """Return a column, free to be changed."""
        return next(part for part in self.parts if isinstance(part, Column) and part.name == name)

    def rename(self, old: str, new: str) -> None:
        """Give a column another name."""
        column = self.column(old)
        column.name = column.key = new

    def replace(self, name: str, column: Column[Any]) -> None:
        """Put another column in the place of one; a type is changed this way, because an enum listens to its column."""
        self.parts[self.parts.index(self.column(name))] = column

    def add(self, *parts: Part) -> None:
        """Append columns, constraints or indexes."""
        self.parts += parts

    def remove(self, name: str) -> None:
        """Take away a column, or a constraint or an index by its name in the model."""
        self.parts = [part for part in self.parts if part.name != name]

    def attach(self, metadata: MetaData) -> Table:
        """Make the table."""
        return Table(self.name, metadata, *self.parts, schema=self.schema, comment=self.comment)


def metadata_of(drafts: Sequence[Draft]) -> MetaData:
    """Return a metadata that holds the tables of these drafts."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    for draft in drafts:
        draft.attach(metadata)
    return metadata


def by_name(drafts: Sequence[Draft]) -> dict[str, Draft]:
    """Return the drafts by the names of their tables, in order."""
    return {draft.name: draft for draft in drafts}
