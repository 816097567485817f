"""Why a revision file did not run through on a shadow, in the words of its author."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.failures import notes_on, reason_of, sqlstate_of, statement_of
from alembic_safe.database.revision_files import shown
from alembic_safe.errors import NextStep, OutOfTime, ReplayFailed, SafeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.migration import RevisionStep

    from alembic_safe.database.shadow_patience import Cut

_FEATURE_NOT_SUPPORTED, _UNDEFINED_FILE = "0A000", "58P01"  # an extension that is not there, from PostgreSQL 16, before
_UNDEFINED_OBJECT, _UNDEFINED_TABLE, _INVALID_SCHEMA = "42704", "42P01", "3F000"
_LONGEST_STATEMENT = 300
_NOT_THE_USERS = tuple(
    str(Path(folder).resolve())
    for folder in {
        *(sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(__file__).parent.parent),
    }
)


def replay_failed(error: BaseException, step: RevisionStep, number: int) -> ReplayFailed:
    """Return the error that ends a replay.

    :param step: the revision that was running.
    :param number: how many had been begun, this one included.
    """
    revision = step.revision
    message = f" ({revision.doc})" if revision.doc else ""
    direction = "" if step.is_upgrade else ", downwards"
    said, ways = (error.detail, error.next_steps) if isinstance(error, SafeError) else (tuple(_statement(error)), ())
    return ReplayFailed(
        f"{revision.revision}{message} does not run on an empty database{direction}: {reason_of(error)}",
        detail=[*_lines(error, revision.path), *said, f"It was revision {number} of this replay."],
        next_steps=[
            *ways,
            *_what_is_missing(error),
            NextStep("see the whole traceback: the same command with", "alembic --raiseerr"),
        ],
        state="It ran on a shadow, which is gone again. Nothing was changed in the target.",
    )


def _what_is_missing(error: BaseException) -> Iterator[NextStep]:
    """Yield the ways on where it is not the revision that wants mending: something is there on the target, and not here."""
    code, words = sqlstate_of(error), str(error)
    if "extension" in words and code in (_FEATURE_NOT_SUPPORTED, _UNDEFINED_FILE):
        yield NextStep(
            "the shadow's server has no such extension; name an empty database on one that has:",
            "export ALEMBIC_SAFE_SHADOW_URL=postgresql://USER@HOST/EMPTY",
        )
    elif code == _UNDEFINED_OBJECT and 'type "' in words:
        yield NextStep(
            "where an extension brings that type, and no revision creates it, say which:",
            "export ALEMBIC_SAFE_SHADOW_EXTENSIONS=NAME",
        )
    elif code in (_UNDEFINED_TABLE, _INVALID_SCHEMA):
        yield NextStep(
            "where something else than the files had made it, say what was there before the first revision:",
            "export ALEMBIC_SAFE_SHADOW_BOOTSTRAP=FILE.sql",
        )


def out_of_time(cut: Cut, step: RevisionStep) -> OutOfTime:
    """Return the error that ends a replay in which a statement took too long."""
    revision = step.revision
    message = f" ({revision.doc})" if revision.doc else ""
    return OutOfTime(
        f"{revision.revision}{message} ran out of time on a shadow: a statement was cancelled there after {cut.limit:g} s;"
        f" {cut.doing}.",
        detail=[shown(revision.path)],
        next_steps=[
            NextStep("mend what it waits for"),
            NextStep("or, where it needs that long, the same command after", "export ALEMBIC_SAFE_SHADOW_PATIENCE=10m"),
        ],
        state="It ran on a shadow, which is gone again. Nothing was changed in the target.",
    )


def _lines(error: BaseException, file: str) -> Iterator[str]:
    """Yield the frames of the project's own code, the revision first; Alembic's and the drivers' are left out."""
    frames = traceback.extract_tb(error.__traceback__)
    begun = False
    yielded = False
    for frame in frames:
        path = str(Path(frame.filename).resolve())
        begun = begun or path == str(Path(file).resolve())
        if begun and not path.startswith(_NOT_THE_USERS) and not frame.filename.startswith("<"):
            yielded = True
            yield f"{shown(frame.filename)}:{frame.lineno} in {frame.name}"
            if frame.line:
                yield f"  {frame.line}"
    if not yielded:
        yield shown(file)


def _statement(error: BaseException) -> Iterator[str]:
    if isinstance(error, DBAPIError) and error.statement:
        text = statement_of(error)
        yield "  " + (text if len(text) <= _LONGEST_STATEMENT else text[: _LONGEST_STATEMENT - 3] + "...")
    yield from notes_on(error)
