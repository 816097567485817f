"""To which fewer operations do many come down that do the same?"""

# Alembic's operations say nothing of the tables that they are for; so two of them may change places only where they touch
# different columns, or different tables that nothing ties to each other, and no common name. What is no operation (a data
# migration, raw SQL) keeps its place among all others.
from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from alembic.operations import ops

from alembic_safe.history.operation_touch import Ties, Touch, table_of, ties_of, touch_of
from alembic_safe.history.reductions import reduced_pair
from alembic_safe.history.vanishing import constraints_made, is_undone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alembic_safe.history.operation_touch import Name


@dataclass(frozen=True)
class Operation:
    """An operation of Alembic's, as a revision invoked it.

    :param revisions: which of them did; several, when it came out of several operations.
    """

    op: ops.MigrateOperation = field(repr=False, compare=False)
    revisions: tuple[str, ...]


@dataclass(frozen=True)
class Verbatim:
    """A revision that is carried as it is written: nothing moves across it."""

    revision: str


Item = Operation | Verbatim


def reduce(
    items: Sequence[Item], ties: Ties, fits: Callable[[ops.MigrateOperation], bool] = lambda _: True
) -> list[Item]:
    """Return fewer items that do the same, in an order in which they run.

    :param ties: what is known of the database that they run on.
    :param fits: whether an operation that came out of others can stand for them; where it cannot, they stay.
    """
    operations = [one.op for one in items if isinstance(one, Operation)]
    order = _Order(Ties(ties.links | ties_of(operations), ties.indexes), operations, fits)
    found: list[Item] = []
    segment: list[Operation] = []
    for item in items:
        if isinstance(item, Operation) and order.touch(item) is not None:
            segment.append(item)
            continue
        found += [*_reduced(segment, order), item]
        segment = []
    return [*found, *_reduced(segment, order)]


def _reduced(segment: list[Operation], order: _Order) -> list[Operation]:
    before = -1
    while len(segment) != before:
        before = len(segment)
        n = 0
        while n < len(segment):
            shorter = _once(segment, n, order)
            if shorter is None:
                n += 1
            else:
                segment = shorter
    return segment


def _once(segment: list[Operation], n: int, order: _Order) -> list[Operation] | None:
    """Take an operation together with the next one behind it that it can be taken together with."""
    one = segment[n]
    can_wait = True  # it may be done as late as what it is held against now
    for m in range(n + 1, len(segment)):
        other = segment[m]
        if not order.is_tied(one, other):
            continue
        between = segment[n + 1 : m]
        if order.is_undone(one, other, between):
            return [*segment[:n], *between, *segment[m + 1 :]]
        result = order.reduced(one.op, other.op)
        if result is None:
            can_wait = False
            continue
        revisions = tuple(dict.fromkeys([*one.revisions, *other.revisions]))
        made = [Operation(op, revisions) for op in result]
        if can_wait:
            return [*segment[:n], *between, *made, *segment[m + 1 :]]
        if not any(order.is_tied(between_one, other) for between_one in between):
            return [*segment[:n], *made, *between, *segment[m + 1 :]]
        return None
    return None


