"""How far is each open change in a database: expanded, copied, and what does its contract wait for?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.journal_steps import copies_of
from alembic_safe.deploying.gate_evidence import Said, applied_in_files, ask_gate
from alembic_safe.inspecting.changes import changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.database.journal import AppliedRevision
    from alembic_safe.database.journal_steps import CopyRow
    from alembic_safe.deploying.gate import Held
    from alembic_safe.deploying.gate_evidence import Asked
    from alembic_safe.deploying.plan import PlannedRevision
    from alembic_safe.inspecting.changes import Change


@dataclass(frozen=True)
class ChangeState:
    """Where one change stands.

    :param expanded: whether its expand is applied; ``copied`` likewise, true for a change without a copy.
    :param since: what the journal knows of the expand, if anything.
    :param copies: how far its copies have come that were begun and are not done.
    :param held: what the gate holds its contract back for; ``None``: nothing, or it is still parked.
    """

    change: Change
    expanded: bool
    copied: bool
    since: AppliedRevision | None
    copies: tuple[CopyRow, ...]
    held: Held | None


def read_changes(connection: Any, asked: Asked, planned: Sequence[PlannedRevision]) -> tuple[ChangeState, ...]:
    """Return every change whose contract this database does not have yet; reads only.

    :param planned: the pending revisions.
    """
    pending = {one.revision for one in planned}
    left = [change for change in changes(asked.script) if change.is_open or change.contract in pending]
    if not left:
        return ()
    there = applied_in_files(asked.script, asked.heads)
    gated = ask_gate(connection, asked, planned, Said())
    held = {one.change: one for one in gated.waiting}
    rows = copies_of(connection, asked.journals, asked.version_table) if asked.journals is not None else ()
    return tuple(
        ChangeState(
            change, change.expand in there, change.copy is None or change.copy in there, asked.applied.get(change.expand),
            tuple(row for row in rows if row.revision in change.revisions and row.status != "done"), held.get(change.id),
        )
        for change in left
    )  # fmt: skip
