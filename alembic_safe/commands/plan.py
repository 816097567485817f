"""`alembic safe-plan`: what a deployment would do, to whom, and what to do instead."""

from __future__ import annotations

from pathlib import Path

import click

from alembic_safe.commands import config_of
from alembic_safe.errors import WrongUsage
from alembic_safe.settings import Settings

FORMATS = ("text", "json", "markdown", "github", "sarif", "sql", "html")


@click.command()
@click.argument("revision", default="head")
@click.option("--against", metavar="URL", help="Plan for this database instead of the one that env.py connects to.")
@click.option("--accept", multiple=True, metavar="HAZARD", help="Consent to a hazard by its name, as for safe-upgrade.")
@click.option("--release", help="Name of what is to be deployed, as for safe-upgrade: the gate asks for it.")
@click.option("--contract", "contracts", multiple=True, metavar="CHANGE", help="Count the gate of a change as open.")
@click.option("--all-history", is_flag=True, help="Judge every revision of the files by itself; no size is known then.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--exit-code", is_flag=True, help="Exit 4 when a hazard needs consent or makes it fail.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of stdout.")
@click.pass_context
def command(
    ctx: click.Context,
    revision: str,
    against: str | None,
    accept: tuple[str, ...],
    release: str | None,
    contracts: tuple[str, ...],
    all_history: bool,
    form: str,
    exit_code: bool,
    output: Path | None,
) -> int:
    """Show what the pending revisions up to REVISION would do to the database, locks and hazards included.

    They run on a shadow, a throw-away database, and are watched there; the target is only read.
    """
    from alembic_safe.deploying.gate_evidence import Said
    from alembic_safe.deploying.planning import read_history_plan, read_plans
    from alembic_safe.deploying.upgrade import Request
    from alembic_safe.reporting.plan import history_report, plan_report, tell_unused

    if all_history and (against is not None or accept or contracts or revision != "head"):
        raise WrongUsage(
            "--all-history judges all files by themselves; it goes with no revision, --against or --accept."
        )
    config = config_of(ctx)
    settings = Settings.load(config, release=release)
    if all_history:
        history = read_history_plan(config, settings)
        text, stopping = history_report(history, form), bool(history.stopping)
    else:
        asked = Request(
            revision=revision, accept=frozenset(accept), dry_run=True, said=Said(contracts=frozenset(contracts))
        )
        found = read_plans(config, settings, asked, against=against)
        text = plan_report(found, form)
        tell_unused(found)
        stopping = any(one.plan is not None and one.plan.stopping for one in found)
    if output is not None:
        output.write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)
    return 4 if exit_code and stopping else 0
