"""Which revisions do something outside of the database?"""

# Found by looking at what a file imports and calls, not by running it. A squash makes a database; a file that moved
# pictures to another folder, or asked another service, did more than that, and a person has to say what becomes of it.
from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from alembic_safe.errors import ConsentMissing, NextStep

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from alembic.script import Script

    from alembic_safe.history.request import Request

_NETWORK = frozenset({
    "requests", "httpx", "aiohttp", "urllib3", "boto3", "botocore", "paramiko", "smtplib", "ftplib", "redis", "kafka",
    "pika", "celery", "elasticsearch", "opensearchpy", "grpc", "websockets", "socket", "minio", "stripe",
})  # fmt: skip
_FILES = frozenset({"shutil", "tempfile"})
_PROCESSES = frozenset({"subprocess", "multiprocessing"})
_CALLS: Mapping[str, str] = {
    "os.remove": "files", "os.unlink": "files", "os.rename": "files", "os.replace": "files", "os.mkdir": "files",
    "os.makedirs": "files", "os.rmdir": "files", "os.system": "a program", "os.popen": "a program",
    "urllib.request.urlopen": "the network", "urllib.request.urlretrieve": "the network",
}  # fmt: skip
_METHODS = frozenset({"write_text", "write_bytes", "unlink", "rmdir", "mkdir", "rename", "touch", "symlink_to"})
_ENVIRONMENT = frozenset({"os.environ", "os.getenv"})
_ROLES = re.compile(r"\b(CREATE|ALTER|DROP)\s+(ROLE|USER|DATABASE|TABLESPACE)\b(?!\s+MAPPING)", re.IGNORECASE)


@dataclass(frozen=True)
class Effect:
    """Something that a revision reaches for outside of its database.

    :param what: ``files``, ``the network``, ``a program``, ``the environment``, ``the whole server``.
    :param seen: the import or the call, and its line.
    """

    revision: str
    path: str
    what: str
    seen: str


def effects_of(revisions: Sequence[Script], statements: Mapping[str, Iterable[str]]) -> tuple[Effect, ...]:
    """Return what revisions reach for outside of their database: by their files, and by what they sent."""
    return (*effects_in_files(revisions), *effects_sent(revisions, statements))


def effects_in_files(revisions: Iterable[Script]) -> tuple[Effect, ...]:
    """Return what revisions reach for by what they import and call; none of them has to run."""
    return tuple(
        Effect(one.revision, one.path, what, seen)
        for one in revisions
        for what, seen in dict(_in_source(Path(one.path).read_bytes())).items()
    )


def effects_sent(revisions: Iterable[Script], statements: Mapping[str, Iterable[str]]) -> tuple[Effect, ...]:
    """Return which revisions change what is the whole server's: roles and databases.

    :param statements: what each of them sent.
    """
    found = []
    for one in revisions:
        hit = next((hit for sent in statements.get(one.revision, ()) if (hit := _ROLES.search(sent))), None)
        if hit is not None:
            found.append(Effect(one.revision, one.path, "the whole server", " ".join(hit[0].upper().split())))
    return tuple(found)


def require_consent(effects: Sequence[Effect], request: Request, keep: Collection[str]) -> None:
    """Stop at effects that would be lost, and of which nobody has said what becomes of them.

    :param keep: revisions that are carried as they are written.
    :raises ConsentMissing: naming each of them.
    """
    waiting = [one for one in effects if one.revision not in keep and f"outside:{one.revision}" not in request.accept]
    if waiting:
        names = list(dict.fromkeys(one.revision for one in waiting))
        raise ConsentMissing(
            "Some of the revisions do more than change the database, and a new database would not get that any more.",
            detail=[f"{Path(one.path).name}: {one.what} ({one.seen})" for one in waiting],
            next_steps=[
                NextStep(
                    "when a new database needs it: carry them as they are written",
                    f"{request.again} " + " ".join(f"--keep {quote(n)}" for n in names),
                ),
                NextStep(
                    "when it does not",
                    f"{request.again} " + " ".join(f"--accept {quote(f'outside:{n}')}" for n in names),
                ),
            ],
        )


def _in_source(source: bytes) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        for top, line in _imported(node):
            for modules, what in ((_NETWORK, "the network"), (_FILES, "files"), (_PROCESSES, "a program")):
                if top in modules:
                    yield what, f"import {top}, line {line}"
        if isinstance(node, ast.Call):
            yield from _called(node)
        elif isinstance(node, ast.Attribute) and _dotted(node) in _ENVIRONMENT:
            yield "the environment", f"{_dotted(node)}, line {node.lineno}"


def _imported(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.partition(".")[0], node.lineno


def _called(node: ast.Call) -> Iterator[tuple[str, str]]:
    name = _dotted(node.func)
    if name in _CALLS:
        yield _CALLS[name], f"{name}(), line {node.lineno}"
    elif name == "open" and _writes(node):
        yield "files", f"open(), line {node.lineno}"
    elif isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS - {"rename", "mkdir", "unlink"}:
        yield "files", f".{node.func.attr}(), line {node.lineno}"


def _writes(node: ast.Call) -> bool:
    modes = [*node.args[1:2], *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax+") for mode in modes)


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""
