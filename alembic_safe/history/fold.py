"""How does a later range become one revision: recorded, folded, written aside and proven?"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.script import ScriptDirectory

from alembic_safe.database.replay import run_on_shadow
from alembic_safe.database.squashed import ARCHIVE, digest, file_hash
from alembic_safe.errors import NextStep, ProofFailed, ReplayFailed
from alembic_safe.history.bootstrap import BOOTSTRAP, with_bootstrap
from alembic_safe.history.certificate import (
    Certificate,
    bootstrap_hash,
    vendored_hashes,
    versions_now,
    write_certificate,
)
from alembic_safe.history.chain import run_chain
from alembic_safe.history.folded import LEVELS, Way, fold, guard_of, is_elidable
from alembic_safe.history.proof import NotEqual, Sides, differing_columns, prove_fresh, prove_later, takes_back
from alembic_safe.history.range_proof import prove_rows, prove_way_back, with_rows
from alembic_safe.history.range_start import brought_to_start, made_and_taken, ties_at
from alembic_safe.history.recording import record
from alembic_safe.history.request import Made, Outcome, Read
from alembic_safe.history.rows import digest as rows_digest
from alembic_safe.history.sample import prove_sample
from alembic_safe.history.squash_file import Above, Words, write
from alembic_safe.history.stage import Staged, copy_originals, new_folder, stage_folder, with_squash, without_archive
from alembic_safe.history.vendoring import imported_from_the_application, vendor
from alembic_safe.inspecting.catalog import read_catalog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.chain import Chain
    from alembic_safe.history.extent import Extent
    from alembic_safe.history.folded import Folded
    from alembic_safe.history.operation_touch import Ties
    from alembic_safe.history.proof import Proven
    from alembic_safe.history.range_proof import LeftOut, WithRows
    from alembic_safe.history.request import Request, Show
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

    def __init__(
        self, config: Config, extent: Extent, request: Request, show: Show, shadow: Shadow, default_schema: str,
        bootstrap: Path | None,
    ) -> None:  # fmt: skip
        self.config = config
        self.extent = extent
        self.request = request
        self.show = show
        self.shadow = shadow
        self.default_schema = default_schema
        self.bootstrap = bootstrap

    def before(self) -> ScriptDirectory:
        """Return the files as they are."""
        return ScriptDirectory.from_config(self.config)

    def made(self, began: float) -> tuple[Staged, Outcome]:
        """Fold the range, prove it, and leave it beside its place.

        :raises ProofFailed: when it does not do the same in any form; nothing was written then.
        """
        recorded = self._recorded()
        sides = self._sides(recorded.start, self.before, self.before)
        given = with_rows(sides, recorded.chain, elidable(self.extent))
        for level in range(LEVELS):
            staged, folded = self._staged(recorded, level)
            try:
                proven, seconds = self._proven(recorded, given, staged)
                break
            except (NotEqual, ReplayFailed) as error:
                if level == LEVELS - 1:
                    raise self._failed(error) from error
        self.show.folded(folded)
        for one in proven:
            self.show.proved(one)
        through = prove_sample(
            self._sides_of(recorded.start, staged), self.extent, recorded.chain, self.request, self.show
        )
        self.show.proved(through)
        given.dismiss()
        self._certify(recorded, staged, [*proven, through])
        text = staged.squash.read_text(encoding="utf-8")
        made = Made(folded.after, 0, (), (), folded.before, folded.carried)
        return staged, Outcome(
            staged.revision, len(self.extent.revisions), staged.final, staged.final_archive, text.count("\n"), made,
            (*proven, through), recorded.chain.state.seconds, seconds, time.monotonic() - began, self.request.dry_run, text,
        )  # fmt: skip

    def _recorded(self) -> _Recorded:
        end, start = self.extent.end.revision, str(self.extent.start)
        at_start = brought_to_start(
            self.config, self.before, self.extent, with_bootstrap(self.shadow.beside(), self.bootstrap)
        )
        at_end = at_start.copied()
        chain = run_chain(self.config, self.before(), at_end, end, self.show.step)
        again = at_start.copied()
        script = self.before()
        up, done = record(self.config, script, again, end)
        with at_start.endpoint.connect() as connection:
            before = read_catalog(connection, leave_out=frozenset({done.contexts[-1].version_table}))
        ways = [Way("upgrade", tuple(script.get_revision(one) for one in up), up)]
        changing: LeftOut = {}
        if chain.state.contents.tables:
            twice = run_chain(self.config, self.before(), (second := at_start.copied()), end)
            changing = differing_columns(chain.state, twice.state)
            second.dismiss()
        sides = self._sides(at_start, self.before, self.before)
        no_way_back = takes_back(sides, at_end, start)
        if not no_way_back:
            down, _ = record(self.config, script, again, start)
            ways.append(Way("downgrade", tuple(script.get_revision(one) for one in down), down))
        again.dismiss()
        writing = tuple(one.revision for one in self.extent.revisions if chain.writes_rows(one.revision))
        words = tuple(f"{table.name}.{column}" for table, columns in changing.items() for column in columns)
        imported = imported_from_the_application(self.extent.revisions)
        self.show.read(Read(writing, chain.state.seconds, (), words, (), no_way_back, imported, self.request.vendor))
        return _Recorded(at_start, at_end, before, chain, changing, tuple(ways), no_way_back, ties_at(at_start, at_end))

    def _staged(self, recorded: _Recorded, level: int) -> tuple[Staged, Folded]:
        """Write the squash aside."""
        extent, script = self.extent, self.before()
        guard = guard_of(
            str(extent.start),
            *made_and_taken(recorded.before, recorded.chain.state.catalog, self.default_schema),
        )
        found: list[Folded] = []

        def work(context: MigrationContext, kw: dict[str, Any]) -> None:
            del kw
            found.append(fold(context, recorded.ways, recorded.ties, level, guard))

        run_on_shadow(self.config, script, recorded.end, work)
        folded = found[0]
        moved = copy_originals(script, extent)
        folder = stage_folder(script, extent.end.revision)
        if self.bootstrap is not None:
            shutil.copyfile(self.bootstrap, folder / BOOTSTRAP)
        if self.request.vendor:
            vendor(imported_from_the_application(extent.revisions), folder)
        hashed = digest((one.revision, Path(one.path).read_bytes()) for one in extent.revisions)
        words = Words(
            extent.end.revision, self.request.message, (str(extent.start),), extent.labels, extent.depends_on, extent.replaces,
            hashed,
        )  # fmt: skip
        downgrade = f"raise NotImplementedError({recorded.no_way_back!r})" if recorded.no_way_back else folded.downgrade
        final = Path(script._rev_path(  # noqa: SLF001 - what generate_revision() itself calls
            Path(extent.end.path).parent, extent.end.revision, self.request.message.partition("\n")[0],
            script._generate_create_date(),  # noqa: SLF001
        ))  # fmt: skip
        aside = new_folder(script, extent.end.revision) / final.name
        above = Above(folded.imports, folded.parts)
        write(script, aside, words, folded.upgrade, downgrade, self._docstring(), above)
        return Staged(extent.end.revision, folder, aside, final, moved), folded

    def _docstring(self) -> str:
        extent = self.extent
        return (
            f"Stands for {len(extent.revisions)} revisions behind {extent.start}, from {extent.revisions[0].revision} to"
            f" {extent.end.revision}, and does\nwhat they do to a database at {extent.start}. Their files are in"
            f" {ARCHIVE}/{extent.end.revision}/; a database on one of\nthem is upgraded by those."
            " `alembic squash --check` proves it again."
        )

    def _sides(self, start: Shadow, after: Any, stock: Any) -> Sides:
        return Sides(self.config, self.before, after, stock, self.extent.end.revision, start.copied)

    def _sides_of(self, start: Shadow, staged: Staged) -> Sides:
        def after() -> ScriptDirectory:
            return with_squash(self.config, staged)

        def stock() -> ScriptDirectory:
            return without_archive(with_squash(self.config, staged))

        return self._sides(start, after, stock)

    def _proven(self, recorded: _Recorded, given: WithRows, staged: Staged) -> tuple[list[Proven], float]:
        sides = self._sides_of(recorded.start, staged)
        return prove_range(
            sides, str(self.extent.start), recorded.chain, recorded.end, recorded.changing, given,
            goes_back=not recorded.no_way_back,
        )  # fmt: skip

    def _failed(self, error: NotEqual | ReplayFailed) -> ProofFailed:
        start, end = self.extent.start, self.extent.end.revision
        return ProofFailed(
            f"What leads from {start} to {end} does not do the same in one revision as in {len(self.extent.revisions)}.",
            detail=[error.summary, *error.detail],
            next_steps=[
                NextStep(
                    "choose a shorter range: a revision may need that what is before it is committed, or write other values"
                    " each time",
                    f'alembic squash {start}:{self.extent.revisions[-2].revision} -m "..."',
                )
            ],
        )

    def _certify(self, recorded: _Recorded, staged: Staged, proven: Sequence[Proven]) -> None:
        root = Path(self.before().dir).absolute()
        state = recorded.chain.state
        write_certificate(
            staged.archive,
            Certificate(
                staged.revision, self.extent.start, self.extent.replaces,
                {path.name: file_hash(path.read_bytes()) for path in sorted(staged.archive.glob("*.py"))},
                file_hash(staged.squash.read_bytes()), state.catalog.fingerprint,
                rows_digest(state.contents, recorded.changing), tuple(one.said for one in proven),
                versions_now(self.shadow.server_version), _folders(staged, root),
                vendored_hashes(staged.archive), bootstrap_hash(staged.archive),
            ),
        )  # fmt: skip


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
            back = prove_way_back(sides, start, given.end, filled, given.left_out)
            back = back or prove_way_back(sides, start, end, new, left_out)
            proven += [back] if back is not None else []
    finally:
        new.dismiss()
        if filled is not None:
            filled.dismiss()
    return proven, state.seconds


def _folders(staged: Staged, root: Path) -> dict[str, str]:
    places = {archived.name: path.absolute() for path, archived in staged.moved}
    return {name: str(path.relative_to(root) if path.is_relative_to(root) else path) for name, path in places.items()}
