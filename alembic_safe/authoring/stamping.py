"""How does a database learn at which revision it was proven to be?"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import HeadMaintainer

from alembic_safe import __version__
from alembic_safe.database import journal, journal_tables
from alembic_safe.database.agents import detect_agent
from alembic_safe.database.deploy_lock import deploy_lock, lock_key
from alembic_safe.database.guard import decide
from alembic_safe.database.journal_catalogs import has_catalogs, record_catalog
from alembic_safe.errors import Missing, NextStep, Refused
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.changes import change_of, phase_of
from alembic_safe.inspecting.history import files_hash, revision_source
from alembic_safe.inspecting.target import version_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.database.guard import Intent
    from alembic_safe.inspecting.catalog_records import Catalog
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings


def guard(intent: Intent, context: MigrationContext, target: Target) -> None:
    """Let a command pass, or refuse it: a coding agent needs a person's grant where it matters.

    :raises Refused: before anything is written.
    """
    agent, journals = detect_agent(), target.journals
    granted = agent is not None and journals is not None and journal.has_grant(_of(context), journals, intent.value)
    decision = decide(intent, target.identity, agent=agent, granted=granted)
    if decision.error is not None:
        raise decision.error


def require_writable(target: Target) -> None:
    """Stop where a version row cannot be written, before work is done for it.

    :raises Missing: on a read replica.
    """
    if target.identity.place.in_recovery:
        raise Missing(
            f"{target.identity.place.shown} is a read replica; a database is stamped on its primary.",
            next_steps=[NextStep("give env.py the primary's URL, then", "alembic safe-status")],
        )


@contextmanager
def unchanged(context: MigrationContext, target: Target, settings: Settings, proven: Catalog) -> Iterator[None]:
    """Hold the deploy lock, with the database being what was proven.

    :raises LockNotObtained: when somebody deploys.
    :raises Refused: when it was changed meanwhile.
    """
    connection = _of(context)
    connection.rollback()
    key = lock_key(f"{target.version_schema}.{context.version_table}")
    with deploy_lock(
        target.connect, key, wait=float(settings.lock_wait), no_wait=False,
        holder_alive=lambda *_: None, on_wait=lambda _: None,
    ):  # fmt: skip
        now = read_catalog(connection, leave_out=version_tables(target, context))
        heads = context.get_current_heads()
        connection.rollback()
        if now.fingerprint != proven.fingerprint or set(heads) != set(target.heads):
            raise Refused(
                f"{target.identity.place.shown} was changed while it was compared.",
                next_steps=[NextStep("look at it anew", "alembic safe-status")],
            )
        yield


def stamp(
    context: MigrationContext,
    script: ScriptDirectory,
    target: Target,
    heads: Sequence[str],
    *,
    command: str,
    catalog: Catalog,
    before_commit: Callable[[], None] | None = None,
    written: Sequence[str] = (),
) -> None:
    """Write the version row, and into the journal, where there is one, what was stamped and what the database is.

    One transaction: all of it or nothing.

    :param heads: the revisions that the database was proven to be at.
    :param command: who says so, such as ``safe-baseline``.
    :param written: further revisions that stand for what this database is: their texts lead back from there.
    :param before_commit: called last in the transaction; when it fails, nothing is stamped.
    """
    connection = _of(context)
    connection.rollback()
    with connection.begin():
        _stamp(context, script, target, heads, command, catalog, written)
        if before_commit is not None:
            before_commit()


def _stamp(
    context: MigrationContext,
    script: ScriptDirectory,
    target: Target,
    heads: Sequence[str],
    command: str,
    catalog: Catalog,
    written: Sequence[str],
) -> None:
    connection = _of(context)
    context._ensure_version_table()  # noqa: SLF001 - what Alembic's own stamp does first
    maintainer = HeadMaintainer(context, context.get_current_heads())
    for step in script._stamp_revs(tuple(heads), context.get_current_heads()):  # noqa: SLF001 - as Alembic's stamp
        maintainer.update_to_step(step)
    journals = target.journals
    if journals is None or not journal_tables.may_write(connection, journals):
        return
    for revision in script.get_revisions(tuple(dict.fromkeys((*written, *heads)))):
        if revision is not None:
            journal.record_revision(
                connection, journals, version_table=target.version_table, revision=revision.revision,
                parents=revision._all_down_revisions, message=revision.doc or "",  # noqa: SLF001
                direction="stamp", source=revision_source(revision), command=command, release=None,
                writer=journal.Writer.this_process(), phase=phase_of(revision), change=change_of(revision),
                files_hash=files_hash(script),
            )  # fmt: skip
    if has_catalogs(connection, journals):
        record_catalog(
            connection, journals, version_table=target.version_table, heads=heads, catalog=catalog.to_json(),
            fingerprint=catalog.fingerprint, command=command, tool=__version__,
        )  # fmt: skip


def _of(context: MigrationContext) -> Any:
    return context.connection
