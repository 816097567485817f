"""What every migration run of a stock command passes: the guard before it, the journal behind each revision."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.environment import MARKED
from alembic_safe.database.envpy import own_run_of
from alembic_safe.database.guard import Decision, Intent, decide
from alembic_safe.database.statements import run
from alembic_safe.plugin import stop_if_marked
from alembic_safe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from alembic.runtime.migration import MigrationContext, RevisionStep

    from alembic_safe.database.environment import Identity, Journals

log = logging.getLogger("alembic.safe.guard")


def watched_run(context: MigrationContext, original: Callable[..., None], kw: dict[str, Any]) -> None:
    """Run the migrations of one context, if the guard lets them.

    :param original: Alembic's own ``MigrationContext.run_migrations``.
    :param kw: what ``env.py`` gave to it.
    :raises Refused: before the first statement that writes.
    """
    own = own_run_of(context)
    if own is not None:
        own(context, kw)
        return
    guard = _guard(context)
    with _several_tables_locked_at_once(context):
        if guard is None:
            original(context, **kw)
        else:
            _guarded(context, original, kw, guard)


def watched_stamp(context: MigrationContext, original: Callable[..., None], script: Any, revision: str) -> None:
    """Stamp one context directly, as ``MigrationContext.stamp()`` does, if the guard lets it.

    :param original: Alembic's own ``MigrationContext.stamp``.
    :raises Refused: before anything is written.
    """
    guard = _guard(context)
    if guard is not None:
        with _as_it_was(context):
            guard.judge(Intent.STAMP)
    original(context, script, revision)


def offline_run(context: MigrationContext, original: Callable[..., None], kw: dict[str, Any]) -> None:
    """Write the script of an offline run, with one line on what cannot watch over it."""
    if Settings.load(context.config).active:
        context.impl.static_output("-- alembic-safe: written without a connection; no guard will watch it run.")
    original(context, **kw)


@dataclass(frozen=True)
class _Guard:
    """What a database counts as, and the person or agent who acts on it."""

    context: MigrationContext
    identity: Identity
    settings: Settings
    agent: str | None

    def judge(self, intent: Intent) -> None:
        """Let it pass, warn, or raise :class:`Refused`."""
        granted = self.agent is not None and self.identity.protected and self._granted(intent)
        _obey(
            decide(intent, self.identity, agent=self.agent, granted=granted, stock_upgrade=self.settings.stock_upgrade)
        )

    def _granted(self, intent: Intent) -> bool:
        from alembic_safe.database.journal import has_grant

        connection = _connection(self.context)
        return any(has_grant(connection, journals, intent.value) for journals in self.identity.place.journals)


def _guard(context: MigrationContext) -> _Guard | None:
    """Return the guard of a context's database; ``None`` where neither settings nor a marker ask for one."""
    settings = Settings.load(context.config)
    with _as_it_was(context):
        if not settings.active and not run(_connection(context), MARKED)[0]["it"]:
            return None
        try:
            from alembic_safe.database.agents import detect_agent
            from alembic_safe.inspecting.target import look_at
        except ImportError as error:  # psycopg is gone, and the project itself uses another driver
            stop_if_marked(_connection(context), error)
            return None
        return _Guard(context, look_at(context, settings).identity, settings, detect_agent())


def _guarded(context: MigrationContext, original: Callable[..., None], kw: dict[str, Any], guard: _Guard) -> None:
    with _as_it_was(context):
        if context.purge:
            guard.judge(Intent.PURGE)
        heads = () if context.purge else context.get_current_heads()
    fn = context._migrations_fn  # noqa: SLF001 - the door's own handle
    assert fn is not None  # noqa: S101 - Alembic asserts the same
    with _version_table_by_consent(context, guard):
        found = fn(heads, context)
        steps = iter(found)
        first = next(steps, None)
    callbacks = context.on_version_apply_callbacks
    if first is None:
        # a reading command; on a database that is not ours to write, Alembic's own table is not made in passing
        if guard.identity.protected:
            context.opts["dont_mutate"] = True
    else:
        with _as_it_was(context):
            # Alembic's own commands give all their steps at once: all are judged before the first one runs
            for intent in dict.fromkeys(map(_intent, found if isinstance(found, (list, tuple)) else (first,))):
                guard.judge(intent)
            journals = _writable_journals(context, guard.identity)
            if journals is not None and not first.is_upgrade:
                _require_nothing_half_done(context, journals, heads)
            if guard.identity.protected and _intent(first) is Intent.UPGRADE:
                from alembic_safe.deploying.watched_gate import let_through

                steps = iter(let_through(context, guard.identity, guard.settings, heads, [first, *steps], _warn))
                first = next(steps, None)
                context.opts["dont_mutate"] = context.opts.get("dont_mutate", False) or first is None
        if journals is not None:
            _journal_each(context, journals, guard.settings)
    context._migrations_fn = lambda *_: _rest(first, steps, guard)  # noqa: SLF001
    try:
        original(context, **kw)
    finally:
        # env.py may call run_migrations() again
        context._migrations_fn = fn  # noqa: SLF001
        context.on_version_apply_callbacks = callbacks


@contextmanager
def _several_tables_locked_at_once(context: MigrationContext) -> Iterator[None]:
    from alembic_safe.deploying.locked_downgrades import with_tables_locked

    fn = context._migrations_fn  # noqa: SLF001 - the door's own handle
    if fn is not None:
        context._migrations_fn = lambda heads, of: with_tables_locked(fn(heads, of), of)  # noqa: SLF001
    try:
        yield
    finally:
        # env.py may call run_migrations() again
        context._migrations_fn = fn  # noqa: SLF001


