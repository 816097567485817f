"""What is one thing that the rows say to a change?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic_safe.errors import NextStep
    from alembic_safe.inspecting.catalog_records import ObjectId


@dataclass(frozen=True)
class Finding:
    """What the rows say to one change.

    :param kind: ``drop-column``, ``drop-table``, ``cast``, ``not-null``, ``unique``, ``check``, ``foreign-key``,
        ``enum-value``, ``restore-empty``.
    :param name: the object, as a person types it.
    :param rows: how many rows are concerned; ``total``: of how many.
    :param text: what is the matter, in one sentence.
    :param examples: some of the values.
    :param blocks: the server would reject it: consent does not help, ``ways`` do.
    """

    kind: str
    name: str
    object: ObjectId
    rows: int
    total: int
    text: str
    examples: tuple[str, ...] = ()
    blocks: bool = False
    ways: tuple[NextStep, ...] = ()

    @property
    def id(self) -> str:
        """The name under which a person accepts it."""
        return f"{self.kind}:{self.name}"
