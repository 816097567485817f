"""What the journal knows of a revision that is applied in steps: what is done of it, how far its copies are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.journal import storable
from alembic_safe.database.statements import run, run_counting

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg
    from sqlalchemy import Connection

    from alembic_safe.database.environment import Journals
    from alembic_safe.database.steps import CopyEvidence, CopyState

    AnyConnection = Connection | psycopg.Connection[Any]


@dataclass(frozen=True)
class StepRow:
    """A step of a revision that is neither applied nor taken back.

    :param direction: ``up``, or ``down`` where it is being taken back.
    :param finished: whether it was committed to its end.
    """

    revision: str
    direction: str
    number: int
    name: str
    finished: bool
    began_at: datetime


@dataclass(frozen=True)
class HalfDone:
    """A revision that was begun and is neither applied nor taken back; the rest of it can be done, or undone."""

    revision: str
    steps: tuple[StepRow, ...]

    @property
    def what(self) -> str:
        """What of it is committed, in words."""
        done = [step.name for step in self.steps if step.finished and step.direction == "up"]
        begun = [step.name for step in self.steps if not step.finished and step.direction == "up"]
        parts = [f"done: {', '.join(done)}" if done else "no step is done"]
        if begun:
            parts.append(f"begun: {begun[-1]}")
        if any(step.direction == "down" for step in self.steps):
            parts.append("and it is being taken back")
        return "; ".join(parts)


@dataclass(frozen=True)
class Sighting:
    """When the journal first saw a revision applied that it had not seen being applied.

    :param age: seconds since then, by the server's clock.
    """

    revision: str
    release: str | None
    files_hash: str | None
    age: float


@dataclass(frozen=True)
class Step:
    """Which step of which revision a row is of."""

    version_table: str
    revision: str
    direction: str
    number: int
    name: str


def enter_step(connection: AnyConnection, journals: Journals, step: Step, deployment: int) -> None:
    """Write that a step begins; in the step's own transaction, so that what it commits first commits this, too."""
    run(
        connection,
        f"INSERT INTO {journals.table('steps')} AS s (version_table, revision, direction, number, name, deployment)"
        " VALUES (:version_table, :revision, :direction, :number, :name, :deployment)"
        " ON CONFLICT (version_table, revision, direction, number) WHERE closed_at IS NULL DO UPDATE"
        " SET entered = s.entered + 1, name = excluded.name, deployment = excluded.deployment",
        storable(connection, {**vars(step), "deployment": deployment}),
    )


def finish_step(connection: AnyConnection, journals: Journals, step: Step) -> None:
    """Write that a step is done; in the transaction that commits its last part."""
    run(
        connection,
        f"UPDATE {journals.table('steps')} SET finished_at = coalesce(finished_at, clock_timestamp())"
        " WHERE version_table = :version_table AND revision = :revision AND direction = :direction AND number = :number"
        " AND closed_at IS NULL",
        {k: v for k, v in vars(step).items() if k != "name"},
    )


def close_steps(connection: AnyConnection, journals: Journals, version_table: str, revision: str) -> None:
    """Write that a revision is no longer half done: it is applied, or taken back as a whole.

    Its copies begin anew when it is applied again: then there are other rows, or other values in them.
    """
    forget_copies(connection, journals, version_table, revision)
    run(
        connection,
        f"UPDATE {journals.table('steps')} SET closed_at = clock_timestamp()"
        " WHERE version_table = :version_table AND revision = :revision AND closed_at IS NULL",
        {"version_table": version_table, "revision": revision},
    )


def may_close_steps(connection: AnyConnection, journals: Journals) -> bool:
    """Whether this role may write that a revision is no longer half done; one that only adds rows may not."""
    sql = (
        "SELECT bool_and(has_table_privilege(to_regclass(t), 'UPDATE') AND has_table_privilege(to_regclass(t), 'SELECT'))"
        " AS it FROM unnest(CAST(:tables AS text[])) t"
    )
    return bool(run(connection, sql, {"tables": [journals.table("steps"), journals.table("copies")]})[0]["it"])


def half_done(connection: AnyConnection, journals: Journals, version_table: str) -> tuple[HalfDone, ...]:
    """Return the revisions that were begun in steps and neither ended nor taken back, the latest first."""
    if not has_steps(connection, journals):
        return ()
    rows = run(
        connection,
        "SELECT revision, direction, number, name, finished_at IS NOT NULL AS finished, began_at"
        f" FROM {journals.table('steps')} WHERE version_table = :version_table AND closed_at IS NULL ORDER BY id DESC",
        {"version_table": version_table},
    )
    found: dict[str, list[StepRow]] = {}
    for row in rows:
        found.setdefault(row["revision"], []).append(StepRow(**row))
    return tuple(HalfDone(revision, tuple(reversed(steps))) for revision, steps in found.items())


