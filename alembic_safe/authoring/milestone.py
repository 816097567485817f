"""How do pushed changes become one reviewed set of revisions: written, proven, moved in, stamped?"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from alembic_safe.authoring.milestone_changes import find, going
from alembic_safe.authoring.milestone_proof import differences_from, prove
from alembic_safe.authoring.milestone_side import look, require_files_head
from alembic_safe.authoring.milestone_stamp import clear_cut_short, settle_pushes, stamp_all
from alembic_safe.authoring.milestone_words import docstring_body
from alembic_safe.authoring.moving_in import aside_folder, keep_rejected, move_in
from alembic_safe.authoring.writing import AsideWriter, Wanted
from alembic_safe.database.envpy import script_of
from alembic_safe.database.replay import replay
from alembic_safe.database.replay_cache import open_replayed
from alembic_safe.database.shadow_wish import ShadowWish
from alembic_safe.errors import Findings, NextStep, ProofFailed, SafeError, WrongUsage
from alembic_safe.inspecting.changes import open_changes
from alembic_safe.inspecting.expected import catalogs_of
from alembic_safe.inspecting.unused_consents import NO_FINDING, unused_consents
from alembic_safe.inspecting.with_contracts import with_contracts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from alembic_safe.authoring.milestone_changes import Ask, Found
    from alembic_safe.authoring.milestone_proof import Proven
    from alembic_safe.authoring.milestone_side import Side
    from alembic_safe.authoring.push_plan import PlannedChange
    from alembic_safe.authoring.writing import Written
    from alembic_safe.database.replay import Replayed, ReplayStep
    from alembic_safe.database.shadow import Shadow, ShadowNote
    from alembic_safe.inspecting.expected import FilesCatalog
    from alembic_safe.inspecting.settles import Settle
    from alembic_safe.settings import Settings


@dataclass(frozen=True)
class Request:
    """What a person asks of a milestone.

    :param wanted: the message, and where the revision goes.
    :param renames: as ``--rename`` takes them.
    :param accept: what is gone and was not renamed: ``drop-column:users.nick``.
    :param dry_run: show the files; write nothing at all.
    :param stamp: mark the database as being at the new revision.
    :param ask: puts a question about a rename to a person; ``None``: nobody can be asked.
    """

    wanted: Wanted
    renames: tuple[str, ...] = ()
    accept: frozenset[str] = frozenset()
    dry_run: bool = False
    stamp: bool = True
    ask: Ask | None = None


@dataclass(frozen=True)
class WrittenFile:
    """A file of a milestone.

    :param path: where it is, or would be.
    """

    revision: str
    message: str
    path: Path
    text: str


@dataclass(frozen=True)
class Outcome:
    """What a milestone did.

    :param databases: the names of the databases.
    :param cleared: how many runs that were killed have been cleared up after.
    :param changes: what the files do.
    :param unsettled: what no operation can express, and why.
    :param different: in what the databases differ from what the files make; they are then not stamped.
    :param unapplied: the databases are still where the files began, so that the revision is yet to run there.
    :param stamped: whether the databases are marked as being at the new revision.
    :param seconds: how long it took.
    """

    databases: tuple[str, ...]
    heads: tuple[str, ...]
    cleared: int = 0
    changes: tuple[PlannedChange, ...] = ()
    files: tuple[WrittenFile, ...] = ()
    unsettled: tuple[str, ...] = ()
    different: tuple[str, ...] = ()
    unapplied: bool = False
    stamped: bool = False
    dry_run: bool = False
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0, or 4 where something is left that a person has to look at."""
        return 4 if self.unsettled or self.different else 0


@dataclass(frozen=True)
class Show:
    """What hears of the steps as they are done.

    :param began: the databases.
    :param built: the files have been replayed.
    :param found: what is between them and the models.
    :param wrote: the files, aside still.
    :param proved: one part of the proof.
    :param note: what a person should know of the shadow.
    :param step: a revision is about to be replayed.
    """

    began: Callable[[Sequence[Side]], None]
    built: Callable[[Replayed], None]
    found: Callable[[Sequence[PlannedChange]], None]
    wrote: Callable[[Sequence[Written]], None]
    proved: Callable[[str], None]
    note: Callable[[ShadowNote], None]
    step: Callable[[ReplayStep], None]
    unused: Callable[[str], None]


