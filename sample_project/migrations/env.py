"""How Alembic reaches the shop's database, and which models it compares it with."""

from __future__ import annotations

import os
from logging.config import fileConfig
from typing import TYPE_CHECKING, Any

from alembic import context
from shop.database import database_url
from shop.models import target_metadata
from sqlalchemy import Connection, create_engine, pool

if TYPE_CHECKING:
    from collections.abc import Mapping

config = context.config
if config.config_file_name is not None:
    # the loggers of a program that calls alembic.command stay switched on
    fileConfig(config.config_file_name, disable_existing_loggers=False)


url = database_url(os.environ.get("DATABASE_URL") or config.get_main_option("sqlalchemy.url"))


def include_name(name: str | None, type_: str, parent_names: Mapping[str, Any]) -> bool:
    """Leave out the schemas of other applications; the default schema has no name here."""
    del parent_names
    return type_ != "schema" or name in {None, "warehouse"}


OPTIONS: dict[str, Any] = {
    "target_metadata": target_metadata(),
    "include_schemas": True,
    "include_name": include_name,
    "compare_server_default": True,
}


def run_migrations_offline() -> None:
    """Write SQL to the output instead of sending it to a database."""
    context.configure(url=url, literal_binds=True, dialect_opts={"paramstyle": "named"}, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def run_on(connection: Connection) -> None:
    """Send the revisions to a database."""
    context.configure(connection=connection, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online() -> None:
    """Use what a test or a program hands over (a connection or an engine), else the database that is configured."""
    given = config.attributes.get("connection")
    if isinstance(given, Connection):
        run_on(given)
        return
    engine = given or create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        run_on(connection)


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
