"""`alembic safe-baseline`: an existing database and its revisions are brought together."""

from __future__ import annotations

import click

from alembic_safe.commands import config_of
from alembic_safe.settings import Settings


@click.command()
@click.option("-m", "--message", default="baseline", show_default=True, help="Message of a first revision.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; writes nothing at all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def command(ctx: click.Context, message: str, dry_run: bool, as_json: bool) -> int:
    """Find or write the revision that this database is at, and stamp it there.

    Without any revision file: a first one is written that rebuilds the database. With revision files: the one whose
    replay equals the database is stamped, or the nearest is named with its differences, and nothing is stamped
    (exit 4). A database that is stamped already is verified. It may run at every start of a container.
    """
    from alembic_safe.authoring.baseline import baseline
    from alembic_safe.reporting.baseline import print_baselined, print_baselined_json
    from alembic_safe.reporting.drift import tell_shadow

    config = config_of(ctx)
    found = baseline(config, Settings.load(config), message, dry_run=dry_run, tell=tell_shadow)
    if as_json:
        print_baselined_json(found, dry_run=dry_run)
    else:
        for one in found:
            print_baselined(one, dry_run=dry_run)
    return 0 if all(one.is_in_order for one in found) else 4
