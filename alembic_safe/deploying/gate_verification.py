"""Is the copy that a contract relies on whole, asked again before the contract runs?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.database.copying_verify import count_mismatches
from alembic_safe.database.journal_steps import save_evidence
from alembic_safe.database.steps import CopyEvidence
from alembic_safe.deploying.events import Noted
from alembic_safe.errors import Findings, NextStep
from alembic_safe.inspecting.changes import changes
from alembic_safe.inspecting.models import models_of, tables_of
from alembic_safe.inspecting.open_differences import require_no_contradiction
from alembic_safe.inspecting.syncs import read_syncs
from alembic_safe.operations.sync_whole import refuse_idle_triggers

if TYPE_CHECKING:
    from alembic_safe.database.environment import Journals
    from alembic_safe.deploying.plan import Plan
    from alembic_safe.deploying.upgrade import Upgrade
    from alembic_safe.inspecting.changes import Change
    from alembic_safe.inspecting.syncs import Sync


def verify_copies(upgrade: Upgrade, plan: Plan) -> tuple[tuple[str, CopyEvidence], ...]:
    """Compare old and new columns of every change whose contract is about to run; reads only.

    A change that is expanded in this same run has nothing to compare yet: its own copy revision does it then.

    :return: for each comparison the contract's revision, and what was found, for the journal.
    :raises Findings: where rows contradict themselves; nothing was changed then.
    :raises Refused: where what is written behind the comparison could make them do so; likewise.
    """
    pending = {one.revision for one in plan.revisions}
    contracts = {one.change or "": one.revision for one in plan.revisions if one.phase == "contract"}
    if not contracts:
        return ()
    every = changes(upgrade.script)
    _require_models_agree(upgrade, [change for change in every if change.contract in _at_the_end(upgrade, plan)])
    found = [c for c in every if c.id in contracts and not {c.expand, c.copy} & pending]
    syncs = read_syncs(upgrade.connection)
    return tuple(
        (contracts[change.id], _verified(upgrade, change, sync))
        for change in found
        for sync in syncs
        if _is_of(sync, change)
    )


def _at_the_end(upgrade: Upgrade, plan: Plan) -> set[str]:
    """Return the pending contracts that nothing but contracts follows: what models say of these is said of now."""
    last: set[str] = set()
    contracts = {one.revision for one in plan.revisions if one.phase == "contract"}
    todo = list(upgrade.script.get_heads())
    while todo:
        revision = todo.pop()
        if revision in contracts:
            last.add(revision)
            found: Any = upgrade.script.get_revision(revision)
            todo.extend(found._all_down_revisions)  # noqa: SLF001 - as the plan reads them
    return last


def _require_models_agree(upgrade: Upgrade, found: list[Change]) -> None:
    """Stop where the models that are deployed together with a contract have what it takes away.

    :raises Findings: naming both.
    """
    default = upgrade.context.dialect.default_schema_name or "public"
    require_no_contradiction(found, tables_of(models_of(upgrade.context), default))


def note_evidence(
    upgrade: Upgrade, journals: Journals, deployment: int, evidence: tuple[tuple[str, CopyEvidence], ...]
) -> None:
    """Write what was compared into the journal."""
    if evidence:
        with upgrade.connection.begin():
            for revision, one in evidence:
                save_evidence(upgrade.connection, journals, upgrade.target.version_table, revision, one, deployment)


def _is_of(sync: Sync, change: Change) -> bool:
    return any(
        (line.schema, line.table) == (sync.schema, sync.table) and line.name in {*sync.old, *sync.new}
        for line in change.settles
    )


def _verified(upgrade: Upgrade, change: Change, sync: Sync) -> CopyEvidence:
    refuse_idle_triggers(upgrade.connection, sync)
    verified = count_mismatches(upgrade.connection, sync)
    table, columns = f"{sync.schema}.{sync.table}", f"{', '.join(sync.old)} -> {', '.join(sync.new)}"
    if verified.mismatches:
        number = f"{verified.mismatches:,} of {verified.rows:,} rows"
        copy = change.copy or change.expand
        raise Findings(
            f"The contract of {change.id} cannot run: in {number} of {table} the columns {columns} contradict each other.",
            detail=[f"For example where {example}." for example in verified.examples],
            next_steps=[
                NextStep(f"see how the sync of these columns was written, in {change.expand}", f"alembic show {copy}"),
                NextStep("set the rows right, then the same command", "alembic safe-upgrade"),
            ],
        )
    upgrade.tell(Noted("Copy", f"{table}: {columns} agree in {verified.rows:,} rows"))
    return CopyEvidence(verified.copy, table, columns, verified.rows, 0)
