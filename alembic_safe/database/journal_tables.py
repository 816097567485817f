"""Which tables the journal is made of: their versions, and how a database comes to have them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from alembic_safe.database.environment import SCHEMA_COMMENT
from alembic_safe.database.statements import quoted, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from sqlalchemy import Connection

    from alembic_safe.database.environment import Journals

    AnyConnection = Connection | psycopg.Connection[Any]

TABLES = ("journal_version", "environment", "deployments", "revisions", "backups", "grants", "catalogs", "pushes",
          "pushed_objects", "rename_answers", "fill_answers", "steps", "copies", "copy_evidence", "copy_pauses",
          "sightings", "rehearsals")  # fmt: skip

# One entry for each version of the journal. An entry never changes once released: a database that has it
# is brought forward by the entries behind it. {name} is the quoted, qualified table.
VERSIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE {journal_version} (
             version integer PRIMARY KEY,
             reached_at timestamptz NOT NULL DEFAULT now(),
             tool text NOT NULL)""",
        """CREATE TABLE {environment} (
             id integer PRIMARY KEY CHECK (id = 1),
             environment text,
             protected boolean NOT NULL DEFAULT true,
             system_identifier text,
             database_oid bigint NOT NULL,
             set_by text NOT NULL,
             set_at timestamptz NOT NULL DEFAULT now())""",
        """CREATE TABLE {deployments} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             release text,
             files_hash text NOT NULL,
             version_table text NOT NULL,
             from_heads text[] NOT NULL,
             to_heads text[],
             started_at timestamptz NOT NULL DEFAULT now(),
             heartbeat_at timestamptz NOT NULL DEFAULT now(),
             finished_at timestamptz,
             outcome text NOT NULL DEFAULT 'running',
             message text,
             backend_pid integer NOT NULL,
             role text NOT NULL DEFAULT current_user,
             person text NOT NULL,
             machine text NOT NULL,
             tool text NOT NULL)""",
        """CREATE TABLE {revisions} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             version_table text NOT NULL,
             revision text NOT NULL,
             parents text[] NOT NULL,
             message text NOT NULL,
             direction text NOT NULL,
             at timestamptz NOT NULL DEFAULT clock_timestamp(),
             milliseconds bigint,
             source_sha256 text,
             source text,
             command text NOT NULL,
             release text,
             deployment bigint REFERENCES {deployments},
             role text NOT NULL DEFAULT current_user,
             person text NOT NULL,
             machine text NOT NULL)""",
        "CREATE INDEX ON {revisions} (version_table, revision, id)",
        """CREATE TABLE {backups} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             deployment bigint REFERENCES {deployments},
             taken_at timestamptz NOT NULL DEFAULT now(),
             location text NOT NULL,
             scope text NOT NULL,
             bytes bigint,
             sha256 text,
             seconds double precision NOT NULL,
             heads text[] NOT NULL,
             person text NOT NULL,
             machine text NOT NULL)""",
        """CREATE TABLE {grants} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             verb text NOT NULL,
             made_at timestamptz NOT NULL DEFAULT now(),
             until timestamptz NOT NULL,
             person text NOT NULL,
             machine text NOT NULL)""",
    ),
    (
        """CREATE TABLE {catalogs} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             version_table text NOT NULL,
             heads text[] NOT NULL,
             at timestamptz NOT NULL DEFAULT now(),
             fingerprint text NOT NULL,
             catalog text NOT NULL,
             command text NOT NULL,
             tool text NOT NULL)""",
    ),
    (
        """CREATE TABLE {pushes} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             version_table text NOT NULL,
             at timestamptz NOT NULL DEFAULT clock_timestamp(),
             heads text[] NOT NULL,
             models text NOT NULL,
             changes text[] NOT NULL,
             sql text NOT NULL,
             accepted text[] NOT NULL,
             recorded_in text,
             milliseconds bigint NOT NULL,
             role text NOT NULL DEFAULT current_user,
             person text NOT NULL,
             machine text NOT NULL,
             tool text NOT NULL)""",
        """CREATE TABLE {pushed_objects} (
             version_table text NOT NULL,
             kind text NOT NULL,
             in_schema text NOT NULL,
             parent text NOT NULL,
             name text NOT NULL,
             push bigint NOT NULL REFERENCES {pushes},
             PRIMARY KEY (version_table, kind, in_schema, parent, name))""",
        """CREATE TABLE {rename_answers} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             push bigint NOT NULL REFERENCES {pushes},
             kind text NOT NULL,
             in_schema text NOT NULL,
             parent text NOT NULL,
             old_name text NOT NULL,
             new_name text NOT NULL)""",
        """CREATE TABLE {fill_answers} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             push bigint NOT NULL REFERENCES {pushes},
             in_schema text NOT NULL,
             parent text NOT NULL,
             name text NOT NULL,
             expression text NOT NULL)""",
    ),
    (
        "ALTER TABLE {revisions} ADD COLUMN phase text, ADD COLUMN change text, ADD COLUMN files_hash text",
        """CREATE TABLE {steps} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             version_table text NOT NULL,
             revision text NOT NULL,
             direction text NOT NULL,
             number integer NOT NULL,
             name text NOT NULL,
             entered integer NOT NULL DEFAULT 1,
             began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
             finished_at timestamptz,
             closed_at timestamptz,
             deployment bigint NOT NULL REFERENCES {deployments})""",
        "CREATE UNIQUE INDEX ON {steps} (version_table, revision, direction, number) WHERE closed_at IS NULL",
        """CREATE TABLE {copies} (
             version_table text NOT NULL,
             revision text NOT NULL,
             copy text NOT NULL,
             of_table text NOT NULL,
             cursor text,
             rows bigint NOT NULL,
             total bigint,
             milliseconds bigint NOT NULL,
             status text NOT NULL,
             began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
             at timestamptz NOT NULL DEFAULT clock_timestamp(),
             PRIMARY KEY (version_table, revision, copy))""",
        """CREATE TABLE {copy_evidence} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             version_table text NOT NULL,
             revision text NOT NULL,
             copy text NOT NULL,
             of_table text NOT NULL,
             columns text NOT NULL,
             rows bigint NOT NULL,
             mismatches bigint NOT NULL,
             at timestamptz NOT NULL DEFAULT clock_timestamp(),
             deployment bigint REFERENCES {deployments})""",
        "CREATE INDEX ON {copy_evidence} (version_table, revision, id)",
        """CREATE TABLE {copy_pauses} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             copy text,
             why text,
             at timestamptz NOT NULL DEFAULT now(),
             role text NOT NULL DEFAULT current_user)""",
        """CREATE TABLE {sightings} (
             version_table text NOT NULL,
             revision text NOT NULL,
             at timestamptz NOT NULL DEFAULT clock_timestamp(),
             release text,
             files_hash text,
             PRIMARY KEY (version_table, revision))""",
    ),
    (
        """CREATE TABLE {rehearsals} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             version_table text NOT NULL,
             at timestamptz NOT NULL DEFAULT clock_timestamp(),
             plan text NOT NULL,
             files text NOT NULL,
             catalog text NOT NULL,
             stand_in text NOT NULL,
             outcome text NOT NULL,
             detail text NOT NULL,
             seconds double precision NOT NULL,
             role text NOT NULL DEFAULT current_user,
             person text NOT NULL,
             machine text NOT NULL,
             tool text NOT NULL)""",
    ),
)


