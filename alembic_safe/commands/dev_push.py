"""`alembic dev-push`: the models into the development database, at once."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import click

from alembic_safe.commands import config_of
from alembic_safe.commands.parameters import on_a_terminal
from alembic_safe.errors import SafeError, WrongUsage
from alembic_safe.settings import Settings, project_folder

if TYPE_CHECKING:
    from pathlib import Path

    from alembic_safe.authoring.push_finding import Finding
    from alembic_safe.authoring.push_request import Asking
    from alembic_safe.authoring.renames import Question

_LOOK_EVERY = 0.5
_NOT_WATCHED = {"__pycache__", "node_modules", "site-packages", "versions"}


@click.command()
@click.option("--dry-run", is_flag=True, help="Show the plan and what the rows say to it; writes nothing at all.")
@click.option("--sql", is_flag=True, help="Print the SQL instead: the push is tried and taken back.")
@click.option("--accept", multiple=True, metavar="KIND:OBJECT", help="Consent by name, such as drop-column:users.nick.")
@click.option("--rename", "renames", multiple=True, metavar="TABLE.OLD:NEW", help="It was renamed; also OLD_TABLE:NEW.")
@click.option("--fill", "fills", multiple=True, metavar="TABLE.COLUMN=SQL", help="What rows without a value get.")
@click.option("--drop-unknown", is_flag=True, help="Also retire what no model, no push and no revision made.")
@click.option("--leave", metavar="REVISION", help="Leave another branch's revision; what it added is kept.")
@click.option("--watch", is_flag=True, help="Push again whenever a Python file of the project changes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def command(
    ctx: click.Context,
    dry_run: bool,
    sql: bool,
    accept: tuple[str, ...],
    renames: tuple[str, ...],
    fills: tuple[str, ...],
    drop_unknown: bool,
    leave: str | None,
    watch: bool,
    as_json: bool,
) -> None:
    """Apply the models to the development database: no revision file, no row lost.

    What goes is retired: its rows are kept, and come back when it does. When you like it, `alembic milestone` writes
    it down.
    """
    from alembic_safe.authoring.push import dev_push
    from alembic_safe.authoring.push_request import Request
    from alembic_safe.reporting.push import PushJson, PushText

    if dry_run and sql:
        raise WrongUsage("--dry-run writes nothing, and --sql tries the push and takes it back: one of them.")
    config = config_of(ctx)
    settings = Settings.load(config)
    if watch:
        _watch(project_folder(config))
        return
    if leave is not None:
        from alembic_safe.authoring.leaving import leave_branch

        if sql:
            raise WrongUsage("--sql takes back what it tries, and a branch that was left stays left: first --leave.")
        leave_branch(config, settings, leave, PushText(show_sql=as_json), dry_run=dry_run, accept=frozenset(accept))
        if dry_run:
            return  # what the push behind it would find is not there yet
    asking = _at_the_terminal() if on_a_terminal() and not (as_json or dry_run or sql) else None
    request = Request(frozenset(accept), renames, fills, drop_unknown, dry_run, sql, asking)
    if not as_json:
        dev_push(config, settings, request, PushText(show_sql=sql))
        return
    show = PushJson()
    try:
        dev_push(config, settings, request, show)
    except SafeError as error:
        show.error = error
        raise
    finally:
        show.print()


def _at_the_terminal() -> Asking:
    from alembic_safe.authoring.push_request import Asking

    return Asking(_ask_rename, _ask_consent)


def _ask_rename(question: Question, old: str, samples: tuple[str, ...]) -> str | None:
    """Ask what became of one name; Enter is no answer."""
    place = f"{question.table}." if question.table else ""
    such = f" (such as {', '.join(samples)})" if samples else ""
    click.echo(f"{place}{old}{such} disappears, and {', '.join(question.came)} appears.")
    for number, name in enumerate(question.came, 1):
        click.echo(f"  [{number}] it was renamed to {name}")
    click.echo("  [d] it goes, its rows are kept; what appears starts empty")
    click.echo("  [q] quit, change nothing")
    said = click.prompt(">", prompt_suffix=" ", default="q", show_default=False).strip()
    if said == "d":
        return ""
    if said.isdigit() and 1 <= int(said) <= len(question.came):
        return question.came[int(said) - 1]
    raise click.Abort


def _ask_consent(finding: Finding) -> bool:
    """Ask for the finding's name, typed."""
    said = click.prompt(f"Type {finding.id} to accept, Enter to quit", default="", show_default=False)
    if said.strip() != finding.id:
        raise click.Abort
    return True


def _watch(folder: Path) -> None:
    """Run the same command, without --watch, whenever a file changes: each run imports the models anew."""
    module = "alembic_safe" if sys.argv[0].endswith(("alembic-safe", "alembic_safe/__main__.py")) else "alembic"
    words = [sys.executable, "-m", module, *(word for word in sys.argv[1:] if word != "--watch")]
    seen: dict[Path, float] = {}
    while True:
        now = _modified(folder)
        if now != seen:
            seen = now
            subprocess.run(words, check=False)
        time.sleep(_LOOK_EVERY)


def _modified(folder: Path) -> dict[Path, float]:
    found: dict[Path, float] = {}
    todo = [folder]
    while todo:
        for path in todo.pop().iterdir():
            if path.is_dir():
                if (
                    not path.name.startswith(".")
                    and path.name not in _NOT_WATCHED
                    and not (path / "pyvenv.cfg").exists()
                ):
                    todo.append(path)
            elif path.suffix == ".py":
                found[path] = path.stat().st_mtime
    return found
