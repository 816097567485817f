"""Whether the revision files can be read, and form one history."""

from __future__ import annotations

import os
import traceback
import warnings
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.script.revision import CycleDetected, RevisionError
from alembic.util import CommandError

from alembic_safe.errors import Findings, Missing, NextStep, SafeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.script import Script, ScriptDirectory

_TWICE = "is present more than once"


def require_one_history(script: ScriptDirectory) -> None:
    """Load every revision file, as Alembic does on first need, and stop where they make no sense together.

    :raises Missing: when a file cannot be run, or names a revision before it that no file has.
    :raises Findings: when two files have one id, or files follow each other in a circle.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        problem = _loaded(script)
    told = [str(w.message) for w in said]
    if problem is None and any(_TWICE in words for words in told):
        problem = _doubled(script)
    if problem is not None:
        raise problem
    for w in said:  # what the revision files themselves warn of is the project's to hear
        warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)


def _loaded(script: ScriptDirectory) -> SafeError | None:
    try:
        script.get_heads()
    except SafeError as error:
        return error
    except (CommandError, RevisionError) as error:
        return _disordered(script, error)
    except KeyError as error:
        # Alembic warns "... is not present", then stumbles over it
        problem = _without_parent(script)
        if problem is None:
            return _unreadable(script, error)
        return problem
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a revision file is a program: anything can come out of it
        return _unreadable(script, error)
    return None


def _unreadable(script: ScriptDirectory, error: BaseException) -> Missing:
    place = _place(script, error)
    words = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    return Missing(
        f"The revision file {place} could not be read: {type(error).__name__}: {words}.",
        next_steps=[
            NextStep("mend the file; without every revision file nothing is known about the order of the others")
        ],
    )


def _place(script: ScriptDirectory, error: BaseException) -> str:
    """Return the file and line of a revision file that an error came out of."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown(error.filename)}:{error.lineno}"
    folders = [str(folder.resolve()) for folder in script._version_locations]  # noqa: SLF001
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if any(str(Path(frame.filename).resolve()).startswith(folder + os.sep) for folder in folders):
            return f"{shown(frame.filename)}:{frame.lineno}"
    return f"(one of those in {', '.join(shown(folder) for folder in folders)})"


def _without_parent(script: ScriptDirectory) -> Missing | None:
    revisions = _every(script)
    known = {name for r in revisions for name in (r.revision, *(r._orig_branch_labels or ()))}  # noqa: SLF001
    facts = [
        f"{shown(r.path)} names {parent} as its {attribute}."
        for r in revisions
        for attribute, parents in (("down_revision", r._versioned_down_revisions), ("depends_on", r.dependencies))  # noqa: SLF001
        for parent in _tuple(parents)
        if parent not in known
    ]
    if not facts:
        return None
    return Missing(
        "A revision is missing: another one names it, and no file here has it.",
        detail=facts,
        next_steps=[
            NextStep(
                "bring its file here from the branch that has it, or correct the name; then look", "alembic history"
            )
        ],
    )


def _doubled(script: ScriptDirectory) -> Findings:
    files: defaultdict[str, list[str]] = defaultdict(list)
    for revision in _every(script):
        files[revision.revision].append(shown(revision.path))
    doubled = {revision: paths for revision, paths in files.items() if len(paths) > 1}
    return Findings(
        "Two revision files have the same id, and only one of them would ever run.",
        detail=[f"{revision}: {', '.join(sorted(paths))}" for revision, paths in doubled.items()],
        next_steps=[
            NextStep("give the one that no database has applied yet an id of its own, and correct what follows it")
        ],
    )


def _disordered(script: ScriptDirectory, error: CommandError | RevisionError) -> SafeError:
    if not isinstance(error, CycleDetected):
        return Findings(
            f"The revision files make no history: {str(error).rstrip('.')}.",
            next_steps=[NextStep("mend the file it names, then look", "alembic history")],
        )
    files = sorted(shown(r.path) for r in _every(script) if r.revision in error.revisions)
    return Findings(
        "The revision files follow each other in a circle, so none of them is the first.",
        detail=["Among these:", *(f"  {file}" for file in files)],
        next_steps=[
            NextStep("correct the down_revision of the one that closes the circle, then look", "alembic history")
        ],
    )


def _every(script: ScriptDirectory) -> list[Script]:
    # Alembic's own map forgets one of two files with one id, and is not made at all where a file is missing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(script._load_revisions())  # noqa: SLF001


def _tuple(value: str | Iterable[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def shown(path: str | Path) -> str:
    """Return a path as a person at this prompt would write it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)
