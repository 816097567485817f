"""How does a database leave another branch's revision, with nothing lost that was added there?"""

# The journal keeps the text of every applied revision, so its downgrade() can run where no file has it. What that
# drops is retired on the way: a branch is left for an hour, and its rows are wanted back. The phases of a change that
# were only stamped, as it had been pushed, are not taken back: the database is what their contract leads to, and the
# next push takes that back as it would have without a milestone.
from __future__ import annotations

import inspect
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from alembic_safe import __version__
from alembic_safe.authoring.push_refusals import failed
from alembic_safe.authoring.push_request import Noted, Seen
from alembic_safe.database import journal, journal_tables
from alembic_safe.database.agents import detect_agent
from alembic_safe.database.envpy import KEY, Consents, run_env, script_of
from alembic_safe.database.guard import Intent, decide
from alembic_safe.database.journal_pushes import mark_unrecorded
from alembic_safe.database.statements import run
from alembic_safe.errors import Missing, NextStep, Refused, WrongUsage
from alembic_safe.inspecting.changes import change_of, phase_of
from alembic_safe.inspecting.retired import RETIRED_SCHEMA, read_retired
from alembic_safe.inspecting.target import look_at
from alembic_safe.operations.column_keep import RetireColumn
from alembic_safe.operations.column_keep import retire_column as keep_column
from alembic_safe.operations.consent import command_to_consent, consents
from alembic_safe.operations.kept import write_record
from alembic_safe.operations.registration import register
from alembic_safe.operations.retire_table import RetireTableOp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import RevisionStep

    from alembic_safe.authoring.push_request import Tell
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings


# A column keeps its number and its table's oid whatever it is called; a retired table keeps its oid as well.
_COLUMNS = """
SELECT a.attrelid::bigint AS oid, a.attnum AS number, n.nspname || '.' || c.relname || '.' || a.attname AS shown
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname !~ '^(pg_|information_schema$)'
"""
_OURS = f"{RETIRED_SCHEMA}."


def leave_branch(
    config: Config,
    settings: Settings,
    revision: str,
    tell: Tell,
    *,
    dry_run: bool = False,
    accept: frozenset[str] = frozenset(),
) -> None:
    """Take a database back to the last revision that the files have, by the text that the journal keeps.

    :param revision: where the database stands, as no file here knows it.
    :param accept: consents by name, for what is retired and restored on the way.
    :param dry_run: only tell what would be left, in a transaction that cannot write.
    :raises Refused: on a protected database, or where a downgrade drops what it does not keep.
    :raises WrongUsage: when the database does not stand there, or the files have it.
    :raises Missing: when the journal does not have the text of a revision on the way.
    """
    script = script_of(config)
    register()
    found: list[bool] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        if dry_run:
            run(cast("Any", context.connection), "SET TRANSACTION READ ONLY")
        target = look_at(context, settings)
        if revision not in target.heads:
            return
        found.append(True)
        tell(Seen(target.identity, target.heads))
        decision = decide(Intent.DEV_PUSH, target.identity, agent=detect_agent())
        if decision.error is not None:
            raise decision.error
        _leave(context, kw, script, target, revision, tell, dry_run=dry_run)

    own = Consents(f"alembic dev-push --leave {revision}", accept)
    run_env(config, script, work, to_write=not dry_run, consents=own)
    if not found:
        raise WrongUsage(
            f"--leave {revision}: no database of env.py stands there.",
            next_steps=[NextStep("see where it stands", "alembic safe-status")],
        )


def _leave(
    context: MigrationContext,
    kw: dict[str, Any],
    script: ScriptDirectory,
    target: Target,
    revision: str,
    tell: Tell,
    *,
    dry_run: bool,
) -> None:
    files = {one.revision for one in script.walk_revisions()}
    if revision in files:
        raise WrongUsage(
            f"--leave {revision}: the files here have it, so there is no branch to leave.",
            next_steps=[NextStep("push onto it", "alembic dev-push")],
        )
    connection: Any = context.connection
    texts, way = _texts(connection, target, revision, files)
    database = target.identity.place.database
    heads = [head for head in target.heads if head != revision]
    at = ", ".join([*heads, *way]) or "no revision"
    if dry_run:
        connection.rollback()
        tell(Noted("Left", f"{' and '.join(texts)} would be: {database} would be at {at}. Nothing was changed."))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            (Path(folder) / f"{name}.py").write_text(text, encoding="utf-8")
        known = ScriptDirectory(script.dir, version_locations=[*map(str, script._version_locations), folder])  # noqa: SLF001
        steps = [step for step in known._downgrade_revs("base", target.heads) if step.revision.revision in texts]  # type: ignore[arg-type]  # noqa: SLF001
        pushed = _pushed(connection, target, steps)
        for step in steps:
            if step.revision.revision in pushed:
                step.migration_fn = _nothing
        connection.rollback()
        try:
            _run(context, kw, steps)
        except DBAPIError as error:
            raise failed(error, database) from error
    _journal(connection, target, steps, pushed)
    back = "what went with it is kept; once it is applied again, dev-push brings it back"
    tell(Noted("Left", f"{' and '.join(texts)}: {database} is at {at}; {back}"))


