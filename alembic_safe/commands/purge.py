"""`alembic safe-purge`: the only command that destroys what was retired."""

from __future__ import annotations

import click

from alembic_safe.commands import config_of
from alembic_safe.commands.parameters import Duration, on_a_terminal
from alembic_safe.settings import Settings


@click.command()
@click.option("--older-than", type=Duration(), help="What was retired at least so long ago, such as 30d.")
@click.option(
    "--object", "objects", multiple=True, metavar="NAME", help="One kept object, or where it was: public.users.age."
)
@click.option(
    "--orphans", is_flag=True, help="What has no place: its table is gone, it came back, or a later one does."
)
@click.option("--confirm", metavar="DATABASE", help="The database's name, typed: consent to destroying what is listed.")
@click.option("--dry-run", is_flag=True, help="List, and destroy nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def command(
    ctx: click.Context,
    older_than: float | None,
    objects: tuple[str, ...],
    orphans: bool,
    confirm: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """List retired columns and tables, and destroy them for ever after consent by name."""
    from alembic_safe.deploying.purge import PurgeRequest, safe_purge
    from alembic_safe.reporting.purge import print_end, print_json, print_plan

    config = config_of(ctx)
    settings = Settings.load(config)
    asks = on_a_terminal() and not as_json
    request = PurgeRequest(
        older_than=older_than, objects=objects, orphans=orphans, confirm=confirm, dry_run=dry_run,
        ask=_type_the_name if asks else None,
    )  # fmt: skip
    plans = safe_purge(config, settings, request, (lambda _: None) if as_json else print_plan)
    if as_json:
        print_json(plans, purged=not dry_run and any(plan.chosen for plan in plans))
    else:
        print_end(plans, dry_run=dry_run)
    return 0


def _type_the_name(question: str) -> str:
    typed: str = click.prompt(question, default="", show_default=False)
    return typed
