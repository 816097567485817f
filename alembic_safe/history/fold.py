"""How does a later range become one revision: recorded, folded, written aside and proven?"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from alembic_safe.database.replay import run_on_shadow
from alembic_safe.database.squashed import ARCHIVE
from alembic_safe.errors import NextStep, ProofFailed, ReplayFailed
from alembic_safe.history.chain import run_chain
from alembic_safe.history.effects import effects_of
from alembic_safe.history.folded import LEVELS, How, Way, fold, guard_of, is_elidable
from alembic_safe.history.proof import NotEqual, differing_columns, prove_fresh, prove_later, takes_back
from alembic_safe.history.range_proof import prove_rows, prove_way_back, with_rows
from alembic_safe.history.range_start import brought_to_start, made_and_taken, ties_at
from alembic_safe.history.recording import record
from alembic_safe.history.request import Made, Outcome, Read
from alembic_safe.history.sample import prove_sample
from alembic_safe.history.squash_file import Above
from alembic_safe.inspecting.catalog import read_catalog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.runtime.migration import MigrationContext

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.chain import Chain
    from alembic_safe.history.extent import Extent
    from alembic_safe.history.folded import Folded
    from alembic_safe.history.operation_touch import Ties
    from alembic_safe.history.proof import Proven, Sides
    from alembic_safe.history.range_proof import LeftOut, WithRows
    from alembic_safe.history.stage import Staged
    from alembic_safe.history.work import Work
    from alembic_safe.inspecting.catalog_records import Catalog


@dataclass(frozen=True)
class _Recorded:
    """The files of a range, as they ran.

    :param start: a database at its start; :param end: the same, brought to its end.
    :param no_way_back: why they cannot be taken back; empty where they can.
    """

    start: Shadow
    end: Shadow
    before: Catalog
    chain: Chain
    changing: LeftOut
    ways: tuple[Way, ...]
    no_way_back: str
    ties: Ties


class Fold:
    """One range: recorded, folded, written aside and proven."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def made(self, began: float) -> tuple[Staged, Outcome]:
        """Fold the range, prove it, and leave it beside its place.

        :raises ProofFailed: when it does not do the same in any form; nothing was written then.
        """
        work = self.work
        keep = work.keep  # a word that is none of them is told before anything runs
        recorded = self._recorded()
        given = with_rows(work.originals(recorded.start.copied), recorded.chain, elidable(work.extent))
        for level in range(LEVELS):
            staged, folded = self._staged(recorded, How(level, keep))
            sides = work.sides(staged, recorded.start.copied)
            try:
                proven, seconds = prove_range(
                    sides, str(work.extent.start), recorded.chain, recorded.end, recorded.changing, given,
                    goes_back=not recorded.no_way_back,
                )  # fmt: skip
                break
            except (NotEqual, ReplayFailed) as error:
                if level == LEVELS - 1:
                    raise self._failed(error) from error
        work.show.folded(folded)
        for one in proven:
            work.show.proved(one)
        through = prove_sample(sides, work.extent, recorded.chain, work.request, work.show)
        work.show.proved(through)
        given.dismiss()
        work.certify(staged, recorded.chain.state, recorded.changing, [*proven, through])
        text = staged.squash.read_text(encoding="utf-8")
        made = Made(folded.after, 0, (), (), folded.before, folded.carried, folded.level)
        return staged, Outcome(
            staged.revision, len(work.extent.revisions), staged.final, staged.final_archive, text.count("\n"), made,
            (*proven, through), recorded.chain.state.seconds, seconds, time.monotonic() - began, work.request.dry_run, text,
        )  # fmt: skip

    def _recorded(self) -> _Recorded:
        work = self.work
        end, start = work.extent.end.revision, str(work.extent.start)
        at_start = brought_to_start(work.config, work.before, work.extent, work.fresh())
        at_end = at_start.copied()
        chain = run_chain(work.config, work.before(), at_end, end, work.show.step)
        again = at_start.copied()
        script = work.stock()
        up, done = record(work.config, script, again, end)
        with at_start.endpoint.connect() as connection:
            before = read_catalog(connection, leave_out=frozenset({done.contexts[-1].version_table}))
        ways = [Way("upgrade", tuple(script.get_revision(one) for one in up), up)]
        changing: LeftOut = {}
        if chain.state.contents.tables:
            twice = run_chain(work.config, work.before(), (second := at_start.copied()), end)
            changing = differing_columns(chain.state, twice.state)
            second.dismiss()
        no_way_back = takes_back(work.originals(at_start.copied), at_end, start)
        if not no_way_back:
            down, _ = record(work.config, script, again, start)
            ways.append(Way("downgrade", tuple(script.get_revision(one) for one in down), down))
        again.dismiss()
        writing = tuple(one.revision for one in work.extent.revisions if chain.writes_rows(one.revision))
        words = tuple(f"{table.name}.{column}" for table, columns in changing.items() for column in columns)
        carried = frozenset(one.revision for one in work.extent.revisions) - {*elidable(work.extent)}
        work.show.read(
            Read(
                writing, chain.state.seconds, (), words, effects_of(work.extent.revisions, chain.statements), no_way_back,
                work.imported, work.request.vendor, carried,
            )
        )  # fmt: skip
        return _Recorded(at_start, at_end, before, chain, changing, tuple(ways), no_way_back, ties_at(at_start, at_end))

    def _staged(self, recorded: _Recorded, how: How) -> tuple[Staged, Folded]:
        """Write the squash aside."""
        work = self.work
        guard = guard_of(
            str(work.extent.start),
            *made_and_taken(recorded.before, recorded.chain.state.catalog, work.default_schema),
        )
        folded = fold_on(work, recorded.end, recorded.ways, recorded.ties, how, guard)
        downgrade = f"raise NotImplementedError({recorded.no_way_back!r})" if recorded.no_way_back else folded.downgrade
        above = Above(folded.imports, folded.parts)
        return work.written_aside(folded.upgrade, downgrade, self._docstring(), above), folded

    def _docstring(self) -> str:
        extent = self.work.extent
        return (
            f"Stands for {len(extent.revisions)} revisions behind {extent.start}, from {extent.revisions[0].revision} to"
            f" {extent.end.revision}, and does\nwhat they do to a database at {extent.start}. Their files are in"
            f" {ARCHIVE}/{extent.end.revision}/; a database on one of\nthem is upgraded by those."
            " `alembic squash --check` proves it again."
        )

    def _failed(self, error: NotEqual | ReplayFailed) -> ProofFailed:
        start, end = self.work.extent.start, self.work.extent.end.revision
        return ProofFailed(
            f"What leads from {start} to {end} does not do the same in one revision as in {len(self.work.extent.revisions)}.",
            detail=[error.summary, *error.detail],
            next_steps=[
                NextStep(
                    "choose a shorter range: a revision may need that what is before it is committed, or write other values"
                    " each time",
                    f'alembic squash {start}:{self.work.extent.revisions[-2].revision} -m "..."',
                )
            ],
        )


