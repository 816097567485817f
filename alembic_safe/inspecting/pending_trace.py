"""What do the pending revisions do, seen on a shadow at the target's own revision?"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from alembic_safe.database.replay import replay
from alembic_safe.errors import ReplayFailed, SafeError
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.expected import catalogs_of, replayed
from alembic_safe.inspecting.policy import read_policy
from alembic_safe.inspecting.required_columns import required_columns
from alembic_safe.inspecting.tracing import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.database.shadow_wish import ShadowWish
    from alembic_safe.inspecting.own_schema import OwnSchema
    from alembic_safe.inspecting.required_columns import Required
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


@dataclass(frozen=True)
class _Way:
    """To where a trace goes, or which revisions it takes, and of which context."""

    to: str
    only: Sequence[str] | None = None
    wanted: Callable[[MigrationContext, str], bool] | None = None


def trace_pending(
    config: Config, script: ScriptDirectory, wish: ShadowWish, own: OwnSchema, to: str, only: Sequence[str] | None = None
) -> Traced:  # fmt: skip
    """Run the pending revisions on a shadow that is as the target is, and watch them.

    The files are replayed up to the target's revision. Where the target is something else than they say, its schema is
    dumped and takes the place of the replay. A revision that fails is a part of what was seen. May be called while
    ``env.py`` runs.

    :param own: the target.
    :param to: as for ``alembic upgrade``.
    :param only: these revisions, in the place of all that lead there.
    """
    way = _Way(to, only, own.is_of)

    def work() -> Traced:
        try:
            return _on_replay(config, script, wish, own, way) or _on_own_schema(config, script, wish, own, way)
        except SafeError as error:
            return Traced({}, " ".join([error.summary, *error.detail]))

    return beside_a_loop(work)


def _on_replay(config: Config, script: ScriptDirectory, wish: ShadowWish, own: OwnSchema, way: _Way) -> Traced | None:
    """Watch on a replay; ``None`` where that is not what the target is."""
    try:
        with replayed(config, script, wish, own.heads) as (shadow, done):
            files = next((one for one in catalogs_of(shadow, done) if one.place == own.place), None)
            if files is None or compare(files.catalog, own.catalog, owners=False, grants=False):
                return None
            return _watched(config, script, shadow, way, Tracer(downgrades=_downgrades(wish)))
    except ReplayFailed:
        return None


def _on_own_schema(config: Config, script: ScriptDirectory, wish: ShadowWish, own: OwnSchema, way: _Way) -> Traced:
    with wish.open() as shadow:
        own.pour_into(shadow.database_for(own.place))
        found = _watched(config, script, shadow, way, Tracer(downgrades=_downgrades(wish)))
    return replace(found, on=f"{found.on}, with the target's own schema, which differs from what the files say")


def trace_history(config: Config, script: ScriptDirectory, wish: ShadowWish) -> Traced:
    """Run the whole history on an empty shadow and watch each revision by itself.

    :raises Missing: when there is no server for a shadow.
    """

    def work() -> Traced:
        with wish.open() as shadow:
            return _watched(
                config, script, shadow, _Way("heads"), Tracer(each_alone=True, downgrades=_downgrades(wish))
            )

    return beside_a_loop(work)


def _downgrades(wish: ShadowWish) -> bool:
    return read_policy(wish.settings.policy or "").downgrades


def _watched(config: Config, script: ScriptDirectory, shadow: Shadow, way: _Way, tracer: Tracer) -> Traced:
    on = f"PostgreSQL {shadow.server_version // 10000}.{shadow.server_version % 10000}"
    try:
        replay(config, script, shadow, to=way.to, only=way.only, watch=tracer.watch, wanted=way.wanted)
    except ReplayFailed:
        if not tracer.traces:
            raise
        required = {}
    else:
        required = {name: _required(shadow, name) for name in tracer.traces}
    places = {endpoint.database: place for place, endpoint in shadow.databases.items()}
    traces = {name: replace(trace, required=required.get(name, ())) for name, trace in tracer.traces.items()}
    return Traced({places.get(name, name): trace for name, trace in traces.items()}, "", on)


def _required(shadow: Shadow, database: str) -> tuple[Required, ...]:
    endpoint = next(one for one in shadow.databases.values() if one.database == database)
    with endpoint.connect() as connection:
        return required_columns(connection)


def beside_a_loop(work: Callable[[], T]) -> T:
    """Run ``env.py`` a second time: where the first one holds an event loop, in a thread, which may have its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()
