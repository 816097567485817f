"""What alembic-safe did to a database: the rows of its journal."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.journal_tables import may
from alembic_safe.database.statements import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import psycopg
    from sqlalchemy import Connection

    from alembic_safe.database.environment import Journals
    from alembic_safe.settings import Settings

    AnyConnection = Connection | psycopg.Connection[Any]


CI_COMMIT_VARIABLES = (
    "GITHUB_SHA", "CI_COMMIT_SHA", "BITBUCKET_COMMIT", "CIRCLE_SHA1", "BUILD_SOURCEVERSION", "SOURCE_VERSION",
    "HEROKU_SLUG_COMMIT", "HEROKU_BUILD_COMMIT", "RENDER_GIT_COMMIT", "DRONE_COMMIT_SHA", "TRAVIS_COMMIT",
)  # fmt: skip
"""Variables in which pipelines and platforms say what they deploy; the first one that is set names the release."""

RESTORED = "restored"
"""How a deployment ended in a database that was restored from its backup: it changed nothing there."""
STOPPED = "stopped"
"""How one ended whose time was over: in order, and the next run goes on."""
FRESH = 20.0
"""Seconds for which a deployment's sign of life counts."""


def release_of(settings: Settings) -> str | None:
    """Return the declared name of what is deployed: the setting, else what the pipeline calls its commit."""
    if settings.release:
        return settings.release
    return next((os.environ[name] for name in CI_COMMIT_VARIABLES if os.environ.get(name)), None)


@dataclass(frozen=True)
class Writer:
    """Who writes a row: the person and the machine, as the operating system knows them."""

    person: str
    machine: str

    @classmethod
    def this_process(cls) -> Writer:
        """Return who runs this process and where."""
        import getpass
        import socket

        try:
            person = getpass.getuser()
        except (KeyError, OSError):  # a container whose user id has no name
            import os

            person = f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
        return cls(person, socket.gethostname())


@dataclass(frozen=True)
class AppliedRevision:
    """A revision as the journal remembers it."""

    revision: str
    parents: tuple[str, ...]
    message: str
    at: datetime
    release: str | None
    command: str
    person: str
    machine: str
    source_sha256: str | None
    milliseconds: int | None = None
    phase: str | None = None
    change: str | None = None
    files_hash: str | None = None
    age: float = 0.0
    """Seconds since then, by the server's clock."""


@dataclass(frozen=True)
class Deployment:
    """A deployment as the journal remembers it."""

    id: int
    release: str | None
    files_hash: str
    from_heads: tuple[str, ...]
    to_heads: tuple[str, ...] | None
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    message: str | None
    person: str
    machine: str


def source_hash(source: str) -> str:
    """Return the sha256 of a revision file's text, line ends made one."""
    return hashlib.sha256(source.replace("\r\n", "\n").encode()).hexdigest()


def record_revision(
    connection: AnyConnection,
    journals: Journals,
    *,
    version_table: str,
    revision: str,
    parents: Sequence[str],
    message: str,
    direction: str,
    source: str | None,
    command: str,
    release: str | None,
    writer: Writer,
    milliseconds: int | None = None,
    deployment: int | None = None,
    phase: str | None = None,
    change: str | None = None,
    files_hash: str | None = None,
) -> None:
    """Write that a revision was applied, undone or stamped; in the transaction that changes the version table.

    :param phase: its phase, and ``change`` the change that it is a part of, where it says so.
    :param files_hash: what the release is told by where nobody declared its name: the heads in its files.
    """
    run(
        connection,
        f"INSERT INTO {journals.table('revisions')} (version_table, revision, parents, message, direction, milliseconds,"
        " source_sha256, source, command, release, deployment, person, machine, phase, change, files_hash)"
        " VALUES (:version_table, :revision, CAST(:parents AS text[]), :message, :direction, :milliseconds, :sha, :source,"
        " :command, :release, :deployment, :person, :machine, :phase, :change, :files_hash)",
        storable(connection, {
            "version_table": version_table, "revision": revision, "parents": list(parents), "message": message,
            "direction": direction, "milliseconds": milliseconds, "sha": source_hash(source) if source else None,
            "source": source, "command": command, "release": release, "deployment": deployment,
            "person": writer.person, "machine": writer.machine, "phase": phase, "change": change,
            "files_hash": files_hash,
        }),
    )  # fmt: skip


