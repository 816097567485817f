"""`alembic safe-upgrade`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from alembic_safe.commands import config_of
from alembic_safe.commands.parameters import Duration, ask, on_a_terminal
from alembic_safe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command()
@click.argument("revision", default="head")
@click.option("--release", help="Name of what is deployed; default: the pipeline's commit.")
@click.option("--accept", multiple=True, metavar="FINDING", help="Consent to one finding by name, such as edited:3f2a.")
@click.option(
    "--plan", "plan_hash", metavar="HASH", help="Deploy exactly the plan that safe-plan showed under this hash."
)
@click.option("--confirm", metavar="DATABASE", help="The database's name, typed: consent to what needs it.")
@click.option("--yes", "-y", is_flag=True, help="Answer harmless questions with yes; destruction is not one.")
@click.option("--backup/--no-backup", default=None, help="Default: on protected and undeclared databases.")
@click.option("--backup-scope", type=click.Choice(["database", "affected"]), help="What the backup holds.")
@click.option("--rehearse", metavar="WHAT", help="Run them on a stand-in first: auto (a shadow, where there is one), schema,"
              " backup, off, or a staging URL; default: the setting.")  # fmt: skip
@click.option("--drift", type=click.Choice(["fail", "warn", "off"]), help="What changes by hand meet; default: fail where"
              " the database is protected or undeclared, else warn.")  # fmt: skip
@click.option("--lock-wait", type=Duration(), help="How long to wait for a deploy whose holder shows no life (60s).")
@click.option("--no-wait", is_flag=True, help="Exit 5 at once when another deploy runs.")
@click.option("--lock-budget", type=Duration(), help="How long to try for the locks of one revision (10m).")
@click.option("--contract", "contracts", multiple=True, metavar="CHANGE", help="Let the contract of a change run, whatever the"
              " gate says: no server runs the old code any more.")  # fmt: skip
@click.option(
    "--downtime", is_flag=True, help="No application is running: every contract runs; with --confirm DATABASE."
)
@click.option("--back-out", is_flag=True, help="Take a half-done revision back, with its own downgrade().")
@click.option(
    "--max-time", type=Duration(), help="Stop copying after this long, exit 9; the next run goes on from there."
)
@click.option("--workers", type=click.IntRange(1), help="How many connections copy one table at once (1).")
@click.option("--dry-run", is_flag=True, help="Show the plan, and end as the run itself would where it is stopped before"
              " it writes; writes nothing at all.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout; progress on stderr.")
@click.pass_context
def command(
    ctx: click.Context,
    revision: str,
    release: str | None,
    accept: tuple[str, ...],
    plan_hash: str | None,
    confirm: str | None,
    yes: bool,
    backup: bool | None,
    backup_scope: str | None,
    rehearse: str | None,
    drift: str | None,
    lock_wait: float | None,
    no_wait: bool,
    lock_budget: float | None,
    contracts: tuple[str, ...],
    downtime: bool,
    back_out: bool,
    max_time: float | None,
    workers: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Deploy the pending revisions up to REVISION (default: head).

    Guarded, backed up, one revision at a time under lock limits; safe to run again, and from many places at once.
    """
    from alembic_safe.deploying.gate_evidence import Said
    from alembic_safe.deploying.upgrade import Request, safe_upgrade
    from alembic_safe.reporting.deployment import DeploymentText
    from alembic_safe.reporting.deployment_json import DeploymentJson

    config = config_of(ctx)
    settings = Settings.load(
        config,
        release=release,
        backup_scope=backup_scope,
        lock_wait=lock_wait,
        lock_budget=lock_budget,
        copy_workers=workers,
    )
    request = Request(
        revision=revision, accept=frozenset(accept), confirm=confirm, backup=backup, dry_run=dry_run, no_wait=no_wait,
        drift=drift, max_time=max_time, back_out=back_out, said=Said(frozenset(contracts), downtime, confirm),
        plan=plan_hash, rehearse=rehearse, on_terminal=on_a_terminal() and not yes,
        ask=(lambda _: True) if yes else ask if on_a_terminal() and not as_json else None,
    )  # fmt: skip
    show: Any = DeploymentJson() if as_json else DeploymentText()
    with show_errors(show):
        safe_upgrade(config, settings, request, show)


@contextmanager
def show_errors(show: Any) -> Iterator[None]:
    """Let the display end before an error is printed, and have its say about it."""
    try:
        yield
    except BaseException as error:
        show.failed(error)
        raise
    show.end()
