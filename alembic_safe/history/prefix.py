"""How does everything up to a revision become one: read, made anew from the catalog, written aside and proven?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.squashed import SHORTCUT
from alembic_safe.errors import ConsentMissing, NextStep
from alembic_safe.history.chain import Chain, run_chain
from alembic_safe.history.effects import effects_of, require_consent
from alembic_safe.history.orders import require_one_end
from alembic_safe.history.piece import Wanted
from alembic_safe.history.pieces import pieces_of
from alembic_safe.history.proof import Proven, prove_downgrade, prove_fresh, prove_later, takes_back
from alembic_safe.history.request import Outcome, Read
from alembic_safe.history.rows import beyond, read_contents
from alembic_safe.history.sample import prove_sample
from alembic_safe.history.seeding import row_pieces, shared_lines
from alembic_safe.history.squash_file import docstring_of, made_of, upgrade_body
from alembic_safe.history.tables_order import tables_in_order
from alembic_safe.history.trial import Settled, settle
from alembic_safe.history.volatile import Volatile, volatile
from alembic_safe.history.way_back import way_back
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.drift import usual_owner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.request import Made
    from alembic_safe.history.rows import Contents
    from alembic_safe.history.stage import Staged
    from alembic_safe.history.work import Work
    from alembic_safe.inspecting.catalog_records import ObjectId


@dataclass(frozen=True)
class _Prepared:
    """The squash, written beside its place.

    :param old: a database that the files have brought to the end.
    """

    chain: Chain
    staged: Staged
    wanted: Wanted
    made: Made
    changing: Mapping[ObjectId, Sequence[str]]
    old: Shadow
    goes_back: bool


class Prefix:
    """One squash from the first revision on: a method for each stage of it."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def made(self, began: float) -> tuple[Staged, Outcome]:
        """Make it, prove it, and leave it beside its place.

        :raises ProofFailed: when it does not do the same; nothing was written then.
        """
        prepared = self._prepared()
        return prepared.staged, self._outcome(prepared, began)

    def _prepared(self) -> _Prepared:
        """Run the files, make the squash, write it aside."""
        work = self.work
        end = work.extent.end.revision
        bare = work.fresh()
        with bare.database_for("empty").connect() as connection:
            empty = read_catalog(connection)
            there = read_contents(connection, empty)
        bare.dismiss()
        old = work.fresh()
        chain = run_chain(work.config, work.before(), old, end, work.show.step)
        effects = effects_of(work.extent.revisions, chain.statements)
        require_consent(effects, work.request)
        seeds = self._beyond(chain.state.contents, there)
        changing = self._changing(chain, seeds, there)
        if f"order:{end}" not in work.request.accept:
            require_one_end(work.config, work.before(), work.fresh(), work.extent, chain.state, changing.columns)
        no_way_back = takes_back(work.originals(work.fresh), old)
        writing = tuple(one.revision for one in work.extent.revisions if chain.writes_rows(one.revision))
        words = tuple(f"{table.name}.{column}" for table, columns in changing.columns.items() for column in columns)
        rows = tuple((table.id.name, len(table.rows)) for table in seeds.tables)
        work.show.read(
            Read(
                writing, chain.state.seconds, rows, words, effects, no_way_back, work.imported, work.request.vendor
            )
        )  # fmt: skip
        catalog = chain.state.catalog
        wanted = Wanted(
            catalog, empty, work.default_schema, usual_owner(catalog), frozenset(table.id for table in seeds.tables),
            seeds.unfilled,
        )  # fmt: skip
        settled = self._settled(wanted, seeds, changing)
        made = made_of(settled)
        work.show.made(made)
        staged = self._written(settled, wanted, changing, no_way_back)
        return _Prepared(chain, staged, wanted, made, changing.columns, old, not no_way_back)

    def _beyond(self, contents: Contents, there: Contents) -> Contents:
        """Return the rows that the files make beyond those that were there before them."""
        seeds, changed = beyond(contents, there)
        if changed:
            raise ConsentMissing(
                "The revisions change tables that had rows before the first of them: what they do to these, no squash can"
                " tell.",
                detail=[str(id_) for id_ in changed],
                next_steps=[NextStep("leave these rows out of what was there before: --bootstrap FILE.sql")],
            )
        return seeds

    def _changing(self, chain: Chain, contents: Contents, there: Contents) -> Volatile:
        """Run the files once more where they write rows, and learn which values are other ones each time."""
        if contents.large_objects:
            raise ConsentMissing(
                f"The revisions make {contents.large_objects} large objects, which no file can hold.",
                next_steps=[NextStep("end the squash before the revision that makes them", "alembic history")],
            )
        if not contents.tables:
            return Volatile()
        again = self.work.fresh()
        second = run_chain(self.work.config, self.work.before(), again, self.work.extent.end.revision)
        again.dismiss()
        found = volatile(contents, self._beyond(second.state.contents, there), chain.began, second.ended)
        if found.unknown:
            raise ConsentMissing(
                "The revisions write values that are other ones each time, and nothing here can tell how they are made.",
                detail=list(found.unknown),
                next_steps=[NextStep("end the squash before the revision that writes them", "alembic history")],
            )
        return found

    def _settled(self, wanted: Wanted, contents: Contents, changing: Volatile) -> tuple[Settled, ...]:
        order, _ = tables_in_order(wanted.catalog, wanted.seeded)
        pieces = [*pieces_of(wanted)]
        pieces += row_pieces(contents, changing, wanted.catalog, order, wanted.default_schema)
        trial = self.work.fresh()
        prelude = "\n".join(["import uuid", *shared_lines(changing)])
        settled = settle(self.work.config, self.work.before(), trial, wanted, pieces, prelude)
        trial.dismiss()
        return settled

    def _written(self, settled: Sequence[Settled], wanted: Wanted, changing: Volatile, no_way_back: str) -> Staged:
        is_only_base = len(self.work.before().get_bases()) == 1 and self.work.bootstrap is None
        upgrade = upgrade_body(settled, wanted, shared_lines(changing), must_be_empty=is_only_base)
        downgrade = f"raise NotImplementedError({no_way_back!r})" if no_way_back else way_back(settled, wanted)
        return self.work.written_aside(upgrade, downgrade, docstring_of(self.work.extent))

    def _outcome(self, made: _Prepared, began: float) -> Outcome:
        """Prove it, and certify what was proven."""
        work, staged = self.work, made.staged
        sides = work.sides(staged, work.fresh)
        proven: list[Proven] = []

        def note(one: Proven) -> None:
            proven.append(one)
            work.show.proved(one)

        new, state, fresh = prove_fresh(sides, made.chain.state, made.changing)
        note(fresh)
        for one in prove_later(sides, made.old, new, made.changing):
            note(one)
        if made.goes_back:
            note(prove_downgrade(sides, new, made.wanted.empty))
        new.dismiss()
        if not work.request.shortcut:  # a database on the way goes on through the same files
            note(prove_sample(sides, work.extent, made.chain, work.request, work.show))
        text = staged.squash.read_text(encoding="utf-8")
        work.certify(staged, made.chain.state, made.changing, proven)
        return Outcome(
            staged.revision, len(work.extent.revisions), self._place(staged), staged.final_archive, text.count("\n"),
            made.made, tuple(proven), made.chain.state.seconds, state.seconds, time.monotonic() - began,
            work.request.dry_run, text, work.request.shortcut,
        )  # fmt: skip

    def _place(self, staged: Staged) -> Path:
        shortcut = staged.final_archive / SHORTCUT / staged.final.name
        return shortcut if self.work.request.shortcut else staged.final
