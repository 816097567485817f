"""How do the pending revisions run on a stand-in for the target: its schema, its backup restored, or a staging database?"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.replay import replay, run_on_shadow
from alembic_safe.database.replay_connection import place_of
from alembic_safe.database.shadow import open_shadow
from alembic_safe.database.shadow_needs import needs_of
from alembic_safe.database.steps_on_shadow import stepwise
from alembic_safe.deploying.restore import RestoreRequest, checked, pour
from alembic_safe.errors import Missing, NextStep, RehearsalFailed, ReplayFailed, SafeError, WrongUsage
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.comparison import compare
from alembic_safe.inspecting.own_schema import OwnSchema
from alembic_safe.inspecting.trace_watch import unwatch
from alembic_safe.inspecting.tracing import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from alembic.runtime.migration import MigrationContext

    from alembic_safe.deploying.upgrade import Upgrade
    from alembic_safe.inspecting.trace import RevisionTrace

KINDS = ("auto", "schema", "backup", "off")


@dataclass(frozen=True)
class Invariant:
    """A query whose answer the revisions must not change.

    :param before: its answer as text, before and after.
    """

    query: str
    before: str
    after: str

    @property
    def holds(self) -> bool:
        """Whether the answer is the same."""
        return self.before == self.after


@dataclass(frozen=True)
class Rehearsal:
    """A rehearsal that was carried out.

    :param stand_in: what it ran on, in words.
    :param revisions: what was seen of each revision, with how long it took there.
    :param downgrade: ``down and up again``, or why not.
    :param models: in what the result differs from the models; empty: in nothing, or there are none.
    :param failed: why it counts as failed; empty where it passed.
    """

    kind: str
    stand_in: str
    revisions: tuple[RevisionTrace, ...] = ()
    seconds: float = 0.0
    invariants: tuple[Invariant, ...] = ()
    downgrade: str = "not tried"
    models: tuple[str, ...] = ()
    failed: str = ""

    @property
    def detail(self) -> str:
        """How long each revision took, or why it failed, in one line."""
        took = ", ".join(f"{one.revision} {one.seconds:.3f} s" for one in self.revisions)
        return f"{self.failed}; {took}" if self.failed else took


def rehearse(upgrade: Upgrade, kind: str, *, backup: Path | None = None) -> Rehearsal:
    """Run the pending revisions for real on a stand-in; the target is only read.

    :param kind: ``schema``, ``backup``, or the URL of a staging database.
    :param backup: the file, for ``backup``.
    :raises RehearsalFailed: when a revision fails there, or an invariant does not hold; nothing was changed on the target.
    :raises Missing: when there is no stand-in.
    """
    began = time.monotonic()
    with _stand_in(upgrade, kind, backup) as (shadow, words):
        found = _on(upgrade, shadow, kind, words)
    found = replace(found, seconds=time.monotonic() - began)
    if found.failed:
        raise RehearsalFailed(
            f"The rehearsal on {found.stand_in} failed: {found.failed}.",
            detail=[f"{one.revision}: {one.seconds:.1f} s" for one in found.revisions if not one.failed],
            next_steps=[NextStep("mend the cause, then the same command", "alembic safe-upgrade")],
            state="It ran on a stand-in. Nothing was changed in the target.",
        )
    return found


@contextmanager
def _stand_in(upgrade: Upgrade, kind: str, backup: Path | None) -> Iterator[tuple[Any, str]]:
    place = place_of(upgrade.connection)
    if kind not in KINDS:
        yield _Staging(_staging(upgrade, kind)), f"the staging database {_staging(upgrade, kind).shown}"
        return
    needs = needs_of(upgrade.connection)
    with ExitStack() as stack:
        shadow = stack.enter_context(
            open_shadow(upgrade.target.endpoint, upgrade.settings, needs=needs, protected=upgrade.identity.protected)
        )
        on = f"PostgreSQL {shadow.server_version // 10000}.{shadow.server_version % 10000}"
        endpoint = shadow.database_for(place)
        if kind == "backup":
            if backup is None:
                raise Missing(
                    "There is no backup to rehearse on.", next_steps=[NextStep("take one", "alembic safe-backup")]
                )
            _restore(backup, endpoint, upgrade)
            shadow.holds_rows = True
            yield shadow, f"the backup {backup.name}, restored, {on}"
            return
        _own(upgrade).pour_into(endpoint)
        yield shadow, f"the target's schema without rows, {on}"


def _own(upgrade: Upgrade) -> OwnSchema:
    return OwnSchema(
        place_of(upgrade.connection), read_catalog(upgrade.connection), upgrade.target.endpoint, upgrade.settings,
        upgrade.identity.place.server_version, (upgrade.target.version_schema, upgrade.context.version_table),
        upgrade.target.heads, upgrade.identity.place.role,
    )  # fmt: skip


class _Staging:
    """One database that stands for every place: what a replay asks a shadow for."""

    patience = 0.0  # others are at work there, too, and nobody's statement is ended
    untouched = False  # what is there is there

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def database_for(self, place: str = "") -> Endpoint:
        """Return it."""
        del place
        return self._endpoint


def _staging(upgrade: Upgrade, url: str) -> Endpoint:
    try:
        endpoint = Endpoint.from_url(make_url(url))
    except ArgumentError as error:
        raise WrongUsage(
            f"--rehearse {url}: it is neither {', '.join(KINDS)} nor a database URL.",
            next_steps=[NextStep("on a copy of the schema", "alembic safe-rehearse --on schema")],
        ) from error
    target = upgrade.target.endpoint
    if (endpoint.host, endpoint.port, endpoint.database) == (target.host, target.port, target.database):
        raise WrongUsage("The staging database is the target itself: a rehearsal there would be the deployment.")
    return endpoint


def _restore(backup: Path, endpoint: Endpoint, upgrade: Upgrade) -> None:
    """Restore a backup into the stand-in: its sha256 first, and every byte of it."""
    request = RestoreRequest(
        endpoint=endpoint, path=backup, name=endpoint.database, owners=False, pg_bin=upgrade.settings.pg_bin
    )
    checked(request)
    pour(request, endpoint.database)
    with endpoint.connect() as connection:
        connection.autocommit = True
        connection.execute("ANALYZE")


def _on(upgrade: Upgrade, shadow: Any, kind: str, words: str) -> Rehearsal:
    config, script = upgrade.context.config, upgrade.script
    assert config is not None  # noqa: S101 - env.py was run with one
    endpoint = shadow.database_for(place_of(upgrade.connection))
    queries = upgrade.settings.invariants
    try:
        before = _answers(endpoint, queries)
    except SafeError as error:
        return Rehearsal(kind, words, failed=error.summary)
    tracer = Tracer()
    failed = ""
    try:
        wanted = _own(upgrade).is_of
        replay(
            config, script, shadow, to=upgrade.request.revision, only=_only(upgrade), watch=tracer.watch, wanted=wanted
        )
    except ReplayFailed as error:
        failed = error.summary.rstrip(".").replace(" on an empty database", "")
    seen = tuple(one for trace in tracer.traces.values() for one in trace.revisions)
    found = Rehearsal(kind, words, seen, failed=failed)
    with endpoint.connect() as connection:
        connection.autocommit = True
        unwatch(connection)
    if failed:
        return found
    after = _answers(endpoint, queries)
    invariants = tuple(Invariant(q, b, a) for q, b, a in zip(queries, before, after, strict=True))
    broken = [one for one in invariants if not one.holds]
    if broken:
        said = f"{broken[0].query}: {broken[0].before} before, {broken[0].after} after"
        return replace(found, invariants=invariants, failed=f"an invariant does not hold: {said}")
    found = replace(found, invariants=invariants, models=_models(upgrade, shadow))
    return replace(found, downgrade=_down_and_up(upgrade, shadow, endpoint)) if kind == "schema" else found


def _only(upgrade: Upgrade) -> list[str] | None:
    """Return the revisions that run where others wait behind the gate; ``None``: all of them run."""
    if not upgrade.gated.held:
        return None
    through = upgrade.through(upgrade.steps_from(upgrade.target.heads), upgrade.gated)
    return [step.revision.revision for step in through]


def _answers(endpoint: Endpoint, queries: Sequence[str]) -> tuple[str, ...]:
    """Ask every invariant in a transaction that cannot write."""
    found = []
    with endpoint.connect() as connection:
        for query in queries:
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute("SET TRANSACTION READ ONLY")
                    rows = connection.execute(query.encode()).fetchall()
            except psycopg.Error as error:
                raise WrongUsage(f"invariants: {query}: {' '.join(str(error).split())}.") from error
            found.append("; ".join(", ".join(str(value) for value in row) for row in rows))
    return tuple(found)


def _models(upgrade: Upgrade, shadow: Any) -> tuple[str, ...]:
    """Return in what the result differs from the models, as autogenerate sees it."""
    from alembic.autogenerate import compare_metadata

    found: list[str] = []

    database = shadow.database_for(place_of(upgrade.connection)).database

    def look(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        here: Any = context.connection
        if (here.engine.url.database, context.version_table) != (database, upgrade.context.version_table):
            return
        metadata = context.opts.get("target_metadata")
        if metadata is not None and (upgrade.request.revision in {"head", "heads"}):
            for one in compare_metadata(context, metadata):
                first = one[0] if isinstance(one, list) else one
                found.append(" ".join(str(getattr(part, "name", part)) for part in first if part is not None)[:120])
        connection: Any = context.connection
        connection.rollback()

    assert upgrade.context.config is not None  # noqa: S101
    run_on_shadow(upgrade.context.config, upgrade.script, shadow, look)
    return tuple(found)


def _down_and_up(upgrade: Upgrade, shadow: Any, endpoint: Endpoint) -> str:
    """Downgrade to where the target is, and upgrade again: the result must be the same."""
    heads = upgrade.target.heads
    config = upgrade.context.config
    assert config is not None  # noqa: S101
    if len(heads) > 1:
        return "not tried: the target has several heads"
    leave_out = frozenset({f"{upgrade.target.version_schema}.{upgrade.context.version_table}"})

    def catalog() -> Any:
        with endpoint.connect() as connection:
            return read_catalog(connection, leave_out=leave_out)

    first = catalog()
    to, only, wanted = upgrade.request.revision, _only(upgrade), _own(upgrade).is_of
    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("downgrade", lambda: replay(config, upgrade.script, shadow, to=heads[0] if heads else "base", wanted=wanted)),
        (
            "upgrade again",
            lambda: replay(config, upgrade.script, shadow, to=to, only=only, watch=stepwise, wanted=wanted),
        ),
    )
    for name, step in steps:
        failed = _failure_of(step)
        if failed:
            return f"{name} fails: {failed}"
    differences = compare(first, catalog())
    if differences:
        return f"down and up again is not the same: {differences[0]}"
    return "down and up again, and the same"


def _failure_of(step: Callable[[], object]) -> str:
    try:
        step()
    except ReplayFailed as error:
        return error.summary
    return ""
