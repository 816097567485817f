"""Whether a deployment left behind what it meant to leave behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.statements import run
from alembic_safe.deploying.events import Finished, Noted
from alembic_safe.deploying.held_back import require_none_behind, tell_waiting, waits
from alembic_safe.errors import Findings, NextStep

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from alembic_safe.deploying.gate import Gated
    from alembic_safe.deploying.plan import Plan
    from alembic_safe.deploying.upgrade import Upgrade

# An INVALID index is what an interrupted CREATE INDEX CONCURRENTLY leaves: it costs every write and serves no read.
_UNFINISHED = """
SELECT 'index' AS kind, format('%I.%I', n.nspname, c.relname) AS name,
       format('REINDEX INDEX CONCURRENTLY %I.%I;', n.nspname, c.relname) AS cure
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname NOT LIKE 'pg\\_%'
UNION ALL
SELECT 'constraint', format('%I on %I.%I', k.conname, n.nspname, c.relname),
       format('ALTER TABLE %I.%I VALIDATE CONSTRAINT %I;', n.nspname, c.relname, k.conname)
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT k.convalidated AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) -- NOT ENFORCED, since 18, is meant
ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Unfinished:
    """An index that is not valid, or a constraint that was never validated.

    :param cure: the statement that finishes it.
    """

    kind: str
    name: str
    cure: str

    @property
    def what(self) -> str:
        """One sentence for a person."""
        if self.kind == "index":
            return f"index {self.name} is INVALID, left by an interrupted build; this finishes it: {self.cure}"
        return f"constraint {self.name} was never validated; this does it: {self.cure}"


def read_unfinished(connection: Connection) -> frozenset[Unfinished]:
    """Return what is not finished in the database; one statement, which only reads."""
    return frozenset(Unfinished(**row) for row in run(connection, _UNFINISHED))


def verify_outcome(upgrade: Upgrade, plan: Plan, gated: Gated, unfinished_before: frozenset[Unfinished]) -> None:
    """Look whether the version table says what was applied and nothing was left unfinished, and end the telling.

    :raises Findings: where something is not as it should be, or revisions stand behind a contract that waits.
    """
    heads = upgrade.context.get_current_heads()
    left = sorted(read_unfinished(upgrade.connection) - unfinished_before, key=lambda u: (u.kind, u.name))
    upgrade.end_reading()
    for unfinished in left:
        upgrade.tell(Noted("Check", unfinished.what))
    expected = {step.revision for step in plan.revisions}
    parents = {parent for step in plan.revisions for parent in step.parents}
    if not (expected - parents) <= set(heads):
        raise Findings(
            f"Every revision ran, and the version table says {', '.join(heads) or 'nothing'}.",
            detail=["A revision or a callback of env.py has written to the version table itself."],
            next_steps=[NextStep("look", "alembic safe-status")],
            state="The revisions were applied.",
        )
    tell_waiting(upgrade, gated)
    waiting = f" {waits(gated)}." if gated.waiting else ""
    state = f"{upgrade.identity.place.database} is at {', '.join(heads)}.{waiting}"
    require_none_behind(gated, f"The revisions before it were applied: {state}")
    upgrade.tell(Finished(state, heads, upgrade.seconds(), changed=True))
