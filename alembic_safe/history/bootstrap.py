"""What was there before the first revision, where the files do not begin with nothing?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from alembic_safe.errors import NextStep, ReplayFailed

if TYPE_CHECKING:
    from pathlib import Path

    from alembic_safe.database.shadow import Shadow

BOOTSTRAP = "bootstrap.sql"
"""What it is called in an archive."""


def with_bootstrap(shadow: Shadow, script: Path | None) -> Shadow:
    """Run a script on a shadow that has no database yet, if there is one.

    :raises ReplayFailed: when it does not run through.
    """
    if script is None or not script.exists():
        return shadow
    try:
        with shadow.endpoint.connect() as connection:
            connection.execute(script.read_bytes())
    except psycopg.Error as error:
        raise ReplayFailed(
            f"{script.name} does not run on an empty database: {' '.join(str(error).split())}.",
            next_steps=[NextStep("make one with pg_dump, of a database that is at no revision, its schema alone")],
        ) from error
    return shadow
