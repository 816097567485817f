"""Where retired objects are kept: the schema, its names, its rights, and the text form of values in it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from alembic_safe.database.failures import sqlstate_of
from alembic_safe.database.names import names_ending_in
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import current_settings, quoted, run, set_local, setting_local
from alembic_safe.errors import Missing, NextStep, Refused
from alembic_safe.inspecting.retired import RETIRED_SCHEMA, Memory, Purged, read_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from alembic_safe.inspecting.retired import Record

_TAKEN = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relname = :name AND n.nspname = ANY(CAST(:schemas AS text[])))
OR EXISTS (SELECT FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE t.typname = :name AND n.nspname = ANY(CAST(:schemas AS text[]))) AS it
"""

# Everything that changes how the server writes a value: an expression that depends on it is evaluated under this.
OF_VALUES = {
    "TimeZone": "UTC", "DateStyle": "ISO, YMD", "IntervalStyle": "postgres", "extra_float_digits": "3",
    "bytea_output": "hex", "lc_monetary": "C", "xmlbinary": "base64",
}  # fmt: skip
# Definitions and all rows as well; local to the transaction.
FIXED = {**OF_VALUES, "row_security": "off", "quote_all_identifiers": "off"}


class FixedText:
    """Fixes how values and definitions are written, and switches row security off, for the statements of a block.

    Several blocks, one behind the other, ask only once what the settings were; nobody else changes them in between.

    :param search_path: for reading definitions: ``""``, so that every name comes with its schema.
    :param more: further parameters for the same time.
    """

    def __init__(
        self, connection: Connection, *, search_path: str | None = None, more: Mapping[str, str] | None = None
    ) -> None:
        self._connection = connection
        self._wanted = {**FIXED, **({} if search_path is None else {"search_path": search_path}), **(more or {})}
        self._before: dict[str, str] | None = None

    def __enter__(self) -> None:
        self.enter()

    def enter(self) -> None:
        """Begin the block; who does not leave it sends :attr:`leaving`."""
        if self._before is None:
            before = current_settings(self._connection, self._wanted)
            self._before = {name: value for name, value in before.items() if value != self._wanted[name]}
        set_local(self._connection, {name: self._wanted[name] for name in self._before})

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # behind an error the transaction is aborted and takes the settings back by itself
        if kind is None and self._before is not None:
            set_local(self._connection, self._before)

    @property
    def leaving(self) -> list[str]:
        """The statements that leave the block, to be sent with the next ones: behind a lock, everybody waits for a message."""
        return setting_local(self._before or {})


def fixed_text(
    connection: Connection, *, search_path: str | None = None, more: Mapping[str, str] | None = None
) -> FixedText:
    """Return a block with fixed text: see :class:`FixedText`."""
    return FixedText(connection, search_path=search_path, more=more)


