"""Which contracts does the gate hold back from a stock `alembic upgrade`?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.database import journal
from alembic_safe.deploying.gate_evidence import Asked, Said, ask_gate, note_unseen
from alembic_safe.deploying.plan import make_plan
from alembic_safe.errors import Findings, NextStep
from alembic_safe.inspecting.changes import phase_of
from alembic_safe.inspecting.history import version_table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alembic.runtime.migration import MigrationContext, RevisionStep

    from alembic_safe.database.environment import Identity, Journals
    from alembic_safe.deploying.gate import Gated
    from alembic_safe.settings import Settings


def let_through(
    context: MigrationContext, identity: Identity, settings: Settings, heads: Sequence[str],
    steps: Sequence[RevisionStep], warn: Callable[[str], None],
) -> list[RevisionStep]:  # fmt: skip
    """Return the steps that may run on a protected or undeclared database, with one warning for each that waits.

    A stock upgrade is one transaction: what stands behind a waiting contract is no reason to stop half way, so that is
    looked at before the first statement.

    :raises Findings: when other revisions stand behind a contract that waits; nothing has run then.
    """
    script: Any = context.opts.get("script")
    if script is None or not any(phase_of(step.revision) == "contract" for step in steps):
        return list(steps)
    connection: Any = context.connection
    journals = next(iter(identity.place.journals), None)
    version_table = version_table_of(context)
    applied = journal.applied_revisions(connection, journals, version_table) if journals is not None else {}
    asked = Asked(script, settings, identity, journals, version_table, tuple(heads), applied)
    gated = ask_gate(connection, asked, make_plan(steps, heads).revisions, Said())
    _note(context, asked, journals, gated)
    if gated.behind:
        names = ", ".join(f"{one.revision} ({one.message})" for one in gated.behind)
        held = gated.waiting[0]
        raise Findings(
            f"The contract {held.revision} of {held.change} waits: {held.why}. Behind it in the chain: {names}.",
            next_steps=[
                NextStep("apply what stands before it", f"alembic upgrade {_before(steps, held.revision)}"),
                NextStep("deploy with the gate's own words about when it opens", "alembic safe-upgrade"),
            ],
        )
    for held in gated.waiting:
        warn(f"{held.revision}, the contract of {held.change}, waits: {held.why}")
    return [step for step in steps if step.revision.revision not in gated.held]


def _note(context: MigrationContext, asked: Asked, journals: Journals | None, gated: Gated) -> None:
    """Write down expands that the journal meets for the first time, where this role may."""
    from alembic_safe.database.journal_tables import may_write

    connection: Any = context.connection
    if journals is None or not gated.unseen or not may_write(connection, journals):
        return
    if context._transaction is not None or context._in_external_transaction:  # noqa: SLF001 - env.py's, which it commits
        note_unseen(connection, asked, journals, gated.unseen)
        return
    connection.rollback()  # what only our own reading began
    with connection.begin():
        note_unseen(connection, asked, journals, gated.unseen)


def _before(steps: Sequence[RevisionStep], contract: str) -> str:
    step = next(step for step in steps if step.revision.revision == contract)
    return " ".join(step.revision._versioned_down_revisions)  # noqa: SLF001 - down_revision as a tuple
