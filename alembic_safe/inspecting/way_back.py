"""What does a revision's downgrade() do? Tried right behind the revision, and rolled back."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from alembic.util import CommandError
from sqlalchemy import event

from alembic_safe.database.failures import sqlstate_of
from alembic_safe.inspecting.outside_effects import effects_outside
from alembic_safe.inspecting.trace import RevisionTrace
from alembic_safe.inspecting.trace_revision import Watched
from alembic_safe.inspecting.trace_watch import watch_writes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.migration import MigrationContext, RevisionStep
    from alembic.script import Script

    from alembic_safe.inspecting.trace_look import Looking

_MEANT = (NotImplementedError, RuntimeError, CommandError)
"""What a revision raises that says itself that there is no way back."""
_CANCELLED = "57014"  # query_canceled


class Arguments:
    """What ``upgrade()`` is called with: a ``multidb`` environment names the engine, and ``downgrade()`` wants the same."""

    def __init__(self, step: RevisionStep) -> None:
        self.given: dict[str, Any] = {}
        upgrade = step.migration_fn

        def noted(**kw: Any) -> None:
            self.given = kw
            upgrade(**kw)

        step.migration_fn = noted


class _Commits(BaseException):
    """A downgrade wants to commit; not an Exception, so that no revision catches it."""


def way_back(context: MigrationContext, revision: Script, looking: Looking, arguments: Arguments) -> RevisionTrace:
    """Run the ``downgrade()`` of a revision that has just been run, see what it does, and roll it back.

    So one revision's missing way back hides no other's. Never raises for what the revision does.
    """
    connection: Any = context.connection
    one = Watched(connection, looking, str(revision.path or ""))
    began = time.monotonic()
    failed = not_observed = ""
    outside: list[str] = []
    if connection.in_transaction():
        not_observed = "the revision left a transaction open"
    else:
        watch_writes(connection, looking)
        try:
            with looking.aside(), _rolled_back(context), effects_outside() as outside, one.statements():
                _downgrade(revision)(**arguments.given)
        except _Commits:
            not_observed = "it commits by itself, so it is not tried behind its upgrade"
        except _MEANT as error:
            not_observed = f"it says itself that there is no way back: {type(error).__name__}: {error}".rstrip(": ")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a revision is anybody's code
            if sqlstate_of(error) == _CANCELLED:
                not_observed = "a statement took longer than shadow_patience, and was cancelled"
            else:
                failed = getattr(error, "summary", "") or f"{type(error).__name__}: {error}".splitlines()[0]
    return RevisionTrace(
        revision.revision, revision.doc or "", str(revision.path or ""), tuple(one.seen),
        time.monotonic() - began - one.spent, tuple(outside), failed, "", not_observed,
    )  # fmt: skip


def _downgrade(revision: Script) -> Any:
    found = getattr(revision.module, "downgrade", None)
    if found is None:
        raise CommandError("it has no downgrade()")
    return found


@contextmanager
def _rolled_back(context: MigrationContext) -> Iterator[None]:
    """Give the body a transaction as a downgrade has it, and roll it back; whoever would commit it is stopped."""
    connection: Any = context.connection

    def stop(_: Any) -> None:
        raise _Commits

    transaction = connection.begin()
    context._transaction = transaction  # noqa: SLF001 - what autocommit_block() asks for
    event.listen(connection, "commit", stop)
    try:
        yield
    finally:
        event.remove(connection, "commit", stop)
        context._transaction = None  # noqa: SLF001
        transaction.rollback()
        connection.connection.driver_connection.rollback()
