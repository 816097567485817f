"""`alembic safe-check`: what changed revision files would do, with no database but an embedded server."""

from __future__ import annotations

from pathlib import Path

import click

from alembic_safe.commands import config_of
from alembic_safe.settings import Settings

FORMATS = ("text", "json", "markdown", "github", "sarif")


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of stdout.")
@click.pass_context
def command(ctx: click.Context, files: tuple[Path, ...], form: str, output: Path | None) -> int:
    """Judge the revisions that stand in FILES, each as on a production database; exit 4 where one needs consent or fails.

    For pre-commit and pipelines. All revisions run on a throw-away database of an embedded server, and env.py connects to
    it, whatever its URL says. FILES that are no revisions of this project are passed over; of a folder, the revisions in it
    are judged.
    """
    from alembic_safe.deploying.file_check import check_files
    from alembic_safe.reporting.plan import files_report

    config = config_of(ctx)
    plan = check_files(config, Settings.load(config), files)
    text = files_report(plan, form)
    if output is not None:
        output.write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)
    return 4 if plan.stopping else 0
