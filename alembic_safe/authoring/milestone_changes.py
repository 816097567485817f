"""What does a milestone write: which operations lead from what the files make to the models?"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from alembic_safe.authoring.change_records import Aim, LabelTooNew, Ways
from alembic_safe.authoring.changes import apply_changes, version_tables
from alembic_safe.authoring.expressible import looked_at
from alembic_safe.authoring.keeping import keeping_rows
from alembic_safe.authoring.left_out import left_out
from alembic_safe.authoring.moved import moved_fills, moved_sources
from alembic_safe.authoring.push_findings import before as named_before
from alembic_safe.authoring.push_plan import make_plan, shown
from alembic_safe.authoring.recipes.naming import worded
from alembic_safe.authoring.renames import (
    Evidence,
    Question,
    Rename,
    composed,
    marked,
    object_of,
    read_renames,
    settle,
    shown_rename,
)
from alembic_safe.authoring.reshaped import fills_of, said_of_columns, sources_of
from alembic_safe.database.guard import shell_word
from alembic_safe.database.replay import run_on_shadow
from alembic_safe.errors import ConsentMissing, NextStep
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.models_catalog import models_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alembic.config import Config
    from alembic.operations import ops
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.authoring.change_records import Changes, Unsettled
    from alembic_safe.authoring.milestone_side import Side
    from alembic_safe.authoring.push_plan import PlannedChange
    from alembic_safe.authoring.renames import Kind, Settled
    from alembic_safe.database.shadow import Shadow
    from alembic_safe.inspecting.catalog_records import Catalog

    Ask = Callable[[Question, str], str | None]


_KINDS: dict[str, Kind] = {"table": "table", "column": "column", "label": "label"}


@dataclass(frozen=True)
class Found:
    """What one of the databases needs.

    :param models: the models as a database.
    :param before: what the files make.
    :param after: what the operations made of it.
    :param upgrade: the operations in their order; ``downgrade``: those that take them back, in theirs.
    :param unsettled: what no operation can express.
    :param planned: the same in words.
    :param dirty: whether the shadow was changed for good by finding out.
    """

    models: Catalog
    before: Catalog
    after: Catalog
    renames: tuple[Rename, ...]
    upgrade: tuple[ops.MigrateOperation, ...]
    downgrade: tuple[ops.MigrateOperation, ...]
    unsettled: tuple[Unsettled, ...]
    planned: tuple[PlannedChange, ...] = ()
    dirty: bool = False


def find(
    config: Config,
    script: ScriptDirectory,
    shadow: Shadow,
    sides: Sequence[Side],
    given: Sequence[str],
    accept: frozenset[str],
    ask: Ask | None,
    on_found: Callable[[MigrationContext, Found], None],
) -> tuple[Found, ...]:
    """Find out on a shadow that stands where the files end.

    :param given: renames as ``--rename`` takes them.
    :param accept: what is gone and was not renamed, such as ``drop-column:users.nick``.
    :param ask: puts a question about a rename to a person; ``None``: nobody can be asked.
    :param on_found: called while ``env.py`` still runs on the shadow, once for each database.
    :raises ConsentMissing: when nobody says whether something was renamed.
    """
    found: list[Found] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        side = sides[len(found)]
        models = models_catalog(side.models, side.ground, lambda: nullcontext(shadow)).catalog
        connection: Any = context.connection
        before = read_catalog(connection, leave_out=version_tables(context))
        connection.rollback()
        hidden = left_out(context, side.tables, before)
        settled = _renames(side, looked_at(models, hidden), looked_at(before, hidden), given, accept, ask)
        one = _apply(context, side, models, before, settled.renames)
        on_found(context, one)
        found.append(one)

    run_on_shadow(config, script, shadow, work)
    return tuple(found)


def _apply(
    context: MigrationContext, side: Side, models: Catalog, before: Catalog, renames: tuple[Rename, ...]
) -> Found:
    said = said_of_columns(side.tables)
    fills = fills_of(said, before) | moved_fills(said, before) | _fills(side)
    # no row stands in a shadow: what may change in a conversion was consented to where there are rows
    aim = Aim(side.models, models, renames, fills=fills, casts=_consented(side, models), ways=_ways(said, renames))
    plan = make_plan(
        models, before, renames, keep=frozenset(), without=left_out(context, side.tables, before),
        default_schema=side.ground.default_schema, fills=aim.fills,
    )  # fmt: skip
    dirty = False
    try:
        changes = _rolled_back(context, aim)
    except LabelTooNew:
        changes, dirty = _rolled_back(context, replace(aim, labels_committed=True)), True
    return Found(
        models, before, changes.catalog, renames, changes.upgrade, tuple(keeping_rows(changes.downgrade)),
        changes.unsettled, plan.changes, dirty,
    )  # fmt: skip


class _Undo(Exception):
    """Ends a transaction whose work was only looked at."""


def _rolled_back(context: MigrationContext, aim: Aim) -> Changes:
    connection: Any = context.connection
    found: list[Changes] = []
    connection.rollback()
    try:
        with context.begin_transaction(_per_migration=True):
            found.append(apply_changes(context, aim))
            raise _Undo  # noqa: TRY301 - what ends a block of Alembic without a commit
    except _Undo:
        return found[0]


def _renames(
    side: Side,
    models: Catalog,
    before: Catalog,
    given: Sequence[str],
    accept: frozenset[str],
    ask: Ask | None,
) -> Settled:
    default = side.ground.default_schema
    evidence = Evidence(
        given=read_renames(given, models, before, default),
        marked=marked(side.tables),
        remembered=_remembered(side),
        not_renamed=_gone_by_a_push(side, before)
        | _accepted(accept, before, default)
        | sources_of(said_of_columns(side.tables))
        | moved_sources(said_of_columns(side.tables)),
    )
    settled = settle(models, before, evidence, ask)
    # a label that went and one that came: on a shadow no row hangs on it, and a push has asked the rows
    opened = tuple(question for question in settled.open if question.kind != "label")
    if opened:
        raise open_questions(opened, default)
    return settled


def _accepted(accept: frozenset[str], before: Catalog, default: str) -> frozenset[ObjectId]:
    return frozenset(
        id_
        for id_ in before.objects
        if id_.kind in {"table", "column"} and f"drop-{id_.kind}:{shown(id_, default)}" in accept
    )


def going(sides: Sequence[Side], found: Sequence[Found]) -> frozenset[str]:
    """Return the names by which a person says that something is gone, of all that the files have and the models have not."""
    return frozenset(
        f"drop-{id_.kind}:{shown(id_, side.ground.default_schema)}"
        for side, one in zip(sides, found, strict=True)
        for id_ in one.before.objects
        if id_.kind in {"table", "column"} and id_ not in one.models.objects
    )


def _remembered(side: Side) -> tuple[Rename, ...]:
    """Return what people answered in pushes, as one step from the oldest names to the newest."""
    return composed(Rename(_KINDS[one.kind], one.schema, one.parent, one.old, one.new) for one in side.pushed.renames)


def _fills(side: Side) -> dict[ObjectId, str]:
    """Return what people said that rows without a value hold, under the names that the columns have now."""
    found = {ObjectId("column", one.schema, one.column, one.table): one.expression for one in side.pushed.fills}
    for rename in _remembered(side):
        if rename.kind == "table":
            found = {
                id_._replace(parent=rename.new) if (id_.schema, id_.parent) == (rename.schema, rename.old) else id_: sql
                for id_, sql in found.items()
            }
        elif rename.kind == "column":
            old = ObjectId("column", rename.schema, rename.old, rename.table)
            found = {id_._replace(name=rename.new) if id_ == old else id_: sql for id_, sql in found.items()}
    return found


def _consented(side: Side, models: Catalog) -> frozenset[ObjectId]:
    """Return the columns of which a person knew in a push that a conversion changes values, by the names they have now."""
    default = side.ground.default_schema
    renames = [Rename(_KINDS[one.kind], one.schema, one.parent, one.old, one.new) for one in side.pushed.renames]
    found: set[ObjectId] = set()
    for id_ in models.objects:
        if id_.kind != "column":
            continue
        names = [id_]
        for rename in reversed(renames):
            names.append(named_before(names[-1], [rename]))
        if any(f"cast:{shown(name, default)}" in side.pushed.accepted for name in names):
            found.add(id_)
    return frozenset(found)


def _ways(said: Mapping[ObjectId, Mapping[str, Any]], renames: Sequence[Rename]) -> dict[ObjectId, Ways]:
    """Return how the models say that values convert, and back, over the names that the columns have in the end."""
    found: dict[ObjectId, Ways] = {}
    for id_, info in said.items():
        up, down = info.get("up"), info.get("down")
        found[id_] = Ways(worded(up, {named_before(id_, renames).name: id_.name}) if up else None, down)
    return found


def _gone_by_a_push(side: Side, before: Catalog) -> frozenset[ObjectId]:
    """Return what the files have and the pushed database has not: when it went, a person said what became of it."""
    if not side.pushed.pushes:
        return frozenset()
    gone = {id_ for id_ in before.objects if id_.kind in {"table", "column"} and id_ not in side.catalog.objects}
    for id_, attributes in before.objects.items():
        held = side.catalog.objects.get(id_, {}).get("labels")
        labels = attributes.get("labels")
        if id_.kind == "enum" and isinstance(labels, tuple) and isinstance(held, tuple):
            gone |= {ObjectId("label", id_.schema, label, id_.name) for label in set(labels) - set(held)}
    remembered = {
        object_of(Question(one.kind, one.schema, one.table, (one.old,), (one.new,)), one.old)
        for one in _remembered(side)
    }
    return frozenset(gone - remembered)


def open_questions(questions: Sequence[Question], default_schema: str) -> ConsentMissing:
    """Return what is said where nobody has said whether something was renamed."""
    steps: list[NextStep] = []
    detail: list[str] = []
    for question in questions:
        place = f" of {question.table}" if question.table else ""
        detail.append(
            f"{question.kind}{place}: {', '.join(question.gone)} went, {', '.join(question.came)} came. Renamed, or one"
            " retired and another added?"
        )
        for old in question.gone:
            renames = [Rename(question.kind, question.schema, question.table, old, new) for new in question.came]
            names = [shell_word(shown_rename(rename, default_schema)) for rename in renames]
            steps += [NextStep(f"{old} was renamed", f'alembic milestone -m "..." --rename {name}') for name in names]
            gone = shell_word(f"drop-{question.kind}:{shown(object_of(question, old), default_schema)}")
            steps.append(NextStep(f"{old} goes", f'alembic milestone -m "..." --accept {gone}'))
    return ConsentMissing(
        "Nobody has said what was renamed, and names are never paired by likeness.", detail=detail, next_steps=steps
    )
