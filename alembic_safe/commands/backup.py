"""`alembic safe-backup`: a verified backup, from a terminal or from cron."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alembic_safe.commands import config_of
from alembic_safe.commands.upgrade import show_errors
from alembic_safe.settings import Settings, project_folder


@click.command()
@click.option("--to", metavar="DIR", help="Folder for the file; default: backup_dir (backups).")
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Delete all but the newest N of this database.")
@click.option(
    "--scope",
    type=click.Choice(["database", "affected"]),
    help="affected: all definitions, and the rows of the tables that pending revisions name, with what they refer to.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def command(ctx: click.Context, to: str | None, keep: int | None, scope: str | None, as_json: bool) -> None:
    """Back the database up with pg_dump, and read the file back before it gets its name.

    Off a terminal it prints one line for each database. --keep deletes only files of this very database that
    safe-backup or safe-upgrade wrote, and only after the new one is proven.
    """
    from alembic_safe.deploying.backup_run import back_up, distinct_targets
    from alembic_safe.reporting.backup import AsJson, BackupText

    config = config_of(ctx)
    settings = Settings.load(config, backup_scope=scope)
    folder = Path(to).absolute() if to else project_folder(config) / settings.backup_dir
    show: Any = AsJson() if as_json else BackupText()
    with show_errors(show):
        for target in distinct_targets(config, settings):
            show.begins(target)
            show.taken(back_up(config, settings, target, folder, keep=keep, on_progress=show.progress))
