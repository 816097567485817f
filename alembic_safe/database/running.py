"""How a program is run: no password shown, and never outliving us."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from alembic_safe.errors import Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.database.programs import Program

TICK = 0.25
"""Seconds between two calls of a run's ``tick``."""

_GRACE = 10.0
# what a client program needs of our environment: the application's own variables may hold a URL with a password
_KEPT = re.compile(
    r"(PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|TEMP|TMP|LD_LIBRARY_PATH|DYLD_\w+|SYSTEMROOT|APPDATA|USERPROFILE|"
    r"PROGRAMDATA|KRB5\w*|SSL_CERT_\w+|OPENSSL_CONF|PG(?!PASSWORD$)\w+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def succeeded(self) -> bool:
        """Whether the program says that it did what it was asked."""
        return self.returncode == 0


def run_program(
    program: Program,
    arguments: Sequence[str],
    endpoint: Endpoint | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    tick: Callable[[], None] | None = None,
) -> Outcome:
    """Run a client program to its end; whatever ends us first ends it, too.

    :param endpoint: where it connects to; the password reaches it through anonymous memory, on Linux.
    :param environ: further environment variables.
    :param tick: called every quarter of a second while it runs.
    """
    # C: the words of the program are read by us; --no-password: it would ask the terminal and wait there
    inherited = {key: value for key, value in os.environ.items() if _KEPT.fullmatch(key)}
    variables = inherited | {"LC_ALL": "C"} | dict(environ or {})
    if endpoint is None:
        return run_to_end([str(program.path), *arguments], variables, tick=tick)
    with _secrets_for(endpoint) as (conninfo, secret_variables, descriptors):
        command = [str(program.path), "--no-password", "-d", conninfo, *arguments]
        return run_to_end(command, variables | secret_variables, pass_fds=descriptors, tick=tick)


def run_to_end(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    pass_fds: Sequence[int] = (),
    tick: Callable[[], None] | None = None,
) -> Outcome:
    """Run a command in a session of its own, and end all of it when we are ended.

    :raises KeyboardInterrupt: when SIGTERM asked us to end while it ran.
    :raises OSError: when the command cannot be started.
    """
    with ExitStack() as stack:
        stack.enter_context(sigterm_as_an_error())
        with _signals_held_back():
            started = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environ),
                pass_fds=tuple(pass_fds), start_new_session=True, close_fds=True,
            )  # fmt: skip
            process = stack.enter_context(_ended_with_us(started))
        while True:
            try:
                out, err = process.communicate(timeout=TICK)
                break
            except subprocess.TimeoutExpired:
                if tick is not None:
                    tick()
    return Outcome(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


@contextmanager
def _ended_with_us(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    with process:
        try:
            yield process
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started: it may be a script around a snapshot tool."""
    _signal(process, signal.SIGTERM)
    try:
        process.wait(timeout=_GRACE)
    except subprocess.TimeoutExpired:
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
    except ProcessLookupError:
        pass  # it was faster


@contextmanager
def sigterm_as_an_error() -> Iterator[None]:
    """Make SIGTERM end what runs as Ctrl-C does, unless somebody above us does so already: else nothing tidies up.

    :raises KeyboardInterrupt: inside the block, when the signal comes; no ``except Exception`` takes it for a failure.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def ended(number: int, frame: Any) -> None:
        del number, frame
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, ended)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Put what a signal's handler does off to the end of the block.

    A program that is being started runs before we know its number: an error raised just then would leave it running.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread only
        return
    came: list[int] = []
    handlers: dict[int, Callable[[int, FrameType | None], object]] = {}
    for ending in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(ending)
        if callable(handler):
            handlers[ending] = handler
            signal.signal(ending, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came:
            handlers[number](number, None)


@contextmanager
def _secrets_for(endpoint: Endpoint) -> Iterator[tuple[str, dict[str, str], tuple[int, ...]]]:
    """Yield a connection string, environment variables and descriptors that together hold all of an endpoint.

    libpq reads passwords from files only; a memfd is a file without a disk, and goes with its last descriptor.
    A password file has an escape for every character but a line's end, and a service file takes the other secrets.
    """
    files: list[IO[bytes]] = []
    variables: dict[str, str] = {}
    place: dict[str, str | None] = {}
    password = endpoint.password
    try:
        if password is not None:
            path = "" if re.search(r"[\r\n]", password) else _in_memory(files, f"*:*:*:*:{_escaped(password)}\n")
            if path:
                place["passfile"] = path
            else:
                variables["PGPASSWORD"] = password
        if endpoint.secrets:
            text = "".join(f"{key}={value}\n" for key, value in endpoint.secrets)
            path = _in_memory(files, f"[alembic-safe]\n{text}")
            if not path:
                names = ", ".join(key for key, _ in endpoint.secrets)
                raise Missing(f"{names} cannot be handed to a client program without showing it on this system.")
            variables["PGSERVICEFILE"], place["service"] = path, "alembic-safe"
        yield endpoint.conninfo(**place), variables, tuple(file.fileno() for file in files)
    finally:
        for file in files:
            file.close()


def _escaped(password: str) -> str:
    return password.replace("\\", "\\\\").replace(":", "\\:")


def _in_memory(files: list[IO[bytes]], text: str) -> str:
    """Put a text into an anonymous file and return a child's path to it; empty where the system has none."""
    if sys.platform != "linux" or not hasattr(os, "memfd_create"):
        return ""
    file = os.fdopen(os.memfd_create("alembic-safe"), "wb")
    files.append(file)
    os.fchmod(file.fileno(), 0o600)  # libpq ignores a password file that others may read
    file.write(text.encode())
    file.flush()
    path = f"/dev/fd/{file.fileno()}"
    return path if Path(path).exists() else ""
