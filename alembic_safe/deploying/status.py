"""Where a database stands, and everything that is wrong with it; reads only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from alembic_safe.database import journal, journal_backups, journal_tables
from alembic_safe.database.envpy import run_env, script_of
from alembic_safe.database.journal_steps import half_done
from alembic_safe.database.statements import run
from alembic_safe.deploying.gate_evidence import Asked, applied_in_files
from alembic_safe.deploying.open_changes import read_changes
from alembic_safe.deploying.plan import Plan, make_plan, pending_steps
from alembic_safe.deploying.verification import Unfinished, read_unfinished
from alembic_safe.errors import Missing, NextStep, SafeError
from alembic_safe.inspecting.drift import find_drift, unknown
from alembic_safe.inspecting.history import Ahead, check_history, several_heads
from alembic_safe.inspecting.target import look_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.database.environment import Journals
    from alembic_safe.database.journal_steps import HalfDone
    from alembic_safe.deploying.open_changes import ChangeState
    from alembic_safe.inspecting.drift import Drift, Source
    from alembic_safe.inspecting.history import HistoryProblem
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings

Verdict = Literal["OK", "PENDING", "PROBLEM", "UNKNOWN"]

NOT_LOOKED = "not looked at while a deployment runs"
_GO_ON = NextStep("go on with it", "alembic safe-upgrade")
_TAKE_BACK = NextStep("or take it back", "alembic safe-upgrade --back-out")


@dataclass(frozen=True)
class Problem:
    """One thing that is not in order, and the way on.

    :param kind: ``history``, ``unfinished``, ``deployment``, ``half-done``, ``journal``, ``drift``,
        or ``unknown`` for a check that could not run.
    :param other_step: another way on, where there are two.
    """

    kind: str
    what: str
    next_step: NextStep | None = None
    other_step: NextStep | None = None


@dataclass(frozen=True)
class Status:
    """What one look found."""

    target: Target
    file_heads: tuple[str, ...]
    pending: Plan
    problems: tuple[Problem, ...] = ()
    ahead: Ahead | None = None
    deployments: tuple[journal.Deployment, ...] = ()
    backups: tuple[journal_backups.BackupRow, ...] = ()
    running: journal.Deployment | None = None
    drift: Drift | None = None
    changes: tuple[ChangeState, ...] = ()

    @property
    def has_tables_only(self) -> bool:
        """Whether there are tables and no revision: what is pending may be what they are already."""
        return self.drift is not None and self.drift.is_of_no_revision

    @property
    def verdict(self) -> Verdict:
        """The one word at the end: a check that could not run is never OK."""
        if any(problem.kind != "unknown" for problem in self.problems):
            return "PROBLEM"
        if self.problems:
            return "UNKNOWN"
        if self.pending.revisions:
            return "PENDING"
        return "UNKNOWN" if self.has_tables_only or self.running is not None else "OK"


def read_status(config: Config, settings: Settings, *, replay: bool = False) -> list[Status]:
    """Look at every database that ``env.py`` configures; opens read-only transactions and creates nothing there.

    :param replay: learn what the database should be from a replay of the files on a shadow, which stands anywhere
        but on the target's server; otherwise from the journal.
    :raises Missing: when a database cannot be reached, or is none of PostgreSQL's.
    """
    script = script_of(config)
    found: list[Status] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        if context.dialect.name != "postgresql":
            raise Missing(
                f"This database is {context.dialect.name}; safe-status knows PostgreSQL.",
                next_steps=[NextStep("see where it stands", "alembic current")],
            )
        connection: Any = context.connection
        run(connection, "SET TRANSACTION READ ONLY")
        found.append(_Look(context, script, settings, replay=replay).status())
        connection.rollback()

    run_env(config, script, work)
    return found


@dataclass
class _Look:
    """One context, one check after the other; a check that fails is a finding, and the others go on."""

    context: MigrationContext
    script: ScriptDirectory
    settings: Settings
    problems: list[Problem] = field(default_factory=list)
    applied: dict[str, journal.AppliedRevision] = field(default_factory=dict)
    replay: bool = False

    @property
    def connection(self) -> Any:
        return self.context.connection

    def status(self) -> Status:
        target = look_at(self.context, self.settings)
        journals = self._readable_journal(target)
        ahead = self._try("history", lambda: self._history(target, journals), None)
        pending = self._try("pending revisions", lambda: self._pending(target, ahead), Plan(target.heads, ()))
        deployments: Sequence[journal.Deployment] = ()
        backups: Sequence[journal_backups.BackupRow] = ()
        running = None
        if journals is not None:
            deployments = self._try(
                "deployments", lambda: journal.last_deployments(self.connection, journals, target.version_table), ()
            )
            backups = self._try("backups", lambda: journal_backups.last_backups(self.connection, journals), ())
            running = self._running(deployments, pending)
        # while a deployment runs, what is half done and how the database is now are no more than where it is
        if running is None:
            self._left_behind(target, journals)
        drift = self._drift(target) if running is None else unknown(NOT_LOOKED)
        states = self._try("open changes", lambda: self._changes(target, journals, pending), ())
        return Status(
            target, tuple(self.script.get_heads()), pending, tuple(self.problems), ahead, tuple(deployments),
            tuple(backups), running, drift, tuple(states),
        )  # fmt: skip

    def _left_behind(self, target: Target, journals: Journals | None) -> None:
        """Find what a run has left half done."""
        for unfinished in self._try("indexes and constraints", self._unfinished, ()):
            self.problems.append(Problem("unfinished", unfinished.what))
        if journals is None:
            return
        for left in self._try("half-done revisions", lambda: self._half_done(target, journals), ()):
            what = f"{left.revision} is half done ({left.what})"
            self.problems.append(Problem("half-done", what, _GO_ON, _TAKE_BACK))

    def _half_done(self, target: Target, journals: Journals) -> list[HalfDone]:
        found = half_done(self.connection, journals, target.version_table)
        applied = applied_in_files(self.script, target.heads)
        return [one for one in found if one.revision not in applied]

    def _changes(self, target: Target, journals: Journals | None, pending: Plan) -> tuple[ChangeState, ...]:
        asked = Asked(
            self.script, self.settings, target.identity, journals, target.version_table, target.heads, self.applied
        )
        return read_changes(self.connection, asked, pending.revisions)

    def _drift(self, target: Target) -> Drift:
        sources: tuple[Source, ...] = ("shadow",) if self.replay else ("journal",)

        def look() -> Drift:
            return find_drift(self.context, self.script, target, self.settings, sources=sources, dry_run=True)

        drift: Drift = self._try("changes by hand", look, None) or unknown("the check failed")
        if drift.verdict == "drift":
            number = len(drift.items)
            what = (
                f"{target.identity.place.database} has been changed by hand: {number} difference{'s' * (number != 1)}"
            )
            step = NextStep("make a revision of what was changed", 'alembic safe-adopt -m "..."')
            self.problems.append(Problem("drift", what, step))
        elif (
            drift.verdict == "unknown"
            and (self.replay or target.identity.protected)
            and drift.why != "the check failed"
        ):
            what = f"whether it was changed by hand: {drift.why}"
            self.problems.append(Problem("unknown", what, drift.next_step))
        return drift

    def _try(self, what: str, look: Callable[[], Any], otherwise: Any) -> Any:
        from sqlalchemy.exc import SQLAlchemyError

        savepoint = self.connection.begin_nested()
        try:
            result = look()
        except (SQLAlchemyError, SafeError, OSError) as error:
            savepoint.rollback()
            reason = error.summary if isinstance(error, SafeError) else " ".join(str(error).split())[:200]
            self.problems.append(Problem("unknown", f"{what} could not be checked: {reason}"))
            return otherwise
        savepoint.commit()
        return result

    def _readable_journal(self, target: Target) -> Journals | None:
        journals = target.journals
        if journals is None:
            return None
        version = self._try("the journal", lambda: journal_tables.version_of(self.connection, journals), None)
        if version is None:
            return None
        if version > len(journal_tables.VERSIONS):
            self.problems.append(
                Problem(
                    "journal",
                    f"the journal is of version {version}, and this alembic-safe knows up to {len(journal_tables.VERSIONS)}",
                    NextStep("install the version that deployed last", "pip install --upgrade alembic-safe"),
                )
            )
        return journals

    def _history(self, target: Target, journals: Journals | None) -> Ahead | None:
        if journals is not None:
            self.applied = journal.applied_revisions(self.connection, journals, target.version_table)

        def sources(revisions: Sequence[str]) -> dict[str, str]:
            assert journals is not None  # noqa: S101 - without a journal nothing is asked for
            return journal.sources_of(self.connection, journals, target.version_table, revisions)

        history = check_history(self.script, target.heads, self.applied, sources)
        found: list[HistoryProblem | None] = [*history.problems, several_heads(self.script)]
        for problem in found:
            if problem is not None:
                step = NextStep("join them", 'alembic merge heads -m "merge"') if problem.kind == "heads" else None
                self.problems.append(Problem("history", problem.what, step))
        return history.ahead

    def _pending(self, target: Target, ahead: Ahead | None) -> Plan:
        known = {revision.revision for revision in self.script.walk_revisions()}
        if ahead is not None or not set(target.heads) <= known:
            return Plan(target.heads, ())
        return make_plan(pending_steps(self.script, "heads", target.heads), target.heads)

    def _unfinished(self) -> list[Unfinished]:
        return sorted(read_unfinished(self.connection), key=lambda u: (u.kind, u.name))

    def _running(self, deployments: Sequence[journal.Deployment], pending: Plan) -> journal.Deployment | None:
        last = next((one for one in deployments if one.outcome != journal.RESTORED), None)
        if last is None or (last.outcome == "died" and not pending.revisions):
            return None  # what died behind its last revision has left nothing to go on with
        if last.outcome == "running":
            return last
        if last.outcome in ("failed", "died", "interrupted"):
            because = f": {last.message}" if last.message else ""
            at = f"{last.started_at.astimezone():%Y-%m-%d %H:%M}"
            self.problems.append(
                Problem(
                    "deployment",
                    f"the last deployment, {at} by {last.person}, {'did not end' if last.outcome == 'died' else last.outcome}"
                    f"{because}",
                    _GO_ON,
                )
            )
        return None
