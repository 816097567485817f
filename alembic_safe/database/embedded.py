"""How a PostgreSQL server of our own is started and stopped on this machine."""

# A private server holds nothing but shadows. Its folder stays between runs, because initdb takes longer than most
# replays; the server itself stops with the last run that uses it. flock tells who uses it: the kernel lets go of a
# lock when its process dies, however it dies.
from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from alembic_safe.database.endpoint import Endpoint
from alembic_safe.database.libpq_words import without_environment
from alembic_safe.database.server_programs import ServerPrograms, Unusable

if sys.platform != "win32":
    import fcntl
    import pwd

if TYPE_CHECKING:
    from collections.abc import Iterator

SUPERUSER = "postgres"
"""The bootstrap superuser of a private server."""

_START_TIMEOUT = 60
# nothing in it outlives a crash: an unclean folder is thrown away and made anew
_CONFIGURATION = {
    "listen_addresses": "", "port": "5432", "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
    "max_connections": "50", "shared_buffers": "64MB", "wal_level": "minimal", "max_wal_senders": "0",
    "logging_collector": "off",
    "max_locks_per_transaction": "1024",  # a squash makes everything in one transaction: 64 are too few for 600 tables
}  # fmt: skip


@contextmanager
def private_server(programs: ServerPrograms) -> Iterator[Endpoint]:
    """Run a server that only this user reaches, through a socket; the last of its users stops it.

    :raises Unusable: when it cannot be started, or others use it and it does not answer.
    """
    if sys.platform == "win32":
        raise Unusable("a private server needs unix sockets")
    home = programs.home
    _make_base(home.parent)
    with _locked(_start_lock(home)):
        _make_home(home)
        users = _open_lock(home / "users.lock")
        is_used = not _is_free(users)
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            socket = _socket_of(home, is_used=is_used) or _start(programs, home)
        except BaseException:
            users.close()
            raise
    try:
        yield _endpoint(socket)
    finally:
        with _locked(_start_lock(home)):
            users.close()
            _stop_unused(programs, home)


def is_running(programs: ServerPrograms) -> bool:
    """Whether the private server of an installation runs."""
    return sys.platform != "win32" and _socket_of(programs.home) is not None


def stop_unused(programs: ServerPrograms) -> bool:
    """Stop a private server that a killed run left behind, unless somebody uses it; return whether one was stopped."""
    home = programs.home
    if sys.platform == "win32" or not home.exists():
        return False
    with _locked(_start_lock(home)):
        return _stop_unused(programs, home)


def remove_home(programs: ServerPrograms) -> bool:
    """Remove a private server with everything in it, unless somebody uses it; return whether it is gone."""
    home = programs.home
    if sys.platform == "win32" or not home.exists():
        return False
    with _locked(_start_lock(home)):
        if _socket_of(home) is not None and not _stop_unused(programs, home):
            return False
        shutil.rmtree(home)
    return True


def _stop_unused(programs: ServerPrograms, home: Path) -> bool:
    socket = _socket_of(home)
    if socket is None:
        return False
    with _open_lock(home / "users.lock") as users:
        if not _is_free(users):
            return False
        _run(programs, "pg_ctl", "-w", "-m", "fast", "-D", str(home / "data"), "stop")
    shutil.rmtree(socket, ignore_errors=True)
    return True


def _start(programs: ServerPrograms, home: Path) -> str:
    data = home / "data"
    if data.exists() and not _is_clean(programs, data):
        shutil.rmtree(data)
    if not data.exists():
        half = home / "half"
        shutil.rmtree(half, ignore_errors=True)
        _run(
            programs, "initdb", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C", "-U", SUPERUSER, "-D", str(half)
        )
        half.rename(data)
    # a socket's path has at most 107 bytes, which a home folder's may exceed
    socket = tempfile.mkdtemp(prefix="as-shadow-", dir="/tmp")
    _give_to_server_user(Path(socket))
    options = " ".join(f"-c {key}='{value}'" for key, value in _CONFIGURATION.items())
    options += f" -c unix_socket_directories='{socket}'"
    try:
        _run(programs, "pg_ctl", "-w", "-t", str(_START_TIMEOUT), "-D", str(data), "-l", str(home / "log"),
             "-o", options, "start")  # fmt: skip
    except BaseException:
        shutil.rmtree(socket, ignore_errors=True)
        raise
    return socket


