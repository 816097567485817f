"""Which operation is undone by a later one so that nothing between the two sees that it was ever done?"""

# An index that is not unique, a check and a foreign key are nothing to any other operation of Alembic's, but for their names:
# with them something may fail, and what did not fail with them does the same without. What would go along with a column
# or a table that goes between says the name, too.
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import Column, ForeignKeyConstraint

from alembic_safe.history.operation_touch import Ties, referents, table_of, touch_of
from alembic_safe.history.reduced_table import made_up_name, same_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alembic_safe.history.operation_touch import Name

# a name that PostgreSQL makes up is another one while it is taken
_MADE_UP = re.compile(r"_(pkey|key|fkey|check|idx|excl|not_null|seq)\d*$")
_KEPT_OF_TABLE = 25
"""How much of a table's name stands in a made-up one at least, however long the names of the columns are."""
_MAKES = (ops.CreateTableOp, ops.AddColumnOp, ops.AlterColumnOp, ops.AddConstraintOp, ops.CreateIndexOp)


def is_undone(one: ops.MigrateOperation, other: ops.MigrateOperation, between: Iterable[ops.MigrateOperation]) -> bool:
    """Whether two operations come down to nothing, whatever is done between them that does not say the same name.

    :param between: what is done there; none of it says the name.
    """
    if isinstance(one, ops.CreateIndexOp):
        name = None if one.unique or one.if_not_exists else one.index_name
        is_gone = isinstance(other, ops.DropIndexOp) and not other.if_exists and same_name(name, other.index_name)
        is_gone = is_gone and table_of(one)[0] == table_of(other)[0]  # what its table is called by then is no matter
    elif isinstance(one, (ops.CreateForeignKeyOp, ops.CreateCheckConstraintOp)):
        name = one.constraint_name if isinstance(one.constraint_name, str) else None
        is_gone = (
            isinstance(other, ops.DropConstraintOp) and not other.if_exists and same_name(name, other.constraint_name)
        )
        is_gone = is_gone and table_of(one) == table_of(other)
    else:
        return False
    if name is None or not is_gone:
        return False
    return not (_MADE_UP.search(str(name)) and any(_may_make_up(name, each) for each in between))


def constraints_made(
    operation: ops.CreateTableOp | ops.AddConstraintOp,
) -> dict[str, Mapping[Name, frozenset[str]] | None]:
    """Return the names of the constraints that an operation makes, with what each of them is on.

    :return: tables and columns for a foreign key; ``None`` for any other one.
    """
    if isinstance(operation, ops.CreateTableOp):
        parts = [part for part in operation.columns if not isinstance(part, Column)]
        named = [(getattr(part, "name", None) or made_up_name(operation.table_name, part), part) for part in parts]
        return {str(name): _on(operation, part) for name, part in named if name is not None}
    name = getattr(operation, "constraint_name", None)
    return {} if name is None else {str(name): _on_key(operation)}


def _on_key(operation: ops.AddConstraintOp) -> Mapping[Name, frozenset[str]] | None:
    touch = touch_of(operation, Ties()) if isinstance(operation, ops.CreateForeignKeyOp) else None
    return None if touch is None else {table: columns or frozenset() for table, columns in touch.tables.items()}


def _on(operation: ops.CreateTableOp, part: Any) -> Mapping[Name, frozenset[str]] | None:
    if not isinstance(part, ForeignKeyConstraint):
        return None
    found, own = referents([part]), table_of(operation)
    return {**found, own: found.get(own, frozenset()) | frozenset(map(str, part.column_keys))}


def _may_make_up(name: str, operation: ops.MigrateOperation) -> bool:
    return isinstance(operation, _MAKES) and str(name).startswith(table_of(operation)[1][:_KEPT_OF_TABLE])
