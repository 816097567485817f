"""Has somebody changed this database by hand: is it what it should be at its own revision?"""

# Pending revisions are no drift: the database is held against the revision that it is at, never against the files'
# head. What it should be comes from one of two places. The journal knows what the last deployment left behind, which
# needs one query and no other server; a replay of the files on a shadow knows what they say. A check that could not
# be made is unknown, and never "in sync".
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from alembic_safe.database.journal import RESTORED, last_deployments
from alembic_safe.database.journal_catalogs import last_catalog
from alembic_safe.database.journal_steps import half_done
from alembic_safe.database.replay_connection import place_of
from alembic_safe.database.shadow_needs import needs_of
from alembic_safe.database.shadow_wish import ShadowWish
from alembic_safe.errors import NextStep, SafeError
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.catalog_records import Catalog
from alembic_safe.inspecting.comparison import EXISTS, compare
from alembic_safe.inspecting.difference_sql import undo_sql
from alembic_safe.inspecting.expected import catalogs_at
from alembic_safe.inspecting.owners import owned_as
from alembic_safe.inspecting.target import version_tables
from alembic_safe.inspecting.unrecorded import unrecorded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.database.journal_catalogs import JournalledCatalog
    from alembic_safe.inspecting.catalog_records import ObjectId, Value
    from alembic_safe.inspecting.difference_sql import Undo
    from alembic_safe.inspecting.target import Target
    from alembic_safe.settings import Settings

Verdict = Literal["in sync", "drift", "unknown"]
Source = Literal["journal", "shadow"]


@dataclass(frozen=True)
class Drift:
    """What one check found.

    :param against: what the database was held against, in words: ``what safe-upgrade left on 2026-03-01 12:00``.
    :param items: each difference with the SQL that undoes it, in the order in which that is to be run.
    :param why: for ``unknown``: why nobody can say.
    :param next_step: for ``unknown``: what would tell, where something would.
    :param is_of_no_revision: for ``unknown``: there are tables, and no revision that they are of.
    :param expected: what the database should be, where that is known.
    :param actual: what it is.
    """

    verdict: Verdict
    against: str = ""
    items: tuple[Undo, ...] = ()
    why: str = ""
    next_step: NextStep | None = None
    is_of_no_revision: bool = False
    expected: Catalog | None = None
    actual: Catalog | None = None


def unknown(why: str, next_step: NextStep | None = None) -> Drift:
    """Return the verdict of a check that could not be made."""
    return Drift("unknown", why=why, next_step=next_step)


def judge(expected: Catalog, actual: Catalog, against: str) -> Drift:
    """Compare what a database should be with what it is; pure.

    Catalogs that servers of different major versions wrote are worded differently: such differences prove nothing.
    """
    differences = compare(expected, actual)
    if not differences:
        return Drift("in sync", against, expected=expected, actual=actual)
    if expected.server_version // 10000 != actual.server_version // 10000:
        versions = f"PostgreSQL {expected.server_version // 10000} and {actual.server_version // 10000}"
        return unknown(f"{against} was written by another version of the server ({versions})")
    return Drift("drift", against, undo_sql(differences, expected, actual), expected=expected, actual=actual)


def find_drift(
    context: MigrationContext,
    script: ScriptDirectory,
    target: Target,
    settings: Settings,
    *,
    sources: Sequence[Source] = ("journal",),
    dry_run: bool = False,
) -> Drift:
    """Look whether a database is what it should be at its revision; reads only.

    :param context: on the target's connection, as ``env.py`` configured it; its transaction is left as it is.
    :param sources: where to learn what it should be, the first one that knows decides.
    :param dry_run: a shadow is never made on the target's own server.
    """
    if not target.heads and not target.identity.place.has_tables:
        return Drift("in sync", "an empty database")
    connection: Any = context.connection
    pushed = unrecorded(connection, target).pushes
    if pushed:
        times = "once" if pushed == 1 else f"{pushed} times"
        return unknown(
            f"it was pushed to {times}, and no file knows of that yet (alembic milestone writes it down)",
            NextStep("write it down", 'alembic milestone -m "..."'),
        )
    left = half_done(connection, target.journals, target.version_table) if target.journals is not None else ()
    if left:
        return unknown(f"{left[0].revision} is half done, and what it left is not told from what a person did")
    if not target.heads:
        return Drift(
            "unknown", why="no revision is applied here, though there are tables (alembic safe-baseline finds theirs)",
            next_step=NextStep("find or write theirs", "alembic safe-baseline"), is_of_no_revision=True,
        )  # fmt: skip
    known = {revision.revision for revision in script.walk_revisions()}
    reasons = []
    actual = read_catalog(connection, leave_out=version_tables(target, context))
    for source in sources:
        if source == "journal":
            found = _by_journal(connection, target, actual)
        elif not set(target.heads) <= known:
            found = unknown("the files here do not have the revision that the database is at")
        else:
            found = _by_replay(context, script, target, settings, actual, dry_run=dry_run)
        if found.verdict != "unknown":
            return found
        reasons.append(found.why)
    asks_files = "shadow" not in sources and set(target.heads) <= known
    replay = NextStep("replay the files and compare", "alembic safe-status --drift")
    return unknown("; ".join(reasons), replay if asks_files else None)


