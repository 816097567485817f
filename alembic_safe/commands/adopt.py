"""`alembic safe-adopt`: changes by hand become a revision."""

from __future__ import annotations

import click

from alembic_safe.commands import config_of
from alembic_safe.settings import Settings


@click.command()
@click.option("-m", "--message", required=True, help="Message of the revision.")
@click.option("--dry-run", is_flag=True, help="Show the revision; writes nothing at all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def command(ctx: click.Context, message: str, dry_run: bool, as_json: bool) -> None:
    """Write what was changed by hand as a revision, and stamp this database with it.

    The revision is proven first: on a shadow it must lead from the files to this database, and back.
    """
    from alembic_safe.authoring.adopt import adopt
    from alembic_safe.reporting.adopt import print_adopted, print_adopted_json
    from alembic_safe.reporting.drift import tell_shadow

    config = config_of(ctx)
    found = adopt(config, Settings.load(config), message, dry_run=dry_run, tell=tell_shadow)
    if as_json:
        print_adopted_json(found, dry_run=dry_run)
    else:
        for adopted in found:
            print_adopted(adopted, dry_run=dry_run)
