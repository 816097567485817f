"""The flow of `safe-upgrade` up to the deploy lock: identify, guard, check the history, see what is pending."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database import journal
from alembic_safe.database.agents import detect_agent
from alembic_safe.database.envpy import Consents, run_env, script_of
from alembic_safe.database.guard import Intent, decide
from alembic_safe.database.statements import run
from alembic_safe.deploying.cut_short import Progress
from alembic_safe.deploying.events import Finished, TargetSeen
from alembic_safe.deploying.gate import Gated
from alembic_safe.deploying.gate_evidence import Asked, Said, ask_gate
from alembic_safe.deploying.held_back import only_waiting
from alembic_safe.deploying.plan import make_plan, pending_steps
from alembic_safe.errors import ConsentMissing, Findings, Missing, NextStep
from alembic_safe.inspecting.history import Ahead, History, HistoryProblem, check_history
from alembic_safe.inspecting.target import look_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext, RevisionStep
    from alembic.script import ScriptDirectory

    from alembic_safe.database.environment import Identity, Journals
    from alembic_safe.deploying.events import Tell
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class Request:
    """What a person or a pipeline asked for.

    :param revision: as for ``alembic upgrade``.
    :param accept: consents by name, such as ``edited:3f2a``.
    :param confirm: the database's name, typed.
    :param backup: ``None``: on protected and undeclared databases; else always or never.
    :param no_wait: do not wait for another deployment.
    :param max_time: seconds after which copies stop behind a committed batch.
    :param back_out: take back what is half done, instead of applying anything.
    :param said: what a person said about contracts.
    :param drift: ``fail``, ``warn`` or ``off``: what changes by hand meet; ``None``: fail where protected, else warn.
    :param ask: puts a yes-or-no question to a person; ``None`` where nobody can answer.
    :param on_terminal: whether a person answers, and not ``--yes``: only a person can consent to what asks.
    :param rehearse: on what to rehearse: ``auto``, ``schema``, ``backup``, ``off`` or a URL; ``None``: as the setting says.
    :param plan: the hash of the plan that was shown; another one is refused.
    """

    revision: str = "head"
    accept: frozenset[str] = frozenset()
    confirm: str | None = None
    backup: bool | None = None
    dry_run: bool = False
    no_wait: bool = False
    max_time: float | None = None
    back_out: bool = False
    said: Said = Said()
    drift: str | None = None
    ask: Callable[[str], bool] | None = None
    on_terminal: bool = False
    plan: str | None = None
    rehearse: str | None = None


def safe_upgrade(config: Config, settings: Settings, request: Request, tell: Tell) -> None:
    """Deploy the pending revisions of a project, context by context.

    :param tell: receives what happens, as it happens.
    :raises SafeError: with the exit code that the command ends with.
    """
    script = script_of(config)

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        if context.dialect.name != "postgresql":
            raise Missing(
                f"This database is {context.dialect.name}; safe-upgrade knows PostgreSQL.",
                next_steps=[NextStep("upgrade it as before", "alembic upgrade head")],
            )
        with progress.one_database():
            Upgrade(context, kw, script, settings, request, progress).run()

    progress = Progress(tell)
    run_env(
        config, script, work, to_write=not request.dry_run, consents=Consents("alembic safe-upgrade", request.accept)
    )


class Upgrade:
    """One context's deployment; a method for each stage of the flow."""

    def __init__(
        self,
        context: MigrationContext,
        kw: dict[str, Any],
        script: ScriptDirectory,
        settings: Settings,
        request: Request,
        tell: Tell,
    ) -> None:
        self.context = context
        self.kw = kw
        self.script = script
        self.settings = settings
        self.request = request
        self.tell = tell
        self.began = time.monotonic()
        self.connection: Any = context.connection
        self.gated = Gated()
        """What the gate said when it was asked last."""

    def run(self) -> None:
        """Go through the stages."""
        if self.request.dry_run:
            run(self.connection, "SET TRANSACTION READ ONLY")
        heads = self.look()
        history = self.read_history(heads)
        if self.request.back_out:
            from alembic_safe.deploying.back_out import may_take_back

            if may_take_back(self, heads):
                self._deploy()
            return
        if history.ahead is not None:
            self.tell_ahead(history.ahead, heads)
            return
        steps = self.steps_from(heads)
        self.tell(TargetSeen(self.identity, heads, len(steps)))
        self.accept_history(history)
        self.guard()
        if not steps:
            self.nothing_to_do(heads)
            return
        gated = self.gate(steps)
        through = self.through(steps, gated)
        if not through and (not gated.unseen or self.request.dry_run):
            only_waiting(self, gated, heads)
            return
        self.require_writable()
        if self.request.dry_run:
            from alembic_safe.deploying.dry_run import dry_run

            dry_run(self, through, heads, gated)
            return
        self.end_reading()
        self._deploy()

    def _deploy(self) -> None:
        # psycopg, tenacity and the programs for backups: most runs in a day of restarting pods never get here
        from alembic_safe.deploying.deployment import deploy

        deploy(self)

    def look(self) -> tuple[str, ...]:
        """Look at the database anew, and return its heads; the transaction that reading begins stays open."""
        self.target = look_at(self.context, self.settings)
        return self.target.heads

    def end_reading(self) -> None:
        """End the transaction that only our own reading began."""
        # also where none is active: a transaction whose connection is gone must be ended, too
        self.connection.rollback()

    @property
    def identity(self) -> Identity:
        """What the database counts as, by the last look."""
        return self.target.identity

    @property
    def journals(self) -> Journals | None:
        """Where the journal is, if there is one, by the last look."""
        return self.target.journals

    def guard(self) -> None:
        """Ask the guard.

        :raises Refused: where this command may not run here.
        """
        agent = detect_agent()
        granted = (
            agent is not None
            and self.journals is not None
            and journal.has_grant(self.connection, self.journals, Intent.SAFE_UPGRADE.value)
        )
        if self.request.dry_run:
            return
        decision = decide(Intent.SAFE_UPGRADE, self.identity, agent=agent, granted=granted)
        if decision.error is not None:
            raise decision.error

    def read_history(self, heads: Sequence[str]) -> History:
        """Compare the files with what the journal says was applied."""
        self.applied: dict[str, journal.AppliedRevision] = {}
        if self.journals is not None:
            self.applied = journal.applied_revisions(self.connection, self.journals, self.target.version_table)

        def sources(revisions: Sequence[str]) -> dict[str, str]:
            assert self.journals is not None  # noqa: S101 - without a journal nothing is asked for
            return journal.sources_of(self.connection, self.journals, self.target.version_table, revisions)

        return check_history(self.script, heads, self.applied, sources)

    def accept_history(self, history: History) -> None:
        """Stop at what is wrong between files and database, unless somebody consented to it by name.

        :raises Findings: for a revision of the database that no file here has.
        :raises ConsentMissing: for a file that was changed after it was applied.
        """
        problems = [p for p in history.problems if p.consent not in self.request.accept]
        lost = [p for p in problems if p.kind in ("elsewhere", "unknown")]
        if lost:
            raise Findings(
                f"{lost[0].what[0].upper()}{lost[0].what[1:]}.",
                detail=[f"Also: {p.what}." for p in lost[1:]],
                next_steps=[
                    NextStep("check out the branch that has it, or bring its file here, then", "alembic safe-upgrade")
                ],
            )
        if problems:
            raise ConsentMissing(
                f"{problems[0].what}, so the files no longer say what this database was made by."
                if len(problems) == 1
                else f"{len(problems)} applied revisions were changed afterwards: {'; '.join(p.what for p in problems)}.",
                next_steps=[
                    NextStep("put the file back as it was applied, and write a new revision for the change"),
                    NextStep("if the change is meant", "alembic safe-upgrade " + _accepts(problems)),
                ],
            )

    def steps_from(self, heads: Sequence[str]) -> list[RevisionStep]:
        """Return Alembic's own steps to what was asked for."""
        known = {revision.revision for revision in self.script.walk_revisions()}
        if not set(heads) <= known:
            return []  # the history check has the word
        return pending_steps(self.script, self.request.revision, heads)

    def gate(self, steps: Sequence[RevisionStep]) -> Gated:
        """Ask which of the pending revisions may run; the journal is asked only where a contract is among them."""
        planned = make_plan(steps, self.target.heads).revisions
        self.gated = ask_gate(self.connection, self.asked, planned, self.request.said)
        return self.gated

    @property
    def asked(self) -> Asked:
        """What the gate has to know of this database, by the last look."""
        return Asked(
            self.script, self.settings, self.identity, self.journals, self.target.version_table, self.target.heads,
            self.applied,
        )  # fmt: skip

    @staticmethod
    def through(steps: Sequence[RevisionStep], gated: Gated) -> list[RevisionStep]:
        """Return the steps that the gate lets through."""
        return [step for step in steps if step.revision.revision not in gated.held]

    def tell_ahead(self, ahead: Ahead, heads: tuple[str, ...]) -> None:
        """End a run of old files on a database that newer ones have upgraded.

        :raises Findings: where the settings say ``ahead = refuse``.
        """
        self.tell(TargetSeen(self.identity, heads, 0))
        newest = ahead.revisions[-1]
        release = f" by release {newest.release}" if newest.release else ""
        what = (
            f"{self.identity.place.database} is {len(ahead.revisions)} revision{'s' * (len(ahead.revisions) != 1)} ahead"
            f" of these files, up to {newest.revision} ({newest.message}), applied {newest.at:%Y-%m-%d %H:%M}{release}"
        )
        contracts = [row for row in ahead.revisions if row.phase == "contract"]
        if contracts:
            raise Findings(
                f"{what}. Among them: {'; '.join(map(_contract, contracts))}. What it took away, the code of these files may"
                " still need.",
                next_steps=[NextStep("deploy the release that has it, or a newer one")],
            )
        if self.settings.ahead == "refuse":
            raise Findings(
                f"{what}; the setting ahead = refuse stops here.",
                next_steps=[NextStep("deploy files that have these revisions")],
            )
        self.tell(Finished(f"{what}. Nothing was changed.", heads, self.seconds(), changed=False))

    def nothing_to_do(self, heads: tuple[str, ...]) -> None:
        """End a run that has nothing to apply."""
        at = ", ".join(heads) or "no revision"
        state = f"{self.identity.place.database} is at {at}, nothing is pending. Nothing was changed."
        self.tell(Finished(state, heads, self.seconds(), changed=False))

    def require_writable(self) -> None:
        """Stop where nothing can be written.

        :raises Missing: on a replica, and for a role that only reads.
        """
        place = self.identity.place
        if place.in_recovery:
            raise Missing(
                f"{place.shown} is a read replica; revisions are applied on its primary.",
                next_steps=[NextStep("give env.py the primary's URL, then", "alembic safe-upgrade")],
            )
        if place.read_only and not self.request.dry_run:
            raise Missing(
                f"{place.role} opens read-only transactions on {place.shown} (default_transaction_read_only is on).",
                next_steps=[NextStep("deploy with a role that may write, then", "alembic safe-upgrade")],
            )

    def seconds(self) -> float:
        """Return how long this run has taken."""
        return time.monotonic() - self.began


def _contract(row: journal.AppliedRevision) -> str:
    return f"the contract {row.revision} ({row.message}) of {row.change}, run by {row.release or 'a release without a name'}"


def _accepts(problems: Sequence[HistoryProblem]) -> str:
    return " ".join(f"--accept {p.consent}" for p in problems)
