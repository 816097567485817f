"""How is a development database marked with the revision that was written for it, together with its files or not at all?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.authoring.moving_in import clear, cut_short, take_out
from alembic_safe.authoring.stamping import stamp, unchanged
from alembic_safe.database.envpy import run_env
from alembic_safe.database.journal_pushes import has_pushes, mark_recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.authoring.milestone_side import Side
    from alembic_safe.authoring.writing import Written
    from alembic_safe.settings import Settings


def stamp_all(
    config: Config,
    script: ScriptDirectory,
    settings: Settings,
    sides: Sequence[Side],
    move: Callable[[], None],
    files: Sequence[Written],
) -> None:
    """Stamp every database; the files go in before the first of them commits.

    The transaction is open while the files are moved: it commits when they are there, and a run that is killed
    between the two leaves files that :func:`clear_cut_short` takes out again.

    :param move: moves the files in.
    :raises Refused: when a database was changed while it was compared.
    """
    heads = tuple(script.get_heads())
    known = {revision.revision for revision in script.walk_revisions()}  # a parked contract is not one of them
    done: list[Side] = []
    moved: list[bool] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        side = sides[len(done)]

        def last() -> None:
            # a contract is parked: the database stands in front of it
            _record(context, side, next(file.revision for file in reversed(files) if file.revision in heads))
            if not moved:
                move()
                moved.append(True)

        with unchanged(context, side.target, settings, side.catalog):
            stamp(
                context, script, side.target, heads, command="milestone", catalog=side.catalog, before_commit=last,
                written=[file.revision for file in files if file.revision in known],
            )  # fmt: skip
            done.append(side)

    try:
        run_env(config, script, work, to_write=True)
    except BaseException:
        if moved and not done:
            take_out(files)
        raise


def settle_pushes(config: Config, script: ScriptDirectory, settings: Settings, sides: Sequence[Side]) -> None:
    """Note that the files know everything that was pushed: what one push did, another one took back."""
    if not any(side.pushed.pushes for side in sides):
        return
    done: list[Side] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        side = sides[len(done)]
        connection: Any = context.connection
        with unchanged(context, side.target, settings, side.catalog):
            connection.rollback()
            with connection.begin():
                _record(context, side, ", ".join(side.target.heads))
        done.append(side)

    run_env(config, script, work, to_write=True)


def _record(context: MigrationContext, side: Side, revision: str) -> None:
    connection: Any = context.connection
    if has_pushes(connection, side.target.journals):
        assert side.target.journals is not None  # noqa: S101 - has_pushes says so
        mark_recorded(connection, side.target.journals, side.target.version_table, revision)


def clear_cut_short(script: ScriptDirectory, sides: Sequence[Side]) -> int:
    """Clear up after milestones that were killed: what had reached its end stays, of the others nothing does.

    :return: how many there were.
    """
    stamped = {head for side in sides for head in side.target.heads}
    found = cut_short(script)
    for left in found:
        done = bool(stamped & set(left.revisions)) if left.stamps else left.is_whole
        clear(left, done=done)
    return len(found)
