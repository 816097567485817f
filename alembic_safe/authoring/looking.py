"""What must be known of a database, and of the models, before operations can be split into phases?"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alembic.operations.ops import AlterColumnOp
from sqlalchemy import MetaData, Table, TextClause, UniqueConstraint, inspect
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.exc import NoSuchTableError, SAWarning

from alembic_safe.authoring.change_operations import RenameColumnOp, plain_text
from alembic_safe.authoring.changes import version_tables
from alembic_safe.authoring.default_casts import defaults_of_models, of_no_use
from alembic_safe.authoring.enum_operations import ChangeLabelsOp
from alembic_safe.authoring.recipes.records import Facts
from alembic_safe.authoring.recipes.standing_on import referred_columns
from alembic_safe.authoring.renamed_facts import former_names
from alembic_safe.authoring.reshaped import said_of_columns
from alembic_safe.authoring.said_indexes import say_predicates_of
from alembic_safe.authoring.written_sql import reflected_default, sql_text
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.holding import holding_of
from alembic_safe.inspecting.leaning import leaning_on, pinning
from alembic_safe.inspecting.models import models_of, tables_of
from alembic_safe.inspecting.operation_table import table_of_operation
from alembic_safe.operations.retire_column import RetireColumnOp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from alembic.operations.ops import MigrateOperation
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import ReflectedIndex

    from alembic_safe.inspecting.catalog_records import Catalog


def look(context: MigrationContext, operations: Iterable[MigrateOperation]) -> Facts:
    """Read what the recipes need to know; writes nothing.

    :param context: on the database that the operations start from.
    """
    default = context.dialect.default_schema_name or "public"
    operations = tuple(operations)
    typed = [op for op in operations if isinstance(op, AlterColumnOp) and op.modify_type is not None]
    wanted = {id_ for op in operations for id_ in (*getattr(op, "tables", ()), _table(op, default))}
    former = former_names(operations, default)
    named = [former.get(table, table) for table in (_table(op, default) for op in typed)]
    models = tables_of(models_of(context), default)
    facts = facts_of(context, models, wanted, set(named))
    connection: Any = context.connection
    columns = [
        ObjectId("column", table.schema, str(op.column_name), table.name)
        for table, op in zip(named, typed, strict=True)
    ]
    for id_ in columns:
        table = facts.tables.get(ObjectId("table", id_.schema, id_.parent))
        if table is not None:
            say_predicates_of(table, id_, models)
    types = dict(zip(columns, (op.modify_type for op in typed), strict=True))
    becoming = {facts.column(op.table_name, op.schema, op.column_name) for op in typed}
    relabelled = [id_ for op in operations if isinstance(op, ChangeLabelsOp) for id_ in op.columns]
    facts = replace(
        facts, defaults=defaults_of_models(models, {*becoming, *relabelled}),
        unfit=of_no_use(connection, types, facts.catalog),
    )  # fmt: skip
    going = [id_ for op in operations for id_ in _going(op, former, default)]
    return replace(
        facts, leaning=leaning_on(connection, [*columns, *relabelled]), pinned=pinning(connection, columns),
        holding=holding_of(connection, going),
    )  # fmt: skip


def _going(op: MigrateOperation, former: Mapping[ObjectId, ObjectId], default: str) -> Iterator[ObjectId]:
    """Yield the column that an operation takes away, as it is called now."""
    if isinstance(op, (RetireColumnOp, RenameColumnOp)):
        table = _table(op, default)
        table = former.get(table, table)
        name = op.column.name if isinstance(op, RetireColumnOp) else op.column_name
        yield ObjectId("column", table.schema, str(name), table.name)


def facts_of(
    context: MigrationContext, models: Mapping[ObjectId, Table], wanted: Iterable[ObjectId],
    referred: Collection[ObjectId] = (),
) -> Facts:  # fmt: skip
    """Read what the recipes need to know of some tables.

    :param models: the tables of the models, which say more of theirs.
    :param wanted: those that are not there are left out.
    :param referred: those of which also the tables with foreign keys to them are wanted.
    """
    connection: Any = context.connection
    default = context.dialect.default_schema_name or "public"
    catalog = read_catalog(connection, leave_out=version_tables(context))
    tables = {}
    referring = {
        ObjectId("table", id_.schema, id_.parent) for id_, said in catalog.objects.items()
        if id_.kind == "constraint" and said.get("sort") == "f"
        and any(referred_columns(said, table.schema, table.name) for table in referred)
    }  # fmt: skip
    for id_ in sorted({*wanted, *referring}):
        if id_ in catalog.objects:
            found = _reflected(connection, id_, default)
            if found is not None:
                _complete(found, id_, catalog)
                _sorted(found, inspect(connection).get_indexes(found.name, found.schema))
                tables[id_] = found
    said_of_tables = {id_: dict(table.info) for id_, table in models.items() if table.info}
    return Facts(catalog.server_version, default, catalog, tables, {**said_of_columns(models), **said_of_tables})


def _reflected(connection: Connection, id_: ObjectId, default: str) -> Table | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # what it cannot reflect the catalog has
        try:
            table = Table(
                id_.name, MetaData(), schema=None if id_.schema == default else id_.schema, autoload_with=connection
            )  # fmt: skip
        except NoSuchTableError:
            return None
    return table


def _complete(table: Table, id_: ObjectId, catalog: Catalog) -> None:
    """Put right what SQLAlchemy does not reflect so that it can be said again."""
    for column in table.columns:
        column.server_default = reflected_default(column.server_default)
        said = catalog.objects.get(ObjectId("column", id_.schema, column.name, id_.name), {})
        if isinstance(column.type, DOMAIN) and said.get("default") is None:
            column.server_default = None  # that of the domain
    for one in table.constraints:
        said = catalog.objects.get(ObjectId("constraint", id_.schema, str(one.name), id_.name), {})
        if isinstance(one, UniqueConstraint) and said.get("deferrable"):
            one.deferrable = True
            one.initially = "DEFERRED" if said["deferrable"] == "INITIALLY DEFERRED" else None


def _sorted(table: Table, reflected: Sequence[ReflectedIndex]) -> None:
    """Give the expressions of indexes the order that SQLAlchemy reads and gives to columns alone."""
    orders = {str(one["name"]): one.get("column_sorting") or {} for one in reflected}
    for index in table.indexes:
        order = orders.get(str(index.name), {})
        said: list[Any] = [
            plain_text(" ".join([sql, *(one.replace("_", " ").upper() for one in order[sql])]))
            if isinstance(part, TextClause) and (sql := sql_text(part)) in order
            else part
            for part in index.expressions
        ]
        index.expressions = said


def _table(op: MigrateOperation, default: str) -> ObjectId:
    part = getattr(op, "part", None) or getattr(op, "column", None)
    if isinstance(part, ObjectId):
        return ObjectId("table", part.schema or default, part.parent)
    schema, name = table_of_operation(op, default)
    return ObjectId("table", schema, name)
