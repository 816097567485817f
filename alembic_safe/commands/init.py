"""`alembic safe-init`: wires alembic-safe into an Alembic environment."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alembic_safe.authoring.wiring import kind_of, left_to_do
from alembic_safe.authoring.wiring_fresh import TEMPLATES, create_environment, missing_environment
from alembic_safe.authoring.wiring_project import apply, patch, shown, survey
from alembic_safe.commands import config_of
from alembic_safe.database.envpy import run_env, script_of
from alembic_safe.errors import Findings, Interrupted, NextStep, WrongUsage
from alembic_safe.reporting.text import LABEL, count, print_next, say
from alembic_safe.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.authoring.wiring_project import WiredFile

NO_DATABASE = "No database was touched."
NEXT = (
    NextStep("see what this database is, and why", "alembic safe-guard"),
    NextStep("say once what production is", "alembic safe-guard set production"),
    NextStep("deploy what is pending", "alembic safe-upgrade"),
)


@click.command()
@click.option("--write", is_flag=True, help="Apply the edits without asking; needed where there is no terminal.")
@click.option("--template", type=click.Choice(TEMPLATES), help="First make the environment from Alembic's template.")
@click.option(
    "--grants", "role", metavar="ROLE", help="Print, as SQL, what a deploy role still needs; changes nothing."
)
@click.pass_context
def command(ctx: click.Context, write: bool, template: str | None, role: str | None) -> None:
    """Wire alembic-safe into an Alembic environment; shows every edit first.

    Run again, it changes nothing. Without a terminal it prints the edits as a patch and exits with 2.
    """
    config = config_of(ctx)
    if role is not None:
        if write or template:
            raise WrongUsage("--grants only prints; it goes with neither --write nor --template.")
        click.echo(grants_script(config, role), nl=False)
        return
    asks = not write and sys.stdin.isatty() and sys.stdout.isatty()
    made: tuple[str, ...] = ()
    if template is not None:
        if not write and not asks:
            raise WrongUsage(
                "--template writes files, and this is not a terminal.",
                next_steps=[
                    NextStep("make the environment and wire it", _again(config, f"--template {template} --write"))
                ],
                state=f"Nothing was changed. {NO_DATABASE}",
            )
        config, made = create_environment(config, template)
    missing = missing_environment(config)
    if missing is not None:
        raise missing
    script = script_of(config)
    files = survey(config, script)
    _show(files, made, found(config, script), to_stderr=not (asks or write))
    _finish(config, files, made, write=write, asks=asks)


def grants_script(config: Config, role: str) -> str:
    """Return what a deploy role needs, as SQL, for every database that ``env.py`` reaches; reads only.

    :param role: the role's name, whatever characters it holds.
    :raises Missing: when a database cannot be reached.
    """
    from alembic_safe.database.grants import missing_grants
    from alembic_safe.database.grants import script_of as rendered

    settings = Settings.load(config)
    scripts: list[str] = []

    def ask(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        connection = context.connection
        if connection is None or connection.dialect.name != "postgresql":
            raise WrongUsage("--grants knows PostgreSQL only.")
        scripts.append(
            rendered(
                missing_grants(connection, role, schema=settings.schema, version_schema=context.version_table_schema)
            )
        )

    run_env(config, script_of(config), ask)
    return "\n".join(scripts)


def found(config: Config, script: ScriptDirectory) -> tuple[tuple[str, str], ...]:
    """Return what this environment is, as labelled lines; reads files only."""
    folder, env = shown(Path(script.dir)), Path(script.env_py_location)
    revisions = sum(len(list(Path(place).glob("*.py"))) for place in script.version_locations or [script.versions])
    settings = ", ".join(Settings.load(config, environ={}).found) or "none yet"
    return (
        ("Target", f"the Alembic environment {folder}; no database"),
        ("Found", f"env.py    {kind_of(env.read_text(errors='replace'))}"),
        ("", f"history   {count(revisions, 'revision file')}"),
        ("", f"settings  {settings}"),
    )


def _show(
    files: tuple[WiredFile, ...], made: tuple[str, ...], found: tuple[tuple[str, str], ...], *, to_stderr: bool
) -> None:
    out = sys.stderr if to_stderr else sys.stdout
    for label, line in found:
        say(label, line, stream=out)
    for n, path in enumerate(made):
        say("Made" if not n else "", shown(Path(path)), stream=out)
    changing = [file for file in files if file.wiring.changes]
    widest = max((len(file.shown) for file in changing), default=0)
    label = "Edits"
    for file in changing:
        name = file.shown
        for edit in file.wiring.edits:
            say(label, f"{name:<{widest}}  {edit.what}", stream=out)
            for line in _wrap(f"({edit.why})", widest + 2):
                out.write(line + "\n")
            label, name = "", ""
    for file in files:
        if file.wiring.by_hand is not None:
            say("By hand", f"{file.shown}: {file.wiring.by_hand.why}", stream=out)
            out.write(
                "".join(f"{' ' * LABEL}  {line}".rstrip() + "\n" for line in file.wiring.by_hand.lines.split("\n"))
            )
    out.flush()


def _wrap(text: str, indent: int) -> list[str]:
    import textwrap

    lead = " " * (LABEL + indent)
    return textwrap.wrap(text, 100, initial_indent=lead, subsequent_indent=lead + " ", break_on_hyphens=False)


def _finish(config: Config, files: tuple[WiredFile, ...], made: tuple[str, ...], *, write: bool, asks: bool) -> None:
    text = patch(files)
    by_hand = [file for file in files if file.wiring.by_hand is not None]
    if text and not write and not asks:
        click.echo(text, nl=False)
        raise WrongUsage(
            "This is not a terminal, so the edits went to standard output as a patch, and to no file.",
            next_steps=[NextStep("apply them", _again(config, "--write"))],
            state=f"Nothing was changed. {NO_DATABASE}",
        )
    if text and asks:
        click.echo("\n" + text)
        if not click.confirm("Write these edits?", default=False):
            raise Interrupted(
                "Declined.", state=f"{'The new files stay; no edit' if made else 'Nothing'} was made. {NO_DATABASE}"
            )
    apply(files)
    changed = [file.shown for file in files if file.wiring.changes]
    if by_hand:
        raise Findings(
            f"{' and '.join(file.shown for file in by_hand)} is too unusual to be edited: add the lines above by hand.",
            next_steps=[NextStep("when that is done", "alembic safe-init")],
            state=f"{' and '.join(changed)} was written. {NO_DATABASE}"
            if changed
            else f"Nothing was changed. {NO_DATABASE}",
        )
    if changed:
        say("Done", f"{count(len(changed), 'file')} written: {', '.join(changed)}.")
    else:
        say("Done", "Nothing to change: this environment is wired.")
    url = NextStep("write the URL of your database into alembic.ini, where it says sqlalchemy.url")
    print_next((*([url] if made else []), *left_to_do(files[0].wiring.after), *NEXT))
    click.echo(NO_DATABASE)


def _again(config: Config, options: str) -> str:
    given = getattr(config.cmd_opts, "config", None)
    names = given if isinstance(given, list) else [given] if given else []
    chosen = "".join(f" -c {shlex.quote(str(name))}" for name in names)
    return f"alembic{chosen} safe-init {options}"
