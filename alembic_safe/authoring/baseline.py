"""How does a database that existed before its revisions get to know which one it is at?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from alembic_safe.authoring.baseline_search import Found, search
from alembic_safe.authoring.moving_in import move_in, take_out
from alembic_safe.authoring.proven_revision import Proof, proven_revision
from alembic_safe.authoring.stamping import guard, require_writable, stamp, unchanged
from alembic_safe.authoring.statement_operations import NoWayBackOp, statements_of
from alembic_safe.authoring.writing import Wanted
from alembic_safe.database.envpy import run_env, script_of
from alembic_safe.database.guard import Intent
from alembic_safe.database.replay_connection import place_of
from alembic_safe.database.shadow_needs import needs_of
from alembic_safe.database.shadow_wish import ShadowWish
from alembic_safe.errors import Refused
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.difference_sql import Undo, undo_sql
from alembic_safe.inspecting.drift import Drift, find_drift
from alembic_safe.inspecting.owners import usual_owner
from alembic_safe.inspecting.target import look_at, version_tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.authoring.statement_operations import StatementsOp
    from alembic_safe.database.shadow import ShadowNote
    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.inspecting.expected import FilesCatalog
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings

Outcome = Literal["empty", "verified", "differs", "unknown", "stamped", "written", "nothing fits"]

NO_WAY_BACK = "this revision describes a database that was there before it: nothing is undone below it"


@dataclass(frozen=True)
class Baselined:
    """What became of one database.

    :param outcome: ``empty``: there is nothing to describe; ``verified`` or ``differs``: it was stamped already, and is
        or is not what the files say there; ``unknown``: stamped, and nobody can say; ``stamped``: a revision was
        found that made it; ``written``: a first revision was written; ``nothing fits``: no revision made it.
    :param heads: the revisions that it is at now, or that it is nearest to.
    :param found: what the walk over the history found.
    :param drift: for a database that was stamped already.
    :param items: what it differs in, each with the SQL that leads to the files.
    """

    target: Target
    outcome: Outcome
    heads: tuple[str, ...] = ()
    found: Found | None = None
    drift: Drift | None = None
    items: tuple[Undo, ...] = ()
    file: Path | None = None
    text: str = ""

    @property
    def is_in_order(self) -> bool:
        """Whether the database is at a revision that it was proven to be at, or needs none."""
        return self.outcome not in ("differs", "unknown", "nothing fits")


def baseline(
    config: Config,
    settings: Settings,
    message: str,
    *,
    dry_run: bool = False,
    tell: Callable[[ShadowNote], None] | None = None,
) -> list[Baselined]:
    """Find or write the revision that each database is at, and stamp it there; run again, it verifies.

    :param message: of the first revision, where one is written.
    :param dry_run: write nothing, neither files nor version table.
    :raises ReplayFailed: when the files do not run through, or a first revision does not rebuild the database.
    """
    script = script_of(config)
    found: list[Baselined] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw

        def one() -> Baselined:
            return _Baseline(context, script, settings, dry_run=dry_run, tell=tell).run(message)

        try:
            found.append(one())
        except Refused:
            # another container did it while we compared: then there is only something to verify
            if dry_run or not context.get_current_heads():
                raise
            found.append(one())

    run_env(config, script, work, to_write=not dry_run)
    return found


class _Baseline:
    """One context's baseline."""

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
        self.actual = read_catalog(connection, leave_out=version_tables(self.target, context))
        self.wish = ShadowWish(
            self.target.endpoint, needs_of(connection), settings, protected=self.target.identity.protected,
            dry_run=dry_run, tell=tell,
        )  # fmt: skip
        self.place = place_of(connection)

    def run(self, message: str) -> Baselined:
        if self.target.heads:
            return self._verified()
        self.connection.rollback()
        if not self.target.identity.place.has_tables:
            return Baselined(self.target, "empty")
        if not self.dry_run:
            guard(Intent.BASELINE, self.context, self.target)
            require_writable(self.target)
        return self._searched() if self.script.get_heads() else self._written(message)

    def _verified(self) -> Baselined:
        drift = find_drift(
            self.context, self.script, self.target, self.settings, sources=("shadow", "journal"), dry_run=self.dry_run
        )
        self.connection.rollback()
        outcomes: dict[str, Outcome] = {"in sync": "verified", "drift": "differs", "unknown": "unknown"}
        return Baselined(self.target, outcomes[drift.verdict], self.target.heads, drift=drift, items=drift.items)

    def _searched(self) -> Baselined:
        config = self.context.config
        assert config is not None  # noqa: S101 - env.py was run with one
        table = (self.target.version_schema, self.context.version_table)
        found = search(config, self.script, self.wish, self.actual, table, self.place)
        heads = found.nearest.heads
        if not found.is_exact:
            items = tuple(Undo(difference, ()) for difference in found.nearest.differences)
            return Baselined(self.target, "nothing fits", heads, found, items=items)
        if not self.dry_run:
            with unchanged(self.context, self.target, self.settings, self.actual):
                self._stamp(self.script, heads)
        return Baselined(self.target, "stamped", heads, found)

    def _written(self, message: str) -> Baselined:
        config = self.context.config
        assert config is not None  # noqa: S101 - env.py was run with one
        place = self.target.identity.place
        body = f"What {place.database} was when its first revision was written: every object, and no rows."
        proof = Proof((), self.actual, goes_back=False)
        with proven_revision(config, self.wish, Wanted(message), proof, self._everything, body=body) as (
            folder,
            file,
            script,
        ):
            made = Baselined(self.target, "written", (file.revision,), file=file.final, text=file.text)
            if self.dry_run:
                return replace(made, file=None)
            with unchanged(self.context, self.target, self.settings, self.actual):
                move_in(folder, [file], stamps=True)
                try:
                    self._stamp(script, (file.revision,))
                except BaseException:
                    take_out([file])
                    raise
        return made

    def _everything(self, files: FilesCatalog) -> StatementsOp:
        wanted = _owned_by(self.actual, files.role)
        items = undo_sql(compare(wanted, files.catalog), wanted, files.catalog)
        return NoWayBackOp(statements_of(items, owner=files.role), NO_WAY_BACK)

    def _stamp(self, script: ScriptDirectory, heads: tuple[str, ...]) -> None:
        stamp(self.context, script, self.target, heads, command="safe-baseline", catalog=self.actual)


def _owned_by(catalog: Catalog, role: str) -> Catalog:
    """Return a catalog whose usual owner is another role: whoever runs a revision owns what it makes."""
    usual = usual_owner(catalog)
    objects = {
        id_: {**attributes, "owner": role} if attributes.get("owner") == usual else attributes
        for id_, attributes in catalog.objects.items()
    }
    return replace(catalog, objects=objects)
