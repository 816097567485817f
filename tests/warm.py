"""How does a test run ``python -m MODULE`` as a process of its own without waiting for the imports each time?

A process that has imported what others wrote (Alembic, SQLAlchemy, psycopg: 0.4 s of CPU), and our lower rooms (0.1 s),
forks one process for each run; the rooms above, which tell Alembic of their operations when they are imported, are
imported there, as in any process. Such a run has its own pid, environment, folder, standard streams and exit code, and
ends as an interpreter ends. What an interpreter decides when it starts cannot be had this way: where the environment says
something else of that, a new interpreter is started (see :func:`fits`).
"""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]

_AT_START = ("PYTHON", "LC_", "LANG", "LD_")
"""How the names begin of the variables that an interpreter obeys when it starts."""


def run(
    words: list[str], folder: Path, environ: Mapping[str, str], *, stdin: str = "", timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m WORDS`` to its end, as :func:`run_cold` does.

    :param words: the module, and its arguments.
    :param stdin: what can be read there.
    :raises subprocess.TimeoutExpired: when it did not end in time; it is killed then.
    """
    if not fits(environ):
        return run_cold(words, folder, environ, stdin=stdin, timeout=timeout)
    started = Started(words, folder, environ, stdin=stdin)
    try:
        out, err = started.communicate(timeout)
    except subprocess.TimeoutExpired:
        started.kill()
        started.communicate(timeout)
        raise
    return subprocess.CompletedProcess(started.args, started.returncode, out, err)


def run_cold(
    words: list[str], folder: Path, environ: Mapping[str, str], *, stdin: str = "", timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m WORDS`` to its end in a new interpreter."""
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env=dict(environ), input=stdin, timeout=timeout,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def fits(environ: Mapping[str, str]) -> bool:
    """Whether an interpreter that starts in this environment is as one that starts in our own."""
    return _start_of(environ) == _start_of(os.environ)


def _start_of(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in environ.items() if name.startswith(_AT_START)))


_ONE = threading.Lock()


def _forker(environ: Mapping[str, str], before: str) -> _Forker:
    with _ONE:  # two threads that ask first, at once
        return _made(_start_of(environ), before)


@cache
def _made(start: tuple[tuple[str, str], ...], before: str) -> _Forker:
    made = _Forker(dict(start), before)
    atexit.register(made.close)
    return made


class _Forker:
    """The process that forks, seen from the tests; it ends when we do."""

    def __init__(self, start: Mapping[str, str], before: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="as-warm-")
        self._path = f"{self._folder.name}/socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._path)
            listener.listen(64)
            ours = (
                f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests import warm; warm._serve(int(sys.argv[1]))"
            )
            # what is run before may keep something of ours from being imported
            rest = [str(listener.fileno()), *(["bare"] if before else [])]
            others = {name: value for name, value in os.environ.items() if not name.startswith(_AT_START)}
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"{before}\n{ours}", *rest], env=others | dict(start),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[listener.fileno()],
            )  # fmt: skip

    def close(self) -> None:
        """End the process, and remove its socket."""
        self._process.communicate()
        self._folder.cleanup()

    def ask(self, order: dict[str, object], streams: list[int]) -> socket.socket:
        """Ask for a run; its pid and its exit code, below zero for a signal, come as lines."""
        talk = socket.socket(socket.AF_UNIX)
        talk.connect(self._path)
        text = json.dumps(order).encode() + b"\n"
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))]
        talk.sendall(text[talk.sendmsg([text], rights) :])
        return talk


