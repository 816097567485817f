"""What do two operations of Alembic's come down to, one directly after the other?"""

# Where the two would do something else to rows than the one, or where a name that PostgreSQL made up would be another one,
# they stay two. The proof of a squash holds the result against the originals; nothing here relies on it.
from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    DefaultClause,
    ForeignKeyConstraint,
    Identity,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import SchemaType

from alembic_safe.history.operation_touch import makes_more, table_of
from alembic_safe.history.reduced_table import as_part, constraint_columns, named, same_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Pair = Sequence[ops.MigrateOperation]

_ABSORBED_BY_DROP = (
    ops.AlterColumnOp, ops.DropColumnOp, ops.CreateIndexOp, ops.AddConstraintOp, ops.DropConstraintOp, ops.DropIndexOp,
    ops.CreateTableCommentOp, ops.DropTableCommentOp,
)  # fmt: skip


def reduced_pair(one: ops.MigrateOperation, other: ops.MigrateOperation) -> Pair | None:
    """Return what does the same as the two; ``None`` where that is the two."""
    if _is_conditional(one) or _is_conditional(other):
        return None
    if isinstance(one, ops.RenameTableOp):
        return _renamed_table(one, other)
    if _schema(one) != _schema(other):
        return None
    if isinstance(one, ops.CreateIndexOp) and isinstance(other, ops.DropIndexOp):
        return [] if one.index_name is not None and same_name(one.index_name, other.index_name) else None
    if (isinstance(one, ops.DropIndexOp) and one.table_name is None) or table_of(one) != table_of(other):
        return None
    if isinstance(other, ops.DropTableOp):
        return _dropped_table(one, other)
    for kind, found in _BY_KIND:
        if isinstance(one, kind):
            return found(one, other)
    return None


def _is_conditional(operation: Any) -> bool:
    return bool(getattr(operation, "if_exists", None) or getattr(operation, "if_not_exists", None))


def _schema(operation: Any) -> str:
    return table_of(operation)[0] if hasattr(operation, "table_name") else ""


def _constraint(one: ops.AddConstraintOp, other: ops.MigrateOperation) -> Pair | None:
    if isinstance(other, ops.DropConstraintOp):
        gone = not isinstance(one, ops.CreatePrimaryKeyOp) and same_name(_name(one), other.constraint_name)
        return [] if gone else None
    return _on_column(one, other)


def _on_column(one: ops.MigrateOperation, other: ops.MigrateOperation) -> Pair | None:
    if isinstance(other, ops.DropColumnOp):
        return [other] if other.column_name in constraint_columns(one) else None
    return None


def _comment(one: ops.MigrateOperation, other: ops.MigrateOperation) -> Pair | None:
    del one
    return [other] if isinstance(other, (ops.CreateTableCommentOp, ops.DropTableCommentOp)) else None


def _name(operation: Any) -> Any:
    return operation.constraint_name


def _renamed_table(one: ops.RenameTableOp, other: ops.MigrateOperation) -> Pair | None:
    new = (one.schema or "", one.new_table_name)
    if isinstance(other, ops.RenameTableOp) and (other.schema or "", other.table_name) == new:
        if other.new_table_name == one.table_name:
            return []
        return [ops.RenameTableOp(one.table_name, other.new_table_name, schema=one.schema)]
    if isinstance(other, ops.DropTableOp) and table_of(other) == new:
        return [ops.DropTableOp(one.table_name, schema=one.schema)]
    return None


def _dropped_table(one: ops.MigrateOperation, other: ops.DropTableOp) -> Pair | None:
    if isinstance(one, ops.CreateTableOp):
        return [] if not any(makes_more(part) for part in one.columns if isinstance(part, Column)) else None
    if isinstance(one, ops.AddColumnOp):
        return [other] if not makes_more(one.column) else None
    if isinstance(one, ops.AlterColumnOp) and _is_bound_type(one):
        return None
    return [other] if isinstance(one, _ABSORBED_BY_DROP) else None


# --- a table that was made just now: there are no rows in it -----------------------------------------------------------


