"""Is a squash still what was proven, and does the proof still hold?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.database.env_locations import directory_of
from alembic_safe.database.envpy import script_of
from alembic_safe.database.squashed import SHORTCUT, archive_folder, pruned_on, replaced_by, shortcuts, the_long_way
from alembic_safe.history.afterwards import squash_named, squashes
from alembic_safe.history.bootstrap import BOOTSTRAP, with_bootstrap
from alembic_safe.history.certificate import require_unchanged
from alembic_safe.history.chain import run_chain
from alembic_safe.history.extent import Extent
from alembic_safe.history.fold import elidable, prove_range
from alembic_safe.history.opening import open_for
from alembic_safe.history.proof import Sides, differing_columns, prove_fresh, prove_later, takes_back
from alembic_safe.history.range_proof import with_rows
from alembic_safe.history.range_start import brought_to_start
from alembic_safe.history.sample import prove_sample
from alembic_safe.history.shortcut import require_unchanged_shortcut
from alembic_safe.history.stage import without_archive

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.proof import Proven
    from alembic_safe.history.request import Request, Show
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class Checked:
    """A squash that is still what it was.

    :param pruned: the day on which its originals were taken away; then there is nothing to hold it against.
    """

    revision: str
    originals: int
    proven: tuple[Proven, ...]
    pruned: str = ""


def check(config: Config, settings: Settings, request: Request, show: Show) -> tuple[Checked, ...]:
    """Hold every squash against its certificate, then prove it again.

    :param request: ``words`` names one squash; empty: all.
    :raises Findings: when a file was changed, is missing, or was added.
    :raises ProofFailed: when the originals and the squash no longer lead to the same.
    """
    script = script_of(config)
    short = {one.revision: one for one in shortcuts(script)}
    if request.words in short:
        found = [short[request.words]]
    else:
        found = [squash_named(script, request.words)] if request.words else [*squashes(script), *short.values()]
    gone = {one.revision: day for one in found if (day := pruned_on(script, one.revision)) and not request.words}
    pruned = tuple(Checked(id_, 0, (), day) for id_, day in gone.items())
    found = [one for one in found if one.revision not in gone]
    for one in found:
        (require_unchanged_shortcut if one.revision in short else require_unchanged)(script, one)
    if not found:
        return pruned
    with open_for(config, script, settings, show) as (shadow, _):
        return (*pruned, *(_checked(config, one, shadow, request, show) for one in found))


def _checked(config: Config, squash: Script, shadow: Shadow, request: Request, show: Show) -> Checked:
    end = squash.revision
    is_short = Path(squash.path).parent.name == SHORTCUT

    def before() -> ScriptDirectory:
        script = the_long_way(directory_of(config))
        if not is_short:
            script.revision_map.expand_originals(end)  # type: ignore[attr-defined]
        return script

    def after() -> ScriptDirectory:
        return directory_of(config)

    def fresh() -> Shadow:
        return with_bootstrap(shadow.beside(), archive_folder(after(), end) / BOOTSTRAP)

    start = squash.module.down_revision
    if start is not None:
        return _checked_range(config, squash, before, after, shadow, request, show)
    sides = Sides(config, before, after, after, end, fresh)
    steps = before()._upgrade_revs(end, ())  # type: ignore[arg-type]  # noqa: SLF001
    extent = Extent(tuple(step.revision for step in steps), start)
    show.began(extent, True)  # noqa: FBT003 - a callback's own form
    old = fresh()
    chain = run_chain(config, before(), old, end, show.step)
    changing = {}
    if chain.state.contents.tables:
        again = fresh()
        changing = differing_columns(chain.state, run_chain(config, before(), again, end).state)
        again.dismiss()
    new, _, anew = prove_fresh(sides, chain.state, changing)
    proven = [anew, *prove_later(sides, old, new, changing)]
    new.dismiss()
    if not is_short:
        proven.append(prove_sample(sides, extent, chain, request, show))
    old.dismiss()
    for one in proven:
        show.proved(one)
    return Checked(end, len(extent.revisions), tuple(proven))


def _checked_range(
    config: Config,
    squash: Script,
    before: Callable[[], ScriptDirectory],
    after: Callable[[], ScriptDirectory],
    shadow: Shadow,
    request: Request,
    show: Show,
) -> Checked:
    end, start = squash.revision, str(squash.module.down_revision)
    inside = {end, *replaced_by(squash)}
    steps = before()._upgrade_revs(end, (start,))  # type: ignore[arg-type]  # noqa: SLF001
    depends_on = squash.module.depends_on or ()
    extent = Extent(
        tuple(step.revision for step in steps if step.revision.revision in inside), start,
        (depends_on,) if isinstance(depends_on, str) else tuple(depends_on),
    )  # fmt: skip
    show.began(extent, True)  # noqa: FBT003 - a callback's own form
    begun = with_bootstrap(shadow.beside(), archive_folder(after(), end) / BOOTSTRAP)
    at_start = brought_to_start(config, before, extent, begun)
    at_end = at_start.copied()
    chain = run_chain(config, before(), at_end, end, show.step)
    changing = {}
    if chain.state.contents.tables:
        again = at_start.copied()
        changing = differing_columns(chain.state, run_chain(config, before(), again, end).state)
        again.dismiss()
    sides = Sides(config, before, after, lambda: without_archive(after()), end, at_start.copied)
    given = with_rows(sides, chain, elidable(extent))
    goes_back = not takes_back(sides, at_end, start)
    proven, _ = prove_range(sides, start, chain, at_end, changing, given, goes_back=goes_back)
    proven.append(prove_sample(sides, extent, chain, request, show))
    for shadow_of_range in (given, at_end, at_start):
        shadow_of_range.dismiss()
    for one in proven:
        show.proved(one)
    return Checked(end, len(extent.revisions), tuple(proven))
