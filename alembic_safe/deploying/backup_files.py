"""Which backups stand in a folder, and what each says of itself in the file beside it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import make_conninfo

from alembic_safe.deploying.backup_contents import DatabaseFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic_safe.database.endpoint import Endpoint

FORMAT = 1
"""Version of the file beside a backup; a reader refuses a newer one."""

_CHUNK = 4 * 1024 * 1024
_NAME_BYTES = 63


@dataclass(frozen=True)
class Backup:
    """A finished backup: what it holds, where it is, and how it is known to be whole.

    :param location: the file, or what a command of the user's own named as its place.
    :param tables: the tables whose rows are in it, as (schema, name); all definitions are in it in any case.
    :param size: bytes of the file; 0 when the backup was taken by a command of the user's own.
    :param taken_at: when the dump began, UTC, ISO 8601.
    :param seconds: how long dump and proof took.
    """

    location: str
    database: str
    host: str
    port: int
    user: str
    scope: str
    heads: tuple[str, ...]
    tables: tuple[tuple[str, str], ...]
    size: int
    sha256: str
    entries: int
    compression: str
    program: str
    taken_at: str
    seconds: float
    tool: str
    facts: DatabaseFacts

    @property
    def path(self) -> Path | None:
        """The file, when it is one that we wrote."""
        return Path(self.location) if self.sha256 else None

    @property
    def restore_lines(self) -> tuple[str, ...]:
        """How to restore it: our command, and PostgreSQL's own; then what is not in it."""
        if self.path is None:
            return (f"restored by the tool that took it: {self.location}",)
        new, file = restored_name(self.database, "restored"), shlex.quote(self.location)
        server = shlex.join([*(["-h", self.host] if self.host else []), "-p", str(self.port), "-U", self.user])
        # a newer pg_restore sets what an older server does not know, and would stop there
        strict = "" if self.made_by_a_newer_version else "--exit-on-error "
        # a name that looks like a connection string would be read as one
        into = shlex.quote(make_conninfo(dbname=new) if re.search(r"[=:]", new) else new)
        dash = "-- " if new.startswith("-") else ""
        return (
            f"alembic safe-restore {file}",
            f"createdb {server} -T template0 {dash}{shlex.quote(new)} && pg_restore {server} {strict}-d {into} {file}",
            f"Rows written after {self.taken_at} are not in it.",
            *self._left_out_lines,
        )

    @property
    def _left_out_lines(self) -> tuple[str, ...]:
        if self.scope != "affected":
            return ()
        names = ", ".join(f"{schema}.{name}" for schema, name in self.tables) or "no table"
        return (f"Only the rows of {names} are in it; those of every other table are not.",)

    @property
    def made_by_a_newer_version(self) -> bool:
        """Whether pg_dump was of a later major version than the server that it read."""
        major = re.search(r"pg_dump (\d+)", self.program)
        return major is not None and int(major[1]) > self.facts.server_major

    def is_of(self, endpoint: Endpoint, system: str) -> bool:
        """Whether it was taken of this very database: the same cluster, the same name.

        :param system: the cluster's system identifier; where nobody may know it, the address must be the same.
        """
        same_server = (self.host, self.port) == (endpoint.host, endpoint.port) if not system else True
        return self.database == endpoint.database and self.facts.system == system and same_server


def sidecar_of(path: Path) -> Path:
    """Return the file beside a backup that describes it."""
    return path.with_name(path.name + ".json")


def write_sidecar(backup: Backup, path: Path) -> None:
    """Write what a backup says of itself, complete or not at all, readable by its owner only.

    :param path: the backup's final place.
    """
    text = json.dumps({"format": FORMAT, **asdict(backup)}, indent=2, ensure_ascii=False) + "\n"
    partial = sidecar_of(path).with_name(path.name + ".json.partial")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - born 0600
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(sidecar_of(path))


