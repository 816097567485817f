"""`alembic safe-rehearse`: the pending revisions run on a stand-in for the target."""

from __future__ import annotations

from pathlib import Path

import click

from alembic_safe.commands import config_of
from alembic_safe.errors import NextStep, WrongUsage
from alembic_safe.settings import Settings


@click.command()
@click.argument("revision", default="head")
@click.option("--on", default="schema", show_default=True, metavar="WHAT", help="schema: the target's schema without rows;"
              " backup: a backup of it, restored; or the URL of a staging database, where the revisions stay.")  # fmt: skip
@click.option(
    "--backup", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Which backup, for --on backup."
)
@click.option("--release", help="Name of what is to be deployed, as for safe-upgrade: the gate asks for it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def command(
    ctx: click.Context, revision: str, on: str, backup: Path | None, release: str | None, as_json: bool
) -> None:
    """Run the pending revisions up to REVISION for real, on a stand-in for the target.

    Tells how long each took, and whether invariants, models and the downgrade hold; the journal gets a receipt.
    """
    from alembic_safe.deploying.rehearsals import rehearse_all
    from alembic_safe.reporting.rehearsal import rehearsals_json, rehearsals_text
    from alembic_safe.reporting.text import width

    if on in {"auto", "off"}:
        raise WrongUsage(f"--on {on}: a rehearsal needs a stand-in: schema, backup or a URL.")
    if (on == "backup") != (backup is not None):
        raise WrongUsage(
            "--on backup and --backup FILE go together.",
            next_steps=[NextStep("take one", "alembic safe-backup")],
        )
    config = config_of(ctx)
    found = rehearse_all(config, Settings.load(config, release=release), revision=revision, on=on, backup=backup)
    click.echo(rehearsals_json(found) if as_json else rehearsals_text(found, width()), nl=False)
