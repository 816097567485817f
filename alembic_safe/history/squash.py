"""How do many revisions become one: read, made, proven, and moved in as a whole or not at all?"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.script import ScriptDirectory

from alembic_safe.database.envpy import run_env, script_of
from alembic_safe.database.shadow import open_shadow
from alembic_safe.database.shadow_needs import needs_of
from alembic_safe.database.squash_moving import clear, move
from alembic_safe.database.squashed import ARCHIVE, digest, file_hash
from alembic_safe.errors import ConsentMissing, NextStep
from alembic_safe.history.bootstrap import BOOTSTRAP, with_bootstrap
from alembic_safe.history.certificate import Certificate, versions_now, write_certificate
from alembic_safe.history.chain import Chain, run_chain
from alembic_safe.history.effects import effects_of
from alembic_safe.history.extent import extent_of
from alembic_safe.history.piece import SECTIONS, Wanted
from alembic_safe.history.pieces import pieces_of
from alembic_safe.history.proof import (
    Proven,
    Sides,
    prove_downgrade,
    prove_fresh,
    prove_later,
    takes_back,
)
from alembic_safe.history.request import Made, Outcome, Read
from alembic_safe.history.rows import digest as rows_digest
from alembic_safe.history.sample import prove_sample
from alembic_safe.history.seeding import row_pieces, shared_lines
from alembic_safe.history.squash_file import Words, upgrade_body, write
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
from alembic_safe.history.volatile import Volatile, volatile
from alembic_safe.history.way_back import way_back
from alembic_safe.history.worktree import require_committed
from alembic_safe.inspecting.catalog import read_catalog
from alembic_safe.inspecting.drift import usual_owner
from alembic_safe.inspecting.target import look_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.effects import Effect
    from alembic_safe.history.extent import Extent
    from alembic_safe.history.request import Request, Show
    from alembic_safe.inspecting.catalog_records import ObjectId
    from alembic_safe.settings import Settings


def squash(config: Config, settings: Settings, request: Request, show: Show) -> Outcome:
    """Make one revision of all from the first to one, prove that it is the same, and put it in their place.

    :raises Refused: where something is not committed, or something was found that nobody has consented to.
    :raises ProofFailed: where the two are not the same; nothing was written then.
    """
    began = time.monotonic()
    script = script_of(config)
    clear(Path(script.dir, ARCHIVE))
    extent = extent_of(script, request.words)
    watched = require_committed([Path(folder) for folder in script._version_locations])  # noqa: SLF001
    show.began(extent, watched)
    with open_for(config, script, settings, show) as (shadow, default_schema), ExitStack() as stack:
        stack.callback(forget, script, extent.end.revision)
        if extent.start is not None:
            from alembic_safe.history.fold import Fold

            staged, outcome = Fold(config, extent, request, show, shadow, default_schema).made(began)
            if not request.dry_run:
                move_in(script, extent, staged)
            return outcome
        job = _Job(config, extent, request, show, shadow, default_schema)
        outcome = job.outcome(job.prepared(), began)
        if not request.dry_run:
            move_in(job.before(), extent, job.staged)
    return outcome


@contextmanager
def open_for(config: Config, script: ScriptDirectory, settings: Settings, show: Show) -> Iterator[tuple[Shadow, str]]:
    """Open a server for shadows that has what the database of ``env.py`` has; with its default schema."""
    found: list[tuple[Any, ...]] = []

    def work(context: MigrationContext, kw: dict[str, Any]) -> None:
        del kw
        target = look_at(context, settings)
        connection: Any = context.connection
        default = connection.dialect.default_schema_name or "public"
        found.append((target.endpoint, needs_of(connection), target.identity.protected, default))

    run_env(config, script, work)
    endpoint, needs, protected, default_schema = found[0]
    with open_shadow(endpoint, settings, needs=needs, protected=protected, tell=show.note) as shadow:
        yield shadow, default_schema


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
        self, config: Config, extent: Extent, request: Request, show: Show, shadow: Shadow, default_schema: str
    ) -> None:
        self.config = config
        self.extent = extent
        self.request = request
        self.show = show
        self.shadow = shadow
        self.default_schema = default_schema
        self.staged: Staged | None = None

    def before(self) -> ScriptDirectory:
        """Return the files as they are."""
        return ScriptDirectory.from_config(self.config)

    def fresh(self) -> Shadow:
        """Return a shadow with what is there before the first revision."""
        return with_bootstrap(self.shadow.beside(), self.request.bootstrap)

    def prepared(self) -> _Prepared:
        """Run the files, make the squash, write it aside."""
        end = self.extent.end.revision
        bare = self.fresh()
        with bare.database_for("empty").connect() as connection:
            empty = read_catalog(connection)
        bare.dismiss()
        old = self.fresh()
        chain = run_chain(self.config, self.before(), old, end, self.show.step)
        effects = effects_of(self.extent.revisions, chain.statements)
        self._require_consent(effects)
        changing = self._changing(chain)
        sides = Sides(self.config, self.before, self.before, self.before, end, self.fresh)
        no_way_back = takes_back(sides, old)
        writing = tuple(one.revision for one in self.extent.revisions if chain.writes_rows(one.revision))
        contents = chain.state.contents
        words = tuple(f"{table.name}.{column}" for table, columns in changing.columns.items() for column in columns)
        rows = tuple((table.id.name, len(table.rows)) for table in contents.tables)
        self.show.read(Read(writing, chain.state.seconds, rows, words, effects, no_way_back))
        catalog = chain.state.catalog
        wanted = Wanted(
            catalog, empty, self.default_schema, usual_owner(catalog), frozenset(table.id for table in contents.tables),
            contents.unfilled,
        )  # fmt: skip
        settled = self._settled(wanted, chain, changing)
        made = _made(settled)
        self.show.made(made)
        self.staged = self._written(settled, wanted, changing, no_way_back)
        return _Prepared(chain, self.staged, wanted, made, changing.columns, old, not no_way_back)

    def _require_consent(self, effects: Sequence[Effect]) -> None:
        waiting = [one for one in effects if f"outside:{one.revision}" not in self.request.accept]
        if waiting:
            names = list(dict.fromkeys(one.revision for one in waiting))
            raise ConsentMissing(
                "Some of the revisions do more than change the database, and a new database would not get that any more.",
                detail=[f"{Path(one.path).name}: {one.what} ({one.seen})" for one in waiting],
                next_steps=[
                    NextStep(
                        "when a new database does not need it",
                        f'alembic squash {self.request.words} -m "..." '
                        + " ".join(f"--accept outside:{n}" for n in names),
                    ),
                    NextStep("when it does: end the squash before that revision", "alembic history"),
                ],
            )

    def _changing(self, chain: Chain) -> Volatile:
        """Run the files once more where they write rows, and learn which values are other ones each time."""
        contents = chain.state.contents
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
        found = volatile(contents, second.state.contents, chain.began, second.ended)
        if found.unknown:
            raise ConsentMissing(
                "The revisions write values that are other ones each time, and nothing here can tell how they are made.",
                detail=list(found.unknown),
                next_steps=[NextStep("end the squash before the revision that writes them", "alembic history")],
            )
        return found

    def _settled(self, wanted: Wanted, chain: Chain, changing: Volatile) -> tuple[Settled, ...]:
        order, _ = tables_in_order(wanted.catalog, wanted.seeded)
        pieces = [*pieces_of(wanted)]
        pieces += row_pieces(chain.state.contents, changing, wanted.catalog, order, wanted.default_schema)
        trial = self.fresh()
        prelude = "\n".join(["import uuid", *shared_lines(changing)])
        settled = settle(self.config, self.before(), trial, wanted, pieces, prelude)
        trial.dismiss()
        return settled

    def _written(self, settled: Sequence[Settled], wanted: Wanted, changing: Volatile, no_way_back: str) -> Staged:
        extent, script = self.extent, self.before()
        moved = copy_originals(script, extent)
        folder = stage_folder(script, extent.end.revision)
        hashed = digest((one.revision, Path(one.path).read_bytes()) for one in extent.revisions)
        words = Words(extent.end.revision, self.request.message, (), extent.labels, (), extent.replaces, hashed)
        is_only_base = len(script.get_bases()) == 1 and self.request.bootstrap is None
        if self.request.bootstrap is not None:
            shutil.copyfile(self.request.bootstrap, folder / BOOTSTRAP)
        upgrade = upgrade_body(settled, wanted, shared_lines(changing), must_be_empty=is_only_base)
        downgrade = f"raise NotImplementedError({no_way_back!r})" if no_way_back else way_back(settled, wanted)
        final = Path(script._rev_path(  # noqa: SLF001 - what generate_revision() itself calls
            Path(extent.end.path).parent, extent.end.revision, self.request.message.partition("\n")[0],
            script._generate_create_date(),  # noqa: SLF001
        ))  # fmt: skip
        aside = new_folder(script, extent.end.revision) / final.name
        write(script, aside, words, upgrade, downgrade, _docstring(extent))
        return Staged(extent.end.revision, folder, aside, final, moved)

    def outcome(self, made: _Prepared, began: float) -> Outcome:
        """Prove it, and certify what was proven."""
        staged = made.staged

        def after() -> ScriptDirectory:
            return with_squash(self.config, staged)

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
        note(prove_sample(sides, self.extent, made.chain, self.request, self.show))
        text = staged.squash.read_text(encoding="utf-8")
        self._certify(made, proven)
        return Outcome(
            staged.revision, len(self.extent.revisions), staged.final, staged.final_archive, text.count("\n"), made.made,
            tuple(proven), made.chain.state.seconds, state.seconds, time.monotonic() - began, self.request.dry_run, text,
        )  # fmt: skip

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


def _made(settled: Sequence[Settled]) -> Made:
    calls: Counter[str] = Counter(one.piece.section for one in settled if one.form.is_call)
    statements: Counter[str] = Counter(one.piece.section for one in settled if not one.form.is_call)
    return Made(
        calls.total(), statements.total(),
        tuple((section, calls[section], statements[section]) for section in SECTIONS if calls[section] + statements[section]),
        tuple((str(one.piece.objects[0]), one.why) for one in settled if one.why and not one.form.is_call),
    )  # fmt: skip


def _docstring(extent: Extent) -> str:
    first = extent.revisions[0]
    return (
        f"Stands for {len(extent.revisions)} revisions, from {first.revision} to {extent.end.revision}, and makes what they\n"
        f"make of an empty database. Their files are in {ARCHIVE}/{extent.end.revision}/; a database on one of them is\n"
        "upgraded by those. `alembic squash --check` proves it again."
    )


def _below(path: Path, root: Path) -> str:
    try:
        return str(path.absolute().relative_to(root))
    except ValueError:
        return str(path)
