"""Do the revisions of a squash end the same in another order that the files allow?"""

# Where branches meet, Alembic takes one of several orders, and a database that grew with the branches may have taken
# another. A squash makes what the first one makes.
from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.replay import replay
from alembic_safe.errors import ConsentMissing, NextStep, ReplayFailed
from alembic_safe.history.chain import state_of
from alembic_safe.history.rows import differences
from alembic_safe.inspecting.comparison import compare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.chain import State
    from alembic_safe.history.extent import Extent
    from alembic_safe.inspecting.catalog_records import ObjectId

_SHOWN = 10


def other_order(revisions: Sequence[Script]) -> tuple[str, ...]:
    """Return the revisions in the order that is furthest from the given one, each behind what it follows or depends on."""
    ids = [one.revision for one in revisions]
    waits = {one.revision: set(one._all_down_revisions) & set(ids) for one in revisions}  # noqa: SLF001 - both kinds
    found: list[str] = []
    ready = [id_ for id_ in ids if not waits[id_]]
    followers: dict[str, list[str]] = {}
    for id_, parents in waits.items():
        for parent in parents:
            followers.setdefault(parent, []).append(id_)
    while ready:
        found.append(ready.pop())  # what came last
        for id_ in followers.get(found[-1], ()):
            waits[id_].discard(found[-1])
            if not waits[id_]:
                ready.append(id_)
    return tuple(found)


def require_one_end(
    config: Config,
    script: ScriptDirectory,
    shadow: Shadow,
    extent: Extent,
    end: State,
    changing: Mapping[ObjectId, Sequence[str]],
) -> None:
    """Stop where the revisions, run in another order, lead to another database.

    The order of columns is none of that, and an order in which the files do not run at all has no end.

    :param shadow: an empty one.
    :param changing: columns whose values are other ones each time.
    :raises ConsentMissing: with what differs.
    """
    order = other_order(extent.revisions)
    if order == tuple(one.revision for one in extent.revisions):
        return
    try:
        other = state_of(shadow, replay(config, script, shadow, to=order[-1], only=order))
    except ReplayFailed:
        return
    finally:
        shadow.dismiss()
    found = [*map(str, compare(end.catalog, other.catalog)), *differences(end.contents, other.contents, changing)]
    if found:
        id_ = extent.end.revision
        raise ConsentMissing(
            "Where branches meet, the revisions can run in several orders, and they do not end the same in all of them.",
            detail=[*found[:_SHOWN], f"The other order: {', '.join(order)}"],
            next_steps=[
                NextStep(
                    "when what `alembic upgrade` makes of a new database is right",
                    f'alembic squash {id_} -m "..." --accept order:{id_}',
                ),
                NextStep("or end the squash before the branches", "alembic history"),
            ],
        )
