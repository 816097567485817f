"""What the living table is like that a column or a table is taken from, or comes back to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.reads import rows_of
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.retired import KeySource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from alembic_safe.database.reads import Reads

_TABLE = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, c.relispartition AS is_partition,
  pg_get_userbyid(c.relowner) AS owner,
  EXISTS (SELECT FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid WHERE i.inhparent = c.oid AND NOT k.relispartition)
    OR (NOT c.relispartition AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)) AS inherits,
  ARRAY(SELECT k.oid::regclass::text FROM pg_inherits i JOIN pg_class k ON c.oid IN (i.inhparent, i.inhrelid)
          AND k.oid IN (i.inhparent, i.inhrelid) AND k.oid <> c.oid WHERE NOT k.relispartition ORDER BY 1)::text[] AS kin
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(CAST(:table AS text))
"""
COLUMN = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
  a.attidentity <> '' AS is_identity, a.attgenerated <> '' AS is_generated, a.attinhcount > 0 AS is_inherited
FROM pg_attribute a WHERE a.attrelid = CAST(:oid AS oid) AND a.attname = :column AND a.attnum > 0 AND NOT a.attisdropped
"""
# A key that tells rows apart at every moment: not deferrable, not partial, over columns that are never NULL.
KEYS = """
SELECT x.indisprimary AS is_primary, ARRAY(SELECT a.attname FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(attnum, place)
    JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum WHERE k.place <= x.indnkeyatts
    ORDER BY k.place)::text[] AS columns,
  ARRAY(SELECT format_type(a.atttypid, a.atttypmod) FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(attnum, place)
    JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum WHERE k.place <= x.indnkeyatts
    ORDER BY k.place)::text[] AS types
FROM pg_index x WHERE x.indrelid = CAST(:oid AS oid) AND x.indisunique AND x.indisvalid AND x.indimmediate
  AND x.indpred IS NULL AND x.indexprs IS NULL
  AND NOT EXISTS (SELECT FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(attnum, place) JOIN pg_attribute a
    ON a.attrelid = x.indrelid AND a.attnum = k.attnum WHERE k.place <= x.indnkeyatts AND NOT a.attnotnull)
ORDER BY x.indisprimary DESC, x.indnkeyatts, x.indexrelid
"""
# A value that the database makes by itself is not made twice: an identity, a sequence's next number, a random uuid.
_NEVER_TWICE = """
SELECT EXISTS (SELECT FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = CAST(:oid AS oid) AND a.attname = ANY(CAST(:columns AS text[])) AND (a.attidentity <> ''
    OR pg_get_expr(d.adbin, d.adrelid) ~ '(^|\\W)(nextval|gen_random_uuid|uuid_generate_v[14]|uuid_generate_v1mc|uuidv[47])\\(')
) AS it
"""
# Where such values come from: the counters of the key's columns, each with the file that holds it. TRUNCATE ... RESTART
# IDENTITY and ALTER SEQUENCE ... RESTART give a counter a new file; setval() does not, and shows in the number.
_COUNTERS = """
SELECT s.oid::bigint AS oid, pg_relation_filenode(s.oid)::bigint AS file,
  CASE WHEN has_sequence_privilege(s.oid, 'USAGE, SELECT') THEN pg_sequence_last_value(s.oid) * sign(q.seqincrement)::bigint
  END AS number
FROM pg_class s JOIN pg_sequence q ON q.seqrelid = s.oid
WHERE s.oid IN (
  SELECT d.objid FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'
    AND a.attrelid = CAST(:oid AS oid) AND a.attname = ANY(CAST(:columns AS text[]))
  UNION ALL
  SELECT d.refobjid FROM pg_depend d JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
  JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
  WHERE d.refclassid = 'pg_class'::regclass AND f.adrelid = CAST(:oid AS oid)
    AND a.attname = ANY(CAST(:columns AS text[])))
ORDER BY s.oid
"""

_HERE = """
SELECT current_user AS role, current_setting('transaction_isolation') AS isolation,
  EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted
  AND l.mode = 'AccessExclusiveLock' AND l.relation = CAST(:oid AS oid)
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS is_locked
"""


@dataclass(frozen=True)
class LivingTable:
    """A table as the catalog has it.

    :param inherits: whether it has inheritance children or parents (partitions are none).
    :param kin: these, by name.
    """

    oid: int
    schema: str
    name: str
    kind: str
    owner: str
    is_partition: bool
    inherits: bool
    kin: tuple[str, ...]

    @property
    def quoted(self) -> str:
        """Its qualified name, quoted."""
        return quoted(self.schema, self.name)

    @property
    def shown(self) -> str:
        """Its name as a person reads it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class LivingColumn:
    """A column as the catalog has it."""

    name: str
    type: str
    not_null: bool
    is_identity: bool
    is_generated: bool
    is_inherited: bool


