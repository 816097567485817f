"""How do kept rows find back into a column or a table that somebody else made anew?"""

# A revision of Alembic's own makes a column or a table empty, whatever is kept of it: when a branch is left and taken
# again, say. The rows go where nothing stands; what cannot go there stays kept.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import SafeError
from alembic_safe.inspecting.retired import RETIRED_SCHEMA, read_retired
from alembic_safe.operations.column_bring_back import fill_again
from alembic_safe.operations.column_keep import RetireColumn
from alembic_safe.operations.consent import FINDING
from alembic_safe.operations.kept import fixed_text
from alembic_safe.operations.living import find_column, find_table, lock
from alembic_safe.operations.quiet_triggers import triggers_off
from alembic_safe.operations.table_keep import ROW_NUMBER

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from sqlalchemy import Connection

    from alembic_safe.inspecting.retired import Record, Retired
    from alembic_safe.operations.living import LivingTable

_COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attgenerated <> '' AS generated
FROM pg_attribute a WHERE a.attrelid = CAST(:oid AS oid) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_COUNTERS = """
SELECT a.attname AS name, pg_get_serial_sequence(CAST(:table AS text), a.attname) AS counter
FROM pg_attribute a WHERE a.attrelid = CAST(:oid AS oid) AND a.attnum > 0 AND NOT a.attisdropped
  AND pg_get_serial_sequence(CAST(:table AS text), a.attname) IS NOT NULL
"""


@dataclass(frozen=True)
class RowsBack:
    """What became of one kept object.

    :param rows: how many values or rows are back; ``rest``: how many stay kept.
    :param why: why none of it could come back; empty where some did.
    """

    name: str
    rows: int
    rest: int = 0
    why: str = ""


def places_for(connection: Connection, applied: Container[str]) -> list[Retired]:
    """Return what was kept when a branch was left that is taken again, and has a place to come back to; reads only.

    A column of the same name may be another one, so only the revision that made the kept one makes it a place.

    :param applied: the revisions that the database has.
    """
    return [
        retired for retired in read_retired(connection)
        if retired.record is not None and retired.record.state == "kept" and retired.record.rows
        and retired.record.left in applied
        and _has_place(connection, retired.record)
    ]  # fmt: skip


def _has_place(connection: Connection, record: Record) -> bool:
    table = find_table(connection, record.table, record.schema)
    if table is None or table.kind not in ("r", "p") or table.inherits:
        return False
    if record.kind == "column":
        column = find_column(connection, table, record.column)
        return column is not None and not column.is_generated and bool(record.key)
    if sum(moved.kind == "TABLE" for moved in record.moved) != 1:
        return False
    return not run(connection, f"SELECT EXISTS (SELECT FROM {table.quoted}) AS it")[0]["it"]


def bring_rows_back(
    connection: Connection, applied: Container[str], accept: frozenset[str], default_schema: str
) -> list[RowsBack]:
    """Put kept rows back where their columns and tables are there anew, in the transaction of the connection.

    :param applied: the revisions that the database has.
    :param accept: consents by name, such as ``restore-by-key:users.nick``.
    """
    found: list[RowsBack] = []
    todo = places_for(connection, applied)
    # a table that another one refers to goes first: whatever failed is tried again while anything succeeds
    while todo:
        ends = [(kept, _one(connection, kept, accept, default_schema)) for kept in todo]
        found += [end for _, end in ends if not end.why]
        again = [kept for kept, end in ends if end.why]
        if len(again) == len(todo):
            return found + [end for _, end in ends]
        todo = again
    return found


def _one(connection: Connection, kept: Retired, accept: frozenset[str], default_schema: str) -> RowsBack:
    record = kept.record
    assert record is not None  # noqa: S101 - places_for() returns no others
    table = find_table(connection, record.table, record.schema)
    assert table is not None  # noqa: S101
    savepoint = connection.begin_nested()
    try:
        if record.kind == "column":
            request = RetireColumn(
                record.table, record.column, None if record.schema == default_schema else record.schema, accept=accept,
                command=f"alembic dev-push --accept {FINDING}",
            )  # fmt: skip
            done = fill_again(connection, request, table, kept)
            end = RowsBack(record.name, done.rows, done.no_row + done.changed)
        else:
            end = RowsBack(record.name, _table(connection, table, kept))
    except (DBAPIError, SafeError) as error:
        savepoint.rollback()
        return RowsBack(record.name, 0, record.rows, why=_why(error))
    savepoint.commit()
    return end


def _why(error: DBAPIError | SafeError) -> str:
    if isinstance(error, SafeError):
        ways = [f"{step.why}: {step.command}" for step in error.next_steps if step.command]
        return " ".join([error.summary, *ways])
    return " ".join(str(error.orig).split())


def _table(connection: Connection, table: LivingTable, kept: Retired) -> int:
    """Copy the rows of a kept table into the new one, and let the kept one go when all of it is there."""
    lock(connection, table, f"Restoring {table.shown}")
    new = {row["name"]: row for row in run(connection, _COLUMNS, {"oid": table.oid})}
    old = [row["name"] for row in run(connection, _COLUMNS, {"oid": kept.oid}) if row["name"] != ROW_NUMBER]
    lost = [name for name in old if name not in new]
    if lost:
        raise SafeError(f"The table that is there now has no {', '.join(lost)}.")
    names = [name for name in old if not new[name]["generated"]]
    into = ", ".join(map(quoted, names))
    values = ", ".join(_as(name, str(new[name]["type"])) for name in names)
    with fixed_text(connection), triggers_off(connection, table):
        run(
            connection,
            f"INSERT INTO {table.quoted} ({into}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {kept.quoted}",
        )
    rows = int(run(connection, f"SELECT count(*) AS it FROM {table.quoted}")[0]["it"])
    if rows != int(run(connection, f"SELECT count(*) AS it FROM {kept.quoted}")[0]["it"]):
        raise SafeError("Not every row came back.")
    for counter in _counters(connection, table):
        run(connection, counter)
    run(connection, f"DROP TABLE {quoted(RETIRED_SCHEMA, kept.kept)} RESTRICT")
    return rows


def _as(name: str, type_: str) -> str:
    # a type of somebody's own was kept as text
    return f"CAST({quoted(name)} AS {type_})"


def _counters(connection: Connection, table: LivingTable) -> Iterator[str]:
    for row in run(connection, _COUNTERS, {"oid": table.oid, "table": table.quoted}):
        column, counter = quoted(row["name"]), row["counter"].replace("'", "''")
        yield f"SELECT setval('{counter}', max({column})) FROM {table.quoted} HAVING max({column}) IS NOT NULL"
