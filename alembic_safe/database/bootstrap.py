"""What is there before the first revision, where the files do not begin with nothing?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from alembic_safe.database.sql_script import statements
from alembic_safe.errors import Missing, NextStep, ReplayFailed
from alembic_safe.settings import project_folder

if TYPE_CHECKING:
    from pathlib import Path

    from alembic.config import Config

    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.settings import Settings


def bootstrap_of(config: Config, settings: Settings) -> Path | None:
    """Return the script that the setting ``shadow_bootstrap`` names, ``None`` where there is none.

    :raises Missing: when there is no such file.
    """
    if settings.shadow_bootstrap is None:
        return None
    script = project_folder(config) / settings.shadow_bootstrap
    if not script.is_file():
        raise Missing(
            f"shadow_bootstrap names {script}, and there is no such file.",
            next_steps=[NextStep("make it with pg_dump, of a database that is at no revision, its schema alone")],
        )
    return script


def run_bootstrap(endpoint: Endpoint, script: Path) -> None:
    """Run a script on an empty database, each statement by itself.

    :raises ReplayFailed: when it does not run through.
    """
    try:
        with endpoint.connect() as connection:
            for statement in statements(script.read_text(encoding="utf-8")):
                connection.execute(statement.encode())
    except psycopg.Error as error:
        raise ReplayFailed(
            f"{script.name} does not run on an empty database: {' '.join(str(error).split())}.",
            next_steps=[NextStep("make one with pg_dump, of a database that is at no revision, its schema alone")],
        ) from error
