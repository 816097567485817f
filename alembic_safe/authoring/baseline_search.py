"""Which revision made a database that says nothing of revisions?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.replay import replay
from alembic_safe.database.statements import quoted, run
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.owners import owned_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.database.replay import ReplayStep
    from alembic_safe.database.shadow_wish import ShadowWish
    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.inspecting.comparison import Difference


@dataclass(frozen=True)
class Candidate:
    """A point of the history, and how far a database is from it.

    :param heads: the rows of the version table there.
    :param differences: from what the files make there to the database.
    """

    heads: tuple[str, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Found:
    """What a walk over the history found.

    :param nearest: the point with the fewest differences; the newest of several.
    :param same: further points, older ones, with the very same schema: their revisions change rows only.
    """

    nearest: Candidate
    same: tuple[tuple[str, ...], ...] = ()

    @property
    def is_exact(self) -> bool:
        """Whether the database is exactly what the files make there."""
        return not self.nearest.differences


def search(
    config: Config,
    script: ScriptDirectory,
    wish: ShadowWish,
    actual: Catalog,
    version_table: tuple[str, str],
    place: str,
) -> Found:
    """Replay the history once on a shadow, and compare the database with every point of it.

    :param version_table: its schema and name.
    :param place: which of the databases of ``env.py`` is looked for.
    :raises ReplayFailed: when a revision does not run through.
    :raises Missing: when there is no server for a shadow.
    """
    points: list[tuple[tuple[str, ...], Catalog]] = []
    leave_out = frozenset({".".join(version_table)})
    with wish.open() as shadow:
        endpoint = shadow.database_for(place)

        def look() -> None:
            with endpoint.connect() as connection:
                known = run(connection, "SELECT to_regclass(:name) IS NOT NULL AS it", {"name": quoted(*version_table)})
                if known[0]["it"]:
                    rows = run(connection, f"SELECT version_num AS it FROM {quoted(*version_table)} ORDER BY 1")
                    if rows:
                        heads = tuple(row["it"] for row in rows)
                        points.append((heads, read_catalog(connection, leave_out=leave_out)))

        def before(step: ReplayStep) -> None:
            look()
            if wish.on_step is not None:
                wish.on_step(step)

        replay(config, script, shadow, on_step=before)
        look()
        made_by = endpoint.user
    return nearest_of(points, actual, made_by=made_by)


def nearest_of(points: Sequence[tuple[tuple[str, ...], Catalog]], actual: Catalog, *, made_by: str) -> Found:
    """Return the point of a history that a database is nearest to; pure.

    :param points: heads and catalog, the oldest first; at least one.
    """
    best: Candidate | None = None
    same: list[tuple[str, ...]] = []
    fingerprint = ""
    for heads, catalog in reversed(points):
        if best is not None and catalog.fingerprint == fingerprint:
            same.append(heads)
            continue
        differences = compare(owned_as(catalog, actual, made_by=made_by), actual)
        if best is None or len(differences) < len(best.differences):
            best, same, fingerprint = Candidate(heads, differences), [], catalog.fingerprint
    assert best is not None  # noqa: S101 - a history has at least one revision
    return Found(best, tuple(same))
