"""``with op.step("name"):`` a part of a revision that has its own transaction under ``safe-upgrade``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations.ops import MigrateOperation

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from alembic.operations.base import Operations


class StepVerb(MigrateOperation):
    """How ``op.step`` gets among the verbs; what renders a step is a container of operations."""

    @classmethod
    def step(cls, operations: Operations, name: str) -> AbstractContextManager[None]:
        """Name a part of a revision: ``with op.step("copy the names"):``.

        Under ``alembic safe-upgrade`` the body runs in a transaction of its own, committed together with its row in the
        journal; a resumed revision enters every step again, so that a body holds only operations that look at the
        catalog first. Under stock ``alembic upgrade``, and with ``--sql``, it runs in the transaction of the caller.

        :param name: what the step does, in a few words.
        """
        # late: this module is loaded with ``import alembic``
        from alembic_safe.database.steps import in_callers_transaction, step_runner

        runner = step_runner(operations.migration_context.opts)
        return in_callers_transaction() if runner is None else runner.step(name)
