"""On which connection a verb of ours runs, and what a person has consented to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.errors import NextStep, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.operations.base import Operations
    from sqlalchemy import Connection


def online(operations: Operations, verb: str) -> Connection:
    """Return the connection that a verb works on.

    :raises Refused: where the run only writes a script, or the database is no PostgreSQL.
    """
    context = operations.migration_context
    if context.as_sql or context.connection is None:
        raise Refused(
            f"op.{verb} cannot be written as a script (--sql): which values are kept and what goes with them is found in"
            " the database when it runs.",
            next_steps=[NextStep("run it on the database", "alembic safe-upgrade")],
        )
    if context.dialect.name != "postgresql":
        raise Refused(f"op.{verb} knows PostgreSQL; this database is {context.dialect.name}.")
    return context.connection


def consents(operations: Operations, in_file: Iterable[str]) -> frozenset[str]:
    """Return the findings that are consented to: in the reviewed file, or as ``alembic -x accept=FINDING``."""
    config = operations.migration_context.config
    given = getattr(getattr(config, "cmd_opts", None), "x", None) or []
    words = [word.partition("=")[2] for word in given if word.startswith("accept=")]
    return frozenset([*in_file, *(part.strip() for word in words for part in word.split(",") if part.strip())])
