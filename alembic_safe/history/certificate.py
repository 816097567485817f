"""What is certified of a squash, and has anybody changed it since?"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from alembic_safe.database.revision_files import shown
from alembic_safe.database.squashed import CERTIFICATE, archive_folder, file_hash, original_files, pruned_on
from alembic_safe.database.vendored import vendored_folder
from alembic_safe.errors import Findings, Missing, NextStep
from alembic_safe.history.bootstrap import BOOTSTRAP

if TYPE_CHECKING:
    from pathlib import Path

    from alembic.script import Script, ScriptDirectory

FORMAT = 1


@dataclass(frozen=True)
class Certificate:
    """What was proven of a squash, with which files and which programs.

    :param files: the hash of each original, by its name in the archive.
    :param squash_hash: of the squash's file.
    :param catalog: the fingerprint of what both make of an empty database.
    :param rows: the hash of the rows that both put into it.
    :param proven: one line for each part of the proof.
    :param folders: where each original came from, by its name in the archive, from the folder of env.py.
    :param vendored: the hash of each copy of a module of the application, by its path among the copies.
    :param bootstrap: the hash of the script with what is there before the first revision; empty: nothing is.
    :param earlier: where the squash was that this one took the place of, from the folder of env.py; empty: there was none.
    """

    squash: str
    start: str | None
    replaces: tuple[str, ...]
    files: dict[str, str]
    squash_hash: str
    catalog: str
    rows: str
    proven: tuple[str, ...]
    versions: dict[str, str]
    folders: dict[str, str]
    vendored: dict[str, str] = field(default_factory=dict)
    bootstrap: str = ""
    earlier: str = ""

    def to_json(self) -> str:
        """Return what is written beside the originals, sealed."""
        said = {"format": FORMAT, **asdict(self)}
        return json.dumps({**said, "seal": _seal(said)}, indent=1, ensure_ascii=False) + "\n"


def versions_now(server: int) -> dict[str, str]:
    """Return the versions of everything that a proof depends on."""
    return {
        **{name: version(name) for name in ("alembic", "alembic-safe", "sqlalchemy")},
        "python": platform.python_version(), "postgresql": f"{server // 10000}.{server % 10000}",
    }  # fmt: skip


def read_certificate(directory: ScriptDirectory, squash: str) -> Certificate:
    """Read the certificate of a squash.

    :raises Missing: when there is none.
    :raises Findings: when somebody has changed it.
    """
    path = archive_folder(directory, squash) / CERTIFICATE
    pruned = pruned_on(directory, squash)
    if pruned:
        raise Missing(
            f"The originals of the squash {squash} were pruned on {pruned}: there is nothing to hold it against, or to put"
            " back.",
            next_steps=[NextStep("see the commit that took them away", f"git log -- {shown(path.parent)}")],
        )
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Missing(
            f"The certificate of the squash {squash} cannot be read: {path}.",
            next_steps=[NextStep("bring it back from git", f"git checkout HEAD -- {path}")],
        ) from error
    seal = found.pop("seal", "")
    if found.get("format") != FORMAT or seal != _seal(found):
        raise Findings(  # without it nobody knows what an undo may delete
            f"The squash {squash} is not what was proven.",
            detail=[f"{path.name}: it is not as it was written"],
            next_steps=[NextStep("see what was changed, and take it back", "git status")],
        )
    del found["format"]
    return Certificate(**{**found, "replaces": tuple(found["replaces"]), "proven": tuple(found["proven"])})


def require_unchanged(directory: ScriptDirectory, script: Script) -> Certificate:
    """Stop where an original, the squash or the certificate is not what was proven.

    :raises Findings: naming each that was changed, is missing, or was added.
    """
    certificate = read_certificate(directory, script.revision)
    now = {path.name: file_hash(path.read_bytes()) for path in original_files(directory, script.revision)}
    wrong = held_against(certificate.files, now)
    wrong += held_against(certificate.vendored, vendored_hashes(archive_folder(directory, script.revision)))
    if bootstrap_hash(archive_folder(directory, script.revision)) != certificate.bootstrap:
        wrong.append(f"{BOOTSTRAP}: changed")
    if file_hash(_bytes_of(script)) != certificate.squash_hash:
        wrong.append(f"{script.path}: changed")
    if wrong:
        raise changed(script.revision, wrong)
    return certificate


def vendored_hashes(archive: Path) -> dict[str, str]:
    """Return the hash of each copy of a module of the application, by its path among the copies."""
    folder = vendored_folder(archive)
    return {path.relative_to(folder).as_posix(): file_hash(path.read_bytes()) for path in sorted(folder.rglob("*.py"))}


def bootstrap_hash(archive: Path) -> str:
    """Return the hash of the script with what is there before the first revision; empty: nothing is."""
    script = archive / BOOTSTRAP
    return file_hash(script.read_bytes()) if script.is_file() else ""


def held_against(certified: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return in what hashes differ, a line for each file."""
    wrong = [f"{name}: changed" for name in sorted(now.keys() & certified.keys()) if now[name] != certified[name]]
    wrong += [f"{name}: missing" for name in sorted(certified.keys() - now.keys())]
    return wrong + [f"{name}: added" for name in sorted(now.keys() - certified.keys())]


def _bytes_of(script: Script) -> bytes:
    from pathlib import Path

    return Path(script.path).read_bytes()


def changed(squash: str, wrong: list[str]) -> Findings:
    """Return what is said of a squash that somebody has edited."""
    return Findings(
        f"The squash {squash} is not what was proven.",
        detail=wrong,
        next_steps=[
            NextStep("see what was changed, and take it back", "git status"),
            NextStep("if it was meant: undo the squash, and squash again", f"alembic squash --undo {squash}"),
        ],
    )


def _seal(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def write_certificate(folder: Path, certificate: Certificate) -> None:
    """Write a certificate beside the originals."""
    (folder / CERTIFICATE).write_text(certificate.to_json(), encoding="utf-8")
