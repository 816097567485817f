"""What do the pending revisions do, seen on a shadow at the target's own revision?"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from alembic_safe.database.replay import replay
from alembic_safe.database.shadow import open_shadow
from alembic_safe.errors import ReplayFailed, SafeError
from alembic_safe.inspecting.expected import replayed
from alembic_safe.inspecting.tracing import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.inspecting.expected import ShadowWish
    from alembic_safe.inspecting.trace import Trace

T = TypeVar("T")


@dataclass(frozen=True)
class Traced:
    """What was seen, or why nothing was.

    :param by_place: a trace for each database that ``env.py`` configures and that had something to run.
    :param why_not: why there is none; empty where there is.
    :param on: which server it was seen on: ``PostgreSQL 16.14``.
    """

    by_place: dict[str, Trace]
    why_not: str = ""
    on: str = ""

    def of(self, place: str) -> Trace | None:
        """Return what was seen for a database; where there is only one, it is that one."""
        if place in self.by_place:
            return self.by_place[place]
        return next(iter(self.by_place.values())) if len(self.by_place) == 1 else None


def trace_pending(config: Config, script: ScriptDirectory, wish: ShadowWish, heads: Sequence[str], to: str) -> Traced:
    """Replay the files up to the target's revision on a shadow, then run the pending ones there and watch them.

    A revision that fails is a part of what was seen. May be called while ``env.py`` runs.

    :param heads: the target's.
    :param to: as for ``alembic upgrade``.
    """

    def work() -> Traced:
        try:
            with replayed(config, script, wish, heads) as (shadow, _):
                return _watched(config, script, shadow, to, Tracer())
        except ReplayFailed as error:
            return Traced({}, f"the applied revisions do not run on a shadow: {error.summary}")
        except SafeError as error:
            return Traced({}, " ".join([error.summary, *error.detail]))

    return beside_a_loop(work)


def trace_history(config: Config, script: ScriptDirectory, wish: ShadowWish) -> Traced:
    """Run the whole history on an empty shadow and watch each revision by itself.

    :raises Missing: when there is no server for a shadow.
    """

    def work() -> Traced:
        with open_shadow(
            wish.target, wish.settings, needs=wish.needs, protected=wish.protected, dry_run=wish.dry_run, tell=wish.tell
        ) as shadow:
            return _watched(config, script, shadow, "heads", Tracer(each_alone=True))

    return beside_a_loop(work)


def _watched(config: Config, script: ScriptDirectory, shadow: Shadow, to: str, tracer: Tracer) -> Traced:
    on = f"PostgreSQL {shadow.server_version // 10000}.{shadow.server_version % 10000}"
    try:
        replay(config, script, shadow, to=to, watch=tracer.watch)
    except ReplayFailed:
        if not tracer.traces:
            raise
    places = {endpoint.database: place for place, endpoint in shadow.databases.items()}
    return Traced({places.get(name, name): trace for name, trace in tracer.traces.items()}, "", on)


def beside_a_loop(work: Callable[[], T]) -> T:
    """Run ``env.py`` a second time: where the first one holds an event loop, in a thread, which may have its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()
