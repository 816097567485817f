"""What happens when a revision adds a check NOT VALID, validates a constraint, or makes one out of an index?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.failures import sqlstate_of
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import Findings, NextStep, Refused
from alembic_safe.operations.constraint_found import constraint_of, leaves_of, taken
from alembic_safe.operations.dependants import refused_by_restrict, server_words
from alembic_safe.operations.speaking import commit_if_stepwise, is_script, place, say, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.operations.base import Operations
    from sqlalchemy import Connection

    from alembic_safe.operations.constraint_found import Leaf
    from alembic_safe.operations.constraint_using_index import AddConstraintUsingIndexOp
    from alembic_safe.operations.constraints_not_valid import CreateCheckNotValidOp, ValidateConstraintOp
    from alembic_safe.operations.living import LivingTable

_DEFINITION = """
SELECT regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', '') AS it FROM pg_constraint
WHERE conrelid = CAST(:oid AS oid) AND conname = :name
"""
_INDEX = """
SELECT i.oid::bigint AS oid, x.indisvalid AS valid, x.indisunique AS is_unique,
  x.indpred IS NOT NULL OR x.indexprs IS NOT NULL AS partly,
  ARRAY(SELECT a.attname FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(n, place) JOIN pg_attribute a
    ON a.attrelid = x.indrelid AND a.attnum = k.n WHERE k.place <= x.indnkeyatts AND NOT a.attnotnull
    ORDER BY k.place)::text[] AS nullable
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = CAST(:oid AS oid) AND i.relname = :name
"""


def create_check_not_valid(operations: Operations, op: CreateCheckNotValidOp) -> None:
    """Run ``op.create_check_not_valid``."""
    check = f"ADD CONSTRAINT {quoted(op.constraint_name)} CHECK ({verbatim(op.condition)}) NOT VALID"
    if is_script(operations):
        say(operations, f"ALTER TABLE {place(op.table_name, op.schema)} {check}")
        return
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    found = constraint_of(connection, table.oid, op.constraint_name)
    if found is not None:
        if found.type != "c" or not _says_the_same(connection, table, op.constraint_name, check):
            raise taken(table, op.constraint_name, op.verb)
        return
    run(connection, f"ALTER TABLE {table.quoted} {check}")


def _says_the_same(connection: Connection, table: LivingTable, name: str, check: str) -> bool:
    """Whether a check is what a statement would make, as far as it can be made on an empty table of the same columns."""
    savepoint = connection.begin_nested()
    try:
        # of the same name, which the condition may say
        run(connection, f"CREATE TEMPORARY TABLE {quoted(table.name)} (LIKE {table.quoted})")
        run(connection, f"ALTER TABLE {quoted('pg_temp', table.name)} {check}")
        oid = run(connection, "SELECT CAST(:it AS regclass)::oid::bigint AS it", {"it": quoted("pg_temp", table.name)})
        wanted, found = (
            run(connection, _DEFINITION, {"oid": of, "name": name})[0]["it"] for of in (oid[0]["it"], table.oid)
        )
    except DBAPIError as error:
        if sqlstate_of(error)[:2] not in ("42", "0A"):  # no right to make one, or a condition that names the schema
            raise
        return True
    finally:
        savepoint.rollback()
    return bool(wanted == found)


def validate_constraint(operations: Operations, op: ValidateConstraintOp) -> None:
    """Run ``op.validate_constraint``."""
    name = quoted(op.constraint_name)
    if is_script(operations):
        say(operations, f"ALTER TABLE {place(op.table_name, op.schema)} VALIDATE CONSTRAINT {name}")
        return
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    found = constraint_of(connection, table.oid, op.constraint_name)
    if found is not None:
        if not found.valid:
            _validate(connection, table.quoted, table.shown, op.constraint_name)
        return
    _validate_partitions(operations, table, op)


def _validate_partitions(operations: Operations, table: LivingTable, op: ValidateConstraintOp) -> None:
    """Validate a foreign key partition by partition, then put the parent's over them, which reads no row again."""
    while True:
        # asked again behind each: in the hours that this may take, partitions come and go
        connection = operations.get_bind()
        leaves = leaves_of(connection, table, op.constraint_name)
        _require_everywhere(table, leaves, op)
        leaf = next((leaf for leaf in leaves if leaf.constraint is not None and not leaf.constraint.valid), None)
        if leaf is None:
            break
        _validate(connection, leaf.quoted, leaf.shown, op.constraint_name)
        # the lock of the parent's shuts writers out: it must not be waited for with a scan behind it
        commit_if_stepwise(operations)
    definition = run(connection, _DEFINITION, {"oid": leaves[0].oid, "name": op.constraint_name})[0]["it"]
    run(connection, f"ALTER TABLE {table.quoted} ADD CONSTRAINT {quoted(op.constraint_name)} {verbatim(definition)}")


