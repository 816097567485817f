"""`alembic safe-status`: where the database stands."""

from __future__ import annotations

import click

from alembic_safe.commands import config_of
from alembic_safe.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option(
    "--drift", is_flag=True, help="Replay the files on a shadow to find changes by hand; else the journal is asked."
)
@click.option(
    "--settings", "show_settings", is_flag=True, help="Show every setting and its value instead; asks no database."
)
@click.pass_context
def command(ctx: click.Context, as_json: bool, drift: bool, show_settings: bool) -> int:
    """Show where the database stands, and everything that is wrong; reads only, and creates nothing.

    Exit 0 when nothing is pending and nothing was found wrong, otherwise 4: also for tables without a
    revision, and while a deployment runs.
    """
    from alembic_safe.deploying.status import read_status
    from alembic_safe.reporting.status import print_settings, print_status, print_status_json

    config = config_of(ctx)
    settings = Settings.load(config)
    if show_settings:
        print_settings(settings)
        return 0
    found = read_status(config, settings, replay=drift)
    if as_json:
        print_status_json(found)
    else:
        for status in found:
            print_status(status)
    return 0 if all(status.verdict == "OK" for status in found) else 4
