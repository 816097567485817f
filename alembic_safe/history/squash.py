"""How do many revisions become one: read, made, proven, and moved in as a whole or not at all?"""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from alembic_safe.database.env_locations import directory_of
from alembic_safe.database.envpy import script_of
from alembic_safe.database.squash_moving import clear, move
from alembic_safe.database.squashed import ARCHIVE, SHORTCUT, digest, file_hash, the_long_way
from alembic_safe.errors import ConsentMissing, NextStep
from alembic_safe.history.bootstrap import BOOTSTRAP, bootstrap_script, with_bootstrap
from alembic_safe.history.certificate import (
    Certificate,
    bootstrap_hash,
    vendored_hashes,
    versions_now,
    write_certificate,
)
from alembic_safe.history.chain import Chain, run_chain
from alembic_safe.history.effects import effects_of, require_consent
from alembic_safe.history.extent import extent_of, require_no_prefix_options
from alembic_safe.history.opening import open_for
from alembic_safe.history.orders import require_one_end
from alembic_safe.history.piece import Wanted
from alembic_safe.history.pieces import pieces_of
from alembic_safe.history.proof import (
    Proven,
    Sides,
    prove_downgrade,
    prove_fresh,
    prove_later,
    takes_back,
)
from alembic_safe.history.request import Outcome, Read
from alembic_safe.history.rows import beyond, read_contents
from alembic_safe.history.rows import digest as rows_digest
from alembic_safe.history.sample import prove_sample
from alembic_safe.history.seeding import row_pieces, shared_lines
from alembic_safe.history.shortcut import place, require_no_squash
from alembic_safe.history.squash_file import Words, docstring_of, made_of, upgrade_body, write
from alembic_safe.history.stage import (
    Staged,
    copy_originals,
    forget,
    new_folder,
    stage_folder,
    with_squash,
    without_archive,
)
from alembic_safe.history.tables_order import tables_in_order
from alembic_safe.history.trial import Settled, settle
from alembic_safe.history.vendoring import imported_from_the_application, vendor
from alembic_safe.history.volatile import Volatile, volatile
from alembic_safe.history.way_back import way_back
from alembic_safe.history.worktree import require_committed
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.drift import usual_owner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.extent import Extent
    from alembic_safe.history.request import Made, Request, Show
    from alembic_safe.history.rows import Contents
    from alembic_safe.history.vendoring import Imported
    from alembic_safe.inspecting.catalog_records import ObjectId
    from alembic_safe.settings import Settings


def squash(config: Config, settings: Settings, request: Request, show: Show) -> Outcome:
    """Make one revision of all from the first to one, prove that it is the same, and put it in their place.

    :raises Refused: where something is not committed, or something was found that nobody has consented to.
    :raises ProofFailed: where the two are not the same; nothing was written then.
    """
    began = time.monotonic()
    script = the_long_way(script_of(config))
    clear(Path(script.dir, ARCHIVE))
    extent = extent_of(script, request.words)
    if extent.start is not None:
        require_no_prefix_options(request, extent)
    elif request.shortcut:
        require_no_squash(extent, vendor=request.vendor)
    watched = require_committed([Path(folder) for folder in script._version_locations])  # noqa: SLF001
    show.began(extent, watched)
    with open_for(config, script, settings, show) as (shadow, default_schema), ExitStack() as stack:
        stack.callback(forget, script, extent.end.revision)
        aside = Path(stack.enter_context(TemporaryDirectory()))
        bootstrap = bootstrap_script(request.bootstrap, shadow, aside) if request.bootstrap else None
        if extent.start is not None:
            from alembic_safe.history.fold import Fold

            staged, outcome = Fold(config, extent, request, show, shadow, default_schema, bootstrap).made(began)
            if not request.dry_run:
                move_in(script, extent, staged)
            return outcome
        job = _Job(config, extent, request, show, shadow, default_schema, bootstrap)
        outcome = job.outcome(job.prepared(), began)
        if not request.dry_run and request.shortcut:
            place(job.staged)
        elif not request.dry_run:
            move_in(job.before(), extent, job.staged)
    return outcome


@dataclass(frozen=True)
class _Prepared:
    """The squash, written beside its place."""

    chain: Chain
    staged: Staged
    wanted: Wanted
    made: Made
    changing: Mapping[ObjectId, Sequence[str]]
    old: Shadow
    goes_back: bool