def _made_table(one: ops.CreateTableOp, other: ops.MigrateOperation) -> Pair | None:
    parts: Sequence[Any] | None = None
    if isinstance(other, ops.AddColumnOp) and not makes_more(other.column) and not other.column.primary_key:
        columns = [part for part in one.columns if isinstance(part, Column)]
        parts = [*columns, other.column, *(part for part in one.columns if not isinstance(part, Column))]
    elif isinstance(other, ops.DropColumnOp):
        parts = _without_column(one, other.column_name)
    elif isinstance(other, ops.AlterColumnOp):
        parts = _with_altered(one, other)
    elif isinstance(other, ops.AddConstraintOp) and not isinstance(other, ops.CreatePrimaryKeyOp):
        part = as_part(other)
        fits = part is not None and not _is_there(one, part) and not _is_on_key(one, part)
        parts = [*one.columns, part] if fits else None
    elif isinstance(other, ops.DropConstraintOp):
        gone = named(one, _name(other))
        is_one = len(gone) == 1 and not isinstance(gone[0], PrimaryKeyConstraint) and not _is_on_key(one, gone[0])
        parts = [part for part in one.columns if part is not gone[0]] if is_one else None
    elif isinstance(other, ops.CreateTableCommentOp):
        return [_table(one, one.columns, comment=other.comment)]
    elif isinstance(other, ops.DropTableCommentOp):
        return [_table(one, one.columns, comment=None)]
    return None if parts is None else [_table(one, parts)]


def _is_there(one: ops.CreateTableOp, part: Any) -> bool:
    """Whether a unique constraint says what another or the primary key says: in one CREATE TABLE, one of the two is left."""
    if not isinstance(part, UniqueConstraint):
        return False
    key = {column.name for column in one.columns if isinstance(column, Column) and column.primary_key}
    alike = [_columns_of(each) for each in one.columns if isinstance(each, (UniqueConstraint, PrimaryKeyConstraint))]
    return _columns_of(part) in [key, *alike]


def _is_on_key(one: ops.CreateTableOp, part: Any) -> bool:
    """Whether a foreign key is on a column of the primary key: SQLAlchemy counts such a column up only where there is none."""
    keys = [each for each in one.columns if isinstance(each, PrimaryKeyConstraint)]
    key = {column.name for column in one.columns if isinstance(column, Column) and column.primary_key}
    return isinstance(part, ForeignKeyConstraint) and bool(_columns_of(part) & key.union(*map(_columns_of, keys)))


def _table(one: ops.CreateTableOp, parts: Sequence[Any], **changed: Any) -> ops.CreateTableOp:
    made = copy.copy(one)
    made.columns = list(parts)
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def _without_column(one: ops.CreateTableOp, name: str) -> Sequence[Any] | None:
    gone = [part for part in one.columns if isinstance(part, Column) and part.name == name]
    if len(gone) != 1 or makes_more(gone[0]) or _is_used(one, name):
        return None
    return [part for part in one.columns if part is not gone[0]]


def _is_used(one: ops.CreateTableOp, name: str) -> bool:
    """Whether anything else in a table says a column's name: a key, a check, an expression."""
    columns = [part for part in one.columns if isinstance(part, Column)]
    own = next((part for part in columns if part.name == name), None)
    if own is None or own.primary_key or len(columns) == 1 or own.foreign_keys or own.unique or own.index:
        return True
    word = re.compile(rf"\b{re.escape(name)}\b")
    if any(isinstance(part.server_default, Computed) for part in columns):
        return True
    for part in one.columns:
        if isinstance(part, CheckConstraint):
            if word.search(str(part.sqltext)) or getattr(part, "_type_bound", False):
                return True
        elif not isinstance(part, Column) and (name in _columns_of(part)):
            return True
    return bool(one.kw)


def _columns_of(part: Any) -> set[str]:
    keys = getattr(part, "column_keys", None)
    pending = getattr(part, "_pending_colargs", ())
    found = set(keys or ()) | {str(getattr(one, "name", one)) for one in pending}
    return found | {column.name for column in getattr(part, "columns", ())}


def _with_altered(one: ops.CreateTableOp, other: ops.AlterColumnOp) -> Sequence[Any] | None:
    found = [part for part in one.columns if isinstance(part, Column) and part.name == other.column_name]
    if len(found) != 1 or (other.modify_name is not None and _is_used(one, other.column_name)):
        return None
    column = _altered(found[0], other, has_rows=False)
    return None if column is None else [column if part is found[0] else part for part in one.columns]