def milestone(config: Config, settings: Settings, request: Request, show: Show) -> Outcome:
    """Make revision files of what the models have and the files have not, prove them, and stamp the database.

    :raises Refused: where the database and the files do not stand at the same revision, or it may not be stamped; before
        anything is written.
    :raises ConsentMissing: where nobody says whether something was renamed.
    :raises ProofFailed: where the files do not do what they are for; they are kept aside.
    """
    began = time.monotonic()
    script = script_of(config)
    stamps = request.stamp and not request.dry_run
    sides = look(config, script, settings, stamps=stamps)
    show.began(sides)
    cleared = 0
    if not request.dry_run:
        cleared = clear_cut_short(script, sides)
        script = script_of(config) if cleared else script
    for side in sides:
        require_files_head(script, side)
    _require_one_head(script, request.wanted)
    work = _Milestone(config, settings, request, show, script, sides)
    done = work.run()
    return replace(done, cleared=cleared, seconds=time.monotonic() - began)


def _require_one_head(script: ScriptDirectory, wanted: Wanted) -> None:
    heads = script.get_heads()
    if len(heads) > 1 and wanted.head == "head":
        raise WrongUsage(
            f"The revision files have {len(heads)} heads: {', '.join(sorted(heads))}.",
            next_steps=[
                NextStep("build on one of them", f'alembic milestone -m "..." --head {min(heads)}'),
                NextStep("join them first", 'alembic merge -m "..." heads'),
            ],
        )


