"""How is one revision watched, statement by statement?"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from alembic_safe import operations
from alembic_safe.inspecting.trace import Statement
from alembic_safe.inspecting.trace_look import Look, Looking, committed_alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NOT_IN_A_TRANSACTION = ("25001", "2D000", "0A000")
"""SQLSTATEs: active_sql_transaction, invalid_transaction_termination, feature_not_supported."""
_VERBS = str(Path(operations.__file__).parent)
_OWN = "SAVEPOINT", "RELEASE", "ROLLBACK TO"


class Watched:
    """One revision while it runs.

    :param file: its revision file: a statement's line is looked for there.
    """

    def __init__(self, connection: Any, looking: Looking, file: str) -> None:
        self.connection = connection
        self.looking = looking
        self.file = file
        self.seen: list[Statement] = []
        self.transaction = 1
        self.spent = 0.0
        self._began = 0.0
        self._tried: Look | None = None
        self._why_not = ""
        self._fresh = True
        self._savepoints: dict[str, int] = {}
        self._undoing = False

    @contextmanager
    def statements(self) -> Iterator[None]:
        """Listen to the connection."""
        listeners: dict[str, Callable[..., Any]] = {
            "before_cursor_execute": self._before, "after_cursor_execute": self._after, "commit": self._ended,
            "rollback": self._ended,
        }  # fmt: skip
        for name, listener in listeners.items():
            event.listen(self.connection, name, listener)
        try:
            yield
        finally:
            for name, listener in listeners.items():
                event.remove(self.connection, name, listener)

    def _autocommit(self) -> bool:
        return bool(self.connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT")

    def _before(self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        del conn, cursor, context
        began = time.monotonic()
        self._tried, self._why_not = None, ""
        if self._autocommit():
            self._try_first(statement, parameters, many=many)
        elif self._fresh:
            self.looking.begin()
            self._fresh = False
        elif self._undoing:
            self.looking.resume()
            self._undoing = False
        self._began = time.monotonic()
        self.spent += self._began - began

    def _try_first(self, statement: str, parameters: Any, *, many: bool) -> None:
        """Run a statement in a transaction that is rolled back, to see what it does."""
        if many:
            self._why_not = "it ran for several rows of values, outside of a transaction"
            return
        raw = self.connection.connection.driver_connection
        with raw.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                self.looking.begin()
                try:
                    cursor.execute(statement, parameters or None)
                except Exception as error:  # noqa: BLE001 - the driver's own; the real run says it again
                    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
                    self._why_not = (
                        "PostgreSQL does not run it in a transaction" if state in _NOT_IN_A_TRANSACTION
                        else "it failed when it was tried in a transaction"
                    )  # fmt: skip
                else:
                    self._tried = self.looking.after(keep=False)
            finally:
                cursor.execute("ROLLBACK")

    def _after(self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        del conn, parameters, context, many
        now = time.monotonic()
        seconds = now - self._began
        if statement.upper().startswith(_OWN):
            self._savepoint(statement)
            return
        autocommit = self._autocommit()
        if autocommit:
            look = self.looking.afresh()
            if self._tried is not None:
                look = replace(self._tried, changes=look.changes or self._tried.changes)
            elif self._why_not:
                look = committed_alone(look)
        else:
            look = self.looking.after()
        tag = getattr(cursor, "statusmessage", "") or ""
        if self.looking.worth_a_line(look, tag):
            line, ours = self._line()
            self.seen.append(
                Statement(
                    statement.strip(), tag.rstrip("0123456789 "), self.transaction, autocommit, not self._why_not,
                    line, seconds, look.locks, look.scans, look.rewrites, look.builds, look.changes, look.writes,
                    self._why_not, look.lock_timeout, look.advisory, ours,
                )
            )  # fmt: skip
        if autocommit:
            self.transaction += 1
        self.spent += time.monotonic() - now

    def _ended(self, conn: Any) -> None:
        del conn
        if not self._fresh:
            self.transaction += 1
        self._fresh = True

    def _savepoint(self, statement: str) -> None:
        """Keep in mind where a savepoint stands; forget what went back to it: its locks and changes are gone."""
        words = statement.rstrip("; ").split()
        name = words[-1].strip('"') if words else ""
        if words[0].upper() == "SAVEPOINT":
            self._savepoints[name] = len(self.seen)
        elif words[0].upper() == "ROLLBACK":
            del self.seen[self._savepoints.get(name, len(self.seen)) :]
            self._undoing = True

    def leftover(self) -> None:
        """Find what was done past SQLAlchemy, on the driver's own cursor or another connection."""
        began = time.monotonic()
        changes = self.looking.leftover()
        self.looking.end()
        if changes:
            self.seen.append(
                Statement(
                    "(statements that did not pass through SQLAlchemy's connection)", "", self.transaction,
                    autocommit=True, observed=False, changes=changes, why_not_observed="only what they left is known",
                )
            )  # fmt: skip
        self.spent += time.monotonic() - began

    def _line(self) -> tuple[int, bool]:
        """Return the line of the revision file that is running, and whether a verb of ours stands in between."""
        frame: Any = sys._getframe(1)  # noqa: SLF001 - inspect.stack() reads the source of every frame
        ours = False
        while frame is not None:
            ours = ours or frame.f_code.co_filename.startswith(_VERBS)
            if frame.f_code.co_filename == self.file:
                return int(frame.f_lineno), ours
            frame = frame.f_back
        return 0, ours