def _altered(column: Column[Any], other: ops.AlterColumnOp, *, has_rows: bool) -> Column[Any] | None:
    """Return a column as it is after an operation; ``None`` where it cannot be made that way at once."""
    default, type_ = other.modify_server_default, other.modify_type
    is_plain = not (column.primary_key or column.foreign_keys or isinstance(column.type, SchemaType))
    if _has_more(other) or _is_bound_type(other) or not is_plain or _is_computed(column.server_default):
        return None
    if type_ is not None and (column.server_default is not None or column.autoincrement is True):
        return None  # a default is converted together with its column: to what, the server knows
    if default is not False and (has_rows or type_ is not None or _is_computed(default)):
        return None
    is_nullable = column.nullable if other.modify_nullable is None else other.modify_nullable
    if other.modify_name is not None and not is_nullable:
        return None  # PostgreSQL 18 keeps the name that its NOT NULL was given before
    return _changed(column, other)


def _is_computed(default: Any) -> bool:
    return isinstance(default, (Computed, Identity))


def _changed(column: Column[Any], other: ops.AlterColumnOp) -> Column[Any]:
    default, type_ = other.modify_server_default, other.modify_type
    made = column._copy()  # noqa: SLF001 - what Alembic copies columns with
    if other.modify_nullable is not None:
        made.nullable = other.modify_nullable
    if other.modify_comment is not False:
        made.comment = other.modify_comment
    if type_ is not None:
        made.type = type_() if isinstance(type_, type) else type_
    if default is not False:
        made.server_default = _default(default)
    if other.modify_name is not None:
        made.name = made.key = other.modify_name
    return made


def _default(given: Any) -> Any:
    if given is None or isinstance(given, DefaultClause):
        return given
    return DefaultClause(given if isinstance(given, str) else text(str(given)) if not _is_clause(given) else given)


def _is_clause(given: Any) -> bool:
    return hasattr(given, "compile")


def _has_more(operation: ops.AlterColumnOp) -> bool:
    return any(value is not None for value in operation.kw.values())


def _is_bound_type(operation: ops.AlterColumnOp) -> bool:
    """Whether a check constraint or a type may come or go together with a column's type."""
    types = (operation.existing_type, operation.modify_type)
    return any(isinstance(one, SchemaType) or (isinstance(one, type) and issubclass(one, SchemaType)) for one in types)


# --- columns -----------------------------------------------------------------------------------------------------------


def _added_column(one: ops.AddColumnOp, other: ops.MigrateOperation) -> Pair | None:
    if isinstance(other, ops.DropColumnOp):
        return [] if other.column_name == one.column.name and not makes_more(one.column) else None
    if not isinstance(other, ops.AlterColumnOp) or other.column_name != one.column.name:
        return None
    column = _altered(one.column, other, has_rows=True)
    if column is None:
        return None
    made = copy.copy(one)
    made.column = column
    return [made]


def _altered_column(one: ops.AlterColumnOp, other: ops.MigrateOperation) -> Pair | None:
    now = one.modify_name if one.modify_name is not None else one.column_name
    if isinstance(other, ops.DropColumnOp) and other.column_name == now and not _is_bound_type(one):
        made = copy.copy(other)
        made.column_name, made._reverse = one.column_name, None  # noqa: SLF001 - what it would be turned round to
        return [made]
    if not isinstance(other, ops.AlterColumnOp) or other.column_name != now:
        return None
    if any(_has_more(each) or _is_bound_type(each) for each in (one, other)):
        return None
    types = [each for each in (one, other) if each.modify_type is not None]
    defaults = [each for each in (one, other) if each.modify_server_default is not False]
    if len(types) == 2 or (types and defaults):
        return None  # what rows hold goes through the first type into the second
    if any(_is_computed(each.modify_server_default) for each in defaults):
        return None
    merged = copy.copy(one)
    merged.kw = {}
    for name, nothing in (
        ("nullable", None),
        ("server_default", False),
        ("comment", False),
        ("type", None),
        ("name", None),
    ):
        later = getattr(other, f"modify_{name}")
        if later is not nothing:
            setattr(merged, f"modify_{name}", later)
    if merged.modify_name == merged.column_name:
        merged.modify_name = None
    return [merged] if _does_anything(merged) else []


def _does_anything(one: ops.AlterColumnOp) -> bool:
    return not (
        one.modify_nullable is None and one.modify_server_default is False and one.modify_comment is False
        and one.modify_type is None and one.modify_name is None
    )  # fmt: skip


_BY_KIND: tuple[tuple[Any, Callable[[Any, ops.MigrateOperation], Pair | None]], ...] = (
    (ops.CreateTableOp, _made_table),
    (ops.AddColumnOp, _added_column),
    (ops.AlterColumnOp, _altered_column),
    (ops.AddConstraintOp, _constraint),
    (ops.CreateIndexOp, _on_column),
    ((ops.CreateTableCommentOp, ops.DropTableCommentOp), _comment),
)
