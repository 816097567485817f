"""`alembic squash`: many revisions become one, proven equal; checked, undone, and followed by other branches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from alembic_safe.commands import config_of
from alembic_safe.errors import NextStep, WrongUsage
from alembic_safe.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config

    from alembic_safe.history.request import Request, Show
    from alembic_safe.reporting.squash import SquashText


@click.command()
@click.argument("end", default="", metavar="[[START:]END]")
@click.option("--message", "-m", help="What the squash is called; its first line names the file.")
@click.option("--accept", multiple=True, metavar="FINDING", help="Consent by name, such as outside:REVISION.")
@click.option("--keep", multiple=True, metavar="REVISION",
              help="Carry this revision as it is written, with what it does outside of the database.")  # fmt: skip
@click.option("--bootstrap", default="", metavar="FILE.sql|MODULE:FUNCTION",
              help="What is there before the first revision, where that does not begin with nothing.")  # fmt: skip
@click.option(
    "--shortcut", is_flag=True, help="Leave the originals where they are; only new databases take the squash."
)
@click.option("--regions", is_flag=True, help="Take every part with one way in and one way out, each as one revision.")
@click.option("--vendor", is_flag=True, help="Copy what the originals import from the application into the archive.")
@click.option("--since-deployed", metavar="URL", help="Begin behind the revision that this database has.")
@click.option("--prove-all", is_flag=True, help="Try a database at every replaced revision, not at a sample of them.")
@click.option("--dry-run", is_flag=True, help="Make and prove it, print the file, and write nothing.")
@click.option(
    "--check",
    "verb",
    flag_value="check",
    help="Prove every squash again, or END's.",
)
@click.option("--undo", "verb", flag_value="undo", help="Put the originals of the squash END back in its place.")
@click.option(
    "--rebase",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Let FILE of another git branch fit again; of a folder, every file.",
)
@click.option("--advise", "verb", flag_value="advise", help="Say what could be squashed, and how far; writes nothing.")
@click.option(
    "--prune", "verb", flag_value="prune", help="Take the originals of the squash END away, once nobody needs them."
)
@click.option("--url", "urls", multiple=True, help="A further database to ask, for --advise and --prune.")
@click.option("--through", metavar="RELEASE", help="The last release with the originals, for --prune.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout; notes on stderr.")
@click.pass_context
def command(
    ctx: click.Context,
    end: str,
    message: str | None,
    accept: tuple[str, ...],
    keep: tuple[str, ...],
    bootstrap: str,
    shortcut: bool,
    regions: bool,
    vendor: bool,
    since_deployed: str | None,
    prove_all: bool,
    dry_run: bool,
    verb: str | None,
    rebase: tuple[Path, ...],
    urls: tuple[str, ...],
    through: str | None,
    as_json: bool,
) -> int:
    """Make one revision of all from the first to END, by default the head, and prove that it is the same.

    With START:END, of all behind START up to END: their operations are folded, and what is more than operations is carried
    as it is written.

    It keeps END's id, so a database at END or later needs nothing. The originals move to an archive; a database on one
    of them is upgraded by those, whichever command upgrades it.
    """
    from alembic_safe.history.request import Request, Show
    from alembic_safe.reporting.squash import SquashText

    config = config_of(ctx)
    settings = Settings.load(config)
    text = SquashText(quiet=as_json)
    if rebase or verb == "undo":
        return _moved(config, text, end, rebase)
    if verb == "prune":
        return _pruned(config, text, end, urls, through, consent=f"prune:{end}" in accept)
    if since_deployed is not None:
        from alembic_safe.history.deployed import since

        end = since(config, since_deployed, end)
    show = Show(text.parts, text.left, text.began, text.read, text.made, text.proved, text.note, text.step, text.point,
                text.folded)  # fmt: skip
    request = Request(
        end, message or "", frozenset(accept), bootstrap,
        prove_all=prove_all, dry_run=dry_run, vendor=vendor, shortcut=shortcut, keep=keep,
        regions=regions,
    )  # fmt: skip
    if verb == "check":
        return _checked(config, settings, request, show, text, as_json=as_json)
    if verb == "advise":
        return _advised(config, settings, urls, show, text)
    if message is None:
        raise WrongUsage(
            "A squash needs a message.", next_steps=[NextStep("for example", 'alembic squash -m "what it is"')]
        )
    from alembic_safe.history.squash import squash
    from alembic_safe.reporting.squash import print_outcomes, print_outcomes_json

    outcomes = squash(config, settings, request, show)
    if as_json:
        print_outcomes_json(outcomes, as_list=regions)
    else:
        print_outcomes(outcomes)
    return 0


def _checked(
    config: Config, settings: Settings, request: Request, show: Show, text: SquashText, *, as_json: bool
) -> int:
    from alembic_safe.history.checking import check

    text.checked(check(config, settings, request, show), as_json=as_json)
    return 0


def _advised(config: Config, settings: Settings, urls: tuple[str, ...], show: Show, text: SquashText) -> int:
    from alembic_safe.history.advice import advise

    text.advice(advise(config, settings, urls, show))
    return 0


def _moved(config: Config, text: SquashText, word: str, files: tuple[Path, ...]) -> int:
    from alembic_safe.history.afterwards import rebase
    from alembic_safe.history.undoing import undo

    if files:
        text.rebased(rebase(config, files))
    else:
        text.undone(undo(config, word))
    return 0


def _pruned(
    config: Config, text: SquashText, word: str, urls: tuple[str, ...], through: str | None, *, consent: bool
) -> int:
    from alembic_safe.history.pruning import prune

    if not through:
        raise WrongUsage(
            "--prune needs --through: the last release that has the originals, for a database that comes late.",
            next_steps=[NextStep("for example", f"alembic squash --prune {word or 'ID'} --through v2.4")],
        )
    text.pruned(prune(config, word, urls, through, consent=consent))
    return 0
