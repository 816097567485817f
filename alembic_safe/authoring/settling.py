"""What becomes of open changes: are they listed, checked, brought into the chain, or given up?"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from alembic_safe.authoring.abandoning import abandon
from alembic_safe.authoring.contracting import Appended, append_contracts, clear_appended
from alembic_safe.authoring.overlapping import settled_before
from alembic_safe.authoring.parking import park_anew, unparked
from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.env_locations import directory_of
from alembic_safe.database.environment import read_place
from alembic_safe.database.envpy import run_env, script_of
from alembic_safe.database.journal_steps import Live, live_revisions
from alembic_safe.database.replay import replay, run_on_shadow
from alembic_safe.database.revision_files import shown
from alembic_safe.database.shadow_needs import needs_of
from alembic_safe.database.shadow_wish import ShadowWish
from alembic_safe.errors import Findings, Missing, NextStep, ProofFailed, Refused, ReplayFailed, WrongUsage
from alembic_safe.inspecting.changes import changes
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.expected import catalogs_of, replayed
from alembic_safe.inspecting.models import models_of, tables_of
from alembic_safe.inspecting.open_differences import require_no_contradiction
from alembic_safe.inspecting.target import look_at
from alembic_safe.inspecting.with_contracts import with_contracts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import MetaData

    from alembic_safe.database.shadow import Shadow, ShadowNote
    from alembic_safe.inspecting.changes import Change
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class Request:
    """What a person asks for.

    :param change: one change; ``None``: every open one.
    :param url: a database whose journal says what is live there.
    :param check: replay the parked contracts on a shadow; write nothing.
    :param abandon: a change to give up.
    """

    change: str | None = None
    url: str | None = None
    check: bool = False
    abandon: str | None = None


@dataclass(frozen=True)
class Known:
    """What the journal of ``--url`` knows.

    :param shown: which database, in words.
    """

    shown: str
    live: dict[str, Live]


@dataclass(frozen=True)
class Settled:
    """What a run found and did.

    :param open: the changes that were open.
    :param known: what a journal says of them; ``None``: nobody was asked.
    :param parked_anew: how many parked contracts were missing or stale, and written anew.
    :param proven: what a check proved, in sentences.
    """

    open: tuple[Change, ...]
    known: Known | None = None
    appended: tuple[Appended, ...] = ()
    abandoned: Appended | None = None
    parked_anew: int = 0
    proven: tuple[str, ...] = ()


def settle(config: Config, settings: Settings, request: Request, tell: Callable[[ShadowNote], None]) -> Settled:
    """Do what was asked for.

    :raises WrongUsage: for a change that is not open.
    :raises Refused: where a database does not have yet what a contract builds on.
    :raises Findings: where models and an open change contradict each other, or a parked contract is missing or stale.
    :raises ProofFailed: where a check fails.
    """
    script = script_of(config)
    found = changes(script)
    still_open = tuple(change for change in found if change.is_open)
    if request.abandon is not None:
        (wanted,) = _wanted(still_open, found, request.abandon)
        return Settled(still_open, abandoned=abandon(directory_of(config), wanted))
    chosen = _wanted(still_open, found, request.change)
    if request.change is not None and not request.check:
        _require_first(chosen[0], still_open)
    if not request.check:
        clear_appended(found)
    if not chosen:
        return Settled(())
    known = _known(request.url, chosen) if request.url is not None else None
    project = _look(config, script, settings, tell)
    require_no_contradiction(chosen, tables_of(project.models, project.default_schema))
    if request.check:
        return Settled(chosen, known, proven=_check(config, script, project.wish, chosen))
    anew = _park_missing(config, script, project.wish, chosen)
    chosen = tuple(one for one in changes(script_of(config)) if one.id in {c.id for c in chosen})
    return Settled(chosen, known, append_contracts(config, chosen), parked_anew=anew)


def _wanted(still_open: tuple[Change, ...], found: Sequence[Change], name: str | None) -> tuple[Change, ...]:
    if name is None:
        return still_open
    chosen = tuple(change for change in still_open if change.id == name)
    if not chosen:
        there = {change.id: change for change in found}
        why = "no revision file is of that change"
        if name in there:
            why = f"its contract {there[name].contract} is in the chain" if there[name].contract else "it is not open"
        listed = ", ".join(change.id for change in still_open) or "none"
        raise WrongUsage(f"{name}: {why}. Open changes: {listed}.")
    return chosen


def _require_first(change: Change, still_open: tuple[Change, ...]) -> None:
    """Stop where another contract has to come before this one.

    :raises Refused: naming it.
    """
    before = [one.id for one in settled_before(change, still_open)]
    if before:
        raise Refused(
            f"The contract of {change.id} has to stand behind that of {', '.join(before)}, which is about the same columns.",
            next_steps=[
                NextStep("that one first", f"alembic safe-contract {before[0]}"),
                NextStep("or all of them, in their order", "alembic safe-contract"),
            ],
        )


@dataclass(frozen=True)
class _Project:
    """What ``env.py`` says."""

    wish: ShadowWish
    models: tuple[MetaData, ...]
    default_schema: str


def _look(config: Config, script: ScriptDirectory, settings: Settings, tell: Callable[[ShadowNote], None]) -> _Project:
    found: list[_Project] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        connection: Any = context.connection
        target = look_at(context, settings)
        wish = ShadowWish(
            target.endpoint, needs_of(connection), settings, protected=target.identity.protected, tell=tell
        )
        found.append(_Project(wish, models_of(context), context.dialect.default_schema_name or "public"))
        connection.rollback()

    run_env(config, script, work)
    models = tuple(one for project in found for one in project.models)
    return _Project(found[0].wish, models, found[0].default_schema)


def _known(url: str, chosen: Sequence[Change]) -> Known:
    """Ask a database's journal what is live there.

    :raises Refused: where an expand or a copy is not.
    """
    try:
        endpoint = Endpoint.from_url(make_url(url.replace("postgres://", "postgresql://", 1)))
    except ArgumentError as error:
        raise WrongUsage("--url is no URL; one looks like this: postgresql://USER@HOST:5432/DATABASE.") from error
    with closing(endpoint.connect(options="-c default_transaction_read_only=on")) as connection:
        any_connection: Any = connection
        place = read_place(
            any_connection, host=endpoint.host, port=endpoint.port, is_loopback=endpoint.is_loopback,
            version_table="alembic_version", version_schema=None,
        )  # fmt: skip
        if not place.journals:
            raise Missing(
                f"{endpoint.shown} has no journal of alembic-safe, so nobody knows what is live there.",
                next_steps=[NextStep("deploy there once, or leave --url out", "alembic safe-contract")],
            )
        live: dict[str, Live] = {}
        for journals in place.journals:
            wanted = [revision for change in chosen for revision in change.revisions]
            live |= live_revisions(connection, journals, wanted)
    for change in chosen:
        missing = [revision for revision in change.revisions if revision not in live]
        if missing:
            raise Refused(
                f"The contract of {change.id} builds on {', '.join(missing)}, which {endpoint.shown} does not have:"
                " a release that carries it must be live there first.",
                next_steps=[NextStep("deploy there what the chain has now", "alembic safe-upgrade")],
            )
    return Known(endpoint.shown, live)


def _park_missing(config: Config, script: ScriptDirectory, wish: ShadowWish, chosen: Sequence[Change]) -> int:
    """Write those parked contracts anew that are missing or say something else than the expand."""
    missing = [change for change in unparked(script) if change.id in {one.id for one in chosen}]
    if not missing:
        return 0

    def park(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        park_anew(config, directory_of(config), context, missing)

    with replayed(config, script, wish, script.get_heads()) as (shadow, _):
        run_on_shadow(config, script, shadow, park)
    return len(missing)


def _check(config: Config, script: ScriptDirectory, wish: ShadowWish, chosen: Sequence[Change]) -> tuple[str, ...]:
    """Replay the chain with every parked contract behind it: up, down, and up again."""
    stale = [change for change in unparked(script) if change.id in {one.id for one in chosen}]
    if stale:
        raise Findings(
            f"The parked contract of {', '.join(change.id for change in stale)} is missing, or does something else than the"
            " settles of its expand says.",
            detail=[f"{change.id}: {shown(change.parked) if change.parked else 'no file'}" for change in stale],
            next_steps=[NextStep("have it written anew, and brought into the chain", "alembic safe-contract")],
        )
    whole = with_contracts(script)
    heads = script.get_heads()
    with replayed(config, script, wish, heads) as (shadow, done):
        before = catalogs_of(shadow, done)
        first = catalogs_of(shadow, _run(config, whole, shadow, "heads", "upgrade()"))
        back = None
        for head in heads:
            back = _run(config, whole, shadow, head, "downgrade()")
        assert back is not None  # noqa: S101 - an open change is in the chain, so that has a head
        for one, other in zip(before, catalogs_of(shadow, back), strict=True):
            _require_equal(compare(one.catalog, other.catalog), "downgrade() of the contracts does not lead back")
        again = catalogs_of(shadow, _run(config, whole, shadow, "heads", "the second upgrade()"))
        for one, other in zip(first, again, strict=True):
            _require_equal(compare(one.catalog, other.catalog), "upgraded again, it is not the same")
    return ("the parked contracts run behind the chain, down and up again, to the same schema",)


def _run(config: Config, script: ScriptDirectory, shadow: Shadow, to: str, what: str) -> Any:
    try:
        return replay(config, script, shadow, to=to)
    except ReplayFailed as error:
        raise ProofFailed(f"{what} fails on a shadow: {error.summary}", detail=error.detail) from error


def _require_equal(differences: Sequence[Any], what: str) -> None:
    if differences:
        raise ProofFailed(f"On a shadow, {what}.", detail=[f"  {one}" for one in differences[:12]])