def literal(text: str) -> str:
    """Return a text as SQL."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'" if "\\" not in text else "E'" + doubled.replace("\\", "\\\\") + "'"


@contextmanager
def rights_named(
    connection: Connection, subject: str, ways: Sequence[NextStep] = (), *, role: str = ""
) -> Iterator[None]:
    """Turn a missing right into :class:`Missing`, with the line that its owner runs.

    :param subject: what was being done: ``retiring public.users.fullname``.
    :param role: the role, where it is known.
    """
    from sqlalchemy.exc import DBAPIError

    role = role or run(connection, "SELECT current_user AS it")[0]["it"]
    try:
        yield
    except DBAPIError as error:
        if sqlstate_of(error) != "42501":
            raise
        # what stands behind it says within which of our own statements
        said = " ".join(str(error.orig).partition("\nCONTEXT:")[0].split())
        # a role that row security holds for cannot see all rows, and must not keep only some of them
        row_security = "row-level security" in said or "row security" in said
        steps = [NextStep("a superuser lets it see every row", f"ALTER ROLE {quoted(role)} BYPASSRLS;")]
        raise Missing(
            f"{subject}: role {role} lacks a right: {said}.", next_steps=steps if row_security else ways
        ) from error


def make_schema(connection: Connection) -> None:
    """Make the schema where there is none; nobody but its owner gets into it."""
    # two runs at once: the second waits, and finds the schema, and the names that the first one took
    run(connection, "SELECT pg_advisory_xact_lock(hashtextextended('alembic-safe retired', 0))")
    role = run(connection, "SELECT current_user AS role, current_database() AS database")[0]
    found = run(
        connection,
        "SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE') AS it FROM pg_namespace"
        " WHERE nspname = :schema",
        {"schema": RETIRED_SCHEMA},
    )
    if found and not found[0]["it"]:
        grant = f"GRANT USAGE, CREATE ON SCHEMA {quoted(RETIRED_SCHEMA)} TO {quoted(role['role'])};"
        raise Missing(
            f"Role {role['role']} may not make tables in schema {RETIRED_SCHEMA}.",
            next_steps=[NextStep("the owner of that schema runs", grant)],
        )
    if found:
        return
    line = f"GRANT CREATE ON DATABASE {quoted(role['database'])} TO {quoted(role['role'])};"
    steps = [NextStep("the owner of the database runs", line)]
    with rights_named(connection, f"making schema {RETIRED_SCHEMA}", steps):
        run(connection, f"CREATE SCHEMA {quoted(RETIRED_SCHEMA)}")
    set_comment(connection, f"SCHEMA {quoted(RETIRED_SCHEMA)}", Memory().as_comment())
    revoke_all(connection, "pg_namespace", "nspacl", "nspowner", f"SCHEMA {quoted(RETIRED_SCHEMA)}", RETIRED_SCHEMA)


def revoke_all(connection: Connection, catalog: str, acl: str, owner: str, what: str, name: str) -> None:
    """Take every right from everybody but the owner; default privileges may have given some.

    :param what: the object as GRANT names it; ``catalog``, ``acl`` and ``owner`` say where its rights stand.
    :param name: its name in that catalog; a table's is looked up in our schema.
    """
    where = "nspname = :name" if catalog == "pg_namespace" else f"oid = CAST({_literal_regclass()} AS regclass)"
    value = name if catalog == "pg_namespace" else quoted(RETIRED_SCHEMA, name)
    rows = run(
        connection,
        f"SELECT DISTINCT a.grantee::bigint AS oid, CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END AS role"
        f" FROM {catalog} c, aclexplode(c.{acl}) a WHERE c.{where} AND a.grantee <> c.{owner}",
        {"name": value},
    )
    for row in rows:
        grantee = "PUBLIC" if row["oid"] == 0 else quoted(row["role"])
        run(connection, f"REVOKE ALL ON {what} FROM {grantee} CASCADE")


def _literal_regclass() -> str:
    return "CAST(:name AS text)"


def revoke_from_table(connection: Connection, kept: str) -> None:
    """Take every right on a kept table from everybody but its owner, those on single columns included."""
    what = f"TABLE {quoted(RETIRED_SCHEMA, kept)}"
    revoke_all(connection, "pg_class", "relacl", "relowner", what, kept)
    rows = run(
        connection,
        "SELECT DISTINCT CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END AS role, t.attname AS column"
        " FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = CAST(CAST(:name AS text) AS regclass)"
        " AND NOT t.attisdropped",
        {"name": quoted(RETIRED_SCHEMA, kept)},
    )
    for row in rows:
        grantee = "PUBLIC" if row["role"] is None else quoted(row["role"])
        run(connection, f"REVOKE ALL ({quoted(row['column'])}) ON {what} FROM {grantee} CASCADE")


def free_name(connection: Connection, wanted: str, *, also_in: str | None = None) -> str:
    """Return a name of at most 63 bytes that no relation and no type of our schema has.

    :param also_in: a second schema in which it must be free, for an object that is renamed before it moves; the
        name that is wanted may be taken there, by the object itself.
    """

    def is_taken(name: str) -> bool:
        schemas = [RETIRED_SCHEMA] if also_in is None or name == wanted else [RETIRED_SCHEMA, also_in]
        return bool(run(connection, _TAKEN, {"name": name, "schemas": schemas})[0]["it"])

    return next(name for name in names_ending_in(wanted, "", between="_") if not is_taken(name))


def set_comment(connection: Connection, what: str, comment: str) -> None:
    """Write a comment.

    :param what: the object as COMMENT ON names it: ``TABLE "s"."t"``.
    """
    run(connection, comment_on(what, comment))


def comment_on(what: str, comment: str) -> str:
    """Return the statement that writes a comment."""
    return f"COMMENT ON {verbatim(what)} IS {literal(comment)}"


def write_record(connection: Connection, kept: str, record: Record) -> None:
    """Write beside a kept table what it is."""
    run(connection, recording(kept, record))


def recording(kept: str, record: Record) -> str:
    """Return the statement that writes beside a kept table what it is."""
    return comment_on(f"TABLE {quoted(RETIRED_SCHEMA, kept)}", record.as_comment())


def remember_purged(connection: Connection, purged: Purged) -> None:
    """Add to what the schema remembers, so that a later restore can say why something comes back empty."""
    memory = read_memory(connection)
    rest = tuple(p for p in memory.purged if p.name != purged.name)
    set_comment(connection, f"SCHEMA {quoted(RETIRED_SCHEMA)}", Memory((*rest, purged)).as_comment())


def text_of(expression: str) -> str:
    """Return SQL for the text form of a value, by its type's own output function and no cast that a user defined."""
    return f"CASE WHEN {expression} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {expression}) END"


def require_fresh_snapshots(connection: Connection, subject: str, level: str = "") -> None:
    """Stop where a row that somebody committed while we waited for the lock would not be seen, and so be lost.

    :param level: the transaction's, where it is known.
    """
    level = level or run(connection, "SELECT current_setting('transaction_isolation') AS it")[0]["it"]
    if level in ("repeatable read", "serializable"):
        raise Refused(
            f"{subject}: this transaction is {level}, so rows committed while it waits for the table's lock would not be"
            " kept.",
            next_steps=[NextStep("in env.py, make the engine with isolation_level", '"READ COMMITTED"')],
        )
