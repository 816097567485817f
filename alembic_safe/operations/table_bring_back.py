"""How a retired table comes back: name, rows, and what tied it to others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.retired import RETIRED_SCHEMA, newest, read_memory, read_retired
from alembic_safe.operations.dependants import make_again
from alembic_safe.operations.kept import fixed_text, free_name, make_schema, rights_named
from alembic_safe.operations.living import find_column, find_table, schema_of
from alembic_safe.operations.table_keep import ROW_NUMBER

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from alembic_safe.inspecting.retired import Moved, Record, Retired

_TAKEN = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = :schema AND c.relname = :name) AS it
"""
_SCHEMA_THERE = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :schema) AS it"


@dataclass(frozen=True)
class TableRestored:
    """What came back, and what did not.

    :param empty: nothing was kept of it: it was made anew from the file.
    :param purged: because its rows had been purged.
    """

    table: str
    rows: int = 0
    not_valid: tuple[str, ...] = ()
    not_back: tuple[str, ...] = ()
    empty: bool = False
    purged: bool = False
    was_there: bool = False


def restore_table(
    connection: Connection, name: str, schema: str | None, make_empty: Callable[[], object]
) -> TableRestored:
    """Bring a table back in the transaction that the connection is in; a second run finds it done.

    :param make_empty: makes it from the revision file's definition; called where nothing is kept of it.
    :raises Refused: where another object took its name meanwhile.
    """
    where = schema_of(connection, schema)
    shown = f"{where}.{name}"
    kept = newest(read_retired(connection), where, name)
    there = find_table(connection, name, where) is not None
    if kept is None or kept.record is None:
        if there:
            return TableRestored(shown, was_there=True)
        make_empty()
        return TableRestored(shown, empty=True, purged=read_memory(connection).of(shown) is not None)
    if there:
        raise Refused(
            f"Restoring {shown}: another table took its name after it was retired.",
            detail=[f"The retired one is kept as {RETIRED_SCHEMA}.{kept.kept}, with {kept.record.rows} rows."],
            next_steps=[
                NextStep("give the new one another name, in psql", f"ALTER TABLE {quoted(where, name)} RENAME TO ...;")
            ],
        )
    role = run(connection, "SELECT current_user AS it")[0]["it"]
    member = NextStep(f"{kept.owner}, who owns it, runs", f"GRANT {quoted(kept.owner)} TO {quoted(role)};")
    with rights_named(connection, f"Restoring {shown}", [member]):
        return _restore(connection, kept, kept.record, shown)


def _restore(connection: Connection, kept: Retired, record: Record, shown: str) -> TableRestored:
    # the same lock as those who retire: names are chosen here, too
    make_schema(connection)
    run(connection, f"COMMENT ON TABLE {kept.quoted} IS NULL")
    _require_places(connection, record)
    own: list[Moved] = []
    for moved in [*record.moved, None]:
        # a table, then its indexes and sequences, then the next table
        if own and (moved is None or moved.kind == "TABLE"):
            _move_back(connection, own)
            own = []
        if moved is not None:
            own.append(moved)
    for moved in (m for m in record.moved if m.kind == "TABLE"):
        table = find_table(connection, moved.name, moved.schema)
        if table is not None and find_column(connection, table, ROW_NUMBER) is not None:
            run(connection, f"ALTER TABLE {table.quoted} DROP COLUMN {ROW_NUMBER} RESTRICT")
    with fixed_text(connection, search_path=""):
        not_valid, not_back = make_again(connection, record.dependants)
    return TableRestored(shown, record.rows, tuple(not_valid), tuple(not_back))


def _require_places(connection: Connection, record: Record) -> None:
    for moved in record.moved:
        if not run(connection, _SCHEMA_THERE, {"schema": moved.schema})[0]["it"]:
            raise Refused(
                f"Restoring {record.name}: schema {moved.schema} is gone.",
                next_steps=[NextStep("make it, in psql", f"CREATE SCHEMA {quoted(moved.schema)};")],
            )
        if moved.kind == "TABLE" and run(connection, _TAKEN, {"schema": moved.schema, "name": moved.name})[0]["it"]:
            raise Refused(f"Restoring {record.name}: {moved.schema}.{moved.name} is the name of something else by now.")


def _move_back(connection: Connection, group: list[Moved]) -> None:
    """Move one table back; its indexes and sequences move along, and each gets its former name where that is free."""
    table, *_ = group
    on_the_way: list[str] = []
    for moved in group:
        # free in both schemas for the moment between
        name = moved.kept
        if run(connection, _TAKEN, {"schema": moved.schema, "name": name})[0]["it"]:
            name = free_name(connection, f"{moved.kept}_back", also_in=moved.schema)
            run(connection, f"ALTER {moved.kind} {quoted(RETIRED_SCHEMA, moved.kept)} RENAME TO {quoted(name)}")
        on_the_way.append(name)
    run(connection, f"ALTER TABLE {quoted(RETIRED_SCHEMA, on_the_way[0])} SET SCHEMA {quoted(table.schema)}")
    for moved, name in zip(group, on_the_way, strict=True):
        taken = name != moved.name and run(connection, _TAKEN, {"schema": moved.schema, "name": moved.name})[0]["it"]
        if name != moved.name and not taken:
            run(connection, f"ALTER {moved.kind} {quoted(moved.schema, name)} RENAME TO {quoted(moved.name)}")
