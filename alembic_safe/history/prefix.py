"""How does everything up to a revision become one: read, made anew from the catalog, written aside and proven?"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alembic_safe.database.squashed import SHORTCUT
from alembic_safe.errors import ReplayFailed
from alembic_safe.history.anew import Anew, anew_of, require_same_numbers
from alembic_safe.history.chain import Chain, run_chain
from alembic_safe.history.effects import effects_in_files, effects_sent, require_consent
from alembic_safe.history.fold import fold_on
from alembic_safe.history.folded import LEVELS, How, Way
from alembic_safe.history.orders import require_one_end
from alembic_safe.history.piece import Wanted
from alembic_safe.history.pieces import pieces_of
from alembic_safe.history.proof import (
    NotEqual,
    differing_columns,
    prove_downgrade,
    prove_fresh,
    prove_later,
    takes_back,
)
from alembic_safe.history.range_start import ties_at
from alembic_safe.history.recording import record
from alembic_safe.history.request import Outcome, Read
from alembic_safe.history.rows import beyond, read_contents
from alembic_safe.history.sample import prove_sample
from alembic_safe.history.seeding import row_pieces, shared_lines
from alembic_safe.history.squash_file import Above, docstring_of, made_of, upgrade_body
from alembic_safe.history.tables_order import tables_in_order
from alembic_safe.history.trial import Settled, settle
from alembic_safe.history.way_back import way_back
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.owners import usual_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.folded import Folded
    from alembic_safe.history.operation_touch import Ties
    from alembic_safe.history.proof import Proven
    from alembic_safe.history.stage import Staged
    from alembic_safe.history.work import Work
    from alembic_safe.inspecting.catalog_records import ObjectId


@dataclass(frozen=True)
class _Read:
    """The files, as they ran.

    :param old: a database that they have brought to the end.
    :param changing: columns whose values are other ones each time, by table.
    :param no_way_back: why they cannot be taken back; empty where they can.
    """

    chain: Chain
    old: Shadow
    anew: Anew
    changing: Mapping[ObjectId, Sequence[str]]
    no_way_back: str


@dataclass(frozen=True)
class _Behind:
    """The revisions behind what is made anew, as they ran."""

    ways: tuple[Way, ...]
    ties: Ties


class Prefix:
    """One squash from the first revision on: a method for each stage of it."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def made(self, began: float) -> tuple[Staged, Outcome]:
        """Make it, prove it, and leave it beside its place.

        :raises ProofFailed: when it does not do the same; nothing was written then.
        """
        work = self.work
        read, wanted = self._read()
        settled = self._settled(wanted, read.anew)
        made = made_of(settled)
        if settled:
            work.show.made(made)
        behind = self._behind(read)
        for level in range(LEVELS):
            folded = None if behind is None else self._folded(read, behind, level)
            staged = self._written(settled, wanted, read, folded)
            try:
                proven, seconds = self._proven(read, wanted, staged, as_they_are_found=folded is None)
                break
            except (NotEqual, ReplayFailed):
                if folded is None or level == LEVELS - 1:
                    raise
        if folded is not None:
            made = replace(
                made, calls=made.calls + folded.after, before=folded.before, carried=folded.carried, level=folded.level
            )
            work.show.folded(folded)
            for one in proven:
                work.show.proved(one)
        if not work.request.shortcut:  # a database on the way goes on through the same files
            through = prove_sample(work.sides(staged, work.fresh), work.extent, read.chain, work.request, work.show)
            work.show.proved(through)
            proven.append(through)
        work.certify(staged, read.chain.state, read.changing, proven)
        text = staged.squash.read_text(encoding="utf-8")
        return staged, Outcome(
            staged.revision, len(work.extent.revisions), self._place(staged), staged.final_archive, text.count("\n"),
            made, tuple(proven), read.chain.state.seconds, seconds, time.monotonic() - began,
            work.request.dry_run, text, work.request.shortcut,
        )  # fmt: skip

    def _read(self) -> tuple[_Read, Wanted]:
        """Run the files, and say what is in them."""
        work = self.work
        end = work.extent.end.revision
        effects = effects_in_files(work.extent.revisions)
        require_consent(effects, work.request, work.keep)  # before any of them runs
        bare = work.fresh()
        with bare.database_for("empty").connect() as connection:
            empty = read_catalog(connection)
            there = read_contents(connection, empty)
        bare.dismiss()
        old = work.fresh()
        chain = run_chain(work.config, work.before(), old, end, work.show.step)
        effects += effects_sent(work.extent.revisions, chain.statements)
        require_consent(effects, work.request, work.keep)
        anew = anew_of(work, chain, old, there)
        changing = self._changing(chain, anew)
        if f"order:{end}" not in work.request.accept:
            require_one_end(work.config, work.before(), work.fresh(), work.extent, chain.state, changing)
        # what is made anew is taken back whatever the files do; what is folded, as they do it
        is_folded = anew.number < len(work.extent.revisions)
        no_way_back = takes_back(work.originals(work.fresh), old, empty=empty if is_folded else None)
        writing = tuple(one.revision for one in work.extent.revisions if chain.writes_rows(one.revision))
        fixed = anew.changing.fixed
        named = (f"{table.name}.{column}" for table, columns in changing.items() for column in columns)
        words = tuple(one for one in named if one not in fixed)
        rows = tuple((table.id.name, len(table.rows)) for table in beyond(chain.state.contents, there)[0].tables)
        work.show.read(
            Read(
                writing, chain.state.seconds, rows, words, effects, no_way_back, work.imported, work.request.vendor,
                frozenset(anew.keep), fixed,
            )
        )  # fmt: skip
        catalog = anew.chain.state.catalog
        wanted = Wanted(
            catalog, empty, work.default_schema, usual_owner(catalog),
            frozenset(table.id for table in anew.seeds.tables), anew.seeds.unfilled,
        )  # fmt: skip
        return _Read(chain, old, anew, changing, no_way_back), wanted

    def _changing(self, chain: Chain, anew: Anew) -> Mapping[ObjectId, Sequence[str]]:
        """Return the columns whose values are other ones each time."""
        if anew.number == len(self.work.extent.revisions) or not chain.state.contents.tables:
            return anew.changing.columns
        again = self.work.fresh()
        twice = run_chain(self.work.config, self.work.before(), again, self.work.extent.end.revision)
        again.dismiss()
        require_same_numbers(chain.state.contents, twice.state.contents)
        return differing_columns(chain.state, twice.state)

    def _settled(self, wanted: Wanted, anew: Anew) -> tuple[Settled, ...]:
        order, _ = tables_in_order(wanted.catalog, wanted.seeded)
        pieces = [*pieces_of(wanted)]
        pieces += row_pieces(anew.seeds, anew.changing, wanted.catalog, order, wanted.default_schema)
        trial = self.work.fresh()
        prelude = "\n".join(["import uuid", *shared_lines(anew.changing)])
        settled = settle(self.work.config, self.work.before(), trial, wanted, pieces, prelude)
        trial.dismiss()
        return settled

    def _behind(self, read: _Read) -> _Behind | None:
        """Note what the revisions invoke that are not made anew."""
        work, number = self.work, read.anew.number
        ids = [one.revision for one in work.extent.revisions[number:]]
        if not ids:
            return None
        at_end = read.anew.shadow.copied()
        script = work.stock()
        up, _ = record(work.config, script, at_end, work.extent.end.revision, only=ids)
        ways = [Way("upgrade", tuple(script.get_revision(one) for one in up), up)]
        if not read.no_way_back:
            down, _ = record(work.config, script, at_end, "base")
            ways.append(Way("downgrade", tuple(script.get_revision(one) for one in down if one in ids), down))
        at_end.dismiss()
        return _Behind(tuple(ways), ties_at(read.anew.shadow, read.old))

    def _folded(self, read: _Read, behind: _Behind, level: int) -> Folded:
        # what a new database gets of a revision that is no longer needed, it got before: nothing is left out
        how = How(level, read.anew.keep, elides=False)
        return fold_on(self.work, read.old, behind.ways, behind.ties, how)

    def _written(self, settled: Sequence[Settled], wanted: Wanted, read: _Read, folded: Folded | None) -> Staged:
        is_only_base = len(self.work.before().get_bases()) == 1 and self.work.bootstrap is None
        shared = shared_lines(read.anew.changing)
        upgrade = upgrade_body(settled, wanted, shared, must_be_empty=is_only_base)
        downgrade = "" if read.no_way_back else way_back(settled, wanted)
        imports = ("import uuid",) if shared else ()
        above = Above(imports)
        if folded is not None:
            upgrade = "\n\n".join(part for part in (upgrade, _HEADING, folded.upgrade) if part)
            downgrade = "\n\n".join(part for part in (folded.downgrade, downgrade) if part)
            above = Above((*imports, *(one for one in folded.imports if one not in imports)), folded.parts)
        if read.no_way_back:
            downgrade = f"raise NotImplementedError({read.no_way_back!r})"
        return self.work.written_aside(upgrade, downgrade, docstring_of(self.work.extent), above)

    def _proven(
        self, read: _Read, wanted: Wanted, staged: Staged, *, as_they_are_found: bool
    ) -> tuple[list[Proven], float]:
        """Hold it against the files; return what was proven, and how many seconds the squash takes."""
        sides = self.work.sides(staged, self.work.fresh)
        proven: list[Proven] = []
        tell: Callable[[Proven], None] = self.work.show.proved if as_they_are_found else lambda _: None

        def note(one: Proven) -> None:
            proven.append(one)
            tell(one)

        new, state, fresh = prove_fresh(sides, read.chain.state, read.changing)
        try:
            note(fresh)
            for one in prove_later(sides, read.old, new, read.changing):
                note(one)
            if not read.no_way_back:
                note(prove_downgrade(sides, new, wanted.empty))
        finally:
            new.dismiss()
        return proven, state.seconds

    def _place(self, staged: Staged) -> Path:
        shortcut = staged.final_archive / SHORTCUT / staged.final.name
        return shortcut if self.work.request.shortcut else staged.final


_HEADING = "# from here on in the order of the files: what has to run as it is written, and what comes behind it"
