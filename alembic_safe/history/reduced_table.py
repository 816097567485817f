"""How does an operation that makes a constraint look as a part of the table?"""

from __future__ import annotations

import re
from typing import Any

from alembic.operations import ops
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, UniqueConstraint

_LONGEST = 64
"""How many bytes a name of PostgreSQL's takes at most, with its end."""
_KEY_WORDS = ("onupdate", "ondelete", "deferrable", "initially", "match")


def as_part(operation: Any) -> Any:
    """Return the constraint as it stands in ``op.create_table``; ``None`` where it cannot."""
    name = operation.constraint_name
    if isinstance(operation, ops.CreateForeignKeyOp):
        schema = operation.kw.get("referent_schema")
        target = f"{schema}.{operation.referent_table}" if schema else operation.referent_table
        if "." in operation.referent_table or any("." in str(one) for one in operation.remote_cols):
            return None  # ForeignKeyConstraint takes a name with a dot for a schema and a name
        words = {word: operation.kw[word] for word in _KEY_WORDS if operation.kw.get(word) is not None}
        known = {*_KEY_WORDS, "referent_schema", "source_schema", "use_alter"}
        if any(value for word, value in operation.kw.items() if word not in known):
            return None
        remote = [f"{target}.{column}" for column in operation.remote_cols]
        return ForeignKeyConstraint(list(operation.local_cols), remote, name=name, **words)
    if isinstance(operation, ops.CreateUniqueConstraintOp):
        return UniqueConstraint(*operation.columns, name=name, **operation.kw)
    if isinstance(operation, ops.CreateCheckConstraintOp):
        return CheckConstraint(operation.condition, name=name, **operation.kw)
    return None


def constraint_columns(operation: Any) -> set[str]:
    """Return the columns that an index or a constraint certainly goes together with."""
    if isinstance(operation, ops.CreateForeignKeyOp):
        return set(map(str, operation.local_cols))
    if isinstance(operation, ops.CreateUniqueConstraintOp):
        return set(map(str, operation.columns))
    if isinstance(operation, ops.CreateIndexOp):
        named = (one.name if isinstance(one, Column) else one for one in operation.columns)
        return {one for one in named if isinstance(one, str)}
    return set()


def made_up_name(table: str, part: Any) -> str | None:
    """Return the name that PostgreSQL gives a foreign key or a unique constraint that has none, where no other has it.

    :param part: the constraint, in ``op.create_table`` or as an operation of its own.
    :return: ``None`` for anything else, and where PostgreSQL would have to shorten it.
    """
    if isinstance(part, ForeignKeyConstraint):
        columns, kind = part.column_keys, "fkey"
    elif isinstance(part, UniqueConstraint):
        pending = getattr(part, "_pending_colargs", ())
        columns = [one.name for one in part.columns] or [str(getattr(one, "name", one)) for one in pending]
        kind = "key"
    elif isinstance(part, ops.CreateForeignKeyOp):
        columns, kind = part.local_cols, "fkey"
    elif isinstance(part, ops.CreateUniqueConstraintOp):
        columns, kind = part.columns, "key"
    else:
        return None
    name = "_".join([table, *map(str, columns), kind])
    return name if len(name.encode()) < _LONGEST else None


def named(table: ops.CreateTableOp, name: Any) -> list[Any]:
    """Return the constraints of a table that have a name, or that PostgreSQL gives it; several, where that is not known."""
    constraints: list[Any] = [part for part in table.columns if not isinstance(part, Column)]
    found = [part for part in constraints if same_name(part.name, name)]
    if found or not isinstance(name, str):
        return found
    # a second one of the same name has a number behind it
    made_up = [(part, made_up_name(table.table_name, part)) for part in constraints if part.name is None]
    if any(other is not None and re.fullmatch(re.escape(other) + r"\d+", name) for _, other in made_up):
        return []
    return [part for part, other in made_up if other == name]


def same_name(left: Any, right: Any) -> bool:
    """Whether two names are said, and are one."""
    return isinstance(left, str) and isinstance(right, str) and str(left) == str(right)