class _Job:
    """One squash: a method for each stage of it."""

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
        self.staged: Staged | None = None
        self.imported: tuple[Imported, ...] = ()

    def before(self) -> ScriptDirectory:
        """Return the files as they are."""
        return the_long_way(directory_of(self.config))

    def fresh(self) -> Shadow:
        """Return a shadow with what is there before the first revision."""
        return with_bootstrap(self.shadow.beside(), self.bootstrap)

    def prepared(self) -> _Prepared:
        """Run the files, make the squash, write it aside."""
        end = self.extent.end.revision
        bare = self.fresh()
        with bare.database_for("empty").connect() as connection:
            empty = read_catalog(connection)
            there = read_contents(connection, empty)
        bare.dismiss()
        old = self.fresh()
        chain = run_chain(self.config, self.before(), old, end, self.show.step)
        effects = effects_of(self.extent.revisions, chain.statements)
        require_consent(effects, self.request)
        seeds = self._beyond(chain.state.contents, there)
        changing = self._changing(chain, seeds, there)
        if f"order:{end}" not in self.request.accept:
            require_one_end(self.config, self.before(), self.fresh(), self.extent, chain.state, changing.columns)
        sides = Sides(self.config, self.before, self.before, self.before, end, self.fresh)
        no_way_back = takes_back(sides, old)
        writing = tuple(one.revision for one in self.extent.revisions if chain.writes_rows(one.revision))
        words = tuple(f"{table.name}.{column}" for table, columns in changing.columns.items() for column in columns)
        rows = tuple((table.id.name, len(table.rows)) for table in seeds.tables)
        self.imported = imported_from_the_application(self.extent.revisions)
        self.show.read(
            Read(
                writing, chain.state.seconds, rows, words, effects, no_way_back, self.imported, self.request.vendor
            )
        )  # fmt: skip
        catalog = chain.state.catalog
        wanted = Wanted(
            catalog, empty, self.default_schema, usual_owner(catalog), frozenset(table.id for table in seeds.tables),
            seeds.unfilled,
        )  # fmt: skip
        settled = self._settled(wanted, seeds, changing)
        made = made_of(settled)
        self.show.made(made)
        self.staged = self._written(settled, wanted, changing, no_way_back)
        return _Prepared(chain, self.staged, wanted, made, changing.columns, old, not no_way_back)

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
        again = self.fresh()
        second = run_chain(self.config, self.before(), again, self.extent.end.revision)
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
        trial = self.fresh()
        prelude = "\n".join(["import uuid", *shared_lines(changing)])
        settled = settle(self.config, self.before(), trial, wanted, pieces, prelude)
        trial.dismiss()
        return settled

    def _written(self, settled: Sequence[Settled], wanted: Wanted, changing: Volatile, no_way_back: str) -> Staged:
        extent, script = self.extent, self.before()
        moved = copy_originals(script, extent)
        folder = stage_folder(script, extent.end.revision)
        if self.request.vendor:
            vendor(self.imported, folder)
        hashed = digest((one.revision, Path(one.path).read_bytes()) for one in extent.revisions)
        words = Words(extent.end.revision, self.request.message, (), extent.labels, (), extent.replaces, hashed)
        is_only_base = len(script.get_bases()) == 1 and self.bootstrap is None
        if self.bootstrap is not None:
            shutil.copyfile(self.bootstrap, folder / BOOTSTRAP)
        upgrade = upgrade_body(settled, wanted, shared_lines(changing), must_be_empty=is_only_base)
        downgrade = f"raise NotImplementedError({no_way_back!r})" if no_way_back else way_back(settled, wanted)
        final = Path(script._rev_path(  # noqa: SLF001 - what generate_revision() itself calls
            Path(extent.end.path).parent, extent.end.revision, self.request.message.partition("\n")[0],
            script._generate_create_date(),  # noqa: SLF001
        ))  # fmt: skip
        aside = new_folder(script, extent.end.revision) / final.name
        write(script, aside, words, upgrade, downgrade, docstring_of(extent))
        return Staged(extent.end.revision, folder, aside, final, moved)

    def outcome(self, made: _Prepared, began: float) -> Outcome:
        """Prove it, and certify what was proven."""
        staged = made.staged

        def after() -> ScriptDirectory:
            return the_long_way(with_squash(self.config, staged))

        def stock() -> ScriptDirectory:
            return without_archive(with_squash(self.config, staged))

        sides = Sides(self.config, self.before, after, stock, staged.revision, self.fresh)
        proven: list[Proven] = []

        def note(one: Proven) -> None:
            proven.append(one)
            self.show.proved(one)

        new, state, fresh = prove_fresh(sides, made.chain.state, made.changing)
        note(fresh)
        for one in prove_later(sides, made.old, new, made.changing):
            note(one)
        if made.goes_back:
            note(prove_downgrade(sides, new, made.wanted.empty))
        new.dismiss()
        if not self.request.shortcut:  # a database on the way goes on through the same files
            note(prove_sample(sides, self.extent, made.chain, self.request, self.show))
        text = staged.squash.read_text(encoding="utf-8")
        self._certify(made, proven)
        return Outcome(
            staged.revision, len(self.extent.revisions), self._place(staged), staged.final_archive, text.count("\n"),
            made.made, tuple(proven), made.chain.state.seconds, state.seconds, time.monotonic() - began,
            self.request.dry_run, text, self.request.shortcut,
        )  # fmt: skip

    def _place(self, staged: Staged) -> Path:
        return staged.final_archive / SHORTCUT / staged.final.name if self.request.shortcut else staged.final

    def _certify(self, made: _Prepared, proven: Sequence[Proven]) -> None:
        staged = made.staged
        root = Path(self.before().dir).absolute()
        write_certificate(
            staged.archive,
            Certificate(
                staged.revision, self.extent.start, self.extent.replaces,
                {path.name: file_hash(path.read_bytes()) for path in sorted(staged.archive.glob("*.py"))},
                file_hash(staged.squash.read_bytes()), made.chain.state.catalog.fingerprint,
                rows_digest(made.chain.state.contents, made.changing), tuple(one.said for one in proven),
                versions_now(self.shadow.server_version),
                {archived.name: _below(path, root) for path, archived in staged.moved},
                vendored_hashes(staged.archive), bootstrap_hash(staged.archive),
            ),
        )  # fmt: skip


def move_in(script: ScriptDirectory, extent: Extent, staged: Staged | None) -> None:
    """Put the archive in its place, then the squash into that of the files, in one step."""
    assert staged is not None  # noqa: S101 - it was made before
    shutil.rmtree(staged.final_archive, ignore_errors=True)
    staged.archive.rename(staged.final_archive)
    locations = [Path(folder) for folder in script._version_locations]  # noqa: SLF001
    gone = [path for path in [*(path for path, _ in staged.moved), Path(extent.end.path)] if path != staged.final]
    move(staged.archive.parent, locations, [(staged.squash, staged.final)], gone, leftover=staged.squash.parent)


def _below(path: Path, root: Path) -> str:
    try:
        return str(path.absolute().relative_to(root))
    except ValueError:
        return str(path)
