"""What does a revision do beyond the database: programs, files, the network?"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_WATCHING: dict[int, list[str]] = {}
_installed = threading.Event()
_STARTS = {"subprocess.Popen": 0, "os.system": 0, "os.posix_spawn": 0, "os.exec": 0}
_REMOVES = frozenset(
    {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "shutil.rmtree", "shutil.move", "shutil.copyfile"}
)
_NOT_MEANT = ("__pycache__", ".pyc", "/dev/null", "/dev/shm")  # noqa: S108 - where nothing is kept


@contextmanager
def effects_outside() -> Iterator[list[str]]:
    """Note what this thread does beyond the database, through Python's audit events (sys.addaudithook).

    The drivers reach PostgreSQL through libpq, which raises none.
    """
    if not _installed.is_set():
        _installed.set()
        sys.addaudithook(_heard)
    found: list[str] = []
    me = threading.get_ident()
    outer = _WATCHING.get(me)
    _WATCHING[me] = found
    try:
        yield found
    finally:
        if outer is None:
            del _WATCHING[me]
        else:
            _WATCHING[me] = outer


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if not _WATCHING:
        return
    found = _WATCHING.get(threading.get_ident())
    if found is None:
        return
    said = _said(event, arguments)
    if said and said not in found:
        found.append(said)


def _said(event: str, arguments: tuple[Any, ...]) -> str:
    if event in _STARTS:
        return f"starts the program {_text(arguments[0])}"
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        return _about_file("writes the file", arguments[0])
    if event in _REMOVES:
        return _about_file("changes files:", arguments[0])
    if event == "socket.connect":
        return f"connects to {_text(arguments[1])}"
    return ""


def _about_file(what: str, path: Any) -> str:
    name = _text(path)
    return "" if isinstance(path, int) or any(part in name for part in _NOT_MEANT) else f"{what} {name}"


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