def read_sidecar(path: Path) -> Backup | None:
    """Read what stands beside a backup; None when there is nothing, or nothing of ours.

    :param path: the backup itself; its present place is the location, wherever it was written first.
    """
    try:
        data = json.loads(sidecar_of(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        return None
    try:
        known = {field.name: data[field.name] for field in fields(Backup)}
        known["heads"] = tuple(known["heads"])
        known["tables"] = tuple((schema, name) for schema, name in known["tables"])
        known["facts"] = DatabaseFacts(**known["facts"])
        return Backup(**{**known, "location": str(path)})
    except (KeyError, TypeError, ValueError):
        return None


def make_folder(folder: Path) -> None:
    """Make a folder for backups, for its owner only, with what keeps rows out of git; one that is there stays as it is.

    :raises OSError: when it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if folder.is_dir():
            return
        raise
    # it may stand in a work tree, where one `git add -A` would commit what production holds
    try:
        descriptor = os.open(folder / ".gitignore", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # somebody else's already
        return
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - born 0600
        file.write("*\n")


def new_path(folder: Path, endpoint: Endpoint, heads: tuple[str, ...], now: datetime) -> Path:
    """Return a path for a backup that nobody uses yet: database, time (UTC) and heads in it."""
    name = _fit_for_a_file(endpoint.database)
    stands = _fit_for_a_file("+".join(heads) or "base")[:60]
    stem = f"{name}-{now.astimezone(timezone.utc):%Y%m%d-%H%M%S}-{stands}"
    path, again = folder / f"{stem}.dump", 1
    while path.exists() or path.with_name(path.name + ".partial").exists():
        again += 1
        path = folder / f"{stem}-{again}.dump"
    return path


def hold_partial(partial: Path) -> int:
    """Make an unfinished backup's file for its owner only, and hold it until the descriptor is closed.

    :raises OSError: when it cannot be made.
    """
    while True:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        _lock(descriptor, wait=True)
        # a run that tidies up may have met it in the instant before it was held
        if partial.exists() and partial.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
        os.close(descriptor)


def remove_abandoned(folder: Path, endpoint: Endpoint) -> list[Path]:
    """Delete the unfinished files that killed runs left of this database: those that nobody holds."""
    written = re.compile(re.escape(_fit_for_a_file(endpoint.database)) + r"-\d{8}-\d{6}-.*\.dump\.partial")
    removed: list[Path] = []
    for path in folder.glob("*.partial"):
        if not written.fullmatch(path.name):
            continue
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:  # another user's, in a folder that both write to
            continue
        if _lock(descriptor):
            path.unlink()
            path.with_name(path.name.removesuffix(".partial") + ".json").unlink(missing_ok=True)
            removed.append(path)
        os.close(descriptor)
    return removed


def _lock(descriptor: int, *, wait: bool = False) -> bool:
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (ImportError, OSError):  # not on Windows, not on every network file system: then nothing is abandoned
        return False
    return True


def sha256_of(path: Path, tick: Callable[[int], None] | None = None) -> str:
    """Read a file from the disk and return its sha256.

    :param tick: called with the bytes read so far.
    """
    digest, read = hashlib.sha256(), 0
    buffer = memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):
            # what was written a moment ago would come out of memory: it is to come from the disk
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            read += count
            if tick is not None:
                tick(read)
    return digest.hexdigest()


def backups_in(folder: Path) -> list[Backup]:
    """Return the backups of a folder that a file beside them proves to be ours and whole, the newest first."""
    found: list[Backup] = []
    for path in folder.glob("*.dump"):
        backup = read_sidecar(path)
        if backup is not None and path.stat().st_size == backup.size:
            found.append(backup)
    return sorted(found, key=lambda backup: (backup.taken_at, backup.location), reverse=True)


def remove_older(folder: Path, endpoint: Endpoint, newest: Backup, keep: int) -> list[Path]:
    """Delete all but the newest ``keep`` backups of a database, and say which.

    A backup of a part does not replace one of the whole: each scope is counted by itself. What has no file beside
    it, another database's file beside it, or another size than that says, is left alone.

    :param endpoint: where the database is that ``newest`` was just taken of.
    :param keep: how many stay, at least 1.
    """
    system = newest.facts.system
    ours = [b for b in backups_in(folder) if b.is_of(endpoint, system) and b.scope == newest.scope]
    removed = [Path(backup.location) for backup in ours[max(keep, 1) :]]
    for path in removed:
        path.unlink()
        sidecar_of(path).unlink()
    return removed


def _fit_for_a_file(text: str) -> str:
    fit = re.sub(r"[^\w.+-]", "_", text)
    return re.sub(r"^[.+-]", "_", fit)


def restored_name(database: str, suffix: str) -> str:
    """Return ``<database>_<suffix>``, the database's part cut so that PostgreSQL keeps all 63 bytes of the whole."""
    room = _NAME_BYTES - len(suffix.encode()) - 1
    return f"{database.encode()[:room].decode(errors='ignore')}_{suffix}"