def storable(connection: AnyConnection, values: dict[str, object]) -> dict[str, object]:
    r"""Escape what a database in another encoding than UTF-8 cannot hold; a revision's text may hold anything.

    ``\u6f22`` in place of a letter is the same letter to Python, so the text still says the same code.
    """
    if all(not isinstance(value, str) or value.isascii() for value in values.values()):
        return values
    if run(connection, "SELECT current_setting('server_encoding') AS it")[0]["it"] == "UTF8":
        return values
    return {
        key: value.encode("ascii", "backslashreplace").decode() if isinstance(value, str) else value
        for key, value in values.items()
    }


def applied_revisions(connection: AnyConnection, journals: Journals, version_table: str) -> dict[str, AppliedRevision]:
    """Return what the journal last knew of every revision that was applied and not undone since."""
    # a journal that no deploy has brought forward yet lacks the newest columns: a name that the inner query does not
    # find is looked for in the outer one
    rows = run(
        connection,
        "SELECT last.* FROM (SELECT NULL::text AS phase, NULL::text AS change, NULL::text AS files_hash) missing CROSS JOIN"
        " LATERAL (SELECT DISTINCT ON (revision) revision, parents, message, at, release, command, person, machine,"
        " source_sha256, milliseconds, direction, phase, change, files_hash,"
        " extract(epoch FROM clock_timestamp() - at)::float8 AS age"
        f" FROM {journals.table('revisions')} WHERE version_table = :version_table"
        " ORDER BY revision, id DESC) last WHERE direction <> 'down'",
        {"version_table": version_table},
    )
    return {row["revision"]: _applied(row) for row in rows}


def _applied(row: Mapping[str, Any]) -> AppliedRevision:
    values = {key: value for key, value in row.items() if key != "direction"}
    return AppliedRevision(**{**values, "parents": tuple(values["parents"])})


def sources_of(
    connection: AnyConnection, journals: Journals, version_table: str, revisions: Sequence[str]
) -> dict[str, str]:
    """Return the text that was last applied of some revisions."""
    rows = run(
        connection,
        f"SELECT DISTINCT ON (revision) revision, source FROM {journals.table('revisions')}"
        " WHERE version_table = :version_table AND revision = ANY(CAST(:revisions AS text[])) AND source IS NOT NULL"
        " ORDER BY revision, id DESC",
        {"version_table": version_table, "revisions": list(revisions)},
    )
    return {row["revision"]: row["source"] for row in rows}


def open_deployment(
    connection: psycopg.Connection[Any],
    journals: Journals,
    *,
    release: str | None,
    files_hash: str,
    version_table: str,
    from_heads: Sequence[str],
    writer: Writer,
    tool: str,
) -> int:
    """Write that a deployment began, and return its number.

    Rows of runs that died without a word are closed on the way: the deploy lock is ours, so nobody else runs.
    """
    run(
        connection,
        f"UPDATE {journals.table('deployments')} SET outcome = 'died', finished_at = heartbeat_at"
        " WHERE outcome = 'running' AND version_table = :version_table",
        {"version_table": version_table},
    )
    rows = run(
        connection,
        f"INSERT INTO {journals.table('deployments')} (release, files_hash, version_table, from_heads, backend_pid,"
        " person, machine, tool) VALUES (:release, :files_hash, :version_table, CAST(:heads AS text[]),"
        " pg_backend_pid(), :person, :machine, :tool) RETURNING id",
        {
            "release": release, "files_hash": files_hash, "version_table": version_table, "heads": list(from_heads),
            "person": writer.person, "machine": writer.machine, "tool": tool,
        },
    )  # fmt: skip
    return int(rows[0]["id"])


def beat(connection: psycopg.Connection[Any], journals: Journals, deployment: int) -> None:
    """Show that a deployment is alive."""
    run(
        connection,
        f"UPDATE {journals.table('deployments')} SET heartbeat_at = clock_timestamp() WHERE id = :id",
        {"id": deployment},
    )


