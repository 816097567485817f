"""`alembic safe-contract`: what is open, and its contracts brought into the chain."""

from __future__ import annotations

import click

from alembic_safe.commands import config_of
from alembic_safe.settings import Settings


@click.command()
@click.argument("change", required=False)
@click.option("--url", help="A database, read only: stop unless its journal shows what the contracts build on.")
@click.option("--check", is_flag=True, help="Replay the parked contracts on a shadow, for CI; writes no file.")
@click.option(
    "--abandon", metavar="CHANGE", help="Give a change up: a revision that ends its sync and keeps the old column."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def command(
    ctx: click.Context, change: str | None, url: str | None, check: bool, abandon: str | None, as_json: bool
) -> None:
    """Bring the parked contract of CHANGE into the chain of revisions; without CHANGE, of every open one.

    Files only: the next release that is deployed runs them, and the gate of safe-upgrade says when.
    """
    from alembic_safe.authoring.settling import Request, settle
    from alembic_safe.reporting.contract import print_settled, print_settled_json
    from alembic_safe.reporting.drift import tell_shadow

    if abandon is not None and (change is not None or check or url is not None):
        raise click.UsageError("--abandon CHANGE stands alone.")
    config = config_of(ctx)
    request = Request(change, url, check, abandon)
    done = settle(config, Settings.load(config), request, tell_shadow)
    (print_settled_json if as_json else print_settled)(done)
