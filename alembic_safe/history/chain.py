"""What do the real revision files make of an empty database, step by step and in the end?"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event

from alembic_safe.database.replay import replay
from alembic_safe.errors import NextStep, WrongUsage
from alembic_safe.history.rows import Contents, read_contents
from alembic_safe.inspecting.expected import FilesCatalog, catalogs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.database.endpoint import Endpoint
    from alembic_safe.database.replay import Replayed, ReplayStep
    from alembic_safe.database.shadow import Shadow
    from alembic_safe.inspecting.catalog_records import Catalog

_WRITES_ROWS = re.compile(r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|COPY|TRUNCATE)\b", re.IGNORECASE)
_COMMENT_OR_STRING = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$", re.DOTALL)


@dataclass(frozen=True)
class State:
    """What a database is, rows included.

    :param role: whose everything is that was made there.
    :param seconds: how long it took to make it.
    """

    catalog: Catalog = field(repr=False)
    contents: Contents = field(repr=False)
    endpoint: Endpoint
    role: str
    seconds: float
    heads: tuple[str, ...]


@dataclass(frozen=True)
class Chain:
    """The real files, as they ran.

    :param statements: what each revision sent to the server.
    :param began: when; :param ended: when.
    """

    state: State
    statements: dict[str, tuple[str, ...]] = field(repr=False)
    began: datetime
    ended: datetime

    def writes_rows(self, revision: str, version_table: str = "alembic_version") -> bool:
        """Whether a revision sent anything that writes rows, be there rows or not."""
        return any(
            _WRITES_ROWS.search(_COMMENT_OR_STRING.sub("''", statement)) and version_table not in statement
            for statement in self.statements.get(revision, ())
        )


def run_chain(
    config: Config,
    script: ScriptDirectory,
    shadow: Shadow,
    to: str,
    on_step: Callable[[ReplayStep], None] | None = None,
    only: Sequence[str] | None = None,
) -> Chain:
    """Run the files on an empty shadow up to a revision, and note what each of them sends.

    :param only: these revisions, one after the other, in the place of all that lead there.
    :raises ReplayFailed: when one does not run through.
    :raises WrongUsage: where ``env.py`` configures several databases.
    """
    began = datetime.now(timezone.utc)
    with _recorded() as sent:

        def step(one: ReplayStep) -> None:
            sent.begin(one.revision)
            if on_step is not None:
                on_step(one)

        done = replay(config, script, shadow, to=to, only=only, on_step=step)
    return Chain(state_of(shadow, done), sent.by_revision(), began, datetime.now(timezone.utc))


def state_of(shadow: Shadow, done: Replayed) -> State:
    """Read what a replay has made.

    :raises WrongUsage: where ``env.py`` configures several databases.
    """
    files = the_one(catalogs_of(shadow, done))
    endpoint = shadow.database_for(files.place)
    with endpoint.connect() as connection:
        contents = read_contents(connection, files.catalog)
    return State(files.catalog, contents, endpoint, files.role, done.seconds, done.contexts[-1].heads)


def the_one(found: tuple[FilesCatalog, ...]) -> FilesCatalog:
    """Return the only database there is.

    :raises WrongUsage: where there are several.
    """
    if len(found) != 1:
        raise WrongUsage(
            f"env.py configures {len(found)} databases; a squash is made for one history on one database.",
            next_steps=[NextStep("let env.py configure one of them, for example by an -x argument of its own")],
        )
    return found[0]


class _Sent:
    """What is sent, by the revision that sends it."""

    def __init__(self) -> None:
        self._current: list[str] = []
        self._found: dict[str, list[str]] = {}

    def begin(self, revision: str) -> None:
        """Take what comes for this revision's."""
        self._current = self._found.setdefault(revision, [])

    def note(self, *found: Any) -> None:
        """Take one statement: SQLAlchemy's event."""
        self._current.append(str(found[2]))

    def by_revision(self) -> dict[str, tuple[str, ...]]:
        """Return what was sent."""
        return {revision: tuple(statements) for revision, statements in self._found.items()}


@contextmanager
def _recorded() -> Iterator[_Sent]:
    """Note every statement on every engine of SQLAlchemy's: a revision may open a session of its own."""
    sent = _Sent()

    def note(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        sent.note(conn, cursor, statement, parameters, context, executemany)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)
