"""How does Alembic's own writer come to write the files of a change, and to park its contract?"""

# `alembic revision` hands its RevisionContext to env.py among the options. On that one object the writing of a script
# is wrapped: files of a phase get their docstring and lose autogenerate's two comments; when all of them are written,
# the contract goes beside them. `alembic check` never writes, so that nothing of this happens there.
from __future__ import annotations

import functools
import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic_safe.authoring.phase_scripts import BODY, KEY, is_split
from alembic_safe.authoring.tidying import (
    identifiers_together,
    message_begins_docstring,
    require_place_for_imports,
    unfenced,
    without_unused_sqlalchemy,
)
from alembic_safe.authoring.written_sql import exactly
from alembic_safe.inspecting.changes import contracts_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.autogenerate.api import RevisionContext
    from alembic.operations.ops import MigrationScript
    from alembic.script import Script, ScriptDirectory

_LOG = logging.getLogger("alembic.safe.authoring")
_PARKING = "_alembic_safe_parking"


@dataclass(frozen=True)
class ParkedFile:
    """A contract that was written.

    :param path: where it is.
    :param final: where it belongs.
    """

    script: Script
    path: Path
    final: Path


@dataclass
class Parking:
    """Where one writer parks contracts.

    :param place: where a file that belongs somewhere is written; ``None``: there.
    """

    place: Callable[[Path], Path] | None = None
    files: list[ParkedFile] = field(default_factory=list)


def prepare(revisions: RevisionContext, place: Callable[[Path], Path] | None = None) -> Parking:
    """Let a writer know of phases; once for each.

    :param place: where a parked contract is written in the place of where it belongs.
    """
    parking: Parking | None = getattr(revisions, _PARKING, None)
    if parking is not None:
        return parking
    parking = Parking(place)
    setattr(revisions, _PARKING, parking)
    to_script, generate = revisions._to_script, revisions.generate_scripts  # noqa: SLF001 - this one object's own steps

    @functools.wraps(to_script)
    def with_words(script: MigrationScript) -> Script | None:
        _write_exactly(revisions)
        body = getattr(script, BODY, None)
        if body is None:
            return to_script(script)
        directory = revisions.script_directory
        message = script.message
        if body and message_begins_docstring(directory):
            script.message = f"{message}\n\n{body}"
        try:
            with _tidily(directory):
                return to_script(script)
        finally:
            script.message = message

    @functools.wraps(generate)
    def and_park() -> Iterator[Script | None]:
        if any(is_split(script) for script in revisions.generated_revisions):
            require_place_for_imports(revisions.script_directory)
        yield from generate()
        for script in list(revisions.generated_revisions):
            contract = getattr(getattr(script, KEY, None), "contract", None)
            if contract is not None:
                park(revisions, contract, parking)
                _LOG.info("the contract is parked; in a later release `alembic safe-contract` brings it into the chain")

    revisions._to_script = with_words  # type: ignore[method-assign,assignment]  # noqa: SLF001
    revisions.generate_scripts = and_park  # type: ignore[method-assign]
    return parking


def park(revisions: RevisionContext, contract: MigrationScript, parking: Parking) -> None:
    """Write a contract among the parked ones, by the same template and hooks as every other file."""
    directory: Any = revisions.script_directory
    rev_path, chain = directory._rev_path, directory.revision_map  # noqa: SLF001
    found: list[tuple[Path, Path]] = []

    def beside(path: Any, *args: Any) -> Path:
        final = contracts_folder(directory).absolute() / Path(rev_path(path, *args)).name
        found.append((parking.place(final) if parking.place is not None else final, final))
        return found[-1][0]

    class _NotInTheChain:
        """The chain as it is, and stays."""

        def __getattr__(self, name: str) -> Any:
            return getattr(chain, name)

        def add_revision(self, script: Script) -> None:
            del script

    directory._rev_path, directory.revision_map = beside, _NotInTheChain()  # noqa: SLF001
    try:
        script = revisions._to_script(contract)  # noqa: SLF001
    finally:
        directory._rev_path, directory.revision_map = rev_path, chain  # noqa: SLF001
    if script is not None:
        parking.files.append(ParkedFile(script, *found[-1]))


def _write_exactly(revisions: RevisionContext) -> None:
    """Let autogenerate write defaults and checks as they are, colons and percent signs included."""
    context = revisions._last_autogen_context  # noqa: SLF001 - what this object's own _to_script() renders with
    given = context.opts.get("render_item")
    if not getattr(given, "is_exact", False):
        context.opts = {**context.opts, "render_item": exactly(given)}


@contextmanager
def _tidily(directory: ScriptDirectory) -> Iterator[None]:
    """Let a directory write one file as a person would have: the file's name from the first line of its message."""
    script: Any = directory
    rev_path, generate, template = script._rev_path, script.generate_revision, script._generate_template  # noqa: SLF001

    def named(path: Any, rev_id: str, message: str | None, create_date: Any) -> Path:
        return Path(rev_path(path, rev_id, (message or "").partition("\n")[0], create_date))

    def without_fences(revid: str, message: str | None, **kw: Any) -> Any:
        return generate(revid, message, **{k: unfenced(v) if isinstance(v, str) else v for k, v in kw.items()})

    def tidy(source: Any, target: Any, **kw: Any) -> None:
        template(source, target, **kw)
        path = Path(target)
        text = path.read_text(encoding=script.output_encoding)
        tidied = without_unused_sqlalchemy(identifiers_together(text))
        if tidied != text:
            path.write_text(tidied, encoding=script.output_encoding)

    own = {name for name in ("_rev_path", "generate_revision", "_generate_template") if name in vars(script)}
    script._rev_path, script.generate_revision, script._generate_template = named, without_fences, tidy  # noqa: SLF001
    try:
        yield
    finally:
        for name, value in (("_rev_path", rev_path), ("generate_revision", generate), ("_generate_template", template)):
            if name in own:
                setattr(script, name, value)
            else:
                delattr(script, name)