class _Order:
    """Which operations have to stay in their order, and what do two of them come down to?"""

    def __init__(
        self, ties: Ties, operations: Sequence[ops.MigrateOperation], fits: Callable[[ops.MigrateOperation], bool]
    ) -> None:
        self.ties = ties
        self._fits = fits
        self._touches: dict[int, Touch | None] = {}
        self._kept: list[ops.MigrateOperation] = []
        self._same: dict[Name, Name] = {}
        for operation in operations:
            if isinstance(operation, ops.RenameTableOp):
                touch = touch_of(operation, ties)
                names = sorted(touch.tables) if touch is not None else []
                for other in names[1:]:
                    self._same[self._root(other)] = self._root(names[0])
        self._links = {frozenset(map(self._root, link)) for link in ties.links}
        self._parts: dict[Name, dict[Name, frozenset[str] | None]] = {}
        self._with_renames: set[Name] = set()  # of their columns: which one a part is on by then, nobody says
        for name, table in ties.indexes.items():
            self._parts.setdefault(self._root(table), {})[name] = None
        self._made: dict[tuple[Name, str], Mapping[Name, frozenset[str]] | None] = {}
        self._dropped_keys: dict[int, Mapping[Name, frozenset[str]]] = {}
        for operation in operations:
            self._note_parts(operation)
            self._note_keys(operation)

    def _note_parts(self, operation: ops.MigrateOperation) -> None:
        """Note which names go when a table goes, or one of its columns: of indexes and constraints."""
        if isinstance(operation, ops.AlterColumnOp) and operation.modify_name is not None:
            self._with_renames.add(self._root(table_of(operation)))
        if not isinstance(operation, (ops.CreateTableOp, ops.CreateIndexOp, ops.AddConstraintOp)):
            return
        found, table = touch_of(operation, self.ties), table_of(operation)
        if found is not None:
            columns = None if isinstance(operation, ops.CreateTableOp) else found.tables[table]
            parts = self._parts.setdefault(self._root(table), {})
            for name in found.names:
                known = parts.get(name, columns)
                parts[name] = None if columns is None or known is None else known | columns

    def reduced(self, one: ops.MigrateOperation, other: ops.MigrateOperation) -> Sequence[ops.MigrateOperation] | None:
        """Return what two operations come down to; ``None`` where they stay two."""
        found = reduced_pair(one, other)
        made = [op for op in found or () if op is not one and op is not other]
        return found if all(map(self._fits, made)) else None

    def is_undone(self, one: Operation, other: Operation, between: Sequence[Operation]) -> bool:
        """Whether two operations come down to nothing, and nothing between them sees that."""
        if not is_undone(one.op, other.op, [each.op for each in between]):
            return False
        names = self._names(one) | self._names(other)
        return not any(names & self._names(each) for each in between)

    def _names(self, item: Operation) -> frozenset[Name]:
        touch = self.touch(item)
        return touch.names if touch is not None else frozenset()

    def touch(self, item: Operation) -> Touch | None:
        """Return what an operation touches, each table under one name through all renames."""
        key = id(item.op)
        if key not in self._touches:
            found = touch_of(item.op, self.ties)
            if found is not None:
                tables = {self._root(table): columns for table, columns in found.tables.items()}
                found = self._with_parts(item.op, replace(found, tables=tables))
            self._touches[key] = found
            self._kept.append(item.op)  # an id is given anew as soon as nobody holds what had it
        return self._touches[key]

    def _note_keys(self, operation: ops.MigrateOperation) -> None:
        """Note what the foreign keys are on that were made before they are dropped: nothing else needs them."""
        if isinstance(operation, (ops.CreateTableOp, ops.AddConstraintOp)):
            table = self._root(table_of(operation))
            for name, on in constraints_made(operation).items():
                self._made[table, name] = on
        elif isinstance(operation, ops.DropConstraintOp):
            on = self._made.pop((self._root(table_of(operation)), str(operation.constraint_name)), None)
            if on is not None:
                self._dropped_keys[id(operation)] = {self._root(table): columns for table, columns in on.items()}
                self._kept.append(operation)

    def _with_parts(self, operation: ops.MigrateOperation, touch: Touch) -> Touch:
        """Add what goes along with a table or a column, and every table that an index of this name is ever on."""
        if isinstance(operation, ops.DropIndexOp):
            where = [table for table, parts in self._parts.items() if touch.names & parts.keys()]
            return replace(touch, tables={**dict.fromkeys(where), **touch.tables})
        key = self._dropped_keys.get(id(operation), {})
        if key and not key.keys() & self._with_renames:
            return replace(touch, tables=key)
        if isinstance(operation, ops.DropTableOp):
            return replace(touch, names=touch.names | self._parts.get(self._root(table_of(operation)), {}).keys())
        if isinstance(operation, ops.DropColumnOp):
            table, column = self._root(table_of(operation)), str(operation.column_name)
            is_known = table not in self._with_renames
            gone = {
                name
                for name, columns in self._parts.get(table, {}).items()
                if not is_known or columns is None or column in columns
            }
            return replace(touch, names=touch.names | gone)
        return touch

    def is_tied(self, one: Operation, other: Operation) -> bool:
        """Whether two operations must not change places."""
        left, right = self.touch(one), self.touch(other)
        if left is None or right is None or left.names & right.names:
            return True
        for table in left.tables.keys() & right.tables.keys():
            columns = left.tables[table], right.tables[table]
            if None in columns or (left.appends and right.appends) or (columns[0] or set()) & (columns[1] or set()):
                return True
        if left.is_alone or right.is_alone:
            return False
        return any(frozenset({a, b}) in self._links for a in left.tables for b in right.tables)

    def _root(self, table: Name) -> Name:
        while table in self._same and self._same[table] != table:
            table = self._same[table]
        return table
