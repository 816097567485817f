"""How does a database leave another branch's revision, with nothing lost that was added there?"""

# The journal keeps the text of every applied revision, so its downgrade() can run where no file has it. What that
# drops is retired on the way: a branch is left for an hour, and its rows are wanted back.
from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from alembic_safe import __version__
from alembic_safe.authoring.push_refusals import failed
from alembic_safe.authoring.push_request import Noted
from alembic_safe.database import journal, journal_tables
from alembic_safe.database.agents import detect_agent
from alembic_safe.database.envpy import run_env, script_of
from alembic_safe.database.guard import Intent, decide
from alembic_safe.errors import Missing, NextStep, WrongUsage
from alembic_safe.inspecting.target import look_at
from alembic_safe.operations.column_keep import RetireColumn
from alembic_safe.operations.column_keep import retire_column as keep_column
from alembic_safe.operations.registration import register
from alembic_safe.operations.retire_table import RetireTableOp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import RevisionStep

    from alembic_safe.authoring.push_request import Tell
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings


def leave_branch(config: Config, settings: Settings, revision: str, tell: Tell) -> None:
    """Take a database back to the last revision that the files have, by the text that the journal keeps.

    :param revision: where the database stands, as no file here knows it.
    :raises Refused: on a protected database.
    :raises WrongUsage: when the database does not stand there, or the files have it.
    :raises Missing: when the journal does not have the text of a revision on the way.
    """
    script = script_of(config)
    register()
    found: list[bool] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        target = look_at(context, settings)
        if revision not in target.heads:
            return
        found.append(True)
        decision = decide(Intent.DEV_PUSH, target.identity, agent=detect_agent())
        if decision.error is not None:
            raise decision.error
        _leave(context, kw, script, target, revision, tell)

    run_env(config, script, work, to_write=True)
    if not found:
        raise WrongUsage(
            f"--leave {revision}: no database of env.py stands there.",
            next_steps=[NextStep("see where it stands", "alembic safe-status")],
        )


def _leave(
    context: MigrationContext, kw: dict[str, Any], script: ScriptDirectory, target: Target, revision: str, tell: Tell
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
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            (Path(folder) / f"{name}.py").write_text(text, encoding="utf-8")
        known = ScriptDirectory(script.dir, version_locations=[*map(str, script._version_locations), folder])  # noqa: SLF001
        heads = [head for head in target.heads if head != revision]
        steps = [step for step in known._downgrade_revs("base", target.heads) if step.revision.revision in texts]  # type: ignore[arg-type]  # noqa: SLF001
        connection.rollback()
        try:
            _run(context, kw, steps)
        except DBAPIError as error:
            raise failed(error, database) from error
    _journal(connection, target, steps)
    at = ", ".join([*heads, *way]) or "no revision"
    tell(
        Noted(
            "Left", f"{' and '.join(texts)}: {database} is at {at}; what went with it is kept, and comes back with it"
        )
    )


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

    context._migrations_fn = planned  # noqa: SLF001
    context.opts["dont_mutate"] = False
    context.impl.drop_column = _retire_column(context)  # type: ignore[method-assign]
    context.impl.drop_table = _retire_table(context)  # type: ignore[method-assign]
    try:
        inspect.unwrap(MigrationContext.run_migrations)(context, **kw)
    finally:
        context.impl.drop_column = drop_column  # type: ignore[method-assign]
        context.impl.drop_table = drop_table  # type: ignore[method-assign]
        context._migrations_fn = fn  # noqa: SLF001
        context.opts["dont_mutate"] = dont_mutate


def _retire_column(context: MigrationContext) -> Any:
    def drop_column(table_name: str, column: Any, *, schema: str | None = None, **_: Any) -> None:
        connection: Any = context.connection
        keep_column(connection, RetireColumn(table=table_name, column=column.name, schema=schema))

    return drop_column


def _retire_table(context: MigrationContext) -> Any:
    from alembic.operations import Operations
    from alembic.operations.ops import CreateTableOp

    def drop_table(table: Any, **_: Any) -> None:
        Operations(context).invoke(RetireTableOp(CreateTableOp(table.name, [], schema=table.schema)))

    return drop_table


def _journal(connection: Any, target: Target, steps: Sequence[RevisionStep]) -> None:
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
