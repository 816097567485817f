"""`alembic safe-diff`: in what two schemas differ."""

from __future__ import annotations

from pathlib import Path

import click

from alembic_safe.commands import config_of
from alembic_safe.settings import Settings


@click.command()
@click.option("--from", "from_", default="database", show_default=True, metavar="SIDE", help="Where it starts.")
@click.option("--to", default="models", show_default=True, metavar="SIDE", help="Where it leads.")
@click.option("--sql", "form", flag_value="sql", help="The SQL that makes the one into the other.")
@click.option("--ops", "form", flag_value="ops", help="The same as Alembic's operations, in Python.")
@click.option("--json", "form", flag_value="json", help="One JSON object.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of stdout.")
@click.option("--exit-code", is_flag=True, help="Exit 4 when there is a difference.")
@click.pass_context
def command(ctx: click.Context, from_: str, to: str, form: str | None, output: Path | None, exit_code: bool) -> int:
    """Show in what two schemas differ; writes to nobody's database.

    A SIDE is one of: empty, models (create_all() of them), head, a revision (the files, replayed on a shadow),
    database (env.py's), a URL, a file that pg_dump wrote (as SQL or in its custom format).
    """
    from alembic_safe.authoring.diff import diff
    from alembic_safe.reporting.diff import diff_json, diff_lines, sql_text
    from alembic_safe.reporting.drift import tell_shadow

    config = config_of(ctx)
    settings = Settings.load(config)
    found = diff(config, settings, from_, to, tell=tell_shadow)
    if form == "ops":
        from alembic_safe.authoring.diff_operations import operations

        text = operations(config, settings, found)
    else:
        text = {"sql": sql_text, "json": diff_json, None: diff_lines}[form](found)
    if output is not None:
        output.write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)
    return 4 if exit_code and found.changes else 0
