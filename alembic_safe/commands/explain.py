"""`alembic safe-explain`: what a hazard is, and what to do instead."""

from __future__ import annotations

import difflib

import click

from alembic_safe.errors import NextStep, WrongUsage


@click.command()
@click.argument("hazard", required=False)
def command(hazard: str | None) -> None:
    """Explain a hazard by its id or the name of a consent, such as set-not-null:users.name; without one, list them."""
    from alembic_safe.inspecting.hazards import BY_ID, HAZARDS
    from alembic_safe.reporting.hazards import explained
    from alembic_safe.reporting.text import width

    if hazard is None:
        widest = max(len(one.id) for one in HAZARDS)
        for one in HAZARDS:
            click.echo(f"{one.id:<{widest}}  {one.title}")
        return
    id_ = hazard.partition(":")[0]
    if id_ not in BY_ID:
        near = difflib.get_close_matches(id_, BY_ID, n=3, cutoff=0.4)
        raise WrongUsage(
            f"There is no hazard {id_}.",
            detail=[f"The nearest: {', '.join(near)}."] if near else [],
            next_steps=[NextStep("see them all", "alembic safe-explain")],
        )
    click.echo(explained(BY_ID[id_], width()), nl=False)