def find_table(connection: Connection | Reads, name: str, schema: str | None) -> LivingTable | None:
    """Return a table as ``op.`` names it; without a schema, the one that the search path finds."""
    place = quoted(name) if schema is None else quoted(schema, name)
    rows = rows_of(connection, _TABLE, {"table": place})
    return LivingTable(**{**rows[0], "kin": tuple(rows[0]["kin"])}) if rows else None


def schema_of(connection: Connection, schema: str | None) -> str:
    """Return the schema in which an absent table of this name would be made."""
    return schema or str(run(connection, "SELECT current_schema()::text AS it")[0]["it"])


def find_column(connection: Connection | Reads, table: LivingTable, name: str) -> LivingColumn | None:
    """Return a column, or ``None``."""
    rows = rows_of(connection, COLUMN, {"oid": table.oid, "column": name})
    return LivingColumn(**rows[0]) if rows else None


@dataclass(frozen=True)
class Here:
    """The transaction in which a table is worked on.

    :param is_locked: whether it has locked the table against everybody already.
    """

    role: str
    isolation: str
    is_locked: bool


def here(connection: Connection, table: LivingTable) -> Here:
    """Return what the transaction is."""
    return Here(**run(connection, _HERE, {"oid": table.oid})[0])


def lock(connection: Connection, table: LivingTable, subject: str) -> None:
    """Lock a table against everybody, until the transaction ends.

    :raises Refused: outside a transaction.
    """
    from sqlalchemy.exc import DBAPIError

    from alembic_safe.database.failures import sqlstate_of

    try:
        run(connection, f"LOCK TABLE {table.quoted} IN ACCESS EXCLUSIVE MODE")
    except DBAPIError as error:
        if sqlstate_of(error) != "25P01":
            raise
        raise Refused(
            f"{subject} needs a transaction, and stands in an autocommit_block().",
            next_steps=[NextStep("move the line out of the block, then", "alembic upgrade head")],
        ) from error


def refuse_inheritance(table: LivingTable, subject: str) -> None:
    """Stop at a table whose rows are spread over inheritance children.

    :raises Refused: naming them.
    """
    if table.inherits:
        raise Refused(
            f"{subject}: {table.shown} takes part in table inheritance, which the steps of a change do not follow.",
            detail=[f"Related by INHERITS: {', '.join(table.kin)}."],
            next_steps=[NextStep("end the inheritance first, in psql", "ALTER TABLE child NO INHERIT parent;")],
        )


def key_of(
    connection: Connection | Reads, table: LivingTable, given: Sequence[str] | None, *, without: str
) -> tuple[tuple[str, str], ...]:
    """Return the columns that tell rows apart, each with its type; empty where there is no key.

    :param given: the columns that the revision file names.
    :param without: the column that goes, which cannot be part of it.
    :raises Refused: when the columns that are named are no key.
    """
    rows = rows_of(connection, KEYS, {"oid": table.oid})
    types = {tuple(row["columns"]): row["types"] for row in rows if without not in row["columns"]}
    keys = list(types)
    chosen = tuple(given) if given is not None else next(iter(keys), ())
    if chosen in types or not chosen:
        return tuple(zip(chosen, types.get(chosen, ()), strict=True))
    # a key and more columns: what is NULL in one of them would be neither before nor behind any other row
    found = [column for name in chosen if (column := find_column(connection, table, name)) is not None]
    tells_apart = without not in chosen and any({*key} <= {*chosen} for key in keys)
    if not tells_apart or len(found) < len(chosen) or not all(column.not_null for column in found):
        known = "; ".join(", ".join(key) for key in keys) or "none"
        raise Refused(
            f"{table.shown}: ({', '.join(chosen)}) is no key: nothing holds its values unique and NOT NULL.",
            detail=[f"Keys of the table: {known}."],
        )
    return tuple((column.name, column.type) for column in found)


def keys_return(reads: Reads, table: LivingTable, key: Sequence[str]) -> bool:
    """Whether a key that was deleted can be given to another row, as names and codes are."""
    return not reads.rows(_NEVER_TWICE, {"oid": table.oid, "columns": list(key)})[0]["it"]


def counters_of_key(table: LivingTable, key: Sequence[str]) -> tuple[str, Mapping[str, object]]:
    """Return the question of :func:`key_source`, to be asked together with others."""
    return _COUNTERS, {"oid": table.oid, "columns": list(key)}


def key_source(source: Connection | Reads, table: LivingTable, key: Sequence[str]) -> KeySource:
    """Return what makes a table's keys now."""
    rows = rows_of(source, *counters_of_key(table, key))
    return KeySource(table.oid, tuple((row["oid"], row["file"], row["number"] or 0) for row in rows))
