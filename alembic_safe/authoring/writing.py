"""How are revision files written by Alembic's own writer, aside from the others, until they are proven?"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.autogenerate.api import RevisionContext

from alembic_safe.authoring.phase_files import prepare
from alembic_safe.authoring.phase_scripts import is_split
from alembic_safe.authoring.tidying import message_begins_docstring, unfenced, without_unused_sqlalchemy
from alembic_safe.errors import NextStep, WrongUsage

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from alembic.config import Config
    from alembic.operations.ops import MigrateOperation
    from alembic.runtime.migration import MigrationContext
    from alembic.script import Script, ScriptDirectory


@dataclass(frozen=True)
class Wanted:
    """Where a new revision goes, in the words of ``alembic revision``.

    :param depends_on: revisions that must be there before it without being its parents.
    """

    message: str
    head: str = "head"
    splice: bool = False
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """One file that was written aside.

    :param aside: where it is.
    :param final: where it belongs.
    """

    revision: str
    parents: tuple[str, ...]
    message: str
    aside: Path
    final: Path

    @property
    def text(self) -> str:
        """What stands in it."""
        return self.aside.read_text(encoding="utf-8")


class AsideWriter:
    """Alembic's writer of one ``alembic revision --autogenerate``, with operations that somebody else found.

    ``file_template``, ``script.py.mako``, version locations, post-write hooks and the project's own
    ``process_revision_directives`` are Alembic's business as ever; only the folder is another one.

    :param script: made for this writer alone, as it is changed.
    :param folder: where the files are written.
    """

    def __init__(self, config: Config, script: ScriptDirectory, wanted: Wanted, folder: Path) -> None:
        self.config = config
        self.script = script
        self.wanted = wanted
        self.folder = folder
        self.body = ""
        self._finals: dict[Path, Path] = {}
        self._offered: Sequence[MigrateOperation] = ()
        self._way_back: Sequence[MigrateOperation] | None = None
        self._revisions = RevisionContext(config, script, self._command_args(), process_revision_directives=self._offer)
        self._parking = prepare(self._revisions, lambda final: folder / "contracts" / final.name)
        self._turn_aside()

    def add(
        self,
        context: MigrationContext,
        operations: Sequence[MigrateOperation],
        way_back: Sequence[MigrateOperation] | None = None,
    ) -> None:
        """Hand over what one of the contexts of ``env.py`` needs; its own hook on directives sees it.

        :param context: as env.py configured it, on the database that the operations start from.
        :param way_back: what takes them back, in its order; ``None``: the reverse of each.
        """
        self._offered, self._way_back = operations, way_back
        context.opts["revision_context"] = self._revisions  # where the project's hook looks for its writer
        with _command_line_of_revision(self.config, self._command_args()):
            self._revisions.run_no_autogenerate(context.get_current_heads(), context)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write: the project's hook may have taken everything out."""
        return not any(
            not upgrade.is_empty()
            for directive in self._revisions.generated_revisions
            for upgrade in directive.upgrade_ops_list
        )

    def write(self, body: str = "") -> tuple[Written, ...]:
        """Write the files; the writer's script directory knows them from then on.

        :param body: what stands in the docstring behind the message, where the project's template puts the message
            at the beginning of one.
        """
        if body and message_begins_docstring(self.script):
            for directive in self._revisions.generated_revisions:
                if directive.message == self.wanted.message and not is_split(directive):
                    directive.message = f"{self.wanted.message}\n\n{body}"
        # Alembic and the hooks tell what they do on stdout, which is the result's
        with contextlib.redirect_stdout(sys.stderr), _command_line_of_revision(self.config, self._command_args()):
            try:
                scripts = [script for script in self._revisions.generate_scripts() if script is not None]
            except SyntaxError as error:
                raise WrongUsage(
                    f"With the message {self.wanted.message!r} the file that script.py.mako makes is no Python: {error.msg}.",
                    detail=[
                        "The usual template puts the message into a docstring: three quotes in a row would end it."
                    ],
                    next_steps=[NextStep("with another message", 'alembic milestone -m "..."')],
                ) from error
        return tuple(self._written(script) for script in scripts)

    @property
    def parked(self) -> tuple[Written, ...]:
        """The contracts that were written beside the revisions, to be parked."""
        return tuple(
            Written(one.script.revision, _parents(one.script), one.script.doc or "", one.path, one.final)
            for one in self._parking.files
        )

    def _written(self, script: Script) -> Written:
        aside = Path(script.path)
        return Written(script.revision, _parents(script), script.doc or "", aside, self._finals[aside.absolute()])

    def _command_args(self) -> dict[str, Any]:
        return {
            "message": self.wanted.message, "autogenerate": True, "sql": False, "head": self.wanted.head,
            "splice": self.wanted.splice, "branch_label": None, "version_path": None, "rev_id": None,
            "depends_on": list(self.wanted.depends_on) or None,
        }  # fmt: skip

    def _offer(self, context: MigrationContext, revision: Any, directives: list[Any]) -> None:
        """Put the operations where autogenerate would have put its own; runs before the project's hook."""
        del context, revision
        upgrade, downgrade = directives[-1].upgrade_ops_list[-1], directives[-1].downgrade_ops_list[-1]
        upgrade.ops[:] = self._offered
        if self._way_back is None:
            upgrade.reverse_into(downgrade)
        else:
            downgrade.ops[:] = self._way_back

    def _turn_aside(self) -> None:
        """Make this script directory write elsewhere, quietly, and without the fences of autogenerate."""
        script: Any = self.script
        script.messaging_opts = {"quiet": True}
        rev_path, generate, template = script._rev_path, script.generate_revision, script._generate_template  # noqa: SLF001

        def aside(path: Any, rev_id: str, message: str | None, create_date: Any) -> Path:
            final = Path(rev_path(path, rev_id, (message or "").partition("\n")[0], create_date)).absolute()
            moved = self.folder / final.relative_to(Path(path).absolute())
            self._finals[moved.absolute()] = final
            return moved

        def without_fences(revid: str, message: str | None, **kw: Any) -> Any:
            return generate(
                revid, message, **{k: unfenced(v) if isinstance(v, str) else v for k, v in kw.items()}
            )  # fmt: skip

        def tidy(source: Any, target: Any, **kw: Any) -> None:
            template(source, target, **kw)
            path = Path(target)
            text = path.read_text(encoding=script.output_encoding)
            shorter = without_unused_sqlalchemy(text)
            if shorter != text:
                path.write_text(shorter, encoding=script.output_encoding)

        script._rev_path = aside  # noqa: SLF001 - the writer's own steps, on this one instance
        script.generate_revision = without_fences
        script._generate_template = tidy  # noqa: SLF001


@contextlib.contextmanager
def _command_line_of_revision(config: Config, args: dict[str, Any]) -> Iterator[None]:
    """Let hooks see the options of ``alembic revision --autogenerate``: many ask ``config.cmd_opts.autogenerate``."""
    import argparse

    before: Namespace | None = config.cmd_opts
    config.cmd_opts = argparse.Namespace(**{**vars(before or argparse.Namespace()), **args})
    try:
        yield
    finally:
        config.cmd_opts = before


def _parents(script: Script) -> tuple[str, ...]:
    return tuple(script._versioned_down_revisions)  # noqa: SLF001 - down_revision as a tuple
