"""What does a squash work on, and what is done alike wherever it begins?"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.database.env_locations import directory_of
from alembic_safe.database.squashed import digest, file_hash, the_long_way
from alembic_safe.history.bootstrap import BOOTSTRAP, with_bootstrap
from alembic_safe.history.certificate import (
    Certificate,
    bootstrap_hash,
    read_certificate,
    vendored_hashes,
    versions_now,
    write_certificate,
)
from alembic_safe.history.extent import revision_of
from alembic_safe.history.proof import Sides
from alembic_safe.history.rows import digest as rows_digest
from alembic_safe.history.squash_file import Above, Words, write
from alembic_safe.history.stage import (
    Staged,
    copy_originals,
    new_folder,
    stage_folder,
    with_originals,
    with_squash,
    without_archive,
)
from alembic_safe.history.vendoring import imported_from_the_application, vendor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.chain import State
    from alembic_safe.history.extent import Extent
    from alembic_safe.history.proof import Proven
    from alembic_safe.history.request import Request, Show
    from alembic_safe.history.vendoring import Imported
    from alembic_safe.inspecting.catalog_records import ObjectId


@dataclass(frozen=True)
class Work:
    """One squash: which revisions, as a person asked for it, and where it is tried.

    :param shadow: an empty database of a server on which more can be made.
    :param default_schema: where a table without a schema goes.
    :param bootstrap: a script with what is there before the first revision; ``None``: nothing is.
    """

    config: Config
    extent: Extent
    request: Request
    show: Show
    shadow: Shadow
    default_schema: str
    bootstrap: Path | None

    def before(self) -> ScriptDirectory:
        """Return the files as they are, with the originals of a squash in its place that this one takes."""
        script = the_long_way(directory_of(self.config))
        return script if self.extent.earlier is None else with_originals(script, self.extent.earlier.revision)

    def stock(self) -> ScriptDirectory:
        """Return the same as they are to an Alembic without us: a squash among them runs itself, on the way back, too."""
        return without_archive(self.before())

    def fresh(self) -> Shadow:
        """Return a shadow with what is there before the first revision."""
        return with_bootstrap(self.shadow.beside(), self.bootstrap)

    @cached_property
    def keep(self) -> Mapping[str, str]:
        """Which revisions a person wants to have carried as they are written, and what is said of why.

        :raises WrongUsage: for one that is none of those that are squashed.
        """
        script = self.before()
        return {revision_of(self.extent, script, word): "kept, as asked" for word in self.request.keep}

    @cached_property
    def imported(self) -> tuple[Imported, ...]:
        """What the originals import from the application."""
        return imported_from_the_application(self.extent.revisions)

    def originals(self, fresh: Callable[[], Shadow]) -> Sides:
        """Return the files on both sides: there is no squash yet."""
        return Sides(self.config, self.before, self.before, self.before, self.extent.end.revision, fresh)

    def sides(self, staged: Staged, fresh: Callable[[], Shadow]) -> Sides:
        """Return the files, and the squash in their place.

        :param fresh: makes a database that stands where the squash begins.
        """

        def after() -> ScriptDirectory:
            return the_long_way(with_squash(self.config, staged))

        def stock() -> ScriptDirectory:
            return without_archive(with_squash(self.config, staged))

        return Sides(self.config, self.before, after, stock, staged.revision, fresh)

    def written_aside(self, upgrade: str, downgrade: str, docstring: str, above: Above | None = None) -> Staged:
        """Write the squash beside its place, with a copy of the originals."""
        extent, script = self.extent, self.before()
        moved = copy_originals(script, extent)
        folder = stage_folder(script, extent.end.revision)
        if self.bootstrap is not None:
            shutil.copyfile(self.bootstrap, folder / BOOTSTRAP)
        if self.request.vendor:
            vendor(self.imported, folder)
        words = Words(
            extent.end.revision, self.request.message, () if extent.start is None else (extent.start,), extent.labels,
            extent.depends_on, extent.replaces,
            digest((one.revision, Path(one.path).read_bytes()) for one in extent.revisions),
        )  # fmt: skip
        final = Path(script._rev_path(  # noqa: SLF001 - what generate_revision() itself calls
            extent.last_file.parent, extent.end.revision, self.request.message.partition("\n")[0],
            script._generate_create_date(),  # noqa: SLF001
        ))  # fmt: skip
        aside = new_folder(script, extent.end.revision) / final.name
        write(script, aside, words, upgrade, downgrade, docstring, above or Above())
        return Staged(extent.end.revision, folder, aside, final, moved)

    def certify(
        self, staged: Staged, state: State, changing: Mapping[ObjectId, Sequence[str]], proven: Sequence[Proven]
    ) -> None:
        """Write down what was proven, beside the originals.

        :param state: what the files make of a database.
        """
        root = Path(self.before().dir).absolute()

        def place(path: Path) -> str:
            path = path.absolute()
            return str(path.relative_to(root) if path.is_relative_to(root) else path)

        folders = {archived.name: place(path) for path, archived in staged.moved}
        earlier = ""
        if self.extent.earlier is not None:  # where its originals belong is known from its certificate alone
            folders |= read_certificate(self.before(), staged.revision).folders
            earlier = place(self.extent.last_file)
        write_certificate(
            staged.archive,
            Certificate(
                staged.revision, self.extent.start, self.extent.replaces,
                {path.name: file_hash(path.read_bytes()) for path in sorted(staged.archive.glob("*.py"))},
                file_hash(staged.squash.read_bytes()), state.catalog.fingerprint,
                rows_digest(state.contents, changing), tuple(one.said for one in proven),
                versions_now(self.shadow.server_version),
                folders, vendored_hashes(staged.archive), bootstrap_hash(staged.archive), earlier,
            ),
        )  # fmt: skip
