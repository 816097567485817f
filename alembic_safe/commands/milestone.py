"""`alembic milestone`: what was pushed becomes one proven revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from alembic_safe.commands import config_of
from alembic_safe.commands.parameters import on_a_terminal
from alembic_safe.settings import Settings

if TYPE_CHECKING:
    from alembic_safe.authoring.renames import Question


@click.command()
@click.option("--message", "-m", required=True, help="What the revision does and why; its first line names the file.")
@click.option("--rename", "renames", multiple=True, metavar="TABLE.OLD:NEW", help="Say that something was renamed.")
@click.option(
    "--accept",
    multiple=True,
    metavar="FINDING",
    help="Say that it is gone, not renamed; the question names it.",
)
@click.option("--head", default="head", show_default=True, help="The head to build on, as for alembic revision.")
@click.option("--splice", is_flag=True, help="Allow a --head that is no head, as for alembic revision.")
@click.option("--depends-on", multiple=True, metavar="REVISION", help="A revision that must be there before this one.")
@click.option("--no-stamp", is_flag=True, help="Write the files, and leave the database's revision as it is.")
@click.option("--dry-run", is_flag=True, help="Print the files; writes nothing at all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout; notes on stderr.")
@click.pass_context
def command(
    ctx: click.Context,
    message: str,
    renames: tuple[str, ...],
    accept: tuple[str, ...],
    head: str,
    splice: bool,
    depends_on: tuple[str, ...],
    no_stamp: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Make one revision of what the models have and the revision files have not.

    Found and proven on a shadow: applied, taken back, applied again, and compared with the models and with the
    development database, which is then marked as having it. Exit 4 when that database differs from the files.
    """
    from alembic_safe.authoring.milestone import Request, Show, milestone
    from alembic_safe.authoring.writing import Wanted
    from alembic_safe.reporting.milestone import MilestoneText, print_outcome, print_outcome_json

    config = config_of(ctx)
    text = MilestoneText(quiet=as_json)
    show = Show(text.began, text.built, text.found, text.wrote, text.proved, text.note, text.step, text.unused)
    request = Request(
        Wanted(message, head, splice, depends_on), renames, frozenset(accept), dry_run=dry_run, stamp=not no_stamp,
        ask=_ask if on_a_terminal() and not as_json else None,
    )  # fmt: skip
    outcome = milestone(config, Settings.load(config), request, show)
    (print_outcome_json if as_json else print_outcome)(outcome)
    return outcome.exit_code


def _ask(question: Question, old: str) -> str | None:
    """Ask what became of something; nothing is preselected."""
    place = f" of {question.table}" if question.table else ""
    click.echo(f"\n{question.kind.capitalize()} {old}{place} is in the files and not in the models.")
    for number, new in enumerate(question.came, 1):
        click.echo(f"  {number}  it is called {new} now")
    click.echo("  0  it is gone; what came is new")
    answer: int = click.prompt("Which", type=click.IntRange(0, len(question.came)))
    return question.came[answer - 1] if answer else ""