def fold_on(work: Work, shadow: Shadow, ways: Sequence[Way], ties: Ties, how: How, guard: str = "") -> Folded:
    """Make one revision of a range, with everything that ``env.py`` configures.

    :param shadow: a database on which env.py is run.
    :raises Findings: when a revision can neither be folded nor carried.
    """
    found: list[Folded] = []

    def note(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        found.append(fold(context, ways, ties, how, guard))

    run_on_shadow(work.config, work.before(), shadow, note)
    return found[0]


def elidable(extent: Extent) -> tuple[str, ...]:
    """Return the revisions of a range that are marked as no longer needed."""
    return tuple(one.revision for one in extent.revisions if is_elidable(one))


def prove_range(
    sides: Sides,
    start: str,
    chain: Chain,
    end: Shadow,
    changing: LeftOut,
    given: WithRows,
    *,
    goes_back: bool,
) -> tuple[list[Proven], float]:
    """Hold a folded range against its originals: without rows, with rows, with what comes behind it, and on the way back.

    :param end: a database that the files have brought to the end.
    :param goes_back: whether the files can be taken back.
    :return: what was proven, and how many seconds the squash takes.
    :raises NotEqual: when something differs.
    """
    left_out = {**changing, **{id_: columns for id_, columns in given.left_out.items() if id_ not in changing}}
    new, state, fresh = prove_fresh(sides, chain.state, left_out)
    proven = [replace(fresh, said=f"from {start} on, {fresh.said}")]
    filled: Shadow | None = None
    try:
        filled, with_those = prove_rows(sides, given)
        proven.append(with_those)
        proven += prove_later(sides, end, new, left_out)
        if goes_back:
            back = prove_way_back(sides, start, given.end, filled, given.left_out, given.start.copied)
            back = back or prove_way_back(sides, start, end, new, left_out, sides.fresh)
            proven += [back] if back is not None else []
    finally:
        new.dismiss()
        if filled is not None:
            filled.dismiss()
    return proven, state.seconds
