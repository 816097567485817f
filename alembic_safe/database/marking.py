"""How a database comes to know what it is: its marker, and the grants lent to agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database import journal
from alembic_safe.database.environment import read_system_identifier
from alembic_safe.database.statements import run

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from alembic_safe.database.environment import Journals


def mark(connection: Connection, journals: Journals, *, environment: str, protected: bool) -> None:
    """Write what this very database is; the caller owns the transaction."""
    knows = run(connection, "SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AS it")[0]["it"]
    journal.write_marker(
        connection,
        journals,
        environment=environment,
        protected=protected,
        system_identifier=read_system_identifier(connection) if knows else None,
        set_by=journal.Writer.this_process().person,
    )
