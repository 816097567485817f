"""Does a squash make what the files made that it stands for, on a new database and with what comes behind it?"""

from __future__ import annotations

import logging
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alembic.autogenerate import produce_migrations, render
from alembic.autogenerate.api import AutogenContext

from alembic_safe.database.replay import replay, run_on_shadow
from alembic_safe.errors import NextStep, ProofFailed, ReplayFailed
from alembic_safe.history.chain import State, state_of
from alembic_safe.history.rows import EVERYTHING, differences
from alembic_safe.inspecting.comparison import compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId

_SHOWN = 20
_ADDRESS = re.compile(r"0x[0-9a-f]+")


@dataclass(frozen=True)
class Sides:
    """The history before and after, as script directories.

    :param before: in which every original is a revision of its own; made anew for each run, as a run changes it.
    :param after: in which the squash is.
    :param stock: the same as it is to an Alembic without us.
    :param end: the id of the squash.
    :param fresh: makes a shadow with what was there before the first revision: usually nothing.
    """

    config: Config
    before: Callable[[], ScriptDirectory] = field(repr=False)
    after: Callable[[], ScriptDirectory] = field(repr=False)
    stock: Callable[[], ScriptDirectory] = field(repr=False)
    end: str
    fresh: Callable[[], Shadow] = field(repr=False)


@dataclass(frozen=True)
class Proven:
    """One thing that was held against its other side, and found equal.

    :param what: ``fresh``, ``later``, ``downgrade``, ``autogenerate``, ``through``.
    :param said: one line for people.
    """

    what: str
    said: str


class NotEqual(ProofFailed):
    """What the files make, and what the squash makes, are two things."""


def require_equal(
    before: State, after: State, changing: Mapping[ObjectId, Sequence[str]], what: str, *, is_new: bool = True
) -> None:
    """Stop where two databases differ in anything: objects, owners, rights, comments, order, rows, sequences.

    :param changing: columns whose values are other ones each time.
    :raises NotEqual: with what differs, and nothing written.
    """
    found = [str(one) for one in compare(before.catalog, after.catalog, column_order=True, inherited_names=True)]
    found += differences(before.contents, after.contents, changing)
    if found:
        more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        raise NotEqual(
            f"The proof failed: {what}, the files and the squash do not lead to the same database"
            f" ({len(found)} difference{'' if len(found) == 1 else 's'}).",
            detail=[*found[:_SHOWN], *more],
            next_steps=[
                NextStep("report this, with the lines above")
                if is_new
                else NextStep("mend the squash; what it should make is told by the originals", "git diff")
            ],
        )


def prove_fresh(
    sides: Sides, expected: State, changing: Mapping[ObjectId, Sequence[str]]
) -> tuple[Shadow, State, Proven]:
    """Run the squash on an empty database, and hold it against what the files made."""
    made = sides.fresh()
    state = state_of(made, replay(sides.config, sides.after(), made, to=sides.end))
    require_equal(expected, state, changing, "on an empty database")
    rows = f"{_number(state.contents.number, 'row')}, {_number(len(state.contents.sequences), 'sequence position')}"
    said = f"{_counts(state.catalog)}, {rows}"
    return made, state, Proven("fresh", f"{said}: equal")


def prove_later(
    sides: Sides, before: Shadow, after: Shadow, changing: Mapping[ObjectId, Sequence[str]]
) -> list[Proven]:
    """Run what comes behind the squash on both sides, and hold them against each other; then autogenerate on both."""
    on_old, on_new = before.copied(), after.copied()
    try:
        ran = replay(sides.config, sides.before(), on_old, to="heads")
        old = state_of(on_old, ran)
        new = state_of(on_new, replay(sides.config, sides.after(), on_new, to="heads"))
        # what is behind it may write such values, or call those tables otherwise that the files before have written them to
        volatile = changing if not ran.steps else changing_between(old, new, changing, (
            lambda: run_again(sides, before.copied(), "heads"),
            lambda: run_again(sides, sides.fresh(), sides.end, "heads"),
        ))  # fmt: skip
        require_equal(old, new, volatile, "with the revisions behind it")
        said = [Proven("later", f"{_number(ran.steps, 'revision')} behind it, run on both: equal")] if ran.steps else []
        found = [
            _autogenerated(sides.config, script(), on) for script, on in ((sides.before, on_old), (sides.after, on_new))
        ]
        if found[0] != found[1]:
            lines = [set(side or ()) for side in found]
            raise NotEqual(
                "The proof failed: autogenerate says something else about the models after the squash.",
                detail=[
                    *(f"before only: {line.strip()}" for line in sorted(lines[0] - lines[1])[:_SHOWN]),
                    *(f"after only: {line.strip()}" for line in sorted(lines[1] - lines[0])[:_SHOWN]),
                ],
            )
    finally:
        on_old.dismiss()
        on_new.dismiss()
    if found[0] is not None:
        said.append(Proven("autogenerate", f"against the models: {len(found[0])} lines before, the same after"))
    return said


