"""Whether the revision files and the database tell the same story."""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from alembic_safe.database.journal import source_hash
from alembic_safe.database.squashed import original_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alembic.runtime.migration import MigrationContext
    from alembic.script import Script, ScriptDirectory

    from alembic_safe.database.journal import AppliedRevision


@dataclass(frozen=True)
class HistoryProblem:
    """One thing that is wrong between the files and the database.

    :param kind: ``edited``: applied text and file differ in code; ``elsewhere``: the database is at a revision that
        no file here has, and the journal says it is on another line; ``unknown``: nobody knows the revision;
        ``heads``: the files have several heads.
    :param revision: the revision, or several heads joined by commas.
    :param what: one sentence.
    """

    kind: Literal["edited", "elsewhere", "unknown", "heads"]
    revision: str
    what: str

    @property
    def consent(self) -> str:
        """The name under which a person can accept it."""
        return f"{self.kind}:{self.revision}"


@dataclass(frozen=True)
class Ahead:
    """The database has everything that the files have, and more, applied by another release.

    :param revisions: what it has beyond the files' head, the oldest first.
    """

    revisions: tuple[AppliedRevision, ...]


@dataclass(frozen=True)
class History:
    """What the history check found."""

    problems: tuple[HistoryProblem, ...] = ()
    ahead: Ahead | None = None
    known: tuple[str, ...] = ()
    """The database's revisions that the files have."""


def version_table_of(context: MigrationContext) -> str:
    """Return the name under which the journal keeps a context's revisions apart from those of other contexts."""
    schema = context.version_table_schema
    return f"{schema}.{context.version_table}" if schema else context.version_table


def revision_source(script: Script) -> str | None:
    """Return the text of a revision's file, or ``None`` when only its compiled form is there."""
    path = Path(script.path)
    if path.suffix != ".py" or not path.exists():
        return None
    return path.read_bytes().decode("utf-8", errors="replace")


def files_hash(script: ScriptDirectory) -> str:
    """Return one short hash for the heads in the files: what a release is called when nobody named it."""
    return hashlib.sha256(",".join(sorted(script.get_heads())).encode()).hexdigest()[:12]


def check_history(
    script: ScriptDirectory,
    heads: Sequence[str],
    applied: Mapping[str, AppliedRevision],
    sources: Callable[[Sequence[str]], Mapping[str, str]],
) -> History:
    """Compare the revision files with what the database has.

    :param heads: the rows of the version table.
    :param applied: what the journal knows, by revision; empty before first contact.
    :param sources: called with the revisions whose text must be looked at, returns their applied text.
    """
    files = {revision.revision: revision for revision in script.walk_revisions()}
    known = tuple(head for head in heads if head in files)
    strangers = tuple(head for head in heads if head not in files)
    problems = list(_edited(script, files, applied, sources))
    ahead = None
    if strangers:
        found = _ahead_or_elsewhere(script, strangers, known, applied)
        if isinstance(found, Ahead):
            ahead = found
        else:
            problems.extend(found)
    return History(tuple(problems), ahead, known)


def several_heads(script: ScriptDirectory) -> HistoryProblem | None:
    """Return the problem of a history with several heads, which ``head`` cannot name."""
    heads = script.get_heads()
    if len(heads) < 2:
        return None
    return HistoryProblem("heads", ",".join(heads), f"the files have {len(heads)} heads: {', '.join(heads)}")


def _edited(
    script: ScriptDirectory,
    files: Mapping[str, Script],
    applied: Mapping[str, AppliedRevision],
    sources: Callable[[Sequence[str]], Mapping[str, str]],
) -> list[HistoryProblem]:
    texts: dict[str, tuple[str, ...]] = {}
    for revision, row in applied.items():
        if revision not in files or row.source_sha256 is None:
            continue
        # a squash has the id of a revision that may have been applied as itself
        either = (revision_source(files[revision]), original_source(script, files[revision]))
        found = tuple(text for text in either if text is not None)
        if found and row.source_sha256 not in map(source_hash, found):
            texts[revision] = found
    if not texts:
        return []
    before = sources(tuple(texts))
    return [
        HistoryProblem(
            "edited",
            revision,
            f"{Path(files[revision].path).name} was changed after it was applied on"
            f" {applied[revision].at:%Y-%m-%d} by {applied[revision].person}",
        )
        for revision, found in texts.items()
        if revision in before and code_of(before[revision]) not in map(code_of, found)
    ]


def code_of(source: str) -> str:
    """Return what a revision file *does*, in a form that formatters, comments, docstrings and line ends do not touch.

    A text that the running Python cannot parse stands for itself.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source.replace("\r\n", "\n")
    for node in ast.walk(tree):
        body: Any = getattr(node, "body", None)
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)) and body:
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = body[1:]
    return ast.dump(tree)


def _ahead_or_elsewhere(
    script: ScriptDirectory,
    strangers: Sequence[str],
    known: Sequence[str],
    applied: Mapping[str, AppliedRevision],
) -> Ahead | list[HistoryProblem]:
    """Tell a database that a newer release has upgraded from one that stands on another line."""
    beyond: dict[str, AppliedRevision] = {}
    reached: set[str] = set(known)
    problems: list[HistoryProblem] = []
    file_ids = {revision.revision for revision in script.walk_revisions()}
    for stranger in strangers:
        if stranger not in applied:
            problems.append(
                HistoryProblem(
                    "unknown",
                    stranger,
                    f"the database is at {stranger}, which no file here has and the journal does not know",
                )
            )
            continue
        todo = [stranger]
        while todo:
            revision = todo.pop()
            if revision in file_ids:
                reached.add(revision)
            elif revision in applied and revision not in beyond:
                beyond[revision] = applied[revision]
                todo.extend(applied[revision].parents)
    if problems:
        return problems
    covered = {r.revision for r in script.iterate_revisions(tuple(reached), "base")} if reached else set()
    if set(script.get_heads()) <= covered:
        return Ahead(tuple(sorted(beyond.values(), key=lambda row: row.at)))
    return [
        HistoryProblem(
            "elsewhere",
            stranger,
            f'the database is at {stranger} "{applied[stranger].message}", applied on {applied[stranger].at:%Y-%m-%d}'
            f" by {applied[stranger].person} from {applied[stranger].machine}; its file is not here (another branch?)",
        )
        for stranger in strangers
    ]