def _is_clean(programs: ServerPrograms, data: Path) -> bool:
    try:
        said = _run(programs, "pg_controldata", "-D", str(data))
    except Unusable:
        return False
    return re.search(r"cluster state:\s+shut down\s*$", said, re.MULTILINE) is not None


def _socket_of(home: Path, *, is_used: bool = False) -> str | None:
    """Return the folder of the running server's socket, or ``None`` when no server runs in this home.

    :param is_used: somebody uses it, so that it is not thrown away where it has no answer for us: it has no connection
        to give, or too much to do.
    :raises Unusable: when it is used, and does not answer for a minute.
    """
    try:
        lines = (home / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        os.kill(int(lines[0]), 0)
        socket = lines[4].strip()
    except (OSError, ValueError, IndexError):
        return None
    # the number may by now be another process's: only a server answers
    endpoint = _endpoint(socket)
    from alembic_safe.errors import Missing

    until = time.monotonic() + (_START_TIMEOUT if is_used else 0.6)
    while True:
        try:
            endpoint.connect().close()
        except Missing as error:  # noqa: PERF203 - the server is what takes time
            if time.monotonic() < until:
                time.sleep(0.2)
            elif is_used:
                raise Unusable(f"others use the private server, and it does not answer: {error.summary}") from error
            else:
                return None
        else:
            return socket


def _endpoint(socket: str) -> Endpoint:
    parameters = tuple(without_environment().items())
    return Endpoint(host=socket, port=5432, user=SUPERUSER, database="postgres", parameters=parameters)


def _run(programs: ServerPrograms, program: str, *args: str) -> str:
    """Run one of the server's programs as a user that may run a server; PostgreSQL refuses root."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PG")} | {"LC_ALL": "C"}
    user = server_user()
    as_user: dict[str, object] = {} if user is None else {"user": user, "group": _group_of(user), "extra_groups": []}
    with tempfile.TemporaryFile() as out:  # the server that pg_ctl starts would keep a pipe open for ever
        try:
            done = subprocess.run(
                [programs.folder / program, *args], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                check=False, cwd="/", env=environ, start_new_session=True, **as_user,  # type: ignore[call-overload]
            )  # fmt: skip
        except OSError as error:
            who = f" by {user}, as whom it has to run here" if user else ""
            raise Unusable(f"{programs.folder / program} cannot be run{who}: {error.strerror}") from error
        out.seek(0)
        text = out.read().decode(errors="replace")
    if done.returncode != 0:
        words = [line.strip() for line in text.splitlines() if line.strip()]
        raise Unusable(f"{program} failed: {words[-1] if words else f'exit {done.returncode}'}")
    return text


def server_user() -> str | None:
    """Return the user that a server has to run as, where we are root; ``None`` where it runs as ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), "nobody")


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _make_base(base: Path) -> None:
    base.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise Unusable(f"{base} belongs to somebody else")


def _make_home(home: Path) -> None:
    home.mkdir(mode=0o700, exist_ok=True)
    _give_to_server_user(home)


def _start_lock(home: Path) -> Path:
    # beside the folder, which may be removed while somebody waits for the lock
    return home.parent / f"{home.name}.lock"


def _give_to_server_user(folder: Path) -> None:
    user = server_user()
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, _group_of(user))


def _is_free(lock: IO[bytes]) -> bool:
    """Take a lock for ourselves, unless somebody has it; return whether we have it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_lock(path: Path) -> IO[bytes]:
    return path.open("ab")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with _open_lock(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
