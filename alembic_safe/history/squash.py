"""How do many revisions become one, in as a whole or not at all?"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from alembic_safe.database.bootstrap import bootstrap_of
from alembic_safe.database.envpy import script_of
from alembic_safe.database.squash_moving import clear, move, put
from alembic_safe.database.squashed import ARCHIVE, the_long_way
from alembic_safe.errors import Findings, ProofFailed, ReplayFailed
from alembic_safe.history.bootstrap import bootstrap_script
from alembic_safe.history.earlier import with_originals_of_its_end
from alembic_safe.history.extent import extent_of, require_no_prefix_options
from alembic_safe.history.fold import Fold
from alembic_safe.history.opening import open_for
from alembic_safe.history.parts import kept_in, parts_of, prove_together
from alembic_safe.history.prefix import Prefix
from alembic_safe.history.regions import BASE, Left
from alembic_safe.history.shortcut import place, require_no_squash
from alembic_safe.history.stage import forget
from alembic_safe.history.work import Work
from alembic_safe.history.worktree import require_committed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.history.extent import Extent
    from alembic_safe.history.request import Outcome, Request, Show
    from alembic_safe.history.stage import Staged
    from alembic_safe.settings import Settings


def squash(config: Config, settings: Settings, request: Request, show: Show) -> tuple[Outcome, ...]:
    """Make one revision of all from the first to one, or of a later range, prove it, and put it in their place.

    With ``regions`` that of every part that can become one, all of them in one step.

    :raises Refused: where something is not committed, or something was found that nobody has consented to.
    :raises ProofFailed: where the two are not the same; nothing was written then.
    """
    script = the_long_way(script_of(config))
    clear(Path(script.dir, ARCHIVE))
    extents, left = parts_of(script, request) if request.regions else ((_the_one(script, request),), ())
    watched = require_committed([Path(folder) for folder in script._version_locations], "a squash")  # noqa: SLF001
    if request.regions:
        show.parts(extents, left)
    with open_for(config, script, settings, show) as (shadow, default_schema), ExitStack() as stack:
        aside = Path(stack.enter_context(TemporaryDirectory()))
        bootstrap = (
            bootstrap_script(request.bootstrap, shadow, aside) if request.bootstrap else bootstrap_of(config, settings)
        )
        made: list[tuple[Work, Staged, Outcome]] = []
        for n, extent in enumerate(extents):
            stack.callback(forget, script, extent.end.revision)
            show.began(extent, watched or n > 0)
            asked = kept_in(extent, request, script) if request.regions else request
            made += _made(Work(config, extent, asked, show, shadow, default_schema, bootstrap))
        if not made:
            raise Findings("None of these parts can become one revision: above is said why.")
        if len(made) > 1:
            show.proved(prove_together(made[0][0], [staged for _, staged, _ in made]))
        if not request.dry_run and request.shortcut:
            place(made[0][1])
        elif not request.dry_run:
            move_in(script, [(work.extent, staged) for work, staged, _ in made])
    return tuple(outcome for _, _, outcome in made)


def _the_one(script: ScriptDirectory, request: Request) -> Extent:
    """Return the revisions that are to become one."""
    extent = extent_of(script, request.words)
    if extent.start is not None:
        require_no_prefix_options(request, extent)
    elif request.shortcut:
        require_no_squash(extent, vendor=request.vendor)
    return with_originals_of_its_end(script, extent)


def _made(work: Work) -> list[tuple[Work, Staged, Outcome]]:
    """Make and prove one squash; of several, one that cannot be stays as it is."""
    began = time.monotonic()
    try:
        return [(work, *(Prefix(work) if work.extent.start is None else Fold(work)).made(began))]
    except (Findings, ProofFailed, ReplayFailed) as error:
        if not work.request.regions:
            raise
        work.show.left(Left(f"{work.extent.start or BASE}:{work.extent.end.revision}", error.summary))
        return []


def move_in(script: ScriptDirectory, made: Sequence[tuple[Extent, Staged]]) -> None:
    """Put the archives in their places, then the squashes into those of the files, in one step."""
    gone = []
    for extent, staged in made:
        put(staged.archive, staged.final_archive)
        gone += [path for path in [*(path for path, _ in staged.moved), extent.last_file] if path != staged.final]
    locations = [Path(folder) for folder in script._version_locations]  # noqa: SLF001
    move(
        Path(script.dir, ARCHIVE).absolute(), locations, [(staged.squash, staged.final) for _, staged in made], gone,
        leftover=[staged.squash.parent for _, staged in made],
    )  # fmt: skip
