"""What is said where the project's ``env.py`` fails, or its database cannot be reached?"""

from __future__ import annotations

import os
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.util import CommandError

from alembic_safe.database.failures import sqlstate_of
from alembic_safe.database.revision_files import shown
from alembic_safe.errors import EnvNotRun, Missing, NextStep, SafeError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.script import ScriptDirectory

_DENIED = ("42501", "25006")
"""SQLSTATEs: insufficient_privilege, read_only_sql_transaction."""
_LONGEST_STATEMENT = 300


def in_transaction(script: ScriptDirectory) -> WrongUsage:
    """Return the refusal of a connection on which no revision could be committed by itself."""
    return WrongUsage(
        f"{shown(script.env_py_location)} hands over a connection that is in a transaction already, so revisions could not"
        " be committed one by one.",
        detail=[
            "Instead of connectable.begin():  with connectable.connect() as connection:",
            "Behind statements of its own, before context.configure():  connection.commit()",
        ],
        next_steps=[NextStep("let it be shown, and mended where it is a usual one", "alembic safe-init")],
    )


@contextmanager
def as_our_errors(script: ScriptDirectory) -> Iterator[None]:  # noqa: C901 - one branch for each kind of failure
    """Turn what goes wrong in the project's own code into an error that names the place."""
    from sqlalchemy.exc import DBAPIError, InvalidRequestError, SQLAlchemyError

    try:
        yield
    except (SafeError, KeyboardInterrupt, SystemExit, CommandError):
        raise
    except DBAPIError as error:
        if error.statement is None:
            raise _unreachable(error) from error
        if _raised_in(error, script) is not None:
            raise _not_run(error, script) from error
        raise (_right_missing(error) or error) from error
    except OSError as error:
        if not isinstance(error, (ConnectionError, TimeoutError)) and _raised_in(error, script) is None:
            raise  # a file of ours, not the network of a driver
        raise (_not_run(error, script) if _is_of_env(error, script) else _unreachable(error)) from error
    except SQLAlchemyError as error:
        if _raised_in(error, script) is None:
            raise
        if isinstance(error, InvalidRequestError) and "transaction" in str(error):
            # env.py holds on to a transaction of its own, which a look of ours has ended
            raise in_transaction(script) from error
        raise _wrong_url(f"{_where(error, script)}: {_one_line(error)}.") from error
    except Exception as error:
        if _raised_in(error, script) is None:
            raise (_right_missing(error) or error) from error
        raise _not_run(error, script) from error


def _not_run(error: BaseException, script: ScriptDirectory) -> SafeError:
    reason = _reason(error)
    last = traceback.extract_tb(reason.__traceback__)[-1:]
    if isinstance(reason, ValueError) and last and last[0].name == "_parse_url":
        # SQLAlchemy's int(); the word is not repeated: where no host was said, it is a password
        return _wrong_url(f"{_where(error, script)}: the port in the URL is not a number.")
    return EnvNotRun(
        f"env.py could not be run: {type(reason).__name__}: {_one_line(reason)} ({_where(error, script)}).",
        next_steps=[NextStep("see the traceback", "alembic --raiseerr safe-status")],
    )


def _wrong_url(summary: str) -> WrongUsage:
    example = "postgresql+psycopg://USER:PASSWORD@HOST:5432/DATABASE"
    return WrongUsage(summary, next_steps=[NextStep("a URL looks like this", example)])


def _unreachable(error: BaseException) -> Missing:
    # libpq puts a question on a line of its own behind the reason
    lines = [line.strip() for line in str(_reason(error)).splitlines() if line.strip()] or [type(error).__name__]
    said = "".join(f"{line} " if line.endswith((".", "?", ":")) else f"{line}. " for line in lines).strip()
    return Missing(
        f"The database cannot be reached: {said}",
        next_steps=[NextStep("check the URL that env.py uses, and that the server runs and lets this host in")],
    )


def _right_missing(error: Exception) -> Missing | None:
    """Return what to say when a statement of ours, not of a revision, was denied, on env.py's connection or our own."""
    if sqlstate_of(error) not in _DENIED:
        return None
    statement = getattr(error, "statement", None)
    return Missing(
        f"The role that env.py connects as lacks a right: {_one_line(_reason(error))}.",
        detail=["It was needed for:", "  " + " ".join(statement.split())[:_LONGEST_STATEMENT]] if statement else [],
        next_steps=[NextStep("see what a deploy role needs", "alembic safe-init --grants ROLE")],
        state="Nothing was changed by this statement; what was committed before it stands.",
    )


def _reason(error: BaseException) -> BaseException:
    from sqlalchemy.exc import DBAPIError

    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _one_line(error: BaseException) -> str:
    # psycopg and asyncpg put the reason first, and advice on further lines behind it
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _is_of_env(error: OSError, script: ScriptDirectory) -> bool:
    """Whether env.py itself missed a file, and not a driver the server; asyncpg does not wrap what the network says."""
    if isinstance(error, (ConnectionError, TimeoutError)):
        return False
    modules = {Path(frame.filename).parent.name for frame in traceback.extract_tb(error.__traceback__)}
    return _raised_in(error, script) is not None and not modules & {"asyncio", "asyncpg"}


def _raised_in(error: BaseException, script: ScriptDirectory) -> tuple[str, int] | None:
    """Return file and line of env.py that the error passed through before it reached any code of ours."""
    own = str(Path(__file__).parent.parent) + os.sep
    env_py = Path(script.env_py_location).absolute()
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).absolute() == env_py:
        return error.filename, error.lineno or 0  # it was never run, so it has no frame
    found = None
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).absolute() == env_py:
            found = frame.filename, frame.lineno or 0
        elif found is not None and frame.filename.startswith(own):
            return None
    return found


def _where(error: BaseException, script: ScriptDirectory) -> str:
    found = _raised_in(error, script)
    return f"{shown(found[0])}:{found[1]}" if found else shown(script.env_py_location)
