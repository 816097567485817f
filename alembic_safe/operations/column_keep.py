"""How a column is retired: its values are kept beside their keys, then it is really dropped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.reads import Reads
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run, run_at_once
from alembic_safe.errors import ConsentMissing, NextStep, Refused
from alembic_safe.inspecting.retired import RETIRED_SCHEMA, Record
from alembic_safe.operations.beside import let_go, stopping_to_keep
from alembic_safe.operations.column_found import found_and_locked
from alembic_safe.operations.consent import step_to_consent
from alembic_safe.operations.dependants import depending_on, refused_by_restrict, sequences_of
from alembic_safe.operations.kept import (
    fixed_text,
    free_name,
    make_schema,
    recording,
    require_fresh_snapshots,
    revoke_from_table,
    rights_named,
    text_of,
)
from alembic_safe.operations.living import (
    LivingColumn,
    LivingTable,
    find_column,
    find_table,
    here,
    refuse_inheritance,
)
from alembic_safe.operations.sync_run import ending_of

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from sqlalchemy import Connection

    from alembic_safe.inspecting.retired import Dependant, Retired
    from alembic_safe.operations.column_found import Found


@dataclass(frozen=True)
class RetireColumn:
    """What is to be retired.

    :param key: the columns that tell rows apart; ``None``: looked up.
    :param successors: the columns that replaced it; ``down``: the SQL that leads back from them.
    :param accept: consents by name.
    :param command: the command to consent with, see ``consent.command_to_consent``; empty: in the file.
    """

    table: str
    column: str
    schema: str | None = None
    key: tuple[str, ...] | None = None
    successors: tuple[str, ...] = ()
    down: str = ""
    accept: Container[str] = ()
    command: str = ""

    @property
    def name(self) -> str:
        """How findings name it: as the revision file does."""
        return ".".join(part for part in (self.schema, self.table, self.column) if part)


@dataclass(frozen=True)
class ColumnRetired:
    """What was done.

    :param kept: the kept table; empty where nothing had to be kept.
    :param rows: how many values were kept.
    """

    column: str
    kept: str = ""
    rows: int = 0
    dependants: tuple[Dependant, ...] = ()
    was_gone: bool = False


def retire_column(connection: Connection, request: RetireColumn) -> ColumnRetired:
    """Retire a column in the transaction that the connection is in.

    :raises Refused: where something depends on it, or it cannot be kept; its transaction has to be rolled back then.
    :raises ConsentMissing: where the table has no key.
    :raises Missing: where a right is missing; with the line for the owner.
    """
    subject = f"Retiring {request.name}"
    table = find_table(connection, request.table, request.schema)
    if table is None or table.kind not in ("r", "p"):
        raise Refused(f"{subject}: there is no table {'.'.join(filter(None, (request.schema, request.table)))}.")
    now = here(connection, table)
    member = NextStep(f"{table.owner}, who owns the table, runs", f"GRANT {quoted(table.owner)} TO {quoted(now.role)};")
    with rights_named(connection, subject, [member], role=now.role):
        if find_column(connection, table, request.column) is None:
            return _gone(connection, table, request)
        refuse_inheritance(table, subject)
        require_fresh_snapshots(connection, subject, now.isolation)
        found = found_and_locked(connection, table, request, subject, is_mine=now.is_locked)
        if found is None:
            return _gone(connection, table, request)
        return _keep_and_drop(connection, request, table, found, subject)


def _gone(connection: Connection, table: LivingTable, request: RetireColumn) -> ColumnRetired:
    """Leave no sync behind that names a column which is gone: it would fail every INSERT."""
    run_at_once(connection, ending_of(Reads(connection), table, request.column, request.successors))
    return ColumnRetired(f"{table.shown}.{request.column}", was_gone=True)


def _keep_and_drop(
    connection: Connection, request: RetireColumn, table: LivingTable, found: Found, subject: str
) -> ColumnRetired:
    column, key = found.column, found.key
    drop = f"ALTER TABLE {table.quoted} DROP COLUMN {quoted(column.name)} RESTRICT"
    if column.is_inherited:
        raise Refused(f"{subject}: {table.shown} is a partition; the column is its parent's, and goes with that.")
    # numbers that go on while others write are read behind the lock
    sequences = sequences_of(connection, found.sequences, table.quoted, column.name)
    dependants = (*sequences, *found.dependants)
    record = Record(
        kind="column", schema=table.schema, table=table.name, column=column.name, type=column.type, key=key,
        retired_at=datetime.now(timezone.utc).isoformat(), successors=request.successors, down=request.down,
        keys_return=found.keys_return, key_source=found.key_source, dependants=dependants,
    )  # fmt: skip
    if found.beside is not None:
        rows = max(found.counted, 1) if found.is_kept else 0
        stopping = stopping_to_keep(table, found.beside, found.triggers)
        kept, ending = _ending(found.beside.kept, replace(record, rows=rows), found.before)
        run_at_once(connection, [*found.closing, *found.ending, *stopping, *ending])
        # by itself, so that a driver which looks for it learns that what it has prepared is no longer true
        try:
            run(connection, drop)
        except DBAPIError as error:
            _refuse_what_depends(depending_on(error), subject)
            raise
        return ColumnRetired(f"{table.shown}.{column.name}", kept, rows, dependants)
    # one by one, here and below: not everybody may use the language that sends them at once
    for statement in found.closing:
        run(connection, statement)
    run_at_once(connection, found.ending)
    if found.given_up is not None:
        let_go(connection, table, found.given_up)
    _refuse_what_depends(refused_by_restrict(connection, drop), subject)
    kept, rows = "", 0
    # a generated column's values come back by being generated
    if dependants or not column.is_generated:
        if not key and not column.is_generated:
            _require_consent_without_key(connection, request, table, column)
        make_schema(connection)
        kept = free_name(connection, f"{table.name}_{column.name}")
        with fixed_text(connection):
            rows = _keep(connection, table, column, record, kept)
        kept, ending = _ending(kept, replace(record, rows=rows), found.before)
        for statement in ending:
            run(connection, statement)
    run(connection, drop)
    return ColumnRetired(f"{table.shown}.{column.name}", kept, rows, dependants)


def _refuse_what_depends(depends: Sequence[str], subject: str) -> None:
    if depends:
        raise Refused(
            f"{subject}: other objects depend on the column, and none of them is dropped in passing.",
            detail=depends,
            next_steps=[
                NextStep("drop or change them in an earlier line of the same revision, then", "alembic upgrade head")
            ],
        )


def _require_consent_without_key(
    connection: Connection, request: RetireColumn, table: LivingTable, column: LivingColumn
) -> None:
    finding = f"retire-without-key:{request.name}"
    some = run(connection, f"SELECT EXISTS (SELECT FROM {table.quoted} WHERE {quoted(column.name)} IS NOT NULL) AS it")
    if finding in request.accept or not some[0]["it"]:
        return
    raise ConsentMissing(
        f"{table.shown} has no key without {column.name}, so its values could be kept, but never be brought back to their"
        " rows.",
        next_steps=[
            NextStep("give the table a primary key first", f'op.create_primary_key(None, "{table.name}", [...])'),
            step_to_consent("or keep the values without a way back", request.command, finding),
        ],
    )


def _keep(connection: Connection, table: LivingTable, column: LivingColumn, record: Record, kept: str) -> int:
    """Make the kept table and fill it.

    It is filled while UNLOGGED: a publication of all tables then sends none of its rows to subscribers, which do not
    have the table and would stop applying everything.
    """
    keys = [f"key_{n}" for n in range(1, len(record.key) + 1)]
    noted = [f"successor_{n}" for n in range(1, len(record.successors) + 1)]
    own = quoted(RETIRED_SCHEMA, kept)
    if record.key:
        columns = [f'{name} text COLLATE "C" NOT NULL' for name in keys]
        primary = f"PRIMARY KEY ({', '.join(keys)})"
    else:
        columns = ["number bigint GENERATED ALWAYS AS IDENTITY", "beside text"]
        primary = "PRIMARY KEY (number)"
    columns += ["value text", *(f"{name} text" for name in noted), primary]
    run(connection, f"CREATE UNLOGGED TABLE {own} ({', '.join(columns)})")
    revoke_from_table(connection, kept)
    if column.is_generated:
        return 0
    value = text_of(quoted(column.name))
    condition = f"{quoted(column.name)} IS DISTINCT FROM NULL"
    if record.successors:
        down = f"CAST(({verbatim(record.down)}) AS {verbatim(column.type)})"
        condition = f"({value}) IS DISTINCT FROM ({text_of(down)})"
    beside = [] if record.key else [f"(to_jsonb({table.quoted}.*) - :column)::text"]
    values = [*(text_of(quoted(name)) for name, _ in record.key), *beside, value]
    values += [text_of(quoted(name)) for name in record.successors]
    into = ", ".join([*(keys or ["beside"]), "value", *noted])
    params = {} if record.key else {"column": column.name}
    run(
        connection,
        f"INSERT INTO {own} ({into}) SELECT {', '.join(values)} FROM {table.quoted} WHERE {condition}",
        params,
    )
    return int(run(connection, f"SELECT count(*) AS it FROM {own}")[0]["it"])


def _ending(kept: str, record: Record, before: Sequence[Retired]) -> tuple[str, list[str]]:
    """Return the name of the kept table, empty where it holds neither a value nor a record of anything; and what ends it.

    It is made durable, or dropped.

    :param before: what was kept of columns that had the name before.
    """
    own = quoted(RETIRED_SCHEMA, kept)
    if record.rows or record.dependants:
        return kept, [f"ALTER TABLE {own} SET LOGGED", recording(kept, record)]
    # where successors say all of it, what was kept of a column that had the name before is no value of this one
    olds = [
        (one.kept, replace(one.record, state="older")) for one in before if one.record is not None and record.successors
    ]
    return "", [f"DROP TABLE {own} RESTRICT", *(recording(*old) for old in olds)]
