"""In what do two catalogs differ?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.inspecting.catalog_records import IMPLIED, INHERITED_NAME, NOT_COMPARED, ObjectId
from alembic_safe.inspecting.one_form import same

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alembic_safe.inspecting.catalog_records import Catalog, Value

EXISTS = "exists"
"""What a difference says of an object that only one side has."""

COLUMN_ORDER = "column order"
"""What a difference says of columns that both sides have, in another order."""


@dataclass(frozen=True)
class Difference:
    """One respect in which two catalogs differ.

    :param object: the object.
    :param what: the attribute, :data:`EXISTS` or :data:`COLUMN_ORDER`.
    :param left: its value on the left side; ``None`` when it has none (the default).
    :param right: the same on the right side.
    """

    object: ObjectId
    what: str
    left: Value | None
    right: Value | None

    @property
    def is_missing(self) -> bool:
        """The left side has the object, the right side has not."""
        return self.what == EXISTS and self.left is True

    @property
    def is_extra(self) -> bool:
        """The right side has the object, the left side has not."""
        return self.what == EXISTS and self.right is True

    def __str__(self) -> str:
        if self.what == EXISTS:
            return f"{self.object}: {'missing' if self.is_missing else 'extra'}"
        return f"{self.object}: {self.what}: {_shown(self.left)} -> {_shown(self.right)}"


def compare(
    left: Catalog,
    right: Catalog,
    *,
    column_order: bool = False,
    owners: bool = True,
    grants: bool = True,
    inherited_names: bool = False,
) -> tuple[Difference, ...]:
    """Return every difference, sorted by object.

    An object that only one side has is one difference: what it is made of (the columns of a table) is not repeated.

    :param column_order: whether columns in another order are a difference.
    :param owners: whether another owner is a difference.
    :param grants: whether other rights, default privileges included, are a difference.
    :param inherited_names: whether another name of a NOT NULL that came from a parent is a difference.
    """
    without = NOT_COMPARED | (frozenset() if owners else {"owner"}) | (frozenset() if grants else {"grants"})
    without |= frozenset() if inherited_names else {INHERITED_NAME}
    gone = {
        (id_.schema, id_.name)
        for id_ in left.objects.keys() ^ right.objects.keys()
        if not id_.parent and id_.kind not in IMPLIED
    }
    found: list[Difference] = []
    for id_ in left.objects.keys() | right.objects.keys():
        if id_.parent and (id_.schema, id_.parent) in gone:
            continue
        if not grants and id_.kind in {"default privileges", "system grant"}:
            continue
        one, other = left.objects.get(id_), right.objects.get(id_)
        if (one is None or other is None) and id_.kind not in IMPLIED:
            found.append(Difference(id_, EXISTS, one is not None, other is not None))
        else:
            found.extend(_attributes(id_, one or {}, other or {}, without))
            if column_order and id_.kind in {"table", "foreign table"}:
                found.extend(_order(id_, left, right))
    return tuple(sorted(found, key=lambda difference: (difference.object, difference.what)))


def _attributes(
    id_: ObjectId, left: Mapping[str, Value], right: Mapping[str, Value], without: frozenset[str]
) -> Iterator[Difference]:
    if left == right:
        return
    for what in left.keys() | right.keys():
        if what not in without and not same(what, left.get(what), right.get(what)):
            yield Difference(id_, what, left.get(what), right.get(what))


def _order(table: ObjectId, left: Catalog, right: Catalog) -> Iterator[Difference]:
    """Compare the order of the columns that both sides have: an added column moves nobody."""
    orders = []
    for one, other in ((left, right), (right, left)):
        columns = [part for part in one.parts(table) if part.kind == "column" and part in other.objects]
        columns.sort(key=lambda column: one.objects[column].get("position", 0))
        orders.append(tuple(column.name for column in columns))
    if orders[0] != orders[1]:
        yield Difference(table, COLUMN_ORDER, *orders)


def _shown(value: Value | None) -> str:
    if value is None:
        return "(none)"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