class _Milestone:
    """One run, with a method for each stage."""

    def __init__(
        self, config: Config, settings: Settings, request: Request, show: Show, script: ScriptDirectory,
        sides: tuple[Side, ...],
    ) -> None:  # fmt: skip
        self.config = config
        self.settings = settings
        self.request = request
        self.show = show
        self.script = script
        self.sides = sides
        self.open = open_changes(script)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(side.shown for side in self.sides))

    def run(self) -> Outcome:
        with self._folder() as folder, self._shadow() as (shadow, replayed):
            self.show.built(replayed)
            before = catalogs_of(shadow, replayed)
            if self.open:
                # the models are what the open changes lead to: only what comes on top of them is new
                replay(self.config, with_contracts(self.script), shadow, to="heads")
            writer = AsideWriter(self.config, script_of(self.config), self.request.wanted, folder)

            def on_found(context: MigrationContext, one: Found) -> None:
                writer.add(context, one.upgrade, one.downgrade)

            found = find(
                self.config,
                self.script,
                shadow,
                self.sides,
                self.request.renames,
                self.request.accept,
                self.request.ask,
                on_found,
            )
            lines = tuple(line for one in found for line in one.planned)
            self.show.found(lines)
            for line in unused_consents(self.request.accept, going(self.sides, found), NO_FINDING) if lines else ():
                self.show.unused(line)
            if not any(one.upgrade for one in found):
                return self._nothing(found, before)
            if writer.is_empty:
                raise _emptied(lines)
            files = writer.write(docstring_body(lines))
            self.show.wrote((*files, *writer.parked))
            proven = self._prove(writer, shadow, found, files, before)
            return self._end(folder, writer, files, found, proven, lines, before)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        if self.request.dry_run:
            with TemporaryDirectory(prefix="milestone-") as folder:
                yield Path(folder)
        else:
            with aside_folder(self.script) as aside:
                yield aside

    @contextmanager
    def _shadow(self) -> Iterator[tuple[Shadow, Replayed]]:
        side = self.sides[0]
        wish = ShadowWish(
            side.target.endpoint, side.ground.needs, self.settings, protected=side.target.identity.protected,
            dry_run=self.request.dry_run, tell=self.show.note, on_step=self.show.step,
        )  # fmt: skip
        with open_replayed(self.config, self.script, wish) as made:
            yield made

    def _prove(
        self, writer: AsideWriter, shadow: Shadow, found: Sequence[Found], files: Sequence[Written],
        before: Sequence[FilesCatalog],
    ) -> Proven:  # fmt: skip
        script = with_contracts(writer.script, [file.aside for file in writer.parked])
        known = {revision.revision for revision in self.script.walk_revisions()}
        new = [one.revision for one in reversed(list(script.walk_revisions())) if one.revision not in known]
        try:
            if not self.open and not any(one.dirty for one in found):
                return prove(self.config, script, shadow, found, new, before, self.show.proved)
            with self._shadow() as (fresh, _):
                return prove(self.config, script, fresh, found, new, before, self.show.proved)
        except ProofFailed as error:
            if self.request.dry_run:
                raise
            raise _rejected(error, keep_rejected(self.script, [*files, *writer.parked])) from error

    def _nothing(self, found: Sequence[Found], before: Sequence[FilesCatalog]) -> Outcome:
        different = self._different(before)
        if not different and self.request.stamp and not self.request.dry_run:
            settle_pushes(self.config, self.script, self.settings, self.sides)
        return Outcome(
            self.names, tuple(self.script.get_heads()), different=(), unsettled=_unsettled(found),
            dry_run=self.request.dry_run,
        )  # fmt: skip

    def _different(self, files: Sequence[FilesCatalog], settles: Sequence[Settle] = ()) -> tuple[str, ...]:
        settles = settles or [line for change in self.open for line in change.settles]
        return tuple(
            str(difference)
            for side, made in zip(self.sides, files, strict=True)
            for difference in differences_from(side, made, settles)
        )

    def _end(
        self, folder: Path, writer: AsideWriter, files: Sequence[Written], found: Sequence[Found], proven: Proven,
        lines: tuple[PlannedChange, ...], before: Sequence[FilesCatalog],
    ) -> Outcome:  # fmt: skip
        script = writer.script
        unapplied = not self._pushed and not self._different(before)
        settles = [line for change in open_changes(script) for line in change.settles]
        different = () if unapplied else self._different(proven.catalogs, settles)
        stamps = self.request.stamp and not self.request.dry_run and not different and not unapplied
        if not different and not unapplied:
            self.show.proved(f"equal to {', '.join(self.names)}, column order aside")
        files = [*files, *writer.parked]
        written = tuple(WrittenFile(file.revision, file.message, file.final, file.text) for file in files)
        if stamps:
            stamp_all(
                self.config, script, self.settings, self.sides, lambda: move_in(folder, files, stamps=True), files
            )
        elif not self.request.dry_run:
            move_in(folder, files, stamps=False)
        return Outcome(
            self.names, tuple(script.get_heads()), changes=lines, files=written, unsettled=_unsettled(found),
            different=different, unapplied=unapplied, stamped=stamps, dry_run=self.request.dry_run,
        )  # fmt: skip

    @property
    def _pushed(self) -> bool:
        return any(side.pushed.pushes for side in self.sides)


def _unsettled(found: Sequence[Found]) -> tuple[str, ...]:
    return tuple(f"{one.difference} ({one.reason})" for each in found for one in each.unsettled)


def _emptied(lines: Sequence[PlannedChange]) -> Findings:
    return Findings(
        "The project's process_revision_directives left nothing of the changes to write.",
        detail=[line.line for line in lines],
        next_steps=[
            NextStep("see what env.py gives as process_revision_directives; then", 'alembic milestone -m "..."')
        ],
    )


def _rejected(error: SafeError, kept: Sequence[Path]) -> ProofFailed:
    return ProofFailed(
        error.summary,
        detail=[*error.detail, *(f"Kept to look at, outside of the revisions: {path}" for path in kept)],
        next_steps=[
            NextStep("see what the files would be", 'alembic milestone -m "..." --dry-run'),
            NextStep("or write the revision by hand", 'alembic revision -m "..."'),
        ],
        state="No revision was added, and the database is as it was.",
    )
