"""What happens when a revision adds a foreign key NOT VALID, or takes one away, however far making it has come?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.schema import AddConstraint

from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import ddl_text, quoted, run, run_at_once
from alembic_safe.errors import Refused
from alembic_safe.operations.constraint_found import Constraint, constraint_of, leaves_of, taken
from alembic_safe.operations.constraints_not_valid import CreateForeignKeyNotValidOp
from alembic_safe.operations.living import find_table
from alembic_safe.operations.lock_together import lock_together
from alembic_safe.operations.speaking import is_script, place, say, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.operations.base import Operations
    from sqlalchemy import Connection, ForeignKeyConstraint

    from alembic_safe.operations.constraints_not_valid import DropForeignKeyOp
    from alembic_safe.operations.living import LivingTable

_PARTITIONED_NOT_VALID = 18
"""The first PostgreSQL that takes a NOT VALID foreign key on a partitioned table: its release notes."""


def create_foreign_key_not_valid(operations: Operations, op: CreateForeignKeyNotValidOp) -> None:
    """Run ``op.create_foreign_key_not_valid``."""
    name = _name(operations, op)
    schema = op.kw.get("source_schema")
    if is_script(operations):
        operations.impl.add_constraint(_constraint(operations, op, name, _Place(op.source_table, schema)))
        return
    connection, table = table_of(operations, op.verb, op.source_table, schema)
    found = constraint_of(connection, table.oid, name)
    if found is not None:
        if not _is_said(connection, found, op):
            raise taken(table, name, op.verb)
        return
    places = _places(connection, op, table, name)
    if not places:
        return
    # written before the lock: whoever waits for it waits for that, too
    statements = {one: _statement(operations, op, name, one) for one in places}
    referent = find_table(connection, op.referent_table, op.kw.get("referent_schema"))
    if referent is not None:
        lock_together(connection, [table, referent], "SHARE ROW EXCLUSIVE")
    if table.kind == "p":
        # where the lock was to be had, no partition comes or goes behind it; before it, one may have
        places = _places(connection, op, table, name)
    run_at_once(connection, [statements.get(one) or _statement(operations, op, name, one) for one in places])


@dataclass(frozen=True)
class _Place:
    """A table that gets the foreign key.

    :param schema: ``None``: found along the search path.
    """

    table: str
    schema: str | None
    not_valid: bool = True


def _places(
    connection: Connection, op: CreateForeignKeyNotValidOp, table: LivingTable, name: str
) -> Sequence[_Place]:  # fmt: skip
    """Return the tables that have yet to get the foreign key."""
    schema = op.kw.get("source_schema")
    if table.kind != "p" or _server(connection) >= _PARTITIONED_NOT_VALID:
        return [_Place(op.source_table, schema)]
    leaves = leaves_of(connection, table, name)
    for leaf in leaves:
        if leaf.constraint is not None and (leaf.constraint.is_part or not _is_said(connection, leaf.constraint, op)):
            raise taken(leaf, name, op.verb)
    if not leaves:
        # there is no row to be read, and no partition that could have it in the meantime
        return [_Place(op.source_table, schema, not_valid=False)]
    return [_Place(leaf.name, leaf.schema) for leaf in leaves if leaf.constraint is None]


def _is_said(connection: Connection, found: Constraint, op: CreateForeignKeyNotValidOp) -> bool:
    """Whether a constraint is the foreign key that the file says: an earlier run has made it, and not another one."""
    referent = find_table(connection, op.referent_table, op.kw.get("referent_schema"))
    is_deferred = (op.kw.get("initially") or "").upper() == "DEFERRED"
    said = Constraint(
        type="f", valid=found.valid, is_part=found.is_part, columns=tuple(op.local_cols),
        referent=-1 if referent is None else referent.oid, referred=tuple(op.remote_cols),
        on_delete=_action(op.kw.get("ondelete")), on_update=_action(op.kw.get("onupdate")),
        match="f" if (op.kw.get("match") or "").upper() == "FULL" else "s",
        deferrable=bool(op.kw.get("deferrable")) or is_deferred, deferred=is_deferred,
    )  # fmt: skip
    return found == said


def _action(said: str | None) -> str:
    """Return what happens to a row whose referent goes, as ``pg_constraint`` has it; columns of a SET NULL do not count."""
    words = " ".join((said or "NO ACTION").partition("(")[0].upper().split())
    return {"RESTRICT": "r", "CASCADE": "c", "SET NULL": "n", "SET DEFAULT": "d"}.get(words, "a")


def _statement(operations: Operations, op: CreateForeignKeyNotValidOp, name: str, place: _Place) -> str:
    return verbatim(ddl_text(AddConstraint(_constraint(operations, op, name, place))))


def _server(connection: Connection) -> int:
    return int(run(connection, "SELECT current_setting('server_version_num')::integer / 10000 AS it")[0]["it"])


def _name(operations: Operations, op: CreateForeignKeyNotValidOp) -> str:
    name = op.to_constraint(operations.migration_context).name
    if not isinstance(name, str) or not name:
        raise Refused(
            f"op.{op.verb} on {op.source_table} needs a name: without one, a second run could not find what the first one"
            " made.",
        )
    return str(name)


def _constraint(
    operations: Operations, op: CreateForeignKeyNotValidOp, name: str, place: _Place
) -> ForeignKeyConstraint:  # fmt: skip
    kw = {**op.kw, "source_schema": place.schema, "postgresql_not_valid": place.not_valid}
    if place.schema is not None and op.kw.get("referent_schema") is None and op.kw.get("source_schema") is None:
        # a partition is named with its schema, and what the file leaves to the search path stays with it
        referent = find_table(operations.get_bind(), op.referent_table, None)
        kw["referent_schema"] = referent.schema if referent else None
    one = CreateForeignKeyNotValidOp(name, place.table, op.referent_table, op.local_cols, op.remote_cols, **kw)
    return one.to_constraint(operations.migration_context)


def drop_foreign_key(operations: Operations, op: DropForeignKeyOp) -> None:
    """Run ``op.drop_foreign_key``."""
    name = quoted(op.constraint_name)
    if is_script(operations):
        say(operations, f"ALTER TABLE {place(op.table_name, op.schema)} DROP CONSTRAINT IF EXISTS {name}")
        return
    connection, table = table_of(operations, op.verb, op.table_name, op.schema)
    found = constraint_of(connection, table.oid, op.constraint_name)
    if found is not None:
        if found.type != "f":
            raise taken(table, op.constraint_name, op.verb)
        run(connection, f"ALTER TABLE {table.quoted} DROP CONSTRAINT {name}")
        return
    for leaf in leaves_of(connection, table, op.constraint_name):
        if leaf.constraint is not None and leaf.constraint.type == "f" and not leaf.constraint.is_part:
            run(connection, f"ALTER TABLE {leaf.quoted} DROP CONSTRAINT {name}")
