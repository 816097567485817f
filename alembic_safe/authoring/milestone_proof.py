"""Do new revision files lead to the models and back, and is that what the development database is?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.authoring.expressible import looked_at
from alembic_safe.database.replay import replay
from alembic_safe.errors import ProofFailed, ReplayFailed
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.expected import catalogs_of
from alembic_safe.inspecting.open_differences import is_settled
from alembic_safe.inspecting.owners import owned_as

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.authoring.milestone_changes import Found
    from alembic_safe.authoring.milestone_side import Side
    from alembic_safe.database.replay import Replayed
    from alembic_safe.database.shadow import Shadow
    from alembic_safe.inspecting.comparison import Difference
    from alembic_safe.inspecting.expected import FilesCatalog
    from alembic_safe.inspecting.settles import Settle

_LISTED = 12


@dataclass(frozen=True)
class Proven:
    """What the files make, proven.

    :param catalogs: of each database, in the order of ``env.py``.
    """

    catalogs: tuple[FilesCatalog, ...]


def prove(
    config: Config,
    script: ScriptDirectory,
    shadow: Shadow,
    found: Sequence[Found],
    files: Sequence[str],
    before: Sequence[FilesCatalog],
    on_proved: Callable[[str], None],
) -> Proven:
    """Apply new files on a shadow that stands where the others end, take them back, and apply them again.

    :param script: knows the new files, and every contract behind them.
    :param files: those that are new to this shadow, in the order of the chain.
    :param before: what the shadow is, in the order of ``env.py``.
    :param on_proved: called with what is proven as soon as it is.
    :raises ProofFailed: naming what does not hold.
    """
    up = _replayed(config, script, shadow, "heads", "upgrade()")
    first = catalogs_of(shadow, up)
    for one, made in zip(found, first, strict=True):
        _equal(compare(one.after, made.catalog), "the files do not lead to the models", "models", "files")
    on_proved("upgrade on a shadow leads to the models")
    back = _replayed(config, script, shadow, _way_back(script, files), "downgrade()")
    for one_, made in zip(before, catalogs_of(shadow, back), strict=True):
        _equal(
            compare(one_.catalog, made.catalog), "downgrade() does not lead back to what was before", "before", "after"
        )
    again = _replayed(config, script, shadow, "heads", "the second upgrade()")
    for one_, other in zip(first, catalogs_of(shadow, again), strict=True):
        _equal(compare(one_.catalog, other.catalog), "upgraded again, it is not the same", "first", "second")
    on_proved("downgrade and up again, the same schema")
    return Proven(first)


def differences_from(
    side: Side, files: FilesCatalog, settles: Sequence[Settle] = ()
) -> tuple[Difference, ...]:  # fmt: skip
    """Return what a development database (right) is otherwise than the files (left) make; column order aside.

    :param settles: what open changes will do: it may have been done there, or not.
    """
    theirs = [id_ for id_ in side.left_out if id_ not in files.catalog.objects]
    found = compare(owned_as(files.catalog, side.catalog, made_by=files.role), looked_at(side.catalog, theirs))
    return tuple(one for one in found if not is_settled(one, settles))


def _way_back(script: ScriptDirectory, files: Sequence[str]) -> str:
    """Return the destination of a downgrade that undoes the new files and nothing else."""
    down = f"-{len(files)}"
    # beside other heads: those stay, also where the new revision has the same parent
    return down if len(script.get_heads()) == 1 else f"{files[-1]}@{down}"


def _replayed(config: Config, script: ScriptDirectory, shadow: Shadow, to: str, what: str) -> Replayed:
    try:
        return replay(config, script, shadow, to=to)
    except ReplayFailed as error:
        raise ProofFailed(f"{what} fails on a shadow: {error.summary}", detail=error.detail) from error


def _equal(differences: Sequence[Difference], what: str, left: str, right: str) -> None:
    if not differences:
        return
    more = len(differences) - _LISTED
    raise ProofFailed(
        f"The proof on a shadow failed: {what} ({left} -> {right}).",
        detail=[*map(str, differences[:_LISTED]), *([f"and {more} more"] if more > 0 else [])],
    )
