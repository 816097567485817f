"""How does what was retired find back to a table that is called otherwise now?"""

# What is kept knows its table, and the key of its rows, by name. A rename must not cut it off: on the way back the
# column is looked for under the name that the table has then.
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from alembic_safe.inspecting.retired import read_retired
from alembic_safe.operations.kept import write_record

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from alembic_safe.authoring.renames import Rename
    from alembic_safe.inspecting.retired import Record


def follow(connection: Connection, rename: Rename) -> None:
    """Let the kept columns of a table follow a rename, in the transaction that renames."""
    if rename.kind == "label":
        return
    for retired in read_retired(connection):
        record = retired.record
        if record is None or record.kind != "column" or record.schema != rename.schema:
            continue
        now = _renamed(record, rename)
        if now != record:
            write_record(connection, retired.kept, now)


def _renamed(record: Record, rename: Rename) -> Record:
    if rename.kind == "table":
        return replace(record, table=rename.new) if record.table == rename.old else record
    if record.table != rename.table:
        return record

    def name(column: str) -> str:
        return rename.new if column == rename.old else column

    return replace(
        record,
        key=tuple((name(column), type_) for column, type_ in record.key),
        successors=tuple(map(name, record.successors)),
    )
