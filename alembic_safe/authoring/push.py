"""How are the models pushed into a development database, with no revision, no reset and no row lost?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.authoring.changes import version_tables
from alembic_safe.authoring.expressible import differences, looked_at
from alembic_safe.authoring.left_out import left_out
from alembic_safe.authoring.moved import moved_fills, moved_sources
from alembic_safe.authoring.push_apply import apply_and_journal
from alembic_safe.authoring.push_findings import Findings, before
from alembic_safe.authoring.push_known import with_known
from alembic_safe.authoring.push_plan import make_plan, shown
from alembic_safe.authoring.push_refusals import (
    consent_missing,
    line_of,
    metadata_missing,
    not_at_head,
    open_questions,
    standing_against,
)
from alembic_safe.authoring.push_request import Noted, Planned, Pushed, Seen, Unused, read_fills
from alembic_safe.authoring.renames import Evidence, Rename, marked, moved, read_renames, settle
from alembic_safe.authoring.reshaped import fills_of, said_of_columns, sources_of
from alembic_safe.database import journal_pushes
from alembic_safe.database.agents import detect_agent
from alembic_safe.database.deploy_lock import deploy_lock, lock_key
from alembic_safe.database.envpy import Consents, run_env, script_of
from alembic_safe.database.guard import Intent, decide
from alembic_safe.database.replay import steps_to
from alembic_safe.database.shadow import open_shadow
from alembic_safe.database.statements import quoted, run
from alembic_safe.errors import NOTHING_CHANGED, Missing, NextStep, SafeError
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.models import models_of, tables_of
from alembic_safe.inspecting.models_catalog import ground_of, models_catalog
from alembic_safe.inspecting.target import look_at
from alembic_safe.inspecting.unused_consents import NO_FINDING, unused_consents
from alembic_safe.operations.rows_back import bring_rows_back, places_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection, MetaData, Table

    from alembic_safe.authoring.push_finding import Finding
    from alembic_safe.authoring.push_plan import Plan
    from alembic_safe.authoring.push_request import Request, Tell
    from alembic_safe.authoring.renames import Question, Settled
    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.inspecting.models_catalog import Ground, ModelsCatalog
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class Side:
    """One database of ``env.py`` as the first look found it.

    :param models: its models.
    :param tables: their tables.
    :param wanted: what they are as a database.
    :param extra: what only the database has, and no earlier push answered for.
    :param known: what of it the history made.
    :param applied: the revisions that the database has: all of the files'.
    """

    target: Target
    models: tuple[MetaData, ...]
    tables: Mapping[ObjectId, Table]
    ground: Ground
    wanted: ModelsCatalog
    extra: frozenset[ObjectId] = frozenset()
    known: frozenset[ObjectId] = frozenset()
    applied: frozenset[str] = frozenset()


def dev_push(config: Config, settings: Settings, request: Request, tell: Tell) -> None:
    """Push the models of a project into its development databases, one after the other.

    :param tell: receives what happens, as it happens: the records of ``push_request``.
    :raises SafeError: with the exit code that the command ends with.
    """
    script = script_of(config)
    sides: list[Side] = []

    def look(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        sides.append(_look(context, script, settings, request, tell))

    run_env(config, script, look)
    waiting = list(with_known(config, script, sides, settings, request, tell))

    def push(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        _Push(context, waiting.pop(0), settings, request, tell).run()

    run_env(config, script, push, to_write=not request.dry_run, consents=Consents(line_of(request), request.accept))


def _look(context: MigrationContext, script: ScriptDirectory, settings: Settings, request: Request, tell: Tell) -> Side:
    connection: Any = context.connection
    run(connection, "SET TRANSACTION READ ONLY")
    target = look_at(context, settings)
    tell(Seen(target.identity, target.heads))
    if not request.dry_run:
        decision = decide(Intent.DEV_PUSH, target.identity, agent=detect_agent())
        if decision.error is not None:
            raise decision.error
        _require_writable(target)
    known = {revision.revision for revision in script.walk_revisions()}
    unknown = tuple(head for head in target.heads if head not in known)
    pending = () if unknown else tuple(step.revision.revision for step in steps_to(script, target.heads, "heads"))
    if unknown or pending:
        raise not_at_head(target, unknown, pending)
    models = models_of(context)
    if not models:
        raise metadata_missing(script)
    ground = ground_of(connection)
    wanted = models_catalog(
        models, ground,
        lambda: open_shadow(
            target.endpoint, settings, needs=ground.needs, protected=target.identity.protected, dry_run=request.dry_run,
            tell=lambda note: tell(Noted("Shadow", note.text)),
        ),
    )  # fmt: skip
    tables = tables_of(models, ground.default_schema)
    extra = _extra(context, target, tables, wanted.catalog)
    connection.rollback()
    return Side(target, models, tables, ground, wanted, extra, applied=frozenset(known))


def _extra(
    context: MigrationContext, target: Target, tables: Mapping[ObjectId, Table], wanted: Catalog
) -> frozenset[ObjectId]:
    connection: Any = context.connection
    database = read_catalog(connection, leave_out=version_tables(context))
    found = differences(wanted, database, without=left_out(context, tables, database))
    extra = {one.object for one in found if one.is_extra}
    if extra and target.journals is not None and journal_pushes.has_pushes(connection, target.journals):
        pushed = journal_pushes.pushed_objects(connection, target.journals, target.version_table)
        extra -= {ObjectId(*words) for words in pushed}
    return frozenset(extra)


def _require_writable(target: Target) -> None:
    place = target.identity.place
    if place.in_recovery or place.read_only:
        raise Missing(
            f"{place.shown} only reads here: it is a replica, or {place.role} opens read-only transactions.",
            next_steps=[NextStep("see what would change", "alembic dev-push --dry-run")],
        )


class _Push:
    """One database's push; a method for each stage."""

    def __init__(self, context: MigrationContext, side: Side, settings: Settings, request: Request, tell: Tell) -> None:
        self.context = context
        self.side = side
        self.settings = settings
        self.request = request
        self.tell = tell
        self.connection: Connection = context.connection  # type: ignore[assignment]
        self.default = context.dialect.default_schema_name or "public"
        self.models = side.wanted.catalog
        self.began = time.monotonic()

    def run(self) -> None:
        """Look, ask, do: under the lock, unless nothing is going to be written."""
        if self.request.dry_run:
            run(self.connection, "SET TRANSACTION READ ONLY")
            for kept in places_for(self.connection, self.side.applied):
                self.tell(Noted("Back", f"{kept.where_from}: what is kept of it could go there again"))
            self._prepared()
            self.connection.rollback()
            self._end("dry-run", 0 if self.plan is None else len(self.plan.changes))
            return
        target = self.side.target
        with deploy_lock(
            target.connect, lock_key(f"{target.version_schema}.{self.context.version_table}"),
            wait=float(self.settings.lock_wait), no_wait=False, holder_alive=lambda *_: None,
            on_wait=lambda now: self.tell(Noted("Waiting", f"for process {now.pid}, which holds the deploy lock")),
        ):  # fmt: skip
            brought = self._bring_back()
            try:
                if not self._prepared() or self.plan is None:
                    self.connection.rollback()
                    self._end("nothing", 0)
                    return
                self._consent()
                self.connection.rollback()
                statements = apply_and_journal(self)
            except SafeError as error:
                if brought and error.state == NOTHING_CHANGED:
                    error.state = "Nothing else was changed."
                raise
        self._end("tried" if self.request.sql else "done", len(self.plan.changes), statements)

    def _bring_back(self) -> bool:
        """Let kept rows return to what a revision made anew, before anything else is looked at; tell whether any did."""
        if self.request.sql or not places_for(self.connection, self.side.applied):
            self.connection.rollback()
            return False
        self.connection.rollback()
        with self.connection.begin():
            ends = bring_rows_back(self.connection, self.side.applied, self.request.accept, self.default)
        for end in ends:
            rest = f"; {end.rest:,} stay kept" if end.rest else ""
            self.tell(
                Noted("Kept", f"{end.name}: {end.rest:,} rows stay kept. {end.why}") if end.why
                else Noted("Back", f"{end.name}: {end.rows:,} kept rows are back{rest}")
            )  # fmt: skip
        return any(not end.why for end in ends)

    plan: Plan | None = None
    findings: tuple[Finding, ...] = ()
    settled: Settled | None = None
    keep: frozenset[ObjectId] = frozenset()
    fills: Mapping[ObjectId, str] = {}

    def _prepared(self) -> bool:
        """Make the plan and ask the rows; tell whether there is anything to do."""
        database = read_catalog(self.connection, leave_out=version_tables(self.context))
        without = left_out(self.context, self.side.tables, database)
        said = said_of_columns(self.side.tables)
        self.fills = fills_of(said, database) | moved_fills(said, database)
        self.fills |= dict(read_fills(self.request.fills, self.models, self.default))
        if not differences(self.models, database, without=without):
            return False
        self.settled = self._settle(looked_at(self.models, without), looked_at(database, without))
        accepted = self._accepted(database, "drop-column", "drop-table")
        kept = self.side.extra - self.side.known - accepted - self.settled.gone
        if self.request.drop_unknown:
            kept = frozenset()
        kept |= self._accepted(database, "keep-column", "keep-table")
        self.keep = frozenset(moved(id_, self.settled.renames) for id_ in kept)
        self.plan = make_plan(
            self.models, database, self.settled.renames, keep=self.keep, without=without, default_schema=self.default,
            fills=self.fills,
        )  # fmt: skip
        self.findings = Findings(self.connection, self.plan, self.default, self.fills).all()
        # names that follow a rename, or only a name, are work without a line of their own
        names = tuple(shown(id_, self.default) for id_ in self.plan.kept)
        self.tell(Planned(self.plan, self.findings, names))
        self._tell_unused(database)
        return bool(self.plan.changes) or self._names_differ(database, without)

    def _tell_unused(self, database: Catalog) -> None:
        found = {finding.id for finding in self.findings}
        gone = [id_ for id_ in database.objects if id_.kind in {"table", "column"} and id_ not in self.models.objects]
        left = {f"{what}-{id_.kind}:{shown(id_, self.default)}" for id_ in gone for what in ("drop", "keep")}
        for line in unused_consents(self.request.accept, found | left, NO_FINDING):
            self.tell(Unused(line))

    def _names_differ(self, database: Catalog, without: frozenset[ObjectId]) -> bool:
        found = differences(self.models, database, without=without)
        return any(not (one.is_extra and one.object in self.keep) for one in found)

    def _accepted(self, database: Catalog, *kinds: str) -> frozenset[ObjectId]:
        return frozenset(
            id_ for id_ in database.objects
            if id_.kind in {"table", "column"}
            and any(f"{kind}:{shown(id_, self.default)}" in self.request.accept for kind in kinds if id_.kind in kind)
        )  # fmt: skip

    def _settle(self, models: Catalog, database: Catalog) -> Settled:
        remembered: tuple[Rename, ...] = ()
        journals = self.side.target.journals
        if journals is not None and journal_pushes.has_pushes(self.connection, journals):
            answers = journal_pushes.rename_answers(self.connection, journals, self.side.target.version_table)
            remembered = tuple(Rename(a.kind, a.schema, a.parent, a.old, a.new) for a in answers)  # type: ignore[arg-type]
        evidence = Evidence(
            given=read_renames(self.request.renames, models, database, self.default),
            marked=marked(self.side.tables),
            remembered=remembered,
            not_renamed=self._accepted(database, "drop-column", "drop-table", "keep-column", "keep-table")
            | sources_of(said_of_columns(self.side.tables))
            | moved_sources(said_of_columns(self.side.tables)),
        )
        asking = self.request.asking

        def ask(question: Question, old: str) -> str | None:
            assert asking is not None  # noqa: S101 - handed over only where somebody can be asked
            return asking.rename(question, old, self._samples(question, old))

        settled = settle(models, database, evidence, None if asking is None else ask)
        # a label that went and one that came: the rows say whether anything hangs on it
        opened = tuple(question for question in settled.open if question.kind != "label")
        if opened and not self.request.dry_run:
            raise open_questions(opened, self.default)
        for question in opened:
            self.tell(Noted("Ask", open_questions((question,), self.default).summary))
        return settled

    def _samples(self, question: Question, old: str) -> tuple[str, ...]:
        if question.kind != "column":
            return ()
        table = before(ObjectId("table", question.schema, question.table), self._so_far())
        name = quoted(old)
        rows = run(
            self.connection,
            f"SELECT DISTINCT quote_nullable({name}::text) AS it FROM {quoted(table.schema, table.name)}"
            f" WHERE {name} IS NOT NULL LIMIT 3",
        )
        return tuple(str(row["it"])[:40] for row in rows)

    def _so_far(self) -> tuple[Rename, ...]:
        return () if self.settled is None else self.settled.renames

    def _consent(self) -> None:
        blocking = [finding for finding in self.findings if finding.blocks]
        if blocking:
            raise standing_against(blocking, self.side.target)
        asking = self.request.asking
        missing = [finding for finding in self.findings if finding.id not in self.request.accept]
        if asking is not None:
            missing = [finding for finding in missing if not asking.consent(finding)]
        if missing:
            raise consent_missing(missing, self.request)

    def _end(self, outcome: str, changes: int, statements: tuple[str, ...] = ()) -> None:
        tables = sum(id_.kind == "table" for id_ in self.models.objects)
        place = self.side.target.identity.place
        self.tell(Pushed(place.database, outcome, changes, time.monotonic() - self.began, tables, statements))