def run_again(sides: Sides, shadow: Shadow, *to: str) -> State:
    """Bring a database to one point after the other by the files, and return what it is then; it goes."""
    try:
        done = [replay(sides.config, sides.before(), shadow, to=one) for one in to]
        return state_of(shadow, done[-1])
    finally:
        shadow.dismiss()


def changing_between(
    one: State, other: State, changing: Mapping[ObjectId, Sequence[str]], more: Sequence[Callable[[], State]]
) -> Mapping[ObjectId, Sequence[str]]:
    """Return the columns whose values are other ones each time, for as long as rows differ in any that are not among them.

    :param one: what the files made; :param other: what is held against that.
    :param changing: those that are known, as tables and columns were called by then.
    :param more: make the first once more, the quickest way first.
    """
    found = dict(changing)
    for run in more:
        if not differences(one.contents, other.contents, found):
            break
        for id_, columns in differing_columns(one, run()).items():
            if found.get(id_) != EVERYTHING:
                found[id_] = tuple(dict.fromkeys([*found.get(id_, ()), *columns]))
    return found


def differing_columns(one: State, other: State) -> dict[ObjectId, tuple[str, ...]]:
    """Return the columns in which the rows of two databases differ that should be the same."""
    found = {}
    twins = {table.id: table for table in other.contents.tables}
    for table in one.contents.tables:
        twin = twins.get(table.id)
        if twin is not None and table.columns == twin.columns:
            columns = tuple(
                column
                for n, column in enumerate(table.columns)
                if sorted(repr(row[n]) for row in table.rows) != sorted(repr(row[n]) for row in twin.rows)
            )
            if columns:
                found[table.id] = columns
    return found


def prove_downgrade(sides: Sides, after: Shadow, empty: Catalog) -> Proven:
    """Take the squash back as stock Alembic does, and look whether nothing is left.

    :raises NotEqual: when something is.
    """
    made = after.copied()
    try:
        state = state_of(made, replay(sides.config, sides.stock(), made, to="base"))
        left = [str(one) for one in compare(empty, state.catalog, owners=False)]
    finally:
        made.dismiss()
    if left:
        raise NotEqual("The proof failed: what the squash makes is not all taken back.", detail=left[:_SHOWN])
    return Proven("downgrade", "taken back with its own downgrade(): nothing is left")


def takes_back(sides: Sides, before: Shadow, to: str = "base", empty: Catalog | None = None) -> str:
    """Return why the originals cannot be taken back from the end of the squash to where it begins; empty where they can.

    :param empty: what has to be left afterwards, where that is asked.
    """
    made = before.copied()
    try:
        done = replay(sides.config, sides.before(), made, to=to)
        left = compare(empty, state_of(made, done).catalog, owners=False) if empty is not None else ()
    except ReplayFailed as error:
        return said_of(error)
    finally:
        made.dismiss()
    return f"{left[0].object} is left after the downgrades of the revisions that this one stands for" if left else ""


def said_of(error: ReplayFailed) -> str:
    """Return what an error says, without where something was in memory: that is another place in each run."""
    return _ADDRESS.sub("0x", error.summary)


def _autogenerated(config: Config, script: ScriptDirectory, shadow: Shadow) -> list[str] | None:
    """Return the lines that autogenerate would write, sorted; ``None`` where ``env.py`` has no models."""
    found: list[list[str] | None] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        metadata = context.opts.get("target_metadata")
        if metadata is None:
            found.append(None)
            return
        with autogenerate_quiet():
            operations = produce_migrations(context, metadata).upgrade_ops
            # what env.py says of rendering, and Alembic's own defaults
            options = {"sqlalchemy_module_prefix": "sa.", "alembic_module_prefix": "op.", "user_module_prefix": None,
                       "render_item": None, "render_as_batch": False} | context.opts  # fmt: skip
            autogen = AutogenContext(context, metadata=metadata, opts=options)
            text = render._render_cmd_body(operations, autogen) if operations else ""  # noqa: SLF001 - as files are written
        lines = [line for line in text.splitlines() if not line.strip().startswith("#") and line.strip() != "pass"]
        found.append(sorted(lines))

    run_on_shadow(config, script, shadow, work)
    return found[0] if found else None


@contextmanager
def autogenerate_quiet() -> Iterator[None]:
    """Keep what autogenerate finds out of the output."""
    log = logging.getLogger("alembic.autogenerate")
    before, log.level = log.level, logging.ERROR
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.level = before


def _counts(catalog: Catalog) -> str:
    kinds = [id_.kind for id_ in catalog.objects]
    return f"{_number(kinds.count('table'), 'table')}, {_number(len(kinds), 'object')}"


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
