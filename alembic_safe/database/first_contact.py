"""What must be known before the first table of ours is made in a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.environment import PREFIX, Journals
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Missing, NextStep

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from alembic_safe.database.environment import Place

# A role that could read every table of the application will be asked for ours too: pg_dump locks all tables it
# sees, and fails on one it may not read. Superusers and members of pg_read_all_data read everything anyway.
_READERS = """
WITH app AS (
  SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                    WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
)
SELECT r.rolname AS name FROM pg_catalog.pg_roles r
WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> current_user
  AND NOT pg_has_role(r.oid, 'pg_read_all_data', 'USAGE') AND NOT pg_has_role(r.oid, current_user, 'USAGE')
  AND EXISTS (SELECT FROM app) AND NOT EXISTS (SELECT FROM app WHERE NOT has_table_privilege(r.oid, app.oid, 'SELECT'))
ORDER BY 1
"""


@dataclass(frozen=True)
class FirstContact:
    """What making our tables would mean for others who use this database.

    :param home: where the tables would go.
    :param publications: publications FOR ALL TABLES (or for all tables of that schema) that would publish ours.
    :param readers: roles that may read every table of the application and could not read ours.
    :param creates_schema: whether the schema itself is still to be made.
    """

    home: Journals
    publications: tuple[str, ...]
    readers: tuple[str, ...]
    creates_schema: bool


def look(connection: Connection, place: Place, schema: str, version_schema: str) -> FirstContact:
    """Find out; reads only.

    :param schema: the schema that the settings name.
    :param version_schema: the schema of Alembic's version table, the fallback.
    :raises Missing: when this role may make tables in neither.
    """
    home, creates_schema = _home(connection, place, schema, version_schema)
    publications = run(
        connection,
        "SELECT p.pubname AS name FROM pg_catalog.pg_publication p WHERE p.puballtables OR EXISTS (SELECT FROM"
        " pg_publication_namespace pn JOIN pg_catalog.pg_namespace n ON n.oid = pn.pnnspid WHERE pn.pnpubid = p.oid AND"
        " n.nspname = :schema) ORDER BY 1"
        if place.server_version >= 150000
        else "SELECT pubname AS name FROM pg_catalog.pg_publication WHERE puballtables ORDER BY 1",
        {"schema": home.schema} if place.server_version >= 150000 else {},
    )
    readers = run(connection, _READERS) if place.server_version >= 140000 else ()
    return FirstContact(
        home, tuple(row["name"] for row in publications), tuple(row["name"] for row in readers), creates_schema
    )


def _home(connection: Connection, place: Place, schema: str, version_schema: str) -> tuple[Journals, bool]:
    rows: Any = run(
        connection,
        "SELECT n.nspname AS name, has_schema_privilege(n.oid, 'CREATE') AS may_create,"
        " pg_has_role(n.nspowner, 'USAGE') AS owns,"
        " EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid) AS is_used"
        " FROM pg_catalog.pg_namespace n WHERE n.nspname IN (:schema, :version_schema)",
        {"schema": schema, "version_schema": version_schema},
    )
    there = {row["name"]: row for row in rows}
    if schema in there:
        # what is in a schema of ours counts as ours, so one that holds anything of somebody else's never becomes it
        if there[schema]["owns"] and not there[schema]["is_used"]:
            return Journals(schema), True
        if there[schema]["may_create"]:
            return Journals(schema, PREFIX), False
    elif place.may_create:
        return Journals(schema), True
    if version_schema in there and there[version_schema]["may_create"]:
        return Journals(version_schema, PREFIX), False
    role, database = quoted(place.role), quoted(place.database)
    raise Missing(
        f"{place.role} may make tables neither in a schema of our own nor in {version_schema}, so nothing could be"
        " journalled.",
        detail=["One of these lets it, run by the owner of the database:",
                f"  GRANT CREATE ON DATABASE {database} TO {role};",
                f"  CREATE SCHEMA {quoted(schema)} AUTHORIZATION {role};"],
        next_steps=[NextStep("everything a deploy role needs", f"alembic safe-init --grants {place.role}")],
    )  # fmt: skip


def schema_grant_line(place: Place) -> str:
    """Return the line that would give the journal a schema of its own."""
    return f"GRANT CREATE ON DATABASE {quoted(place.database)} TO {quoted(place.role)};"


def reader_grant_lines(role: str, home: Journals) -> tuple[str, ...]:
    """Return what lets a backup role read our tables too; pg_dump also reads the sequences of identity columns."""
    who, where = quoted(role), quoted(home.schema)
    reading = (
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {where} TO {who};",
        f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {where} TO {who};",
    )
    if home.prefix:
        return reading
    return (
        f"GRANT USAGE ON SCHEMA {where} TO {who};",
        *reading,
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {where} GRANT SELECT ON TABLES TO {who};",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {where} GRANT SELECT ON SEQUENCES TO {who};",
    )
