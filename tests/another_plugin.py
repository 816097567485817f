"""What does somebody else's Alembic plugin do that registers a dialect impl of its own, later than ours?"""

from __future__ import annotations

from typing import Any


def setup(plugin: Any) -> None:
    """Displace whatever impl PostgreSQL had: Alembic keeps the last one that was defined."""
    del plugin
    from alembic.ddl.postgresql import PostgresqlImpl

    class AnotherPluginsImpl(PostgresqlImpl):
        __dialect__ = "postgresql"
