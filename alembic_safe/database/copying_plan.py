"""What did the first run of a copy decide, as it stands in the journal?"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from alembic_safe.database.copying_ranges import Range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.database.copying_ranges import Leaf


@dataclass(frozen=True)
class Plan:
    """The ranges that a copy is cut into, in the order of their cursors, and what all of its runs did in the end."""

    ranges: tuple[Range, ...]
    is_done: bool = False
    rows: int = 0
    written: int = 0

    def as_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read it back."""
        given = json.loads(text)
        ranges = [
            Range(**{**one, "after": None if one["after"] is None else tuple(one["after"]), "last": tuple(one["last"])})
            for one in given["ranges"]
        ]
        return cls(tuple(ranges), given["is_done"], given["rows"], given["written"])

    def unknown(self, leaves: Sequence[Leaf]) -> list[Leaf]:
        """Return the tables of which it has no range."""
        known = {one.leaf for one in self.ranges}
        return [leaf for leaf in leaves if leaf.table.oid not in known]

    def with_more(self, ranges: Sequence[Range]) -> Plan:
        """Return it with more ranges, behind those that have cursors."""
        return replace(self, ranges=(*self.ranges, *ranges))
