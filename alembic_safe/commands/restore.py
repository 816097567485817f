"""`alembic safe-restore`: a backup into a new database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alembic_safe.commands import config_of
from alembic_safe.commands.upgrade import show_errors
from alembic_safe.settings import Settings


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--to", metavar="NAME", help="The new database; default: <database>_restored_<time>.")
@click.option("--sha256", metavar="HASH", help="What the file must have, where nothing beside it says so.")
@click.option("--unverified", is_flag=True, help="Restore a file that nothing is known of.")
@click.option("--no-owner", is_flag=True, help="Leave owners and grants out: their roles are not on this server.")
@click.option("--url", metavar="URL", help="Any database of the server, when the project's own is lost.")
@click.option("--exit-code", is_flag=True, help="Exit 4 when the restored database differs from its source.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def command(
    ctx: click.Context,
    file: Path,
    to: str | None,
    sha256: str | None,
    unverified: bool,
    no_owner: bool,
    url: str | None,
    exit_code: bool,
    as_json: bool,
) -> int:
    """Restore FILE into a new database, and compare it with the one that it was taken of.

    Its sha256 is checked first. No existing database is written to; what would put the new one in place is printed.
    """
    from alembic_safe.deploying.backup_files import read_sidecar
    from alembic_safe.deploying.backup_run import place_to_restore
    from alembic_safe.deploying.restore import RestoreRequest, restore
    from alembic_safe.reporting.backup import AsJson, RestoreText
    from alembic_safe.reporting.text import say, target

    config = config_of(ctx)
    settings = Settings.load(config)
    show: Any = AsJson() if as_json else RestoreText()
    with show_errors(show):
        endpoint, role, found = place_to_restore(config, settings, read_sidecar(file), url)
        if not as_json:
            say("Target", target(found.identity, found.heads) if found else f"{endpoint.shown} as {endpoint.user}")
        done = restore(
            RestoreRequest(
                endpoint=endpoint, path=file, name=to, sha256=sha256, unverified=unverified, owners=not no_owner,
                role=role, pg_bin=settings.pg_bin, on_step=None if as_json else show.step,
            )
        )  # fmt: skip
        show.restored(done)
    return 4 if exit_code and not done.comparison.equal else 0
