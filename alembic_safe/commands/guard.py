"""`alembic safe-guard`: what a database allows, and why."""

from __future__ import annotations

from typing import Any

import click

from alembic_safe.commands import config_of
from alembic_safe.commands.parameters import Duration, on_a_terminal
from alembic_safe.settings import Settings


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show what this database counts as, what it allows, and why; or set it, or lend an agent a command."""
    if ctx.invoked_subcommand is not None:
        return
    from alembic_safe.deploying.declare import read_targets
    from alembic_safe.reporting.guard import print_target

    config = config_of(ctx)
    settings = Settings.load(config)
    for target in read_targets(config, settings):
        print_target(target, settings)


@command.command("set")
@click.argument("name")
@click.option(
    "--protected/--unprotected", default=None, help="Default: development, dev, local, test, testing and ci are not."
)
@click.option("--confirm", metavar="DATABASE", help="The database's name, typed; needed to make it less protected.")
@click.option("--accept", multiple=True, metavar="FINDING", help="Consent to one finding by name.")
@click.pass_context
def set_(ctx: click.Context, name: str, protected: bool | None, confirm: str | None, accept: tuple[str, ...]) -> None:
    """Write into the database that its environment is NAME."""
    from alembic_safe.deploying.declare import set_environment
    from alembic_safe.reporting.guard import print_declared

    config = config_of(ctx)
    settings = Settings.load(config)
    done = set_environment(config, settings, name, protected=protected, confirm=confirm, accept=frozenset(accept))
    for declared in done:
        print_declared(declared)


@command.command("grant")
@click.option("--for", "verb", required=True, metavar="VERB", help="The command, such as safe-upgrade.")
@click.option("--ttl", type=Duration(), default="10m", show_default=True, help="For how long; at most 1h.")
@click.pass_context
def grant_(ctx: click.Context, verb: str, ttl: Any) -> None:
    """Let a coding agent run one command on this database for some minutes; made by a person on a terminal."""
    from alembic_safe.database.guard import GRANTABLE
    from alembic_safe.deploying.declare import grant
    from alembic_safe.reporting.guard import print_granted

    verb = verb.removeprefix("alembic ").strip()
    if verb not in GRANTABLE:
        raise click.BadParameter(f"{verb!r} is none of {', '.join(GRANTABLE)}", param_hint="--for")
    if not 0 < ttl <= 3600:
        raise click.BadParameter("a grant lasts more than nothing and at most 1h", param_hint="--ttl")
    config = config_of(ctx)
    for target in grant(config, Settings.load(config), verb, ttl, person_at_terminal=on_a_terminal()):
        print_granted(target, verb, ttl)
