"""What the project's revision files make of an empty database: they are run on a shadow through its own env.py."""

from __future__ import annotations

import inspect
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import MigrationContext, MigrationStep

from alembic_safe.database.bootstrap import bootstrap_of
from alembic_safe.database.envpy import Consents, run_env
from alembic_safe.database.quiet_logs import OPERATIONS, kept_back
from alembic_safe.database.replay_connection import Swap, elsewhere_refused
from alembic_safe.database.replay_failure import out_of_time, replay_failed
from alembic_safe.database.sent_ahead import SentAheadFailed
from alembic_safe.errors import OutOfTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import RevisionStep
    from alembic.script import ScriptDirectory

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.database.shadow_patience import Patience

    Watch = Callable[[MigrationContext, RevisionStep], AbstractContextManager[None]]


@dataclass(frozen=True)
class ReplayStep:
    """One revision that is about to be replayed.

    :param number: from 1, within its context.
    :param total: how many this context replays.
    """

    number: int
    total: int
    revision: str
    message: str
    is_upgrade: bool


@dataclass(frozen=True)
class ReplayedContext:
    """What was replayed in one of the contexts that ``env.py`` configures.

    :param place: which of the target's databases it stands for: ``host:port/database``.
    :param database: the name of the shadow's database.
    :param heads: the rows of its version table afterwards.
    :param steps: how many revisions ran.
    """

    place: str
    database: str
    version_table: str
    version_schema: str | None
    heads: tuple[str, ...]
    steps: int


@dataclass(frozen=True)
class Replayed:
    """What a replay did.

    :param seconds: how long it took, env.py included.
    :param copied: whether it is a copy of an earlier replay of the same files.
    """

    contexts: tuple[ReplayedContext, ...]
    seconds: float
    copied: bool = False

    @property
    def steps(self) -> int:
        """How many revisions ran, over all contexts."""
        return sum(context.steps for context in self.contexts)


def replay(
    config: Config,
    script: ScriptDirectory,
    shadow: Shadow,
    *,
    to: str = "heads",
    only: Sequence[str] | None = None,
    on_step: Callable[[ReplayStep], None] | None = None,
    watch: Watch | None = None,
    wanted: Callable[[MigrationContext, str], bool] | None = None,
) -> Replayed:
    """Run the project's own revision files on a shadow, through its own ``env.py``; the target is not written to.

    :param to: ``heads``, ``base``, a revision or a relative one (``-1``, ``branch@-1``); downwards where the
        shadow is beyond it.
    :param only: these revisions, one after the other, in the place of all that lead there.
    :param on_step: called before each revision.
    :param watch: entered before each revision, and left when it is committed or has failed.
    :param wanted: whether a context takes part, by itself and its place; ``None``: every one does.
    :raises ReplayFailed: naming the revision, its line and its SQL.
    :raises OutOfTime: when a statement takes longer than the shadow's patience lasts.
    :raises Missing: when ``env.py`` cannot be run, or its database cannot be reached.
    """
    began = time.monotonic()
    looked_at = watch is not None or only is not None or wanted is not None
    contexts = _replayed(
        config, script, shadow, _Way(to, only), _Look(on_step, watch, wanted),
        one_by_one=looked_at or not shadow.untouched,
    )  # fmt: skip
    return Replayed(contexts, time.monotonic() - began)


@dataclass(frozen=True)
class _Look:
    """Who looks on: before each revision, around each one, and at which of the contexts."""

    on_step: Callable[[ReplayStep], None] | None
    watch: Watch | None
    wanted: Callable[[MigrationContext, str], bool] | None


def _replayed(
    config: Config, script: ScriptDirectory, shadow: Shadow, way: _Way, look: _Look, *, one_by_one: bool
) -> tuple[ReplayedContext, ...]:
    """Run them in the transactions that env.py wants, as that is quickest; where that fails, one by one, from nothing.

    The quick way also sends statements ahead of the answers, so that an error may not be where it seems to be.

    A history that grew over years need not run in one transaction: a new label of an enum cannot be used in its own.
    """
    found: list[ReplayedContext] = []
    bootstrap = bootstrap_of(config, shadow.settings) if shadow.untouched else None
    swap = Swap(shadow, one_by_one=one_by_one, bootstrap=bootstrap)

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        place = swap.place_of(context)
        if look.wanted is not None and not look.wanted(context, place):
            return
        with swap.sent_ahead(context):
            ran = _replay_context(context, kw, script, way, swap.patience, look)
        connection: Any = context.connection
        # a revision that commits by itself leaves the version row to whoever commits next: env.py may, when it goes on
        left_open = connection.in_transaction()
        found.append(
            ReplayedContext(
                place, shadow.database_for(place).database, context.version_table, context.version_table_schema,
                context.get_current_heads(), ran,
            )
        )  # fmt: skip
        swap.end(connection)
        if not left_open:
            connection.rollback()

    try:
        _run_swapped(config, script, swap, work)
    except (Exception, SentAheadFailed) as error:
        if not swap.may_go_otherwise(error):
            raise
    else:
        if not swap.failed_ahead:
            return tuple(found)
    shadow.dismiss()
    return _replayed(config, script, shadow, way, look, one_by_one=True)