def close_deployment(
    connection: AnyConnection,
    journals: Journals,
    deployment: int,
    *,
    outcome: str,
    to_heads: Sequence[str],
    message: str | None = None,
) -> None:
    """Write how a deployment ended.

    :param outcome: ``done``, ``failed``, ``interrupted`` or :data:`STOPPED`.
    """
    run(
        connection,
        f"UPDATE {journals.table('deployments')} SET outcome = :outcome, to_heads = CAST(:heads AS text[]),"
        " message = :message, finished_at = clock_timestamp(), heartbeat_at = clock_timestamp() WHERE id = :id",
        storable(connection, {"outcome": outcome, "heads": list(to_heads), "message": message, "id": deployment}),
    )


def heartbeat_age(connection: psycopg.Connection[Any], journals: Journals, backend_pid: int) -> float | None:
    """Return how many seconds ago the running deployment of a backend last showed life; ``None`` if unknown."""
    rows = run(
        connection,
        "SELECT extract(epoch FROM clock_timestamp() - heartbeat_at)::float AS it"
        f" FROM {journals.table('deployments')} WHERE backend_pid = :pid AND outcome = 'running'"
        " ORDER BY id DESC LIMIT 1",
        {"pid": backend_pid},
    )
    return float(rows[0]["it"]) if rows else None


def last_deployments(
    connection: AnyConnection, journals: Journals, version_table: str, limit: int = 5
) -> list[Deployment]:
    """Return the newest deployments of one version table, the newest first.

    One that is called running and has shown no life for :data:`FRESH` seconds has died: nobody was left to say so.
    """
    rows = run(
        connection,
        "SELECT id, release, files_hash, from_heads, to_heads, started_at, finished_at, message, person, machine,"
        " CASE WHEN outcome = 'running' AND heartbeat_at < clock_timestamp() - make_interval(secs => :fresh)"
        " THEN 'died' ELSE outcome END AS outcome"
        f" FROM {journals.table('deployments')} WHERE version_table = :version_table ORDER BY id DESC LIMIT :limit",
        {"limit": limit, "fresh": FRESH, "version_table": version_table},
    )
    return [
        Deployment(
            **{**row, "from_heads": tuple(row["from_heads"]), "to_heads": row["to_heads"] and tuple(row["to_heads"])}
        )
        for row in rows
    ]


def write_marker(
    connection: AnyConnection,
    journals: Journals,
    *,
    environment: str,
    protected: bool,
    system_identifier: str | None,
    set_by: str,
) -> None:
    """Write what this database is, into it, for this very database."""
    run(
        connection,
        f"INSERT INTO {journals.table('environment')} AS e (id, environment, protected, system_identifier, database_oid,"
        " set_by) VALUES (1, :environment, :protected, :system,"
        " (SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = current_database()), :set_by)"
        " ON CONFLICT (id) DO UPDATE SET environment = excluded.environment, protected = excluded.protected,"
        " system_identifier = excluded.system_identifier, database_oid = excluded.database_oid,"
        " set_by = excluded.set_by, set_at = now()",
        {"environment": environment, "protected": protected, "system": system_identifier, "set_by": set_by},
    )


def make_grant(connection: AnyConnection, journals: Journals, *, verb: str, seconds: float, writer: Writer) -> None:
    """Write a person's grant for an agent: one command, this database, so many seconds."""
    run(
        connection,
        f"INSERT INTO {journals.table('grants')} (verb, until, person, machine)"
        " VALUES (:verb, now() + make_interval(secs => :seconds), :person, :machine)",
        {"verb": verb, "seconds": float(seconds), "person": writer.person, "machine": writer.machine},
    )


def has_grant(connection: AnyConnection, journals: Journals, verb: str) -> bool:
    """Whether a person's grant for a command is in force now; one that this role may not read is none."""
    if not may(connection, journals, "grants", "SELECT"):
        return False
    rows = run(
        connection,
        f"SELECT EXISTS (SELECT FROM {journals.table('grants')} WHERE verb = :verb AND until > now()) AS it",
        {"verb": verb},
    )
    return bool(rows[0]["it"])