def _require_everywhere(table: LivingTable, leaves: Sequence[Leaf], op: ValidateConstraintOp) -> None:
    without = [leaf.shown for leaf in leaves if leaf.constraint is None or leaf.constraint.type != "f"]
    if len(without) == len(leaves):
        raise Refused(f"op.{op.verb}: {table.shown} has no constraint {op.constraint_name}.")
    if without:
        raise Refused(
            f"op.{op.verb}: partitions of {table.shown} have no foreign key {op.constraint_name}: {', '.join(without)}. Where"
            " they are new, op.create_foreign_key_not_valid gives it to them when it runs again.",
            next_steps=[
                NextStep("where it stands in a step before, in the same revision", "alembic safe-upgrade"),
                NextStep("or else say so there once more", "op.create_foreign_key_not_valid(...)"),
            ],
        )


def _validate(connection: Connection, where: str, shown: str, name: str) -> None:
    savepoint = connection.begin_nested()
    try:
        run(connection, f"ALTER TABLE {where} VALIDATE CONSTRAINT {quoted(name)}")
    except DBAPIError as error:
        savepoint.rollback()
        if sqlstate_of(error) not in ("23503", "23514"):
            raise
        raise Findings(
            f"Rows of {shown} violate constraint {name}.",
            detail=[server_words(error)],
            next_steps=[NextStep("correct them in a copy revision before this one, then", "alembic safe-upgrade")],
        ) from error
    savepoint.commit()


def add_constraint_using_index(operations: Operations, op: AddConstraintUsingIndexOp) -> None:
    """Run ``op.add_constraint_using_index``."""
    kind = "UNIQUE" if op.type_ == "unique" else "PRIMARY KEY"
    when = "" if op.deferrable is None else " DEFERRABLE" if op.deferrable else " NOT DEFERRABLE"
    first = "" if op.initially is None else f" INITIALLY {_initially(op.initially)}"
    clause = f"ADD CONSTRAINT {quoted(op.constraint_name)} {kind} USING INDEX {quoted(op.index_name)}{when}{first}"
    if is_script(operations):
        say(operations, f"ALTER TABLE {place(op.table_name, op.schema)} {clause}")
        return
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    found = constraint_of(connection, table.oid, op.constraint_name)
    has_index = bool(run(connection, _INDEX, {"oid": table.oid, "name": op.index_name}))
    if found is not None:
        if found.type != kind[0].lower():
            raise taken(table, op.constraint_name, op.verb)
        # an index that became the constraint's has its name, and is not found under its own any more
        if not op.replace or not has_index or op.index_name == op.constraint_name:
            return
    _require_usable(connection, table, op)
    if found is not None:
        drop = f"ALTER TABLE {table.quoted} DROP CONSTRAINT {quoted(op.constraint_name)} RESTRICT"
        depends = refused_by_restrict(connection, drop)
        if depends:
            raise Refused(f"op.{op.verb}: others depend on constraint {op.constraint_name}.", detail=depends)
        clause = f"DROP CONSTRAINT {quoted(op.constraint_name)} RESTRICT, {clause}"
    run(connection, f"ALTER TABLE {table.quoted} {clause}")


def _initially(word: str) -> str:
    if word.upper() not in ("DEFERRED", "IMMEDIATE"):
        raise Refused(f"op.add_constraint_using_index: initially is DEFERRED or IMMEDIATE, not {word}.")
    return word.upper()


def _require_usable(connection: Connection, table: LivingTable, op: AddConstraintUsingIndexOp) -> None:
    subject = f"op.{op.verb}: index {op.index_name} on {table.shown}"
    if table.kind == "p":
        raise Refused(f"{subject}: PostgreSQL makes no constraint out of the index of a partitioned table.")
    rows = run(connection, _INDEX, {"oid": table.oid, "name": op.index_name})
    if not rows:
        raise Refused(f"{subject} is not there; nor is constraint {op.constraint_name}.")
    index = rows[0]
    if not index["valid"]:
        raise Refused(f"{subject} is INVALID: building it failed.")
    if not index["is_unique"] or index["partly"]:
        raise Refused(f"{subject} is not a unique index over all rows and plain columns.")
    if op.type_ == "primary" and index["nullable"]:
        raise Refused(
            f"{subject} is over columns that may be NULL: {', '.join(index['nullable'])}. PostgreSQL would read the whole"
            " table under an exclusive lock.",
            next_steps=[NextStep("in a step before this one", "op.set_not_null(...)")],
        )