def _by_journal(connection: Any, target: Target, actual: Catalog) -> Drift:
    if target.journals is None:
        return unknown("there is no journal that says what a deployment left")
    stored = last_catalog(connection, target.journals, target.version_table)
    if stored is None:
        return unknown("no deployment has journalled yet what it left")
    if set(stored.heads) != set(target.heads):
        at = ", ".join(stored.heads) or "no revision"
        return unknown(f"the journal knows what this database was at {at}, and it has been moved from there since")
    deployments = last_deployments(connection, target.journals, target.version_table)
    last = next((one for one in deployments if one.outcome != RESTORED), None)
    if last is not None and last.outcome != "done" and last.started_at > stored.at:
        return unknown("the last deployment did not end, and what it left half done is not told from what a person did")
    try:
        expected = Catalog.from_json(stored.catalog)
    except ValueError as error:
        return unknown(f"what the journal knows of this database cannot be read: {error}")
    return judge(expected, actual, left_by(stored))


def left_by(stored: JournalledCatalog) -> str:
    """Return how a journalled catalog is called in a message."""
    return f"what {stored.command} left on {stored.at.astimezone():%Y-%m-%d %H:%M}"


def _by_replay(
    context: MigrationContext,
    script: ScriptDirectory,
    target: Target,
    settings: Settings,
    actual: Catalog,
    *,
    dry_run: bool,
) -> Drift:
    connection: Any = context.connection
    assert context.config is not None  # noqa: S101 - env.py was run with one
    wish = ShadowWish(
        target.endpoint, needs_of(connection), settings, protected=target.identity.protected, dry_run=dry_run
    )
    try:
        found = catalogs_at(context.config, script, wish, target.heads)
    except SafeError as error:
        return unknown(f"the files could not be replayed on a shadow: {error.summary}")
    here = place_of(connection)
    for files in found:
        if files.place == here:
            expected = owned_as(files.catalog, actual, made_by=files.role)
            return judge(expected, actual, f"what the files say at {', '.join(target.heads)}, replayed on a shadow")
    return unknown("the replay on a shadow did not reach this database")


def carried(drift: Drift, after: Catalog) -> Catalog:
    """Return what a database should be after a deployment that began with drift in it; pure.

    What the deployment made is as it should be. What it left alone and was drift before still is drift: there the
    expectation is carried on, or the next check would take the hand-made for meant.

    :param drift: what was found before the deployment.
    """
    if drift.verdict != "drift" or drift.expected is None or drift.actual is None:
        return after
    objects = dict(after.objects)
    for item in drift.items:
        id_, what = item.difference.object, item.difference.what
        before = drift.actual.objects.get(id_)
        if after.objects.get(id_) != before:
            continue
        wanted = drift.expected.objects.get(id_)
        if what == EXISTS:
            for part in (id_, *(part for part in (drift.expected if wanted else drift.actual).parts(id_))):
                _put(objects, part, drift.expected.objects.get(part))
        elif wanted is not None:
            _put(objects, id_, {**{k: v for k, v in objects[id_].items() if k != what}, **_only(wanted, what)})
    return replace(after, objects=objects)


def _put(objects: dict[ObjectId, Mapping[str, Value]], id_: ObjectId, wanted: Mapping[str, Value] | None) -> None:
    if wanted is None:
        objects.pop(id_, None)
    else:
        objects[id_] = wanted


def _only(attributes: Mapping[str, Value], what: str) -> Mapping[str, Value]:
    return {what: attributes[what]} if what in attributes else {}
