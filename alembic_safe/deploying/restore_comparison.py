"""What differs between a restored database and the one that its backup was taken of."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from alembic_safe.database.environment import journals_in
from alembic_safe.database.running import run_program
from alembic_safe.deploying.backup_contents import as_role, connect_as, quoted, read_tables
from alembic_safe.errors import BackupFailed, SafeError
from alembic_safe.inspecting.catalog import RETIRED_SCHEMA
from alembic_safe.inspecting.syncs import SYNC_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.database.environment import Journals
    from alembic_safe.database.programs import Program

# pg_dump's own comments, and \restrict lines, which are random; a comment in a function's body is its content
_BESIDE_THE_POINT = re.compile(r"|--|-- (Name|Dumped|PostgreSQL database|Data for Name)\b.*|\\(un)?restrict .*")


@dataclass(frozen=True)
class RowDifference:
    """One table whose rows are not as many; None: the table is not there.

    :param restored: rows in the restored database.
    :param source: rows in the source, now.
    """

    schema: str
    name: str
    restored: int | None
    source: int | None


@dataclass(frozen=True)
class Comparison:
    """The restored database against its source as it is now: differences since the backup, or none.

    The journals are left out: they go on with every command of ours, the backup itself among them.

    :param tables: how many tables were counted.
    :param rows: the rows of all of them, in the restored database.
    :param schema: lines of the schema dumps that only one has: ``-`` the source, ``+`` the restored database.
    :param problem: why there is no source to compare with; then only ``tables`` and ``rows`` count.
    """

    tables: int
    rows: int
    schema: tuple[str, ...]
    row_differences: tuple[RowDifference, ...]
    problem: str = ""

    @property
    def equal(self) -> bool:
        """Whether both were compared and nothing differs."""
        return not self.problem and not self.schema and not self.row_differences


def compare(
    restored: Endpoint,
    source: Endpoint | None,
    pg_dump: Program,
    *,
    role: str | None = None,
    only: Collection[tuple[str, str]] | None = None,
) -> Comparison:
    """Compare definitions line by line and rows by their exact number; what is ours is nobody's news.

    What stands in the way of a comparison is told in it: a restore has succeeded without one, too.

    :param source: where the original is; None when it is on another server.
    :param role: the role to read as, where it is not the one that logs in.
    :param only: count these tables only, as (schema, name): the backup holds no rows of the others.
    """
    counted = Comparison(0, 0, (), ())
    try:
        here, own = _counts(restored, role, only)
        counted = Comparison(len(here), sum(here.values()), (), ())
        if source is None:
            return replace(counted, problem="the source is on another server")
        there, theirs = _counts(source, role, only)
        ours = {*own, *theirs}  # the backup may be older than the journal
        before, after = (_definitions(pg_dump, database, role, ours) for database in (source, restored))
    except SafeError as error:
        return replace(counted, problem=" ".join([error.summary, *error.detail]))
    except psycopg.Error as error:
        return replace(counted, problem=str(error).splitlines()[0])
    lines = difflib.unified_diff(before, after, n=0, lineterm="")
    schema = tuple(line for line in lines if not line.startswith(("---", "+++", "@@")))
    # what was retired holds rows of people's, and is told behind what their programs read
    names = sorted(here.keys() | there.keys(), key=lambda name: (name[0] == RETIRED_SCHEMA, *name))
    rows = tuple(
        RowDifference(*name, here.get(name), there.get(name))
        for name in names
        if here.get(name) != there.get(name) and not _is_journals(*name, ours)
    )
    return replace(counted, schema=schema, row_differences=rows)


def _counts(
    endpoint: Endpoint, role: str | None, only: Collection[tuple[str, str]] | None
) -> tuple[dict[tuple[str, str], int], tuple[Journals, ...]]:
    """Count the rows of every table in one snapshot, and say where the journals are."""
    counts: dict[tuple[str, str], int] = {}
    with connect_as(endpoint, role) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        journals = journals_in(connection)
        for table in read_tables(connection):
            name = (table.schema, table.name)
            if table.holds_rows and (only is None or name in only):
                # ONLY: the rows of partitions and children are counted as theirs
                count = sql.SQL("SELECT count(*) FROM ONLY {}").format(sql.Identifier(*name))
                row = connection.execute(count).fetchone()
                counts[name] = int(row[0]) if row else 0
        connection.execute("ROLLBACK")
    return counts, journals


def _definitions(program: Program, endpoint: Endpoint, role: str | None, ours: Iterable[Journals]) -> list[str]:
    arguments = [*as_role(endpoint, role), "--schema-only", *_without(ours)]
    outcome = run_program(program, arguments, endpoint)
    if not outcome.succeeded:
        words = outcome.stderr.splitlines()
        raise BackupFailed(f"{quoted(endpoint.database)} could not be described by pg_dump.", detail=words)
    return [line for line in outcome.stdout.splitlines() if not _BESIDE_THE_POINT.fullmatch(line)]


def _is_journals(schema: str, name: str, ours: Iterable[Journals]) -> bool:
    return any(schema == one.schema and name.startswith(one.prefix) for one in ours)


def _without(ours: Iterable[Journals]) -> list[str]:
    """Return the arguments that keep from pg_dump what no comparison of ours takes for a part of a database."""
    schemas = {RETIRED_SCHEMA, SYNC_SCHEMA, *(one.schema for one in ours if not one.prefix)}
    beside = {f"{quoted(one.schema, one.prefix)}*" for one in ours if one.prefix}
    return [
        *(f"--exclude-schema={quoted(schema)}" for schema in sorted(schemas)),
        *(f"--exclude-table={pattern}" for pattern in sorted(beside)),
    ]
