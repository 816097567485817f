"""How does an operation that makes a constraint look as a part of the table?"""

from __future__ import annotations

from typing import Any

from alembic.operations import ops
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, UniqueConstraint

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


def same_name(left: Any, right: Any) -> bool:
    """Whether two names are said, and are one."""
    return isinstance(left, str) and isinstance(right, str) and str(left) == str(right)
