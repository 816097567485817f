"""What does the journal know that the gate asks for?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database import journal_steps
from alembic_safe.database.guard import shell_word
from alembic_safe.database.journal import release_of
from alembic_safe.deploying.gate import Expanded, Gated, Release, Terms, gate
from alembic_safe.errors import ConsentMissing, NextStep, WrongUsage
from alembic_safe.inspecting.changes import changes
from alembic_safe.inspecting.history import files_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.script import ScriptDirectory

    from alembic_safe.database.environment import Identity, Journals
    from alembic_safe.database.journal import AppliedRevision
    from alembic_safe.deploying.plan import PlannedRevision
    from alembic_safe.inspecting.changes import Change
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class Said:
    """What a person said about contracts.

    :param contracts: changes whose contract may run (``--contract``).
    :param downtime: no application is running (``--downtime``); counts with the database's name.
    :param confirm: that name, typed.
    """

    contracts: frozenset[str] = frozenset()
    downtime: bool = False
    confirm: str | None = None


@dataclass(frozen=True)
class Asked:
    """Which database is asked about, and in the name of which files.

    :param applied: what the journal knows of applied revisions.
    """

    script: ScriptDirectory
    settings: Settings
    identity: Identity
    journals: Journals | None
    version_table: str
    heads: tuple[str, ...]
    applied: Mapping[str, AppliedRevision]


def ask_gate(connection: Any, asked: Asked, planned: Sequence[PlannedRevision], said: Said) -> Gated:
    """Return what the gate lets through of pending revisions; asks the journal only where a contract is among them.

    :raises WrongUsage: for a change that the files do not have, or that has no contract to let through.
    :raises ConsentMissing: for ``--downtime`` without the database's name.
    """
    if said.downtime and asked.identity.protected:
        _require_name(asked.identity, said)
    found = changes(asked.script) if said.contracts or any(one.phase == "contract" for one in planned) else ()
    _require_known(found, said.contracts)
    if not any(one.phase == "contract" for one in planned) or not asked.identity.protected:
        return Gated()
    this = Release(release_of(asked.settings), files_hash(asked.script))
    allowed = said.contracts | _begun(connection, asked, planned)
    expanded, unseen = _expanded(connection, asked, found, planned)
    terms = Terms(
        protected=True, min_age=float(asked.settings.contract_min_age), this=this,
        met_empty=_met_empty(connection, asked, this), allowed=allowed, downtime=said.downtime,
    )  # fmt: skip
    gated = gate(planned, found, expanded, terms, unseen)
    if gated.waiting and asked.settings.contract == "chain" and this.name is None:
        raise WrongUsage(
            "The setting contract = chain needs a declared release: without one, a contract in the chain would wait for ever.",
            next_steps=[NextStep("name what is deployed", 'alembic safe-upgrade --release "$(git rev-parse HEAD)"')],
        )
    return gated


def _begun(connection: Any, asked: Asked, planned: Sequence[PlannedRevision]) -> frozenset[str]:
    """Return the changes whose contract is half done: it was let through before, and half of it is worse than all."""
    if asked.journals is None:
        return frozenset()
    half = {one.revision for one in journal_steps.half_done(connection, asked.journals, asked.version_table)}
    return frozenset(one.change for one in planned if one.phase == "contract" and one.change and one.revision in half)


def note_unseen(connection: Any, asked: Asked, journals: Journals, unseen: Sequence[str]) -> None:
    """Write down the applied expands that the journal meets now for the first time; the caller owns the transaction."""
    for revision in unseen:
        journal_steps.see(
            connection, journals, asked.version_table, revision, release_of(asked.settings), files_hash(asked.script)
        )


def unseen_expands(connection: Any, asked: Asked) -> tuple[str, ...]:
    """Return the applied expands of open changes that the journal does not know yet."""
    there = applied_in_files(asked.script, asked.heads)
    found = [
        c.expand for c in changes(asked.script) if c.is_open and c.expand in there and c.expand not in asked.applied
    ]
    if not found or asked.journals is None:
        return tuple(found)
    seen = journal_steps.sightings(connection, asked.journals, asked.version_table)
    return tuple(revision for revision in found if revision not in seen)


def _expanded(
    connection: Any, asked: Asked, found: Sequence[Change], planned: Sequence[PlannedRevision]
) -> tuple[dict[str, Expanded], tuple[str, ...]]:
    pending = {one.revision for one in planned}
    wanted = [change.expand for change in found if change.contract in pending and change.expand not in pending]
    known = {
        revision: Expanded(Release(row.release, row.files_hash), row.age)
        for revision, row in asked.applied.items()
        if revision in wanted
    }
    strange = [revision for revision in wanted if revision not in known]
    if not strange:
        return known, ()
    seen = (
        journal_steps.sightings(connection, asked.journals, asked.version_table) if asked.journals is not None else {}
    )
    for revision in strange:
        if revision in seen:
            known[revision] = Expanded(Release(seen[revision].release, seen[revision].files_hash), seen[revision].age)
    return known, tuple(revision for revision in strange if revision not in seen)


def _met_empty(connection: Any, asked: Asked, this: Release) -> bool:
    if not asked.heads:
        return True
    if asked.journals is None or this.files_hash is None:
        return False
    return journal_steps.met_empty(connection, asked.journals, asked.version_table, this.name, this.files_hash)


def applied_in_files(script: ScriptDirectory, heads: Sequence[str]) -> set[str]:
    """Return the revisions of the files that a database has, as its version table says."""
    known = {revision.revision for revision in script.walk_revisions()}
    at = tuple(head for head in heads if head in known)
    return {revision.revision for revision in script.iterate_revisions(at, "base")} if at else set()


def _require_name(identity: Identity, said: Said) -> None:
    database = identity.place.database
    if said.confirm != database:
        raise ConsentMissing(
            f"--downtime says that no application is running on {identity.place.shown}: every contract then runs at once.",
            next_steps=[
                NextStep("if that is so", f"alembic safe-upgrade --downtime --confirm {shell_word(database)}"),
                NextStep("if it is not", "alembic safe-upgrade"),
            ],
        )


def _require_known(found: Sequence[Change], named: frozenset[str]) -> None:
    by_id = {change.id: change for change in found}
    for name in sorted(named):
        if name not in by_id:
            known = ", ".join(sorted(by_id)) or "none"
            raise WrongUsage(
                f"--contract {name}: no revision file is of that change. Changes in the files: {known}.",
                next_steps=[NextStep("see what is open", "alembic safe-contract")],
            )
        if by_id[name].contract is None:
            raise WrongUsage(
                f"--contract {name}: its contract is not in the chain yet, so nothing could be let through.",
                next_steps=[NextStep("append it", f"alembic safe-contract {shell_word(name)}")],
            )
