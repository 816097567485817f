"""What was pushed into a development database, and what people answered while it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.journal_tables import may, version_of
from alembic_safe.database.statements import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from alembic_safe.database.environment import Journals
    from alembic_safe.database.journal import Writer
    from alembic_safe.database.journal_tables import AnyConnection

SINCE = 3
"""The version of the journal that first has the tables of pushes."""


@dataclass(frozen=True)
class PushRow:
    """A push as the journal remembers it.

    :param changes: the lines of its plan.
    :param recorded_in: the revision that a milestone wrote for it; ``None`` while no file knows of it.
    """

    id: int
    at: datetime
    heads: tuple[str, ...]
    models: str
    changes: tuple[str, ...]
    sql: str
    accepted: tuple[str, ...]
    recorded_in: str | None
    person: str
    machine: str


@dataclass(frozen=True)
class RenameAnswer:
    """A rename that a person decided on; the words are those of ``authoring.renames.Rename``.

    :param parent: the table of a column, the enum of a label.
    """

    kind: str
    schema: str
    parent: str
    old: str
    new: str


@dataclass(frozen=True)
class FillAnswer:
    """What a person said that rows without a value hold.

    :param expression: SQL over the table's columns.
    """

    schema: str
    table: str
    column: str
    expression: str


def has_pushes(connection: AnyConnection, journals: Journals | None) -> bool:
    """Whether the journal is one that knows pushes, and this role may read them."""
    if journals is None or not may(connection, journals, "journal_version", "SELECT"):
        return False
    return version_of(connection, journals) >= SINCE and may(connection, journals, "pushes", "SELECT")


def record_push(
    connection: AnyConnection,
    journals: Journals,
    *,
    version_table: str,
    heads: Sequence[str],
    models: str,
    changes: Sequence[str],
    sql: str,
    accepted: Iterable[str],
    milliseconds: int,
    tool: str,
    writer: Writer,
) -> int:
    """Write a push, in its own transaction, and return its number.

    :param models: the key of the models' catalog.
    :param milliseconds: how long it took.
    """
    rows = run(
        connection,
        f"INSERT INTO {journals.table('pushes')} (version_table, heads, models, changes, sql, accepted, milliseconds,"
        " person, machine, tool) VALUES (:version_table, CAST(:heads AS text[]), :models, CAST(:changes AS text[]), :sql,"
        " CAST(:accepted AS text[]), :milliseconds, :person, :machine, :tool) RETURNING id",
        {
            "version_table": version_table, "heads": list(heads), "models": models, "changes": list(changes), "sql": sql,
            "accepted": sorted(accepted), "milliseconds": milliseconds, "person": writer.person,
            "machine": writer.machine, "tool": tool,
        },
    )  # fmt: skip
    return int(rows[0]["id"])


def record_answers(
    connection: AnyConnection,
    journals: Journals,
    push: int,
    renames: Iterable[RenameAnswer],
    fills: Iterable[FillAnswer],
) -> None:
    """Write what people answered during a push, in the order in which it happened."""
    for rename in renames:
        run(
            connection,
            f"INSERT INTO {journals.table('rename_answers')} (push, kind, in_schema, parent, old_name, new_name)"
            " VALUES (:push, :kind, :schema, :parent, :old, :new)",
            {"push": push, "kind": rename.kind, "schema": rename.schema, "parent": rename.parent, "old": rename.old,
             "new": rename.new},
        )  # fmt: skip
    for fill in fills:
        run(
            connection,
            f"INSERT INTO {journals.table('fill_answers')} (push, in_schema, parent, name, expression)"
            " VALUES (:push, :schema, :table, :column, :expression)",
            {"push": push, "schema": fill.schema, "table": fill.table, "column": fill.column,
             "expression": fill.expression},
        )  # fmt: skip


def record_objects(
    connection: AnyConnection,
    journals: Journals,
    version_table: str,
    push: int,
    objects: Iterable[tuple[str, str, str, str]],
) -> None:
    """Write which objects the models answer for, each once.

    :param objects: kind, schema, name and parent of each.
    """
    kinds, schemas, names, parents = ([list(column) for column in zip(*objects, strict=True)] or [[], [], [], []])[:4]
    run(
        connection,
        f"INSERT INTO {journals.table('pushed_objects')} (version_table, kind, in_schema, name, parent, push)"
        " SELECT :version_table, kind, in_schema, name, parent, :push FROM unnest(CAST(:kinds AS text[]),"
        " CAST(:schemas AS text[]), CAST(:names AS text[]), CAST(:parents AS text[])) AS o (kind, in_schema, name, parent)"
        " ON CONFLICT DO NOTHING",
        {"version_table": version_table, "push": push, "kinds": kinds, "schemas": schemas, "names": names,
         "parents": parents},
    )  # fmt: skip


def pushed_objects(
    connection: AnyConnection, journals: Journals, version_table: str
) -> frozenset[tuple[str, str, str, str]]:
    """Return kind, schema, name and parent of everything that models of earlier pushes answered for."""
    rows = run(
        connection,
        f"SELECT kind, in_schema, name, parent FROM {journals.table('pushed_objects')}"
        " WHERE version_table = :version_table",
        {"version_table": version_table},
    )
    return frozenset((row["kind"], row["in_schema"], row["name"], row["parent"]) for row in rows)


def pushes(
    connection: AnyConnection, journals: Journals, version_table: str, *, unrecorded: bool = False
) -> tuple[PushRow, ...]:
    """Return the pushes, the oldest first.

    :param unrecorded: only those that no revision file knows of.
    """
    rows = run(
        connection,
        "SELECT id, at, heads, models, changes, sql, accepted, recorded_in, person, machine FROM"
        f" {journals.table('pushes')} WHERE version_table = :version_table AND (recorded_in IS NULL OR NOT :unrecorded)"
        " ORDER BY id",
        {"version_table": version_table, "unrecorded": unrecorded},
    )
    return tuple(
        PushRow(**{**row, **{name: tuple(row[name]) for name in ("heads", "changes", "accepted")}}) for row in rows
    )


def rename_answers(
    connection: AnyConnection, journals: Journals, version_table: str, *, unrecorded: bool = False
) -> tuple[RenameAnswer, ...]:
    """Return what was answered about renames, the oldest first."""
    rows = run(
        connection,
        f"SELECT a.kind, a.in_schema, a.parent, a.old_name, a.new_name FROM {journals.table('rename_answers')} a"
        f" JOIN {journals.table('pushes')} p ON p.id = a.push WHERE p.version_table = :version_table"
        " AND (p.recorded_in IS NULL OR NOT :unrecorded) ORDER BY a.id",
        {"version_table": version_table, "unrecorded": unrecorded},
    )
    return tuple(
        RenameAnswer(row["kind"], row["in_schema"], row["parent"], row["old_name"], row["new_name"]) for row in rows
    )


def fill_answers(
    connection: AnyConnection, journals: Journals, version_table: str, *, unrecorded: bool = False
) -> tuple[FillAnswer, ...]:
    """Return what was answered about rows without a value, the oldest first."""
    rows = run(
        connection,
        f"SELECT a.in_schema, a.parent, a.name, a.expression FROM {journals.table('fill_answers')} a"
        f" JOIN {journals.table('pushes')} p ON p.id = a.push WHERE p.version_table = :version_table"
        " AND (p.recorded_in IS NULL OR NOT :unrecorded) ORDER BY a.id",
        {"version_table": version_table, "unrecorded": unrecorded},
    )
    return tuple(FillAnswer(row["in_schema"], row["parent"], row["name"], row["expression"]) for row in rows)


def mark_recorded(connection: AnyConnection, journals: Journals, version_table: str, revision: str) -> int:
    """Write that a revision file now says what the pushes did, and return how many there were."""
    rows = run(
        connection,
        f"UPDATE {journals.table('pushes')} SET recorded_in = :revision WHERE version_table = :version_table"
        " AND recorded_in IS NULL RETURNING id",
        {"version_table": version_table, "revision": revision},
    )
    return len(rows)


def mark_unrecorded(
    connection: AnyConnection, journals: Journals, version_table: str, revisions: Sequence[str]
) -> None:
    """Write that no revision file says any more what some pushes did: the database has left these revisions."""
    run(
        connection,
        f"UPDATE {journals.table('pushes')} SET recorded_in = NULL WHERE version_table = :version_table"
        " AND recorded_in = ANY(CAST(:revisions AS text[]))",
        {"version_table": version_table, "revisions": list(revisions)},
    )
