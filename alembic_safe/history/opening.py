"""On which server are the files and a squash of them tried?"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from alembic_safe.database.envpy import run_env
from alembic_safe.database.shadow import open_shadow
from alembic_safe.database.shadow_needs import needs_of
from alembic_safe.inspecting.target import look_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.request import Show
    from alembic_safe.settings import Settings


@contextmanager
def open_for(config: Config, script: ScriptDirectory, settings: Settings, show: Show) -> Iterator[tuple[Shadow, str]]:
    """Open a server for shadows that has what the database of ``env.py`` has; with its default schema."""
    found: list[tuple[Any, ...]] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        target = look_at(context, settings)
        connection: Any = context.connection
        default = connection.dialect.default_schema_name or "public"
        found.append((target.endpoint, needs_of(connection), target.identity.protected, default))

    run_env(config, script, work)
    endpoint, needs, protected, default_schema = found[0]
    with open_shadow(endpoint, settings, needs=needs, protected=protected, tell=show.note) as shadow:
        yield shadow, default_schema
