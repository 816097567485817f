"""What do the revision files say that a database is at a revision?"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.replay import replay
from alembic_safe.database.replay_cache import open_replayed
from alembic_safe.inspecting.catalog import read_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.database.replay import Replayed
    from alembic_safe.database.shadow import Shadow
    from alembic_safe.database.shadow_wish import ShadowWish
    from alembic_safe.inspecting.catalog_records import Catalog


@dataclass(frozen=True)
class FilesCatalog:
    """What a replay of the files made of one of the project's databases.

    :param place: which database it stands for, see :func:`alembic_safe.database.replay_connection.place_of`.
    :param role: the role that the shadow was made with.
    :param version_tables: as :func:`alembic_safe.inspecting.catalog.read_catalog` leaves them out.
    """

    place: str
    catalog: Catalog
    role: str
    version_tables: frozenset[str]


@contextmanager
def replayed(
    config: Config, script: ScriptDirectory, wish: ShadowWish, heads: Sequence[str], *, reads_only: bool = False
) -> Iterator[tuple[Shadow, Replayed]]:
    """Make a shadow on which the files have been run up to some heads; empty heads: none of them.

    :param reads_only: nothing is written to it.
    :raises ReplayFailed: when a revision does not run through.
    :raises Missing: when there is no server for a shadow.
    """
    whole = set(heads) == set(script.get_heads())
    if whole or len(heads) == 1:
        with open_replayed(config, script, wish, to="heads" if whole else heads[0], reads_only=reads_only) as made:
            yield made
        return
    with wish.open() as shadow:
        done = replay(config, script, shadow, to="base")
        for head in heads:
            done = replay(config, script, shadow, to=head, on_step=wish.on_step)
        yield shadow, done


def catalogs_at(
    config: Config, script: ScriptDirectory, wish: ShadowWish, heads: Sequence[str]
) -> tuple[FilesCatalog, ...]:
    """Return what the files say at some heads, one catalog for each database that ``env.py`` configures.

    May be called while ``env.py`` runs, also inside its event loop.

    :raises ReplayFailed: when a revision does not run through.
    :raises Missing: when there is no server for a shadow.
    """
    return _beside_a_loop(lambda: _catalogs(config, script, wish, heads))


def catalogs_of(shadow: Shadow, done: Replayed) -> tuple[FilesCatalog, ...]:
    """Read the databases of a replay."""
    found = []
    for place in dict.fromkeys(context.place for context in done.contexts):
        tables = frozenset(
            f"{context.version_schema}.{context.version_table}" if context.version_schema else context.version_table
            for context in done.contexts
            if context.place == place
        )
        endpoint = shadow.database_for(place)
        with endpoint.connect() as connection:
            found.append(FilesCatalog(place, read_catalog(connection, leave_out=tables), endpoint.user, tables))
    return tuple(found)


def _catalogs(
    config: Config, script: ScriptDirectory, wish: ShadowWish, heads: Sequence[str]
) -> tuple[FilesCatalog, ...]:
    with replayed(config, script, wish, heads, reads_only=True) as (shadow, done):
        return catalogs_of(shadow, done)


def _beside_a_loop(work: Callable[[], tuple[FilesCatalog, ...]]) -> tuple[FilesCatalog, ...]:
    """Run env.py a second time: where the first one holds an event loop, in a thread, which may have its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()
