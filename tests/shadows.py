"""Which shadows are there, and do all of them go?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.patience import eventually

if TYPE_CHECKING:
    from tests.cluster import Cluster


def shadows(cluster: Cluster) -> list[str]:
    """Every database that could be a shadow, kept replays aside."""
    with cluster.connect() as c:
        query = "SELECT datname FROM pg_database WHERE datname LIKE 'alembic_safe_shadow%'"
        return [row[0] for row in c.execute(query)]


def no_shadow_stays(cluster: Cluster) -> None:
    """Fail when one is never dropped; the server may still be at the last of them when its run has ended."""
    eventually(lambda: not shadows(cluster), "the end of every shadow")
