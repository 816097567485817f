"""What could be squashed, how far, and what would that bring?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.envpy import script_of
from alembic_safe.database.replay import replay
from alembic_safe.errors import Findings, WrongUsage
from alembic_safe.history.extent import extent_of
from alembic_safe.history.opening import open_for
from alembic_safe.history.pruning import Asked, heads_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.history.request import Show
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class Advice:
    """What is known before a squash.

    :param revisions: how many there are.
    :param seconds: how long they take on an empty database.
    :param longest: the last revision up to which all can be taken together; empty: none.
    :param taken: how many these are.
    :param databases: where the databases are that were asked.
    :param end: the last revision that all of them have, up to which no originals would be needed; empty: none.
    :param end_taken: how many these are.
    """

    revisions: int
    seconds: float
    longest: str
    taken: int
    databases: tuple[Asked, ...]
    end: str
    end_taken: int


def advise(config: Config, settings: Settings, urls: Sequence[str], show: Show) -> Advice:
    """Replay the files, ask the databases, and say what could be taken together; writes nothing."""
    script = script_of(config)
    every = [one.revision for one in script.walk_revisions()]
    with open_for(config, script, settings, show) as (shadow, _):
        seconds = replay(config, script_of(config), shadow, to="heads", on_step=show.step).seconds
    possible = {id_: taken for id_ in every if (taken := _taken(script, id_))}
    databases = tuple(Asked(name, heads, is_past=True) for name, heads in heads_of(config, urls))
    shared = set(every)
    for one in databases:
        if one.heads:
            shared &= {found.revision for found in script.iterate_revisions(one.heads, "base")}
    longest = max(possible, key=lambda id_: possible[id_], default="")
    end = max((id_ for id_ in possible if id_ in shared), key=lambda id_: possible[id_], default="")
    return Advice(len(every), seconds, longest, possible.get(longest, 0), databases, end, possible.get(end, 0))


def _taken(script: ScriptDirectory, end: str) -> int:
    """Return how many revisions can be taken together up to one; 0 where they cannot."""
    try:
        return len(extent_of(script, end).revisions)
    except (Findings, WrongUsage):
        return 0