@contextmanager
def _version_table_by_consent(context: MigrationContext, guard: _Guard) -> Iterator[None]:
    """Let nothing make a version table in passing where the guard says no: ``ensure_version`` does it by itself."""
    ensure = context._ensure_version_table  # noqa: SLF001 - the door's own handle

    def judged(*, purge: bool = False) -> None:
        if not context._has_version_table():  # noqa: SLF001
            guard.judge(Intent.ENSURE)
        ensure(purge=purge)

    # on the instance: Alembic's class stays as it is
    context._ensure_version_table = judged  # type: ignore[method-assign, assignment]  # noqa: SLF001
    try:
        yield
    finally:
        del context._ensure_version_table  # noqa: SLF001


def _rest(first: RevisionStep | None, steps: Iterator[RevisionStep], guard: _Guard) -> Iterable[Any]:
    if first is None:
        return
    yield first
    before = _intent(first)
    for step in steps:
        if _intent(step) is not before:
            guard.judge(_intent(step))
            before = _intent(step)
        yield step


def _intent(step: RevisionStep) -> Intent:
    if step.info.is_stamp:
        return Intent.STAMP
    return Intent.UPGRADE if step.is_upgrade else Intent.DOWNGRADE


def _obey(decision: Decision) -> None:
    if decision.verdict == "refuse":
        assert decision.error is not None  # noqa: S101
        raise decision.error
    if decision.verdict == "warn":
        _warn(decision.warning)


def _warn(text: str) -> None:
    log.warning(text)
    if not _is_heard(log):
        sys.stderr.write(text + "\n")


def _is_heard(logger: logging.Logger) -> bool:
    """Whether a warning reaches anybody: Alembic hangs a NullHandler on itself, which silences it until env.py acts."""
    handlers: list[logging.Handler] = []
    node: logging.Logger | None = logger
    while node is not None:
        handlers.extend(node.handlers)
        node = node.parent if node.propagate else None
    return any(not isinstance(handler, logging.NullHandler) for handler in handlers)


def _writable_journals(context: MigrationContext, identity: Identity) -> Journals | None:
    from alembic_safe.database.journal_tables import may_write

    for journals in identity.place.journals:
        if may_write(_connection(context), journals):
            return journals
    return None


def _journal_each(context: MigrationContext, journals: Journals, settings: Settings) -> None:
    """Have every step that the stock command takes written down, in the step's own transaction."""
    from alembic_safe.database.journal import Writer, record_revision, release_of
    from alembic_safe.database.journal_steps import close_steps, may_close_steps
    from alembic_safe.inspecting.changes import change_of, phase_of
    from alembic_safe.inspecting.history import files_hash, revision_source, version_table_of

    writer = Writer.this_process()
    script = context.opts.get("script")
    hash_of_files = files_hash(script) if script is not None else None
    began = time.monotonic()
    closes: bool | None = None

    def write(*, ctx: MigrationContext, step: Any, **_: Any) -> None:
        nonlocal began, closes
        # a stamp to an older revision leaves the newer ones: they are no longer applied
        direction = "down" if not step.is_upgrade else "stamp" if step.is_stamp else "up"
        revisions = step.up_revisions if step.is_stamp else (step.up_revision,)
        for revision in revisions:
            if revision is None:
                continue
            record_revision(
                _connection(ctx), journals, version_table=version_table_of(ctx), revision=revision.revision,
                parents=revision._all_down_revisions, message=revision.doc or "",  # noqa: SLF001
                direction=direction, source=revision_source(revision), command="alembic", release=release_of(settings),
                writer=writer, milliseconds=round((time.monotonic() - began) * 1000), phase=phase_of(revision),
                change=change_of(revision), files_hash=hash_of_files,
            )  # fmt: skip
            if closes is None:  # a role that only adds rows ends nothing; whoever deploys next sees that it is applied
                closes = may_close_steps(_connection(ctx), journals)
            if closes and direction != "down":
                close_steps(_connection(ctx), journals, version_table_of(ctx), revision.revision)
        began = time.monotonic()

    context.on_version_apply_callbacks = (*context.on_version_apply_callbacks, write)


def _require_nothing_half_done(context: MigrationContext, journals: Journals, heads: Sequence[str]) -> None:
    """Let nobody go down from a database that stands between two revisions.

    :raises Refused: names the revision, and the ways to end it.
    """
    from alembic_safe.database.journal_steps import half_done
    from alembic_safe.deploying.gate_evidence import applied_in_files
    from alembic_safe.errors import NextStep, Refused
    from alembic_safe.inspecting.history import version_table_of

    script: Any = context.opts.get("script")
    there = applied_in_files(script, heads) if script is not None else set()
    every = half_done(_connection(context), journals, version_table_of(context))
    found = [one for one in every if one.revision not in there]
    if found:
        raise Refused(
            f"{found[0].revision} is half done ({found[0].what}): what a downgrade would find is neither the revision nor"
            " the one before it.",
            next_steps=[
                NextStep("go on with it", "alembic safe-upgrade"),
                NextStep("or take back what is done of it", "alembic safe-upgrade --back-out"),
            ],
        )


def _connection(context: MigrationContext) -> Any:
    return context.connection


class _as_it_was:  # noqa: N801 - a context manager, read as a phrase
    """Ends a transaction that only our own reading began."""

    def __init__(self, context: MigrationContext) -> None:
        self.connection = _connection(context)
        self.was_in_transaction = self.connection.in_transaction()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if not self.was_in_transaction and self.connection.in_transaction():
            self.connection.rollback()