def ddl(journals: Journals, have: int = 0, *, has_schema: bool = False) -> Iterator[str]:
    """Yield the statements that make the journal, or bring it forward from a version.

    :param have: the version the database has; 0 for none.
    :param has_schema: whether the schema is there: even IF NOT EXISTS asks for the right to create one.
    """
    if have == 0 and not journals.prefix:
        if not has_schema:
            yield f"CREATE SCHEMA {quoted(journals.schema)}"
        comment = f"{SCHEMA_COMMENT}: what was deployed here, and what this database is. Keep it."
        yield f"COMMENT ON SCHEMA {quoted(journals.schema)} IS '{comment}'"
    names = {name: journals.table(name) for name in TABLES}
    for version in range(have, len(VERSIONS)):
        for statement in VERSIONS[version]:
            yield statement.format(**names)
    if have == 0:
        # Whoever connects must be able to see what this database is: the guard reads it with that person's rights.
        if not journals.prefix:
            yield f"GRANT USAGE ON SCHEMA {quoted(journals.schema)} TO PUBLIC"
        yield f"GRANT SELECT ON {names['environment']} TO PUBLIC"


def version_of(connection: AnyConnection, journals: Journals) -> int:
    """Return the version of the journal in the database."""
    rows = run(connection, f"SELECT max(version) AS it FROM {journals.table('journal_version')}")
    return int(rows[0]["it"] or 0)


def make_or_upgrade(connection: AnyConnection, journals: Journals, *, tool: str) -> None:
    """Make the journal's tables, or bring them forward; the caller owns the transaction.

    :param tool: the version of alembic-safe, for the record.
    """
    # two first deployments at once: the second waits, and finds the journal made
    run(connection, "SELECT pg_advisory_xact_lock(:key)", {"key": _making_key(journals)})
    have = version_of(connection, journals) if _exists(connection, journals) else 0
    if have >= len(VERSIONS):
        return
    for statement in ddl(journals, have, has_schema=_has_schema(connection, journals)):
        run(connection, statement)
    for version in range(have + 1, len(VERSIONS) + 1):
        run(
            connection,
            f"INSERT INTO {journals.table('journal_version')} (version, tool) VALUES (:version, :tool)",
            {"version": version, "tool": tool},
        )


def _has_schema(connection: AnyConnection, journals: Journals) -> bool:
    rows = run(
        connection,
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = :schema) AS it",
        {"schema": journals.schema},
    )
    return bool(rows[0]["it"])


def _making_key(journals: Journals) -> int:
    digest = hashlib.sha256(f"alembic-safe journal {journals.schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _exists(connection: AnyConnection, journals: Journals) -> bool:
    rows = run(
        connection,
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = :schema AND c.relname = :table) AS it",
        {"schema": journals.schema, "table": journals.prefix + "journal_version"},
    )
    return bool(rows[0]["it"])


def may_write(connection: AnyConnection, journals: Journals) -> bool:
    """Whether this role may add rows to the journal, and this version of alembic-safe knows its tables."""
    return (
        may(connection, journals, "revisions", "INSERT")
        and may(connection, journals, "journal_version", "SELECT")
        and version_of(connection, journals) == len(VERSIONS)
    )


def may(connection: AnyConnection, journals: Journals, table: str, right: str) -> bool:
    """Whether this role has a right, such as SELECT, on one of the journal's tables."""
    # CASE, because has_table_privilege() itself fails for whoever may not use the schema
    rows = run(
        connection,
        "SELECT CASE WHEN has_schema_privilege(:schema, 'USAGE') THEN has_table_privilege(:table, :right)"
        " ELSE false END AS it",
        {"schema": journals.schema, "table": journals.table(table), "right": right},
    )
    return bool(rows[0]["it"])
