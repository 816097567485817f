"""Is somebody else at work in a database?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.endpoint import APPLICATION_NAME
from alembic_safe.database.statements import run

if TYPE_CHECKING:
    from alembic_safe.database.steps import AnyConnection

# of another role's session, who may not see everything sees neither what it is nor what it does, nor since when
_AT_WORK = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND coalesce(backend_type, 'client backend') = 'client backend' AND application_name IS DISTINCT FROM :own
  AND coalesce(state <> 'idle' OR state_change > clock_timestamp() - interval '1 second', true)) AS it
"""


def others_are_at_work(connection: AnyConnection) -> bool:
    """Whether a session that is none of ours did something in the last second, or may have."""
    return bool(run(connection, _AT_WORK, {"own": APPLICATION_NAME})[0]["it"])
