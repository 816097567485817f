"""What does a stock downgrade lock before it takes back a part of a change that is about several tables?"""

# It is one transaction, and one table after the other would be locked in it: who writes them in another order meets a
# deadlock as soon as taking back the first one takes a second, and PostgreSQL may end the application's transaction.
from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import RevisionStep
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from alembic.runtime.migration import MigrationContext
    from alembic.script import Script

_NO_TRANSACTION = "25P01"


def with_tables_locked(steps: Iterable[RevisionStep], context: MigrationContext) -> Iterable[RevisionStep]:
    """Return the steps of a stock command; those that take back a part of a change lock its tables first, all at once.

    :param steps: a list, or an iterator that is not asked for more than is wanted.
    """
    locking = (_locking(step, context) for step in steps)
    return list(locking) if isinstance(steps, (list, tuple)) else locking


def _locking(step: RevisionStep, context: MigrationContext) -> RevisionStep:
    if isinstance(step, RevisionStep) and not step.is_upgrade and getattr(step.revision.module, "change", None):
        step.migration_fn = _locked(step.migration_fn, step.revision, context)
    return step


def _locked(downgrade: Callable[..., None], script: Script, context: MigrationContext) -> Callable[..., None]:
    @wraps(downgrade)  # Alembic logs its name
    def locked(**kw: Any) -> None:
        _lock_tables(script, context)
        downgrade(**kw)

    return locked


def _lock_tables(script: Script, context: MigrationContext) -> None:
    from alembic_safe.database.failures import sqlstate_of
    from alembic_safe.errors import Findings
    from alembic_safe.inspecting.changes import changes
    from alembic_safe.operations.living import find_table
    from alembic_safe.operations.lock_together import lock_together

    connection: Any = context.connection
    if context.script is None:
        return
    try:
        known = changes(context.script)
    except Findings:
        return  # files that contradict each other keep nobody from going back
    settles = next((one.settles for one in known if script.revision in one.revisions), ())
    named = dict.fromkeys((line.schema, line.table) for line in settles)
    found = [find_table(connection, table, schema) for schema, table in named]
    tables = [table for table in found if table is not None]
    if len(tables) < 2:
        return
    try:
        lock_together(connection, tables)
    except DBAPIError as error:
        if sqlstate_of(error) != _NO_TRANSACTION:  # in autocommit nothing is held until the next statement
            raise