def _texts(connection: Any, target: Target, revision: str, files: set[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the texts of the revisions that no file has, newest first, and the revisions below them."""
    if target.journals is None:
        raise _no_text(revision, target)
    applied = journal.applied_revisions(connection, target.journals, target.version_table)
    texts: dict[str, str] = {}
    below: dict[str, None] = {}
    todo = [revision]
    while todo:
        one = todo.pop()
        if one in files or one in texts:
            below |= {one: None} if one in files else {}
            continue
        sources = journal.sources_of(connection, target.journals, target.version_table, [one])
        if one not in sources or one not in applied:
            raise _no_text(one, target)
        texts[one] = sources[one]
        todo += applied[one].parents
    return texts, tuple(below)


def _pushed(connection: Any, target: Target, steps: Sequence[RevisionStep]) -> frozenset[str]:
    """Return the phases that never ran here: a milestone stamped them on what had been pushed, and no contract came."""
    assert target.journals is not None  # noqa: S101 - the texts came from there
    applied = journal.applied_revisions(connection, target.journals, target.version_table)
    phases = {step.revision.revision: phase_of(step.revision) for step in steps}
    change = {step.revision.revision: change_of(step.revision) for step in steps}
    closed = {change[revision] for revision, phase in phases.items() if phase == "contract"}
    waiting = {
        change[step.revision.revision] for step in steps
        if phases[step.revision.revision] == "expand" and step.revision.module.settles
    }  # fmt: skip
    return frozenset(
        revision for revision, of in change.items()
        if of in waiting - closed and applied[revision].command == "milestone"
    )  # fmt: skip


def _nothing(**_: Any) -> None:
    """Take nothing back."""


def _no_text(revision: str, target: Target) -> Missing:
    return Missing(
        f"The journal of {target.identity.place.shown} does not have the text of {revision}, so nothing can take it back.",
        next_steps=[NextStep("check out the branch that has its file, then", "alembic downgrade -1")],
    )


def _run(context: MigrationContext, kw: Mapping[str, Any], steps: Sequence[RevisionStep]) -> None:
    """Let Alembic's own loop run the downgrades, with every drop a retirement."""
    drop_column, drop_table = context.impl.drop_column, context.impl.drop_table
    fn, dont_mutate = context._migrations_fn, context.opts.get("dont_mutate")  # noqa: SLF001 - the door's own handle

    def planned(*_: Any) -> Iterator[RevisionStep]:
        yield from steps

    kept = context.opts[KEY].kept
    context._migrations_fn = planned  # noqa: SLF001
    callbacks = context.on_version_apply_callbacks
    context.on_version_apply_callbacks = (*callbacks, _refuse_lost(context, kept))
    context.opts["dont_mutate"] = False
    context.impl.drop_column = _retire_column(context, kept)  # type: ignore[method-assign]
    context.impl.drop_table = _retire_table(context)  # type: ignore[method-assign]
    try:
        inspect.unwrap(MigrationContext.run_migrations)(context, **kw)
    finally:
        context.impl.drop_column = drop_column  # type: ignore[method-assign]
        context.impl.drop_table = drop_table  # type: ignore[method-assign]
        context._migrations_fn = fn  # noqa: SLF001
        context.on_version_apply_callbacks = callbacks
        context.opts["dont_mutate"] = dont_mutate


def _refuse_lost(context: MigrationContext, kept: set[str]) -> Any:
    """Return what looks, in the transaction of each downgrade, at what went: all of it must be kept, and know why."""
    connection: Any = context.connection

    def columns() -> dict[tuple[int, int], str]:
        return {(row["oid"], row["number"]): row["shown"] for row in run(connection, _COLUMNS)}

    before = columns()
    there = {retired.oid for retired in read_retired(connection)}
    connection.rollback()

    def look(*, step: Any, **_: Any) -> None:
        after = columns()
        moved = {oid for (oid, _), shown in after.items() if shown.startswith(_OURS)}
        gone = before.keys() - after.keys()
        lost = [before[one] for one in gone if one[0] not in moved and not before[one].startswith(_OURS)]
        lost = sorted(name for name in lost if name not in kept)
        if lost:
            raise Refused(
                f"The downgrade() of {step.up_revision_id} takes {', '.join(lost[:5])} away by SQL of its own, so nothing of"
                " it would be kept.",
                next_steps=[NextStep("check out the branch that has its file, then", "alembic dev-push")],
                state="It was rolled back; what had been left before it is kept.",
            )
        before.update(after)
        for retired in read_retired(connection):
            if retired.oid not in there and retired.record is not None:
                write_record(connection, retired.kept, replace(retired.record, left=step.up_revision_id))
                there.add(retired.oid)

    return look


def _retire_column(context: MigrationContext, kept: set[str]) -> Any:
    def drop_column(table_name: str, column: Any, *, schema: str | None = None, **_: Any) -> None:
        connection: Any = context.connection
        own = Operations(context)
        done = keep_column(
            connection,
            RetireColumn(table=table_name, column=column.name, schema=schema, accept=consents(own, ()),
                         command=command_to_consent(own)),
        )  # fmt: skip
        kept.add(done.column)

    return drop_column


def _retire_table(context: MigrationContext) -> Any:
    from alembic.operations.ops import CreateTableOp

    def drop_table(table: Any, **_: Any) -> None:
        Operations(context).invoke(RetireTableOp(CreateTableOp(table.name, [], schema=table.schema)))

    return drop_table


def _journal(connection: Any, target: Target, steps: Sequence[RevisionStep], pushed: frozenset[str]) -> None:
    assert target.journals is not None  # noqa: S101 - the texts came from there
    writer = journal.Writer.this_process()
    connection.rollback()
    with connection.begin():
        journal_tables.make_or_upgrade(connection, target.journals, tool=__version__)
        for step in steps:
            journal.record_revision(
                connection, target.journals, version_table=target.version_table, revision=step.revision.revision,
                parents=tuple(step.revision._all_down_revisions), message=step.revision.doc or "",  # noqa: SLF001
                direction="down", source=None, command="dev-push --leave", release=None, writer=writer,
            )  # fmt: skip
        if pushed:
            mark_unrecorded(connection, target.journals, target.version_table, sorted(pushed))
