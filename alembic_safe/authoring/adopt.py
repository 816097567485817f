"""How do changes by hand become a revision, and the database one that has it?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from alembic_safe.authoring.moving_in import move_in, take_out
from alembic_safe.authoring.proven_revision import Proof, proven_revision
from alembic_safe.authoring.stamping import guard, require_writable, stamp, unchanged
from alembic_safe.authoring.statement_operations import StatementsOp, statements_of
from alembic_safe.authoring.writing import Wanted
from alembic_safe.database.envpy import run_env, script_of
from alembic_safe.database.guard import Intent
from alembic_safe.database.replay_connection import place_of
from alembic_safe.database.shadow_needs import needs_of
from alembic_safe.database.shadow_wish import ShadowWish
from alembic_safe.errors import Findings, NextStep, WrongUsage
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.difference_sql import undo_sql
from alembic_safe.inspecting.drift import find_drift, judge
from alembic_safe.inspecting.expected import catalogs_at
from alembic_safe.inspecting.owners import owned_as, usual_owner
from alembic_safe.inspecting.target import look_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.database.shadow import ShadowNote
    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.inspecting.difference_sql import Undo
    from alembic_safe.inspecting.drift import Drift
    from alembic_safe.inspecting.expected import FilesCatalog
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class Adopted:
    """What became of the drift of one database.

    :param drift: what was found; ``in sync`` when there was nothing to adopt. Each difference has the SQL that makes it.
    :param revision: the revision that the database is at now; empty when nothing changed.
    :param file: the file that was written; ``None`` where the files had the revision already.
    :param text: what stands in it; on a dry run nothing else exists of it.
    """

    target: Target
    drift: Drift
    revision: str = ""
    file: Path | None = None
    text: str = ""


def adopt(
    config: Config,
    settings: Settings,
    message: str,
    *,
    dry_run: bool = False,
    tell: Callable[[ShadowNote], None] | None = None,
) -> list[Adopted]:
    """Write what was changed by hand as a revision, prove it on a shadow, and stamp the database with it.

    :param message: the revision's message.
    :param dry_run: show the file; write nothing, neither here nor there.
    :raises Findings: when revisions are pending, or what the database should be is unknown.
    :raises ReplayFailed: when the revision does not bring about what the database is; nothing is written then.
    """
    script = script_of(config)
    found: list[Adopted] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        if found:
            raise WrongUsage("env.py configures several databases; safe-adopt works on one.")
        found.append(_Adoption(context, script, settings, dry_run=dry_run, tell=tell).run(message))

    run_env(config, script, work, to_write=not dry_run)
    return found


class _Adoption:
    """One context's adoption."""

    def __init__(
        self, context: MigrationContext, script: ScriptDirectory, settings: Settings, *, dry_run: bool,
        tell: Callable[[ShadowNote], None] | None,
    ) -> None:  # fmt: skip
        self.context = context
        self.script = script
        self.settings = settings
        self.dry_run = dry_run
        connection: Any = context.connection
        self.connection = connection
        self.target = look_at(context, settings)
        self.wish = ShadowWish(
            self.target.endpoint, needs_of(connection), settings, protected=self.target.identity.protected,
            dry_run=dry_run, tell=tell,
        )  # fmt: skip

    def run(self, message: str) -> Adopted:
        target = self.target
        if not self.dry_run:
            guard(Intent.ADOPT, self.context, target)
            require_writable(target)
        drift = find_drift(
            self.context, self.script, target, self.settings, sources=("shadow",), dry_run=self.dry_run
        )  # fmt: skip
        self.connection.rollback()
        if drift.verdict == "unknown":
            raise Findings(
                f"What {target.identity.place.shown} should be is unknown: {drift.why}.",
                next_steps=[NextStep("see where it stands", "alembic safe-status --drift")],
            )
        if drift.verdict == "in sync":
            return Adopted(target, drift)
        expected, actual = drift.expected, drift.actual
        assert expected is not None  # noqa: S101 - drift was found by comparing it
        assert actual is not None  # noqa: S101 - with this
        drift = replace(drift, items=_that_make(expected, actual))
        if set(self.script.get_heads()) != set(target.heads):
            return self._stamped_as_head(drift, actual)
        return self._written(drift, actual, message)

    def _written(self, drift: Drift, actual: Catalog, message: str) -> Adopted:
        config = self.context.config
        assert config is not None  # noqa: S101 - env.py was run with one
        proof = Proof(self.target.heads, actual)
        body = f"Changed by hand on {self.target.identity.place.database} before it was written down here."
        head = self.target.heads[0] if len(self.target.heads) == 1 else "heads"
        wanted = Wanted(message, head=head)
        with proven_revision(config, self.wish, wanted, proof, self._operation(actual), body=body) as (
            folder,
            file,
            script,
        ):
            text = file.text
            adopted = Adopted(self.target, drift, file.revision, file.final, text)
            if self.dry_run:
                return replace(adopted, file=None)
            with unchanged(self.context, self.target, self.settings, actual):
                move_in(folder, [file], stamps=True)
                try:
                    self._stamp(script, (file.revision,), actual)
                except BaseException:
                    take_out([file])
                    raise
        return adopted

    def _operation(self, actual: Catalog) -> Callable[[FilesCatalog], StatementsOp]:
        def make(files: FilesCatalog) -> StatementsOp:
            expected = owned_as(files.catalog, actual, made_by=files.role)
            there = undo_sql(compare(actual, expected), actual, expected)
            back = undo_sql(compare(expected, actual), expected, actual)
            owner = usual_owner(actual)
            return StatementsOp(statements_of(there, owner=owner), statements_of(back, owner=owner))

        return make

    def _stamped_as_head(self, drift: Drift, actual: Catalog) -> Adopted:
        """Stamp a database that has what the pending revisions do, such as one on which the same hand was at work.

        :raises Findings: when it has not.
        """
        config, heads = self.context.config, tuple(self.script.get_heads())
        assert config is not None  # noqa: S101 - env.py was run with one
        here = place_of(self.connection)
        self.connection.rollback()
        for files in catalogs_at(config, self.script, self.wish, heads):
            expected = owned_as(files.catalog, actual, made_by=files.role)
            if files.place == here and judge(expected, actual, "head").verdict == "in sync":
                if not self.dry_run:
                    with unchanged(self.context, self.target, self.settings, actual):
                        self._stamp(self.script, heads, actual)
                return Adopted(self.target, drift, ", ".join(heads))
        raise Findings(
            f"{self.target.identity.place.shown} is at {', '.join(self.target.heads)}, and revisions are pending: a new one"
            " would stand behind them.",
            next_steps=[NextStep("deploy them first, changes by hand or not", "alembic safe-upgrade --drift warn")],
        )

    def _stamp(self, script: ScriptDirectory, heads: tuple[str, ...], actual: Catalog) -> None:
        stamp(self.context, script, self.target, heads, command="safe-adopt", catalog=actual)


def _that_make(expected: Catalog, actual: Catalog) -> tuple[Undo, ...]:
    """Return each difference as a person made it, with the SQL that a revision makes it by: nobody adopts to undo it."""
    owner = usual_owner(actual)
    return tuple(
        replace(
            made, difference=replace(made.difference, left=made.difference.right, right=made.difference.left),
            statements=statements_of([made], owner=owner),
            reason="" if made.difference.is_missing and made.statements else made.reason,  # what comes loses nothing
        )
        for made in undo_sql(compare(actual, expected), actual, expected)
    )  # fmt: skip