def has_steps(connection: AnyConnection, journals: Journals) -> bool:
    """Whether the journal is of a version that has these tables, and this role may read them."""
    rows = run(
        connection,
        "SELECT CASE WHEN has_schema_privilege(:schema, 'USAGE') THEN coalesce(has_table_privilege(to_regclass(:table)::oid,"
        " 'SELECT'), false) ELSE false END AS it",
        {"schema": journals.schema, "table": journals.table("steps")},
    )
    return bool(rows[0]["it"])


def see(
    connection: AnyConnection, journals: Journals, version_table: str, revision: str,
    release: str | None, files_hash: str,
) -> None:  # fmt: skip
    """Write that a revision was found applied that the journal did not know; the first time is the one that counts."""
    run(
        connection,
        f"INSERT INTO {journals.table('sightings')} (version_table, revision, release, files_hash)"
        " VALUES (:version_table, :revision, :release, :files_hash) ON CONFLICT DO NOTHING",
        {"version_table": version_table, "revision": revision, "release": release, "files_hash": files_hash},
    )


def sightings(connection: AnyConnection, journals: Journals, version_table: str) -> dict[str, Sighting]:
    """Return when the journal first saw the revisions that it did not see being applied."""
    if not has_steps(connection, journals):
        return {}
    rows = run(
        connection,
        "SELECT revision, release, files_hash, extract(epoch FROM clock_timestamp() - at)::float8 AS age"
        f" FROM {journals.table('sightings')} WHERE version_table = :version_table",
        {"version_table": version_table},
    )
    return {row["revision"]: Sighting(**row) for row in rows}


def met_empty(
    connection: AnyConnection, journals: Journals, version_table: str, release: str | None, files_hash: str
) -> bool:
    """Whether the database had no applied revision when this release, with these very files, first deployed to it."""
    rows = run(
        connection,
        f"SELECT cardinality(from_heads) = 0 AS it FROM {journals.table('deployments')}"
        " WHERE version_table = :version_table AND release IS NOT DISTINCT FROM CAST(:release AS text)"
        " AND files_hash = :files_hash ORDER BY id LIMIT 1",
        {"version_table": version_table, "release": release, "files_hash": files_hash},
    )
    return bool(rows and rows[0]["it"])


def load_copy(
    connection: AnyConnection, journals: Journals, version_table: str, revision: str, copy: str
) -> str | None:
    """Return the cursor of a copy as it was saved last; ``None`` when it was never begun."""
    rows = run(
        connection,
        f"SELECT cursor FROM {journals.table('copies')} WHERE version_table = :version_table AND revision = :revision"
        " AND copy = :copy",
        {"version_table": version_table, "revision": revision, "copy": copy},
    )
    return rows[0]["cursor"] if rows else None


def save_copy(
    connection: AnyConnection, journals: Journals, version_table: str, revision: str, state: CopyState
) -> None:
    """Write how far a copy has come; in the transaction of its batch."""
    run(
        connection,
        f"INSERT INTO {journals.table('copies')} (version_table, revision, copy, of_table, cursor, rows, total,"
        " milliseconds, status) VALUES (:version_table, :revision, :copy, :table, :cursor, :rows, :total, :milliseconds,"
        " :status) ON CONFLICT (version_table, revision, copy) DO UPDATE SET cursor = excluded.cursor, rows = excluded.rows,"
        " total = excluded.total, milliseconds = excluded.milliseconds, status = excluded.status, at = clock_timestamp()",
        storable(connection, {"version_table": version_table, "revision": revision, **vars(state)}),
    )


def forget_copies(
    connection: AnyConnection, journals: Journals, version_table: str, revision: str, of_table: str | None = None
) -> int:  # fmt: skip
    """Let a revision's copies begin anew in the next run: those of one table, or all of them.

    :return: of how many copies and ranges there was a cursor.
    """
    copies, those = journals.table("copies"), "version_table = :version_table AND revision = :revision"
    # the cursor of a range is called as its copy, with a number, and may be that of a partition
    return run_counting(
        connection,
        f"UPDATE {copies} SET cursor = NULL WHERE {those} AND cursor IS NOT NULL AND split_part(copy, '-', 1) IN"
        f" (SELECT copy FROM {copies} WHERE {those} AND (CAST(:of_table AS text) IS NULL OR of_table = :of_table))",
        storable(connection, {"version_table": version_table, "revision": revision, "of_table": of_table}),
    )


