"""How a column is made again from its definition: plain first, so that its values can be written, then as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, MetaData, Table
from sqlalchemy.schema import CreateColumn

from alembic_safe.database.names import ending_in
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run
from alembic_safe.operations.dependants import attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from alembic_safe.operations.living import LivingTable

_OF_ITS_TYPE = """
SELECT t.typdefault IS NOT NULL AS fills, coalesce(pg_get_expr(d.adbin, d.adrelid) ~ '^NULL::', false) AS empty
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = CAST(:oid AS oid) AND a.attname = :column
"""


def add_plain(connection: Connection, table: LivingTable, column: Column[Any]) -> None:
    """Add a column with nothing but its type; a generated one with its expression, as it cannot get that later.

    No default yet, its type's neither: it would fill rows that held NULL.
    """
    if column.computed is not None:
        # a copy: the column may stand in a table of the models already
        alone = Table(table.name, MetaData(), column._copy(), schema=table.schema)  # noqa: SLF001 - Alembic's own way
        spec = _once(connection, str(CreateColumn(alone.c[column.name]).compile(dialect=connection.dialect)))
        run(connection, f"ALTER TABLE {table.quoted} ADD COLUMN {verbatim(spec)}")
        return
    type_ = _once(connection, column.type.compile(dialect=connection.dialect))
    add = f"ALTER TABLE {table.quoted} ADD COLUMN {quoted(column.name)} {type_}"
    # a domain that takes no NULL has no row that held one
    state, _ = attempt(connection, f"{add} DEFAULT NULL")
    if state:
        run(connection, verbatim(add))


def _once(connection: Connection, sql: str) -> str:
    """Return compiled SQL with each % once: for most drivers it is doubled, and a statement's text is so once more."""
    preparer: Any = connection.dialect.identifier_preparer
    return sql.replace("%%", "%") if preparer._double_percents else sql  # noqa: SLF001 - told nowhere else


def finish_shape(connection: Connection, table: LivingTable, column: Column[Any]) -> list[str]:
    """Give a column its default, identity, NOT NULL and comment.

    :returns: what newer rows violate and what therefore came back NOT VALID.
    """
    if column.computed is not None:
        return _comment(connection, table, column)
    own = quoted(column.name)
    alter = f"ALTER TABLE {table.quoted} ALTER COLUMN {own}"
    default = _default(connection, table, column)
    of_its_type = {} if default or column.identity is not None else _of_its_type(connection, table, column)
    if of_its_type.get("empty"):
        run(connection, f"{alter} DROP DEFAULT")  # that of its type is its own again
        if not column.nullable and of_its_type["fills"]:
            run(connection, f"UPDATE {table.quoted} SET {own} = DEFAULT WHERE {own} IS NULL")
    if default and column.identity is None:
        run(connection, verbatim(f"{alter} SET DEFAULT {default}"))
        if not column.nullable:
            run(connection, verbatim(f"UPDATE {table.quoted} SET {own} = {default} WHERE {own} IS NULL"))
    if column.identity is not None:
        _number_new_rows(connection, table, own)
    loose = [] if column.nullable else _not_null(connection, table, column)
    if column.identity is not None and not loose:
        always = "ALWAYS" if column.identity.always else "BY DEFAULT"
        run(connection, f"{alter} ADD GENERATED {always} AS IDENTITY")
        _continue_counting(connection, table, column)
    return loose + _comment(connection, table, column)


def _of_its_type(connection: Connection, table: LivingTable, column: Column[Any]) -> Mapping[str, Any]:
    return run(connection, _OF_ITS_TYPE, {"oid": table.oid, "column": column.name})[0]


def _default(connection: Connection, table: LivingTable, column: Column[Any]) -> str:
    if column.server_default is None or column.identity is not None:
        return ""
    alone = Table(table.name, MetaData(), column._copy(), schema=table.schema)  # noqa: SLF001 - Alembic's own way
    compiler: Any = CreateColumn(alone.c[column.name]).compile(dialect=connection.dialect)
    return _once(connection, str(compiler.get_column_default_string(alone.c[column.name]) or ""))


def _number_new_rows(connection: Connection, table: LivingTable, own: str) -> None:
    """Give rows that came after the drop numbers behind the highest kept one."""
    run(
        connection,
        "CREATE TEMPORARY SEQUENCE alembic_safe_numbers",
    )
    run(
        connection,
        f"SELECT setval('alembic_safe_numbers', (SELECT greatest(coalesce(max({own}), 0), 1) FROM {table.quoted}))",
    )
    run(connection, f"UPDATE {table.quoted} SET {own} = nextval('alembic_safe_numbers') WHERE {own} IS NULL")
    run(connection, "DROP SEQUENCE alembic_safe_numbers")


def _continue_counting(connection: Connection, table: LivingTable, column: Column[Any]) -> None:
    run(
        connection,
        "SELECT setval(pg_get_serial_sequence(:table, :column), (SELECT greatest(coalesce(max("
        f"{quoted(column.name)}), 0) + 1, 1) FROM {table.quoted}), false)",
        {"table": table.quoted, "column": column.name},
    )


def _not_null(connection: Connection, table: LivingTable, column: Column[Any]) -> list[str]:
    own = quoted(column.name)
    state, said = attempt(connection, f"ALTER TABLE {table.quoted} ALTER COLUMN {own} SET NOT NULL")
    if not state:
        return []
    # PostgreSQL before 18 knows no NOT NULL that is not valid, so a check stands for it
    name = ending_in(f"{table.name}_{column.name}", "_not_null")
    check = f"ALTER TABLE {table.quoted} ADD CONSTRAINT {quoted(name)} CHECK ({own} IS NOT NULL) NOT VALID"
    state_then, said_then = attempt(connection, check)
    return [f"NOT NULL of {column.name}: {said}" + (f"; {said_then}" if state_then else f" (check {name}, NOT VALID)")]


def _comment(connection: Connection, table: LivingTable, column: Column[Any]) -> list[str]:
    from alembic_safe.operations.kept import set_comment

    if column.comment:
        set_comment(connection, f"COLUMN {table.quoted}.{quoted(column.name)}", column.comment)
    return []
