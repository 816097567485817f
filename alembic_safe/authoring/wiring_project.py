"""Which files of a project does the wiring concern, and how are they written?"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import shutil
import tempfile
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.authoring.wiring import wire_env_py
from alembic_safe.authoring.wiring_settings import wire_ini, wire_toml
from alembic_safe.authoring.wiring_text import ByHand, Wiring
from alembic_safe.errors import Findings, Missing, NextStep
from alembic_safe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.config import Config
    from alembic.script import ScriptDirectory


@dataclass(frozen=True)
class WiredFile:
    """One file of the project, and what the wiring makes of it.

    :param path: where it is, symbolic links resolved: the file itself is replaced, never the link to it.
    :param shown: how a person calls it: seen from the current folder.
    :param wiring: its text before and after.
    :param encoding: how its bytes are read and written.
    """

    path: Path
    shown: str
    wiring: Wiring
    encoding: str

    @property
    def before(self) -> bytes:
        """The bytes that were read."""
        return self.wiring.before.encode(self.encoding, _errors(self.encoding))

    @property
    def after(self) -> bytes:
        """The bytes that would be written."""
        return self.wiring.after.encode(self.encoding, _errors(self.encoding))


def survey(config: Config, script: ScriptDirectory) -> tuple[WiredFile, ...]:
    """Read ``env.py`` and the file of the settings, and plan their edits; writes nothing.

    :raises Missing: when one of them cannot be read.
    :raises Refused: when ``env.py`` runs two-phase transactions.
    """
    files = [_env_py(Path(script.env_py_location))]
    settings = settings_file(config)
    # settings that are there already, in whichever file, are the project's own choice of place
    if settings is not None and not Settings.load(config, environ={}).found:
        text, encoding = _read(settings, "utf-8")
        wired = wire_toml(text) if settings.suffix == ".toml" else wire_ini(text)
        files.append(WiredFile(settings.resolve(), shown(settings), wired, encoding))
    return tuple(files)


def settings_file(config: Config) -> Path | None:
    """Return the file that the section of settings belongs into: ``pyproject.toml`` where there is one."""
    ini = Path(config.config_file_name) if config.config_file_name else None
    if ini is not None and not ini.exists():
        ini = None
    toml = Path(config.toml_file_name) if config.toml_file_name else None
    if toml is None or not toml.exists():
        toml = ini.parent / "pyproject.toml" if ini is not None else None
    if toml is None or not toml.exists():
        return ini
    if ini is None or toml.absolute().parent == ini.absolute().parent or config.toml_alembic_config:
        return toml
    return ini


def apply(files: Iterable[WiredFile]) -> None:
    """Write every file that changes: each is replaced as a whole, with its own mode, or not at all.

    :raises Findings: when a file is not what was read.
    :raises Missing: when one cannot be written; none is replaced then.
    """
    waiting: list[tuple[WiredFile, Path]] = []
    at = ""
    try:
        for file in files:
            if file.wiring.changes:
                at = file.shown
                waiting.append((file, _beside(file)))
        for file, _ in waiting:
            if file.path.read_bytes() != file.before:
                raise Findings(
                    f"{file.shown} was changed by somebody else in the meantime.",
                    next_steps=[NextStep("look at the edits again", "alembic safe-init")],
                )
        for file, temporary in waiting:
            at = file.shown
            temporary.replace(file.path)
    except OSError as error:
        raise Missing(
            f"{at} cannot be written: {error.strerror}.",
            next_steps=[NextStep("make room and the file writable for this user, then", "alembic safe-init")],
        ) from error
    finally:
        for _, temporary in waiting:
            temporary.unlink(missing_ok=True)


def patch(files: Iterable[WiredFile]) -> str:
    """Return the edits as a unified diff that ``patch -p1`` and ``git apply`` take, from the current folder."""
    out: list[str] = []
    for file in files:
        if file.wiring.changes:
            name = Path(file.shown).as_posix()
            # not str.splitlines: it would also split at form feeds
            before, after = (io.StringIO(t, newline="").readlines() for t in (file.wiring.before, file.wiring.after))
            lines = list(difflib.unified_diff(before, after, f"a/{name}", f"b/{name}"))
            out += [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
    return "".join(out)


def shown(path: Path) -> str:
    """Return a path as a person would type it here."""
    with contextlib.suppress(ValueError):
        return str(path.absolute().relative_to(Path.cwd()))
    return str(path)


def _env_py(path: Path) -> WiredFile:
    try:
        with path.open("rb") as file:
            encoding, _ = tokenize.detect_encoding(file.readline)
    except SyntaxError as error:
        text, encoding = _read(path, "utf-8")
        return WiredFile(path, shown(path), Wiring(text, text, by_hand=ByHand(str(error), "")), encoding)
    except OSError as error:
        raise _unreadable(path, error) from error
    text, encoding = _read(path, encoding)
    return WiredFile(path.resolve(), shown(path), wire_env_py(text), encoding)


def _read(path: Path, encoding: str) -> tuple[str, str]:
    try:
        return path.read_bytes().decode(encoding, _errors(encoding)), encoding
    except OSError as error:
        raise _unreadable(path, error) from error


def _errors(encoding: str) -> str:
    # bytes that are no UTF-8 go in and come out as they are
    return "surrogateescape" if encoding.startswith("utf-8") else "strict"


def _unreadable(path: Path, error: OSError) -> Missing:
    return Missing(
        f"{shown(path)} cannot be read: {error.strerror}.",
        next_steps=[NextStep("let this user read it, then", "alembic safe-init")],
    )


def _beside(file: WiredFile) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{file.path.name}.", dir=file.path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(file.after)
            out.flush()
            os.fsync(out.fileno())
        shutil.copymode(file.path, temporary)
        owner = file.path.stat()
        with contextlib.suppress(PermissionError):  # only a superuser may keep somebody else's file theirs
            os.chown(temporary, owner.st_uid, owner.st_gid)
        # a file that may not be written stays as it is, though its folder would allow the rename
        file.path.open("ab").close()
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
