"""How does a squash become a shortcut for new databases, with every original in its place?"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.database.squash_moving import put
from alembic_safe.database.squashed import SHORTCUT, archive_folder, file_hash, is_squash, shortcuts
from alembic_safe.errors import NextStep, WrongUsage
from alembic_safe.history.certificate import changed, held_against, read_certificate

if TYPE_CHECKING:
    from alembic.script import Script, ScriptDirectory

    from alembic_safe.history.extent import Extent
    from alembic_safe.history.stage import Staged


def require_no_squash(extent: Extent, *, vendor: bool) -> None:
    """Stop where a shortcut would not begin with nothing, is a squash already, or has no archive to copy to.

    :raises WrongUsage: in these cases.
    """
    if extent.start is not None:
        raise WrongUsage(
            f"A new database begins with the first revision, so no shortcut begins behind {extent.start}.",
            next_steps=[NextStep("from the beginning", f'alembic squash {extent.end.revision} --shortcut -m "..."')],
        )
    if vendor:
        raise WrongUsage(
            "--vendor copies for originals in an archive, and --shortcut leaves them where they are.",
            next_steps=[NextStep("choose one of the two", "alembic squash --help")],
        )
    if is_squash(extent.end):
        raise WrongUsage(
            f"{extent.end.revision} is a squash: its originals are in the archive already.",
            next_steps=[
                NextStep(
                    "put them back first, and make a shortcut then", f"alembic squash --undo {extent.end.revision}"
                )
            ],
        )


def place(staged: Staged) -> Path:
    """Put a shortcut where new databases find it, in one step, and leave everything else as it is.

    :return: its file.
    """
    for _, copy in staged.moved:
        copy.unlink()
    inside = staged.archive / SHORTCUT
    inside.mkdir()
    shutil.copy2(staged.squash, inside / staged.final.name)
    put(staged.archive, staged.final_archive)  # also in that of a shortcut of the same id
    return staged.final_archive / SHORTCUT / staged.final.name


def shortcut_named(script: ScriptDirectory, word: str) -> Script | None:
    """Return the shortcut of an id; ``None`` where there is none."""
    return next((one for one in shortcuts(script) if one.revision == word), None)


def require_unchanged_shortcut(script: ScriptDirectory, one: Script) -> None:
    """Stop where a shortcut, its certificate or a revision that it stands for is not what was proven.

    :raises Findings: naming each that was changed or is missing.
    """
    certificate = read_certificate(script, one.revision)
    root = Path(script.dir).absolute()
    now = {
        name: file_hash(path.read_bytes())
        for name, place_ in certificate.folders.items()
        if (path := root / place_).is_file()
    }
    wrong = held_against(certificate.files, now)
    if file_hash(Path(one.path).read_bytes()) != certificate.squash_hash:
        wrong.append(f"{one.path}: changed")
    if wrong:
        raise changed(one.revision, wrong)


def take_away(script: ScriptDirectory, one: Script) -> Path:
    """Take a shortcut away, in one step; return where it was."""
    folder = archive_folder(script, one.revision)
    aside = folder.with_name(f".old-{one.revision}")
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
    return folder
