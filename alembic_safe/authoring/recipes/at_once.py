"""Recipe: what PostgreSQL has no other way for stays as it is, and the file says what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import ops

from alembic_safe.authoring.change_operations import RenamedTableOp
from alembic_safe.authoring.recipes.records import Phased, Words
from alembic_safe.authoring.recipes.standing_on import table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.authoring.recipes.records import Facts

_VIRTUAL = 180000
"""The first PostgreSQL whose generated columns need not be stored: https://www.postgresql.org/docs/18/release-18.html."""


def at_once(op: ops.MigrateOperation, every: Sequence[ops.MigrateOperation], facts: Facts) -> Phased | None:
    """Leave it an ordinary operation, and say what it does to whom."""
    del every
    if table_of(op, facts) not in facts.tables:
        return None
    sentence = _sentence(op, facts)
    return None if sentence is None else Phased("", ordinary=(op,), words=Words(ordinary=(sentence,)))


def _sentence(op: ops.MigrateOperation, facts: Facts) -> str | None:
    if isinstance(op, RenamedTableOp):
        was = facts.shown(op.table_name, op.schema)
        return f"{was} is renamed to {op.new_table_name} at once: an application that uses {was} fails from then on."
    if isinstance(op, CreateExcludeConstraintOp):
        shown = facts.shown(op.table_name, op.schema)
        return f"{op.constraint_name} reads all of {shown} under an exclusive lock: PostgreSQL has no other way."
    if not isinstance(op, ops.AddColumnOp):
        return None
    column, shown = op.column, facts.shown(op.table_name, op.schema, str(op.column.name))
    rewrites = f"{shown} is written into every row at once, under an exclusive lock: PostgreSQL has no other way."
    if column.identity is not None:
        return rewrites
    if column.computed is not None:
        virtual = column.computed.persisted is not True and facts.server_version >= _VIRTUAL
        return None if virtual else rewrites
    return None