class Started:
    """A process that runs ``python -m WORDS``: what tests use of ``subprocess.Popen``, under the same names.

    :param words: a module and its arguments, or ``-c``, a program, and its arguments.
    :param before: source that is run before Alembic is imported; the process that forks runs it, once.
    """

    def __init__(
        self, words: list[str], folder: Path, environ: Mapping[str, str], *, stdin: str = "", before: str = ""
    ) -> None:
        self.args = [sys.executable, *(["-m"] if words[0] != "-c" else []), *words]
        self.returncode: int | None = None
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed where they are read
        with tempfile.TemporaryFile() as given:
            given.write(stdin.encode())
            given.seek(0)
            order = {"words": words, "folder": str(folder), "environ": dict(environ)}
            self._talk = _forker(environ, before).ask(order, [given.fileno(), self._out.fileno(), self._err.fileno()])
        self.pid = int(self._line())

    def poll(self) -> int | None:
        """Return the exit code, or ``None`` as long as it runs."""
        if self.returncode is None and select.select([self._talk], [], [], 0)[0]:
            self.returncode = int(self._line())
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        :raises subprocess.TimeoutExpired: when it does not come in time.
        """
        if self.returncode is None:
            if not select.select([self._talk], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._line())
        return self.returncode

    def outputs(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Wait for its end, and return what it wrote, byte for byte."""
        self.wait(timeout)
        self._talk.close()
        written = []
        for stream in (self._out, self._err):
            with stream:
                stream.seek(0)
                written.append(stream.read())
        return written[0], written[1]

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end, and return what it wrote, as a text stream reads it: line ends of all kinds are one."""
        out, err = (text.decode().replace("\r\n", "\n").replace("\r", "\n") for text in self.outputs(timeout))
        return out, err

    def line(self) -> str:
        """Wait for the first line that it writes, and return it without its end; what there is when it ended before."""

        def first() -> bytes | None:
            ended = self.poll() is not None
            text = os.pread(self._out.fileno(), 4096, 0)
            return text if b"\n" in text or ended else None

        text: bytes = eventually(first, "a line") or b""
        return text.decode().partition("\n")[0]

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _line(self) -> str:
        line = b""
        while not line.endswith(b"\n"):
            piece = self._talk.recv(1)
            assert piece, "the process that forks has ended; see above what it said"
            line += piece
        return line.decode()


_THEIRS = ("alembic.command", "alembic.config", "sqlalchemy.dialects.postgresql.psycopg", "click", "tenacity")


def _serve(listener_fd: int) -> None:
    """Fork whenever somebody asks, until nobody can any more: what the process that forks does all the time."""
    for module in (*_THEIRS, *(() if "bare" in sys.argv else _ours())):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # else each of them, at its end, would copy all of this to find that nothing of it is garbage
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who know what to do with it
    listener = socket.socket(fileno=listener_fd)
    woken, wake = socket.socketpair()
    for one in (wake, woken):
        one.setblocking(False)  # noqa: FBT003 - so it is called
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as waiting:
        for file in (listener, woken, sys.stdin):
            waiting.register(file, selectors.EVENT_READ)
        while sys.stdin not in (ready := [key.fileobj for key, _ in waiting.select()]):
            if woken in ready:
                woken.recv(4096)
                _tell_ends(running)
            if listener in ready:
                talk, _ = listener.accept()
                order, streams = _read_order(talk)
                running[pid := os.fork()] = talk
                if pid == 0:
                    for file in (waiting, listener, woken, wake, *running.values()):
                        file.close()
                    _become(order, streams)
                for stream in streams:
                    os.close(stream)
                talk.sendall(f"{pid}\n".encode())


def _ours() -> Iterator[str]:
    """Yield the names of the modules of the lower rooms: all they do on import is to define."""
    for room in ("database", "inspecting", "operations"):
        for path in sorted((ROOT / "alembic_safe" / room).glob("*.py")):
            yield f"alembic_safe.{room}.{path.stem}".removesuffix(".__init__")


def _read_order(talk: socket.socket) -> tuple[dict[str, object], list[int]]:
    streams = array.array("i")
    text, ancillary, _, _ = talk.recvmsg(65536, socket.CMSG_SPACE(3 * streams.itemsize))
    for _, _, data in ancillary:
        streams.frombytes(data[: len(data) - len(data) % streams.itemsize])
    while not text.endswith(b"\n"):
        text += talk.recv(65536)
    return json.loads(text), list(streams)


def _tell_ends(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with running.pop(pid) as talk, suppress(OSError):  # nobody may be listening any more
            talk.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(order: dict[str, object], streams: list[int]) -> NoReturn:
    """Go on as the process that was asked for."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(order["environ"])  # type: ignore[arg-type]
    time.tzset()
    os.chdir(str(order["folder"]))
    sys.path[:] = [str(order["folder"]), *sys.path[2:]]
    module, *words = order["words"]  # type: ignore[misc]
    if module == "-c":
        code, *words = words
        sys.argv = ["-c", *words]
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = [module, *words]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit(0)
