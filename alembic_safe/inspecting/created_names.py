"""What is the name of an index or constraint for which nobody has said one?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from alembic.util.sqla_compat import _get_constraint_final_name
from sqlalchemy.dialects import postgresql

from alembic_safe.database.names import LONGEST_NAME, cut

if TYPE_CHECKING:
    from sqlalchemy import CheckConstraint

_SUFFIXES = {"unique": "key", "foreignkey": "fkey", "check": "check"}


def name_of_created(create: Any, table: str) -> str:
    """Return the name that a fresh CREATE would have given: the models', the convention's, or PostgreSQL's own choice."""
    name = create.index_name if isinstance(create, ops.CreateIndexOp) else create.constraint_name
    if name is not None:
        return str(name)
    made = create.to_constraint()
    if made.name:
        return str(made.name)
    columns = create.local_cols if isinstance(create, ops.CreateForeignKeyOp) else create.columns
    return _chosen(table, "_".join(map(str, columns)), _SUFFIXES[create.constraint_type])


def name_of_check(check: CheckConstraint, column: str) -> str:
    """Return the name that a fresh CREATE would have given a check of the models which is about one column."""
    name = _get_constraint_final_name(check, postgresql.dialect())  # type: ignore[no-untyped-call,unused-ignore]
    return name or _chosen(str(check.table.name), column, "check")


def _chosen(table: str, columns: str, suffix: str) -> str:
    """Return the name that PostgreSQL puts together, as short as it makes it: makeObjectName() in indexcmds.c."""
    first, second = len(table.encode()), len(columns.encode())
    while first + second > LONGEST_NAME - len(suffix) - 2:
        first, second = (first - 1, second) if first > second else (first, second - 1)
    return f"{cut(table, first)}_{cut(columns, second)}_{suffix}"