def save_evidence(
    connection: AnyConnection, journals: Journals, version_table: str, revision: str, evidence: CopyEvidence,
    deployment: int | None = None,
) -> None:  # fmt: skip
    """Write what a comparison of old and new columns found."""
    run(
        connection,
        f"INSERT INTO {journals.table('copy_evidence')} (version_table, revision, copy, of_table, columns, rows, mismatches,"
        " deployment) VALUES (:version_table, :revision, :copy, :table, :columns, :rows, :mismatches, :deployment)",
        storable(
            connection,
            {"version_table": version_table, "revision": revision, "deployment": deployment, **vars(evidence)},
        ),
    )


def pause_of(connection: AnyConnection, journals: Journals, copy: str) -> str:
    """Return why a person wants a copy to wait, or an empty string."""
    rows = run(
        connection,
        f"SELECT coalesce(nullif(why, ''), 'paused by ' || role) AS it FROM {journals.table('copy_pauses')}"
        " WHERE copy IS NULL OR copy = :copy ORDER BY id LIMIT 1",
        {"copy": copy},
    )
    return rows[0]["it"] if rows else ""


@dataclass(frozen=True)
class CopyRow:
    """How far a copy has come in all of its ranges, for a person.

    :param status: ``running`` until it is done, also where no run works on it any more.
    :param mismatches: what the last comparison found, ``None`` where there was none.
    """

    revision: str
    of_table: str
    rows: int
    total: int | None
    status: str
    at: datetime
    mismatches: int | None


def copies_of(connection: AnyConnection, journals: Journals, version_table: str) -> tuple[CopyRow, ...]:
    """Return how far every copy of a version table's revisions has come; those that begin anew have come nowhere."""
    if not has_steps(connection, journals):
        return ()
    copies = journals.table("copies")
    # the copy's own row counts what is done; until then its ranges do, whose rows are called as it is, with a number
    rows = run(
        connection,
        "SELECT c.revision, c.of_table, greatest(c.rows, r.rows) AS rows, c.total, c.status, greatest(c.at, r.at) AS at,"
        f" e.mismatches FROM {copies} c CROSS JOIN LATERAL (SELECT CAST(sum(v.rows) AS bigint) AS rows, max(v.at) AS at"
        f" FROM {copies} v WHERE v.version_table = c.version_table AND v.revision = c.revision AND v.cursor IS NOT NULL"
        " AND split_part(v.copy, '-', 1) = c.copy AND v.copy ~ '^[^-]+-[0-9]+$') r"
        f" LEFT JOIN LATERAL (SELECT mismatches FROM {journals.table('copy_evidence')} v"
        " WHERE v.version_table = c.version_table AND v.revision = c.revision AND v.of_table = c.of_table"
        " ORDER BY v.id DESC LIMIT 1) e ON true"
        " WHERE c.version_table = :version_table AND c.cursor IS NOT NULL AND strpos(c.copy, '-') = 0 ORDER BY c.began_at",
        {"version_table": version_table},
    )
    return tuple(CopyRow(**row) for row in rows)


@dataclass(frozen=True)
class Live:
    """A revision that a database has, and since when."""

    revision: str
    at: datetime
    release: str | None


def live_revisions(connection: AnyConnection, journals: Journals, revisions: list[str]) -> dict[str, Live]:
    """Return those of some revisions that a journal knows to be applied, in whichever of its version tables."""
    seen = (
        f" UNION ALL SELECT revision, at, release, 'up' FROM {journals.table('sightings')}"
        if has_steps(connection, journals)
        else ""
    )
    rows = run(
        connection,
        "SELECT DISTINCT ON (revision) revision, at, release FROM (SELECT * FROM (SELECT DISTINCT ON (version_table, revision)"
        f" revision, at, release, direction FROM {journals.table('revisions')} ORDER BY version_table, revision, id DESC) last"
        f" WHERE direction <> 'down'{seen}) live WHERE revision = ANY(CAST(:revisions AS text[])) ORDER BY revision, at",
        {"revisions": revisions},
    )
    return {row["revision"]: Live(**row) for row in rows}
