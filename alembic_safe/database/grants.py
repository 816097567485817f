"""What does a deploy role that is no superuser need in this database?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.grants_catalog import LARGE_OBJECTS, OBJECTS, ON_DATABASE, READERS, SCHEMAS, SERVER
from alembic_safe.database.names import LONGEST_NAME
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

MOST_LARGE_OBJECTS = 1000
POSTGRES_14, POSTGRES_16 = 140000, 160000

HEAD = """\
-- What a deploy role that is no superuser needs in this database, as far as it is missing.
-- Run it as a superuser or as the owner of the database and its objects.
-- Not needed: SUPERUSER, REPLICATION, CREATEROLE, pg_signal_backend. For safe-restore only: CREATEDB.
"""


@dataclass(frozen=True)
class Grant:
    """One right that is missing.

    :param why: what it is for. It ends up in an SQL comment, so it never holds a name from the catalog: a name may
        hold a line end, and what stands behind that would be run.
    :param lines: the statements that give it.
    :param chosen: whether the lines are to be run as they are; otherwise they are offered, commented out.
    """

    why: str
    lines: tuple[str, ...] = ()
    chosen: bool = True


@dataclass(frozen=True)
class _Target:
    version: int
    database: str
    role: str
    oid: int | None

    @property
    def who(self) -> str:
        return quoted(self.role)

    def member_of(self, group: str) -> str:
        # before PostgreSQL 16 the member's own INHERIT attribute decided
        return f"GRANT {quoted(group)} TO {self.who}{' WITH INHERIT TRUE' if self.version >= POSTGRES_16 else ''};"


def missing_grants(
    connection: Connection, role: str, *, schema: str = "alembic_safe", version_schema: str | None = None
) -> tuple[Grant, ...]:
    """Return what a role lacks for ``safe-upgrade`` and ``safe-backup`` in this database; reads only.

    :param role: its name, whatever characters it holds; it need not exist yet.
    :param schema: the schema of the journal.
    :param version_schema: the schema of Alembic's version table, unless it is ``public``.
    :raises WrongUsage: for a name that no role can have.
    """
    _check_name(role)
    (server,) = run(connection, SERVER, {"role": role, "schema": schema})
    if server["superuser"]:
        return (Grant("This role is a superuser and lacks nothing. A deploy role had better be none."),)
    target = _Target(server["version"], server["database"], role, server["oid"])
    grants = [
        *_login(target, inherits=server["inherits"]),
        *_journal(connection, target, schema, exists=server["has_journal_schema"]),
        *_schemas(connection, target, version_schema or "public", schema),
        *_ownership(connection, target),
        *_backup(connection, target, bypasses=server["bypasses"]),
        *_membership(
            connection, target, "pg_read_all_stats", "Show the query and the state of sessions that block a revision."
        ),
        *_later_readers(connection, target),
    ]
    return tuple(grants)


def script_of(grants: Sequence[Grant]) -> str:
    """Return the grants as SQL that can be given to ``psql``, with comments."""
    parts = [HEAD]
    if not grants:
        parts.append("-- Nothing is missing.\n")
    for grant in grants:
        block = "".join(f"-- {line}\n" for line in grant.why.split("\n"))
        for line in grant.lines:
            block += f"{line}\n" if grant.chosen else "".join(f"--   {part}\n" for part in _lines(line))
        parts.append(block)
    return "\n".join(parts)


def _lines(text: str) -> list[str]:
    # a quoted name may hold any line end, and PostgreSQL ends a comment at each of these two
    return text.replace("\r", "\n").split("\n")


def _check_name(role: str) -> None:
    size = len(role.encode())
    # PostgreSQL cuts longer names off, which would grant to somebody else
    if not role or "\0" in role or size > LONGEST_NAME:
        raise WrongUsage(f"A role's name has 1 to {LONGEST_NAME} bytes; this one has {size}.")
    if role in {"public", "none"} or role.startswith("pg_"):
        raise WrongUsage(f"{role} is a name that PostgreSQL keeps for itself; no deploy role can have it.")


def _login(target: _Target, *, inherits: bool) -> Iterator[Grant]:
    if target.oid is None:
        yield Grant("It does not exist yet. Give it a password with \\password in psql.",
                    (f"CREATE ROLE {target.who} LOGIN;",))  # fmt: skip
    elif not inherits:
        yield Grant(
            "It does not use the rights of the roles that it is a member of.", (f"ALTER ROLE {target.who} INHERIT;",)
        )


def _journal(connection: Connection, target: _Target, schema: str, *, exists: bool) -> Iterator[Grant]:
    database = quoted(target.database)
    (may,) = run(connection, ON_DATABASE, {"role": target.oid})
    if not may["connect"]:
        yield Grant("Reach the database.", (f"GRANT CONNECT ON DATABASE {database} TO {target.who};",))
    if not may["create"] and not exists:
        yield Grant(
            "Make the schema of the journal, and schemas that revisions create.",
            (f"GRANT CREATE ON DATABASE {database} TO {target.who};",),
        )
        yield Grant(
            "Or, where it shall not create schemas, this in its place. Without either, the journal's tables\n"
            "go into the schema of the version table.",
            (f"CREATE SCHEMA {quoted(schema)} AUTHORIZATION {target.who};",),
            chosen=False,
        )


def _schemas(connection: Connection, target: _Target, *expected: str) -> Iterator[Grant]:
    rows = run(connection, SCHEMAS, {"role": target.oid, "expected": list(expected)})
    lines = tuple(
        f"GRANT USAGE, CREATE ON SCHEMA {quoted(row['name'])} TO {target.who};" for row in rows if not row["open"]
    )
    if lines:
        yield Grant("Create tables, indexes and the version table.", lines)


def _ownership(connection: Connection, target: _Target) -> Iterator[Grant]:
    """ALTER and DROP need ownership, or membership in the role that owns; no GRANT on a table gives that."""
    rows = run(connection, OBJECTS, {"role": target.oid})
    groups: dict[str, set[str]] = {}
    lines, kept = [], 0
    for row in rows:
        if not row["untouchable"] and not row["in_circle"]:
            groups.setdefault(row["owner"], set()).add(row["schema"])
        elif row["keep"]:
            kept += 1
        else:
            lines.append(f"ALTER {row['kind'].upper()} {row['identity']} OWNER TO {target.who};")
    if groups:
        yield Grant(
            "Alter what other roles own: PostgreSQL lets only the owner, and members of the owner.",
            tuple(target.member_of(owner) for owner in sorted(groups)),
        )
        yield Grant(
            "What the deploy role creates stays open to those who own the tables today.",
            tuple(line for owner in sorted(groups) for schema in sorted(groups[owner])
                  for line in _default_privileges(target, schema, owner)),
        )  # fmt: skip
    if lines:
        yield Grant(
            "Alter what a superuser owns. Membership in a superuser would be too much, so the owner changes.",
            tuple(lines),
        )
    if kept:
        yield Grant(
            f"{kept} function(s) of a superuser run with its rights (SECURITY DEFINER) or in an untrusted language.\n"
            "They stay with it: a revision that replaces one of them needs a superuser."
        )


def _default_privileges(target: _Target, schema: str, owner: str) -> tuple[str, ...]:
    start = f"ALTER DEFAULT PRIVILEGES FOR ROLE {target.who} IN SCHEMA {quoted(schema)} GRANT"
    return (
        f"{start} SELECT, INSERT, UPDATE, DELETE ON TABLES TO {quoted(owner)};",
        f"{start} USAGE, SELECT, UPDATE ON SEQUENCES TO {quoted(owner)};",
    )


def _backup(connection: Connection, target: _Target, *, bypasses: bool) -> Iterator[Grant]:
    if target.version >= POSTGRES_14:
        yield from _membership(connection, target, "pg_read_all_data", "Back up: pg_dump locks and reads every table.")
    else:
        rows = run(connection, SCHEMAS, {"role": target.oid, "expected": ["public"]})
        yield Grant(
            "Back up: pg_dump locks and reads every table (PostgreSQL 14 and newer have one role for that).",
            tuple(f"GRANT SELECT ON ALL {kind} IN SCHEMA {quoted(row['name'])} TO {target.who};"
                  for row in rows for kind in ("TABLES", "SEQUENCES")),
        )  # fmt: skip
    forced = run(connection, "SELECT FROM pg_class WHERE relforcerowsecurity AND relrowsecurity LIMIT 1")
    if forced and not bypasses:
        yield Grant(
            "Back up tables whose row security holds for their owner too; pg_dump refuses them otherwise.\n"
            "Only a superuser can give this.",
            (f"ALTER ROLE {target.who} BYPASSRLS;",),
        )
    large = run(
        connection,
        LARGE_OBJECTS,
        {"role": target.oid, "most": MOST_LARGE_OBJECTS + 1},
    )
    if large:
        more = (
            f"\nThere are more than these {MOST_LARGE_OBJECTS}: run this again."
            if len(large) > MOST_LARGE_OBJECTS
            else ""
        )
        yield Grant(
            f"Back up large objects: pg_read_all_data does not cover them.{more}",
            tuple(f"GRANT SELECT ON LARGE OBJECT {row['oid']} TO {target.who};" for row in large[:MOST_LARGE_OBJECTS]),
        )


def _membership(connection: Connection, target: _Target, group: str, why: str) -> Iterator[Grant]:
    (has,) = run(
        connection,
        "SELECT COALESCE(pg_has_role(CAST(CAST(:role AS bigint) AS oid), CAST(:group AS name), 'USAGE'), false) AS it",
        {"role": target.oid, "group": group},
    )
    if not has["it"]:
        yield Grant(why, (target.member_of(group),))


def _later_readers(connection: Connection, target: _Target) -> Iterator[Grant]:
    rows: Any = run(connection, READERS, {"role": target.role})
    if rows:
        yield Grant(
            "Roles that may use every table of a schema today. What the deploy role creates later is closed to\n"
            "them, unless a revision grants it, or these lines do for all later tables:",
            tuple(
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {target.who} IN SCHEMA {quoted(row['schema'])}"
                f" GRANT {row['privileges']} ON TABLES TO {quoted(row['reader'])};"
                for row in rows
            ),
            chosen=False,
        )
