"""How do archived revisions find the copies of the application's modules that were made for them?"""

# The files of an archive stay as they are, byte by byte: what is changed is where their imports look. A module that was
# vendored is imported under a name of its own, so that the application's, which env.py has, is another one.
from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.util
import re
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from typing import TYPE_CHECKING, Any

from alembic.script import Script

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import ModuleType

    from alembic.script import ScriptDirectory

VENDORED = "vendored"
"""The folder in an archive that holds the copies, laid out as packages are."""
_PREFIX = "_alembic_safe_vendored_"


def vendored_folder(archive: Path) -> Path:
    """Return where the copies of an archive are."""
    return archive / VENDORED


def load_archived(directory: ScriptDirectory, path: Path, archive: Path) -> Script | None:
    """Load a file of an archive, which imports what was vendored in the place of the application's.

    :return: ``None`` when it is no revision file.
    """
    folder = vendored_folder(archive)
    if not folder.is_dir():
        return Script._from_path(directory, path)  # noqa: SLF001 - what Alembic loads files with
    spec = importlib.util.spec_from_file_location(re.sub(r"\W", "_", path.name), path)  # as Alembic calls it
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    _look_in(folder, module)
    spec.loader.exec_module(module)
    return Script(module, module.revision, path) if hasattr(module, "revision") else None


def _look_in(folder: Path, module: ModuleType) -> None:
    """Let the import statements of a module, also those in its functions, find what is in a folder first."""
    root = _root(folder)

    def find(
        name: str, globals_: Any = None, locals_: Any = None, fromlist: Sequence[str] | None = (), level: int = 0
    ) -> Any:
        if level == 0 and _has(folder, name):
            full = importlib.import_module(f"{root}.{name}")
            if fromlist:
                _import_submodules(full, fromlist)
                return full
            return importlib.import_module(f"{root}.{name.partition('.')[0]}")
        return builtins.__import__(name, globals_, locals_, fromlist or (), level)

    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": find}


def _import_submodules(package: ModuleType, names: Sequence[str]) -> None:
    for name in names:
        if hasattr(package, "__path__") and not hasattr(package, name):
            found = f"{package.__name__}.{name}"
            if importlib.util.find_spec(found) is not None:
                importlib.import_module(found)


def _has(folder: Path, name: str) -> bool:
    place = folder.joinpath(*name.split("."))
    return place.with_name(f"{place.name}.py").is_file() or (place / "__init__.py").is_file()


def _root(folder: Path) -> str:
    """Return the name under which a folder's modules are imported, which a finder of ours knows from then on."""
    name = _PREFIX + hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    if name not in sys.modules:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        sys.modules[name] = importlib.util.module_from_spec(spec)
        _Finder.folders[name] = folder
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
    return name


class _Finder:
    """Finds the modules of an archive, and lets them find each other."""

    folders: dict[str, Path] = {}  # noqa: RUF012 - the one list of a process, as sys.modules is

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return where a module of an archive is; Python's protocol."""
        del path, target
        root, _, name = fullname.partition(".")
        folder = self.folders.get(root)
        if folder is None or not name:
            return None
        place = folder.joinpath(*name.split("."))
        for file, is_package in ((place / "__init__.py", True), (place.with_name(f"{place.name}.py"), False)):
            if file.is_file():
                loader = _Loader(fullname, str(file), folder)
                return importlib.util.spec_from_file_location(
                    fullname, file, loader=loader, submodule_search_locations=[str(place)] if is_package else None
                )
        return None


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, folder: Path) -> None:
        super().__init__(fullname, path)
        self.folder = folder

    def exec_module(self, module: ModuleType) -> None:
        """Run a module, with its imports led to the folder."""
        _look_in(self.folder, module)
        super().exec_module(module)
