"""What a deployment is going to do: the pending revisions in order, and one hash for all of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic.script.revision import RevisionError
from alembic.util import CommandError

from alembic_safe.errors import Findings, NextStep, WrongUsage
from alembic_safe.inspecting.changes import change_of, phase_of
from alembic_safe.inspecting.history import code_of, revision_source, several_heads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.runtime.migration import RevisionStep
    from alembic.script import ScriptDirectory


@dataclass(frozen=True)
class PlannedRevision:
    """One revision that is going to be applied.

    :param file: the file's path.
    :param code: a hash of what its text does; a formatter does not change it.
    :param phase: ``expand``, ``copy`` or ``contract``; ``None``: an ordinary revision.
    :param change: the change that a phase is a part of.
    """

    revision: str
    message: str
    parents: tuple[str, ...]
    file: str
    code: str
    phase: str | None = None
    change: str | None = None


@dataclass(frozen=True)
class Plan:
    """The pending revisions of one context, in the order in which they will run."""

    heads: tuple[str, ...]
    revisions: tuple[PlannedRevision, ...]

    @property
    def hash(self) -> str:
        """Six characters that change when anything in the plan does."""
        parts = [*sorted(self.heads), "", *(f"{r.revision} {r.code}" for r in self.revisions)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:6]


def pending_steps(script: ScriptDirectory, revision: str, heads: Sequence[str]) -> list[RevisionStep]:
    """Return Alembic's own steps from where the database is to a revision.

    :raises WrongUsage: for a revision that no file has.
    :raises Findings: when ``head`` is asked for and the files have several.
    """
    if revision == "head":
        problem = several_heads(script)
        if problem is not None:
            raise Findings(
                f"There is no one head to go to: {problem.what}.",
                next_steps=[
                    NextStep("join them", 'alembic merge heads -m "merge"'),
                    NextStep("or deploy all of them", "alembic safe-upgrade heads"),
                ],
            )
    try:
        return list(script._upgrade_revs(revision, tuple(heads)))  # type: ignore[arg-type]  # noqa: SLF001
    except (CommandError, RevisionError) as error:
        raise WrongUsage(
            f"{revision}: {str(error).rstrip('.')}.", next_steps=[NextStep("see the revisions", "alembic history")]
        ) from error


def make_plan(steps: Sequence[RevisionStep], heads: Sequence[str]) -> Plan:
    """Describe the steps; the files are read now, so that a later look notices an edit."""
    return Plan(tuple(heads), tuple(_planned(step) for step in steps))


def _planned(step: RevisionStep) -> PlannedRevision:
    revision = step.revision
    source = revision_source(revision) or ""
    return PlannedRevision(
        revision.revision,
        revision.doc or "",
        tuple(revision._all_down_revisions),  # noqa: SLF001
        revision.path,
        hashlib.sha256(code_of(source).encode()).hexdigest()[:16],
        phase_of(revision),
        change_of(revision),
    )
