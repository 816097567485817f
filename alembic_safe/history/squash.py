"""How do many revisions become one, in as a whole or not at all?"""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from alembic_safe.database.envpy import script_of
from alembic_safe.database.squash_moving import clear, move
from alembic_safe.database.squashed import ARCHIVE, the_long_way
from alembic_safe.history.bootstrap import bootstrap_script
from alembic_safe.history.extent import extent_of, require_no_prefix_options
from alembic_safe.history.fold import Fold
from alembic_safe.history.opening import open_for
from alembic_safe.history.prefix import Prefix
from alembic_safe.history.shortcut import place, require_no_squash
from alembic_safe.history.stage import forget
from alembic_safe.history.work import Work
from alembic_safe.history.worktree import require_committed

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.history.extent import Extent
    from alembic_safe.history.request import Outcome, Request, Show
    from alembic_safe.history.stage import Staged
    from alembic_safe.settings import Settings


def squash(config: Config, settings: Settings, request: Request, show: Show) -> Outcome:
    """Make one revision of all from the first to one, or of a later range, prove it, and put it in their place.

    :raises Refused: where something is not committed, or something was found that nobody has consented to.
    :raises ProofFailed: where the two are not the same; nothing was written then.
    """
    began = time.monotonic()
    script = the_long_way(script_of(config))
    clear(Path(script.dir, ARCHIVE))
    extent = extent_of(script, request.words)
    if extent.start is not None:
        require_no_prefix_options(request, extent)
    elif request.shortcut:
        require_no_squash(extent, vendor=request.vendor)
    watched = require_committed([Path(folder) for folder in script._version_locations])  # noqa: SLF001
    show.began(extent, watched)
    with open_for(config, script, settings, show) as (shadow, default_schema), ExitStack() as stack:
        stack.callback(forget, script, extent.end.revision)
        aside = Path(stack.enter_context(TemporaryDirectory()))
        bootstrap = bootstrap_script(request.bootstrap, shadow, aside) if request.bootstrap else None
        work = Work(config, extent, request, show, shadow, default_schema, bootstrap)
        staged, outcome = (Prefix(work) if extent.start is None else Fold(work)).made(began)
        if not request.dry_run and request.shortcut:
            place(staged)
        elif not request.dry_run:
            move_in(script, extent, staged)
    return outcome


def move_in(script: ScriptDirectory, extent: Extent, staged: Staged) -> None:
    """Put the archive in its place, then the squash into that of the files, in one step."""
    shutil.rmtree(staged.final_archive, ignore_errors=True)
    staged.archive.rename(staged.final_archive)
    locations = [Path(folder) for folder in script._version_locations]  # noqa: SLF001
    gone = [path for path in [*(path for path, _ in staged.moved), Path(extent.end.path)] if path != staged.final]
    move(staged.archive.parent, locations, [(staged.squash, staged.final)], gone, leftover=staged.squash.parent)
