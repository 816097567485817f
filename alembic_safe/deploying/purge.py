"""What `alembic safe-purge` destroys: retired objects, listed first, after a person's consent by name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic_safe.database import journal, journal_backups
from alembic_safe.database.agents import detect_agent
from alembic_safe.database.envpy import run_env, script_of
from alembic_safe.database.guard import Intent, decide, shell_word
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import ConsentMissing, NextStep, Refused, WrongUsage
from alembic_safe.inspecting.retired import RETIRED_SCHEMA, Purged, read_retired
from alembic_safe.inspecting.target import look_at
from alembic_safe.operations.dependants import refused_by_restrict
from alembic_safe.operations.kept import make_schema, remember_purged, rights_named
from alembic_safe.settings import project_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    from alembic_safe.inspecting.retired import Retired
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings

_BACKUPS_LOOKED_AT = 1000


@dataclass(frozen=True)
class PurgeRequest:
    """What a person asked for.

    :param older_than: seconds since it was retired.
    :param objects: kept names, or where the objects were: ``public.users.fullname``.
    :param orphans: what has no place left to come back to; with ``older_than``, only what is old enough, too.
    :param confirm: the database's name.
    :param ask: puts the question on a terminal and returns what was typed; ``None`` off a terminal.
    """

    older_than: float | None = None
    objects: tuple[str, ...] = ()
    orphans: bool = False
    confirm: str | None = None
    dry_run: bool = False
    ask: Callable[[str], str] | None = None


@dataclass(frozen=True)
class PurgePlan:
    """What would be destroyed in one database, and what stays.

    :param before_backups: those of ``chosen`` that were retired before the oldest backup that is still kept.
    :param oldest_backup: when that was taken; ``None`` where no backup is known to be kept.
    """

    target: Target
    chosen: tuple[Retired, ...]
    others: tuple[Retired, ...]
    oldest_backup: datetime | None
    before_backups: tuple[Retired, ...]
    now: datetime


def safe_purge(
    config: Config,
    settings: Settings,
    request: PurgeRequest,
    show: Callable[[PurgePlan], None],
) -> list[PurgePlan]:
    """List what was asked for in every database of ``env.py``, and destroy it after consent.

    :param show: called with the plan before anything is asked or destroyed.
    :returns: the plans that were carried out; on a dry run, or where nothing was chosen, those that were shown.
    :raises ConsentMissing: off a terminal without ``--confirm``; nothing was destroyed.
    """
    if request.older_than is None and not request.objects and not request.orphans:
        raise WrongUsage(
            "Nothing was chosen: say --older-than, --object or --orphans.",
            next_steps=[
                NextStep("see what is kept, destroying nothing", "alembic safe-purge --older-than 0s --dry-run")
            ],
        )
    plans: list[PurgePlan] = []
    script = script_of(config)

    def look(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        connection: Any = context.connection
        run(connection, "SET TRANSACTION READ ONLY")
        plan = _plan(context, config, settings, request)
        if plan.chosen and not request.dry_run:
            _guard(connection, plan)
        connection.rollback()
        plans.append(plan)

    # every database is looked at, and consented to, before the first one is touched
    run_env(config, script, look)
    missing = set(request.objects) - {name for plan in plans for retired in plan.chosen for name in _names(retired)}
    if missing:
        raise _unknown(missing, plans)
    for plan in plans:
        show(plan)
    todo = [plan for plan in plans if plan.chosen and not request.dry_run]
    for plan in todo:
        _consent(plan, request)
    if todo:
        waiting = iter(plans)

        def destroy(context: MigrationContext, kw: dict[str, Any]) -> None:
            del kw
            plan = next(waiting)
            if plan.chosen:
                _destroy(context.connection, plan)

        run_env(config, script, destroy, to_write=True)
    return plans


def _plan(context: MigrationContext, config: Config, settings: Settings, request: PurgeRequest) -> PurgePlan:
    connection: Any = context.connection
    target = look_at(context, settings)
    now = run(connection, "SELECT clock_timestamp() AS it")[0]["it"]
    kept = read_retired(connection)
    chosen = tuple(retired for retired in kept if _is_chosen(retired, request, now))
    oldest = _oldest_backup(connection, target, config)
    before = tuple(r for r in chosen if oldest is not None and r.retired_at is not None and r.retired_at < oldest)
    return PurgePlan(target, chosen, tuple(r for r in kept if r not in chosen), oldest, before, now)


def _is_chosen(retired: Retired, request: PurgeRequest, now: datetime) -> bool:
    if set(_names(retired)) & set(request.objects):
        return True
    if (request.orphans and not retired.is_orphan) or (request.objects and not request.orphans):
        return False
    # what nobody knows the age of is destroyed only by its name
    if request.older_than is not None and retired.retired_at is not None:
        return now - retired.retired_at >= timedelta(seconds=request.older_than)
    return request.orphans and request.older_than is None


def _names(retired: Retired) -> tuple[str, ...]:
    own = (retired.kept, f"{RETIRED_SCHEMA}.{retired.kept}")
    return own if retired.record is None else (*own, retired.record.name)


def _unknown(missing: set[str], plans: Sequence[PurgePlan]) -> WrongUsage:
    known = sorted(retired.kept for plan in plans for retired in (*plan.chosen, *plan.others))
    return WrongUsage(
        f"Nothing retired is called {', '.join(sorted(missing))}.",
        detail=[f"Kept here: {', '.join(known) or 'nothing'}."],
        next_steps=[NextStep("see what is kept, destroying nothing", "alembic safe-purge --older-than 0s --dry-run")],
    )


def _oldest_backup(connection: Any, target: Target, config: Config) -> datetime | None:
    if target.journals is None:
        return None
    savepoint = connection.begin_nested()
    from sqlalchemy.exc import DBAPIError

    try:
        rows: Sequence[journal_backups.BackupRow] = journal_backups.last_backups(
            connection, target.journals, _BACKUPS_LOOKED_AT
        )
    except DBAPIError:  # a role that may not read the journal
        savepoint.rollback()
        return None
    savepoint.commit()
    folder = project_folder(config)
    there = [row.taken_at for row in rows if (folder / Path(row.location)).exists()]
    return min(there, default=None)


def _guard(connection: Any, plan: PurgePlan) -> None:
    agent = detect_agent()
    granted = False
    if agent is not None and plan.target.journals is not None:
        granted = journal.has_grant(connection, plan.target.journals, Intent.SAFE_PURGE.value)
    decision = decide(Intent.SAFE_PURGE, plan.target.identity, agent=agent, granted=granted)
    if decision.error is not None:
        raise decision.error


def _consent(plan: PurgePlan, request: PurgeRequest) -> None:
    database = plan.target.identity.place.database
    typed = request.confirm
    if typed is None and request.ask is not None:
        typed = request.ask(f"Destroy them for ever? Type the database's name to consent ({database})")
    if typed == database:
        return
    said = f" {typed!r} is not it." if typed else ""
    words = shell_word(database)
    raise ConsentMissing(
        f"Destroying what is kept in {plan.target.identity.place.shown} needs the database's name.{said}",
        next_steps=[NextStep("the same command with", f"--confirm {words}")],
        state="Nothing was destroyed.",
    )


def _destroy(connection: Any, plan: PurgePlan) -> None:
    """Drop the kept tables in one transaction; each is looked at again, as it was when it was shown."""
    with connection.begin(), rights_named(connection, "Purging", _owners(plan)):
        make_schema(connection)
        living = {retired.oid: retired for retired in read_retired(connection)}
        for retired in plan.chosen:
            if living.get(retired.oid) is None:
                continue  # it came back, or somebody else purged it
            if living[retired.oid].record != retired.record:
                raise Refused(
                    f"{retired.kept} changed while it was shown: another run restored it in part.",
                    next_steps=[NextStep("look again", "alembic safe-purge --older-than 0s --dry-run")],
                    state="Nothing was destroyed.",
                )
            drop = f"DROP TABLE {retired.quoted} RESTRICT"
            depends = refused_by_restrict(connection, drop)
            if depends:
                raise Refused(
                    f"{retired.kept} cannot be purged: somebody made other objects on it.", detail=depends,
                    next_steps=[
                        NextStep("take those away first, then", f"alembic safe-purge --object {shell_word(retired.kept)}")
                    ],
                    state="Nothing was destroyed.",
                )  # fmt: skip
            run(connection, drop)
            if retired.record is not None and retired.record.state == "kept":
                at = datetime.now(timezone.utc).isoformat()
                remember_purged(connection, Purged(retired.record.name, at, retired.record.rows))


def _owners(plan: PurgePlan) -> list[NextStep]:
    owners = dict.fromkeys(retired.owner for retired in plan.chosen)
    role = plan.target.identity.place.role
    return [NextStep(f"{owner} runs", f"GRANT {quoted(owner)} TO {quoted(role)};") for owner in owners if owner != role]
