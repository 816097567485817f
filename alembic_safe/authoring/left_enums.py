"""Which enums does nothing need any more behind operations, and what takes them away?"""

# Alembic drops no enum. What alembic-postgresql-enum finds of that would run in front of the phases, where the columns
# are of the enum as yet: where they are about to leave it, an operation of ours stands in its place.
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations.ops import AlterColumnOp

from alembic_safe.authoring.enum_changes import enum_of, enums_of, id_of_enum, type_of_theirs
from alembic_safe.database.statements import run
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.operations.enum_types import DropEnumTypeOp
from alembic_safe.operations.retire_column import RetireColumnOp
from alembic_safe.operations.retire_table import RetireTableOp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from alembic.operations.ops import MigrateOperation
    from sqlalchemy import Connection, MetaData, Table

    from alembic_safe.inspecting.changes import Change
    from alembic_safe.inspecting.settles import Settle

# the enum of an extension is the extension's; the column of a view, or of a partition, goes with another one
_COLUMNS = """
SELECT tn.nspname AS schema, t.typname AS name,
  ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)::text[] AS labels,
  n.nspname AS table_schema, c.relname AS table, a.attname AS column
FROM pg_type t JOIN pg_namespace tn ON tn.oid = t.typnamespace
JOIN pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped AND a.attislocal
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f', 'c') JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.typtype = 'e' AND NOT EXISTS (SELECT FROM pg_depend d
  WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""


def with_left_enums(
    connection: Connection, operations: Sequence[MigrateOperation], models: Iterable[MetaData],
    tables: Mapping[ObjectId, Table], default: str, still_open: Iterable[Change],
) -> list[MigrateOperation]:  # fmt: skip
    """Return operations, and behind them what takes away each enum that every column of it leaves; reads only.

    An enum that the models have stays, and so does one of which a column is that operations and open changes leave alone.

    :param operations: autogenerate's, with drops as what keeps the rows.
    :param tables: those of the models.
    :param default: the schema of a table that says none.
    :param still_open: an enum that the contract of such a change takes away is left to it; the columns that it takes
        away leave theirs.
    """
    lines = [line for change in still_open for line in change.settles]
    settled = {ObjectId("enum", line.schema, line.table) for line in lines if line.verb == "drop_type"}
    found = [op for op in operations if _dropped_by_them(op) not in settled]
    leaving = {id_ for op in found if (id_ := _leaving(op, default)) is not None}
    if not leaving:
        return found
    leaving_later = {id_ for line in lines if (id_ := _leaving_later(line)) is not None}
    labels: dict[ObjectId, tuple[str, ...]] = {}
    stays = {*enums_of(tables.values(), default), *_without_columns(models, default), *settled}
    for row in run(connection, _COLUMNS):
        id_ = ObjectId("enum", row["schema"], row["name"])
        table = ObjectId("table", row["table_schema"], row["table"])
        either = {table, ObjectId("column", table.schema, row["column"], table.name)}
        if not leaving.isdisjoint(either):
            labels[id_] = tuple(row["labels"])
        elif leaving_later.isdisjoint(either):
            stays.add(id_)
    left = sorted(labels.keys() - stays)
    return [
        *(op for op in found if _dropped_by_them(op) not in left),
        *(
            DropEnumTypeOp(
                id_.name, labels[id_], schema=None if id_.schema == default else id_.schema, if_unused=True
            )
            for id_ in left
        ),
    ]  # fmt: skip


def _leaving(op: MigrateOperation, default: str) -> ObjectId | None:
    """Return the column that goes or gets another type, or the table that goes."""
    if isinstance(op, AlterColumnOp) and op.modify_type is not None:
        return ObjectId("column", op.schema or default, str(op.column_name), op.table_name)
    if isinstance(op, RetireColumnOp):
        return ObjectId("column", op.schema or default, str(op.column.name), op.table_name)
    if isinstance(op, RetireTableOp):
        return ObjectId("table", op.schema or default, op.table_name)
    return None


def _leaving_later(line: Settle) -> ObjectId | None:
    """Return the column, or the table, that the contract of an open change takes away, or gives another type."""
    if line.verb == "retire_table":
        return ObjectId("table", line.schema, line.table)
    # a column whose enum gets other labels is of the same enum behind it
    if line.verb in {"retire_column", "drop_column"} or (line.verb == "swap_columns" and "enum" not in line.facts):
        return ObjectId("column", line.schema, line.name, line.table)
    return None


def _dropped_by_them(op: MigrateOperation) -> ObjectId | None:
    """Return the enum that an operation of alembic-postgresql-enum drops."""
    return type_of_theirs(op) if type(op).__name__ == "DropEnumOp" else None


def _without_columns(models: Iterable[MetaData], default: str) -> Iterator[ObjectId]:
    """Yield the enums that create_all() makes for the models as a whole: ``Enum(..., metadata=metadata)``."""
    for metadata in models:
        listeners: Any = metadata.dispatch.before_create
        for listener in listeners:
            # a method of the type: bound, in a partial, or as SQLAlchemy 2.0 keeps it
            called = getattr(listener, "func", listener)
            enum = enum_of(getattr(called, "__self__", None) or getattr(called, "target", None))
            if enum is not None:
                yield id_of_enum(enum, default)
