"""What do the originals import from the application, and how does a copy of it come into the archive?"""

# By what their import statements say, also those in functions: the code is not run. What comes with Python or was
# installed stays where it is; requirements are pinned elsewhere.
from __future__ import annotations

import ast
import importlib.util
import shutil
import site
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from alembic_safe.database.vendored import vendored_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alembic.script import Script

_OURS = __name__.partition(".")[0]


@dataclass(frozen=True)
class Imported:
    """A module of the application that originals import.

    :param name: its full name.
    :param path: its file.
    :param by: the revisions that name it.
    """

    name: str
    path: Path
    by: tuple[str, ...]


def imported_from_the_application(revisions: Iterable[Script]) -> tuple[Imported, ...]:
    """Return the modules of the application that revision files import, those that they stand on not included."""
    found: dict[str, list[str]] = {}
    for one in revisions:
        for name in _imports(Path(one.path).read_bytes(), ""):
            if _own_file(name) is not None:
                found.setdefault(name, []).append(one.revision)
    return tuple(
        Imported(name, file, tuple(dict.fromkeys(by)))
        for name, by in sorted(found.items())
        if (file := _own_file(name)) is not None
    )


def vendor(imported: Iterable[Imported], archive: Path) -> tuple[Path, ...]:
    """Copy modules, and every module of the application that these stand on, into an archive.

    :return: the copies.
    """
    waiting = [one.name for one in imported]
    done: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        file = _own_file(name)
        if file is None or name in done:
            continue
        done[name] = file
        # a module's packages run before it does
        waiting += [name.rpartition(".")[0]] if "." in name else []
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        waiting += _imports(file.read_bytes(), package)
    folder = vendored_folder(archive)
    copies = []
    for name, file in sorted(done.items()):
        parts = name.split(".")
        is_package = file.name == "__init__.py"
        copy = folder.joinpath(*parts, "__init__.py") if is_package else folder.joinpath(*parts[:-1], f"{parts[-1]}.py")
        if not copy.exists():  # one that came along with the originals of an earlier squash is what these ran with
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        copies.append(copy)
    return tuple(copies)


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Yield the full names of what a file imports: modules, and what could be modules in them.

    :param package: the package that the file is in, for relative imports.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    never_run = {id(node) for block in ast.walk(tree) if _is_for_checkers(block) for node in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in never_run:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - (node.level - 1)] if node.level else []
            if node.level and not package:
                continue
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _is_for_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _own_file(name: str) -> Path | None:
    """Return the file of a module of the application; ``None`` for Python's, installed ones, and what is no module."""
    top, *below = name.split(".")
    try:
        spec = importlib.util.find_spec(top)  # of what is in no package, this runs nothing
    except (ImportError, ValueError):
        return None
    if spec is None or top == _OURS:
        return None
    files = [Path(spec.origin)] if not below and spec.origin is not None else []
    for folder in spec.submodule_search_locations or () if below else ():
        place = Path(folder, *below)
        files += [place / "__init__.py", place.with_name(f"{place.name}.py")]
    path = next((file.resolve() for file in files if file.suffix == ".py" and file.is_file()), None)
    return None if path is None or any(path.is_relative_to(folder) for folder in _installed()) else path


@cache
def _installed() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    folders = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(Path(folder).resolve() for folder in (*folders, *site.getsitepackages(), site.getusersitepackages()))
