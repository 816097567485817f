"""What do the revision files say that a database is at a revision?"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.replay import replay
from alembic_safe.database.replay_cache import open_replayed
from alembic_safe.database.shadow import open_shadow
from alembic_safe.inspecting.catalog import read_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.database.replay import Replayed, ReplayStep
    from alembic_safe.database.shadow import Shadow, ShadowNote
    from alembic_safe.database.shadow_needs import ShadowNeeds
    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class ShadowWish:
    """For which database a shadow is wanted, and what may be done for it.

    :param target: the database that it stands for.
    :param protected: whether that counts as protected or undeclared.
    :param dry_run: nothing is made on the target's server, whatever the settings say.
    :param tell: hears what a person should know of the shadow.
    :param on_step: called before each revision that is replayed.
    """

    target: Endpoint | None
    needs: ShadowNeeds
    settings: Settings
    protected: bool = True
    dry_run: bool = False
    tell: Callable[[ShadowNote], None] | None = None
    on_step: Callable[[ReplayStep], None] | None = None


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
    how: dict[str, Any] = {
        "needs": wish.needs, "protected": wish.protected, "dry_run": wish.dry_run, "tell": wish.tell,
    }  # fmt: skip
    whole = set(heads) == set(script.get_heads())
    if whole or len(heads) == 1:
        to = "heads" if whole else heads[0]
        how |= {"to": to, "on_step": wish.on_step, "reads_only": reads_only}
        with open_replayed(config, script, wish.target, wish.settings, **how) as made:
            yield made
        return
    with open_shadow(wish.target, wish.settings, **how) as shadow:
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
