"""How a rehearsal looks: how long each revision took, and whether what must hold still holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from alembic_safe.errors import NextStep
from alembic_safe.inspecting.trace import BLOCKS_WRITES
from alembic_safe.reporting.deployment_json import identity_as_json
from alembic_safe.reporting.gate import gate_lines
from alembic_safe.reporting.text import count, duration, labelled, next_steps, target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.deploying.rehearsal import Rehearsal
    from alembic_safe.deploying.rehearsals import Rehearsed
    from alembic_safe.inspecting.trace import RevisionTrace

_SHOWN = 5


def rehearsals_text(found: tuple[Rehearsed, ...], columns: int) -> str:
    """Return the rehearsals of a project's databases, for people."""
    return "\n".join("\n".join(_one(one, columns)) + "\n" for one in found)


def _one(one: Rehearsed, columns: int) -> Iterator[str]:
    pending = f"{len(one.plan.plan.revisions)} pending" if one.plan is not None else "nothing pending"
    yield labelled("Target", target(one.identity, one.heads, extra=pending), columns=columns)
    for line in gate_lines(one.plan.plan.revisions if one.plan is not None else (), one.gated):
        yield labelled("Gate", line, columns=columns)
    if one.plan is None or one.rehearsal is None:
        return
    yield from rehearsal_lines(one.rehearsal, columns)
    none = "no receipt: the journal has no place for it that this role may write to"
    kept = "the journal has a receipt" if one.receipt else none
    yield labelled("Passed", f"plan {one.plan.hash} on {one.rehearsal.stand_in}; {kept}", columns=columns)
    yield (
        "Nothing was changed in the target."
        if not one.receipt
        else "Nothing but the receipt was written to the target."
    )
    yield next_steps([NextStep("deploy exactly this", f"alembic safe-upgrade --plan {one.plan.hash}")], columns=columns)


def rehearsal_lines(done: Rehearsal, columns: int) -> Iterator[str]:
    """Yield what was seen in a rehearsal."""
    yield labelled("Rehearse", f"on {done.stand_in}, {duration(done.seconds)} in all", columns=columns)
    for one in done.revisions:
        yield labelled("", f"{one.revision}  {duration(one.seconds):>9}  {_seen(one)}", columns=columns)
    for invariant in done.invariants:
        yield labelled("Holds", f"{invariant.query}: {invariant.after}", columns=columns)
    yield labelled("Back", done.downgrade, columns=columns)
    for difference in done.models[:_SHOWN]:
        yield labelled("Models", f"differ from the result: {difference}", columns=columns)
    if len(done.models) > _SHOWN:
        yield labelled("", f"and {count(len(done.models) - _SHOWN, 'further difference')}", columns=columns)


def _seen(one: RevisionTrace) -> str:
    locked = sorted({
        str(lock.relation) for s in one.statements for lock in s.locks
        if lock.mode in BLOCKS_WRITES and not lock.relation.new and lock.relation.kind == "table"
    })  # fmt: skip
    rows = sum(write.rows for s in one.statements for write in s.writes)
    scans = sorted({str(relation) for s in one.statements for relation in s.scans if not relation.new})
    said = [f"locks {', '.join(locked)}"] if locked else []
    said += [f"writes {count(rows, 'row')}"] if rows else []
    said += [f"reads all of {', '.join(scans)}"] if scans else []
    return "; ".join(said)


def rehearsals_json(found: tuple[Rehearsed, ...]) -> str:
    """Return the rehearsals as one JSON object."""
    objects = []
    for one in found:
        done = one.rehearsal
        objects.append({
            "target": identity_as_json(one.identity) | {"heads": list(one.heads)},
            "plan": one.plan.hash if one.plan is not None else None,
            "receipt": one.receipt,
            "rehearsal": None if done is None else {
                "kind": done.kind if done.kind in {"schema", "backup"} else "url", "on": done.stand_in,
                "seconds": round(done.seconds, 3), "downgrade": done.downgrade, "models": list(done.models),
                "revisions": [{"revision": r.revision, "seconds": round(r.seconds, 3)} for r in done.revisions],
                "invariants": [{"query": i.query, "before": i.before, "after": i.after} for i in done.invariants],
            },
        })  # fmt: skip
    return json.dumps({"format": 1, "rehearsals": objects}, indent=2) + "\n"
