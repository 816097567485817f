"""How are several tables locked at once, so that nobody who holds one of them and wants another meets a deadlock?"""

# PostgreSQL ends the one whose wait reaches deadlock_timeout (1 s) first, and that may be the application. So behind the
# first lock the others are waited for only a moment; where that is not enough, the first is given back, too.
from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.failures import sqlstate_of
from alembic_safe.database.statements import current_settings, literal, run, run_at_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from alembic_safe.operations.living import LivingTable

_TRIES = 100
_MOMENT = "50ms"
_NOT_AVAILABLE = "55P03"
_NO_RIGHT = "42501"


def lock_together(connection: Connection, tables: Sequence[LivingTable], mode: str = "ACCESS EXCLUSIVE") -> None:
    """Lock tables until the transaction ends; each is waited for as long as the transaction's ``lock_timeout`` says.

    :param mode: as ``LOCK TABLE`` calls it.
    :raises DBAPIError: where the first is not to be had within that time, or all of them never together.
    """
    first, *others = (f"LOCK TABLE {table.quoted} IN {mode} MODE" for table in dict.fromkeys(tables))
    allowed = literal(current_settings(connection, ["lock_timeout"])["lock_timeout"])
    # at once: whoever waits for the first table waits for every statement behind it
    behind = [f"SET LOCAL lock_timeout = '{_MOMENT}'", *others, f"SET LOCAL lock_timeout = {allowed}"] if others else []
    for attempt in range(1, _TRIES + 1):
        savepoint = connection.begin_nested()
        run(connection, first)
        try:
            run_at_once(connection, behind)
        except DBAPIError as error:
            state = sqlstate_of(error)
            if state not in (_NOT_AVAILABLE, _NO_RIGHT) or attempt == _TRIES:
                raise
            savepoint.rollback()
            if state == _NO_RIGHT:
                return  # whoever may refer to a table may not always lock it: the statement itself does
            time.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - so that two who do this do not meet again
            continue
        savepoint.commit()
        return
