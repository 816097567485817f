"""`alembic safe-shadow`: which throw-away databases are there, and which of them nobody needs any more."""

from __future__ import annotations

import json as json_format
from typing import Any

import click

from alembic_safe.commands import config_of
from alembic_safe.settings import Settings


@click.group()
def command() -> None:
    """List or remove shadows: the throw-away databases in which revisions are replayed.

    Only databases whose comment says that alembic-safe made them are listed, and ever dropped.
    """


_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@command.command("list")
@_as_json
@click.pass_context
def list_shadows(ctx: click.Context, as_json: bool) -> None:
    """List the shadows on every server where one may have been made; changes nothing."""
    from alembic_safe.database.shadow_leftovers import find_leftovers
    from alembic_safe.reporting.shadow import print_shadows, shadow_json

    found = find_leftovers(config_of(ctx), Settings.load(config_of(ctx)))
    if as_json:
        click.echo(json_format.dumps({"servers": [shadow_json(one) for one in found]}, indent=2))
    else:
        print_shadows(found)


@command.command("prune")
@click.option("--cached", is_flag=True, help="The replayed shadows that are kept to copy from, too.")
@_as_json
@click.pass_context
def prune(ctx: click.Context, cached: bool, as_json: bool) -> None:
    """Drop the shadows whose run is gone; never one in use, and never a database that is not ours."""
    from alembic_safe.database.shadow_leftovers import prune_leftovers
    from alembic_safe.reporting.shadow import print_pruned, shadow_json

    done: Any = prune_leftovers(config_of(ctx), Settings.load(config_of(ctx)), templates=cached)
    if as_json:
        click.echo(json_format.dumps({"servers": [shadow_json(one) for one in done]}, indent=2))
    else:
        print_pruned(done)