def run_on_shadow(
    config: Config,
    script: ScriptDirectory,
    shadow: Shadow,
    work: Callable[[MigrationContext, dict[str, Any]], None],
) -> None:
    """Run ``env.py`` on a shadow with a function in the place of the migrations.

    :param work: called for each context that env.py configures, with the :class:`MigrationContext` on the shadow's
        connection, which has everything that env.py configured (``context.opts["target_metadata"]``,
        ``include_object``, naming convention, version table), and with what env.py gave to ``run_migrations()``.
        It commits what it means to keep.
    :raises Missing: when ``env.py`` cannot be run, or its database cannot be reached.
    """
    _run_swapped(config, script, Swap(shadow, one_by_one=True), work)


def _run_swapped(
    config: Config, script: ScriptDirectory, swap: Swap, work: Callable[[MigrationContext, dict[str, Any]], None]
) -> None:
    def on_context(context: MigrationContext, kw: dict[str, Any]) -> None:
        swap.settle(context)
        with elsewhere_refused(swap):
            work(context, kw)

    def prepare(env: EnvironmentContext) -> None:
        swap.prepare(env)

    try:
        with swap.patience, kept_back(OPERATIONS):
            run_env(config, script, on_context, consents=Consents(throw_away=True), prepare=prepare)
    finally:
        swap.close()


@dataclass(frozen=True)
class _Way:
    """How far a replay goes: to where, or which steps it takes."""

    to: str
    only: Sequence[str] | None

    def steps(self, script: ScriptDirectory, heads: tuple[str, ...]) -> list[RevisionStep]:
        """Return its steps from where a database stands."""
        if self.only is None:
            return steps_to(script, heads, self.to)
        up = MigrationStep.upgrade_from_script
        return [up(script.revision_map, script.get_revision(one)) for one in self.only]


def _replay_context(
    context: MigrationContext,
    kw: dict[str, Any],
    script: ScriptDirectory,
    way: _Way,
    patience: Patience,
    look: _Look,
) -> int:
    current: list[RevisionStep] = []

    def steps(heads: tuple[str, ...], _: MigrationContext) -> Iterator[RevisionStep]:
        planned = way.steps(script, heads)
        for number, step in enumerate(planned, 1):
            current.append(step)
            if look.on_step is not None:
                look.on_step(
                    ReplayStep(number, len(planned), step.revision.revision, step.revision.doc or "", step.is_upgrade)
                )
            if look.watch is not None:
                watched.enter_context(look.watch(context, step))
            yield step
            if patience.cut is not None:  # the revision caught it, and went on without what it had asked for
                raise out_of_time(patience.cut, step)
            watched.close()
            patience.cut = None  # what was cut since then was tried by whoever watches, and is told there

    with ExitStack() as watched, _as_a_stock_run(context, steps):
        try:
            inspect.unwrap(MigrationContext.run_migrations)(context, **kw)
        except (Exception, SystemExit) as error:
            if not current or isinstance(error, OutOfTime):
                raise
            if patience.cut is not None:
                raise out_of_time(patience.cut, current[-1]) from error
            raise replay_failed(error, current[-1], len(current)) from error
    return len(current)


@contextmanager
def _as_a_stock_run(context: MigrationContext, steps: Callable[..., Iterator[RevisionStep]]) -> Iterator[None]:
    """Let Alembic's own loop run the steps: version table, transactions and callbacks are as in every upgrade."""
    fn, dont_mutate = context._migrations_fn, context.opts.get("dont_mutate")  # noqa: SLF001 - the door's own handle
    context._migrations_fn = steps  # noqa: SLF001
    context.opts["dont_mutate"] = False
    try:
        yield
    finally:
        context._migrations_fn = fn  # noqa: SLF001
        context.opts["dont_mutate"] = dont_mutate


def steps_to(script: ScriptDirectory, heads: Sequence[str], to: str) -> list[RevisionStep]:
    """Return the steps from where a database stands to a revision; down where it is beyond that one.

    :raises CommandError: when there is no such revision.
    """
    here: Any = tuple(heads)
    if to == "base" or to.startswith("-") or "@-" in to or _is_below(script, here, to):
        return list(script._downgrade_revs(to, here))  # noqa: SLF001 - what alembic.command.downgrade calls
    return list(script._upgrade_revs(to, here))  # noqa: SLF001 - what alembic.command.upgrade calls


def _is_below(script: ScriptDirectory, heads: tuple[str, ...], to: str) -> bool:
    if not heads or to in ("head", "heads") or "+" in to or "@" in to:
        return False
    wanted = {revision.revision for revision in script.get_revisions(to) if revision is not None}
    applied = {revision.revision for revision in script.iterate_revisions(heads, "base", implicit_base=True)}
    return bool(wanted) and wanted <= applied and not wanted & set(heads)
