"""What will expressions over a table's columns read as behind a change of names, while the columns have those of now?"""

# A view follows a column that is renamed, and so says the formula by its new name. But a column is renamed behind the lock
# that everybody waits for. So the names change on a twin of the table first, which nobody else sees.
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from alembic_safe.database.failures import sqlstate_of
from alembic_safe.database.statements import quoted, run, run_at_once
from alembic_safe.errors import Refused
from alembic_safe.operations.expressions import Views

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from alembic_safe.operations.expressions import Expression, Wanted
    from alembic_safe.operations.kept import FixedText
    from alembic_safe.operations.living import LivingTable

# a connection that is gone, a deadlock, a lock that was not obtained, somebody who ended the statement
_NOT_OF_THE_TWIN = ("08", "40", "55P03", "57")
TWIN = "alembic_safe_twin"
"""The name of the twin, in the session's own temporary schema."""


class Renamed:
    """Formulas by the names of now, and by those of then.

    :param renaming: returns the statements that change the names on a table.
    :param fixed: fixed text under an empty search path.
    :param ahead: whether nobody waits yet; behind the lock, the twin would take longer than what it spares.
    """

    def __init__(
        self, connection: Connection, table: LivingTable, wanted: Sequence[Wanted],
        renaming: Callable[[LivingTable], list[str]], fixed: FixedText, *, ahead: bool,
    ) -> None:  # fmt: skip
        self._connection, self._table, self._renaming, self._fixed = connection, table, renaming, fixed
        self._views = Views(connection, table, wanted)
        self._views.make()
        self._found = self._views.read(fixed)
        self.known = self._on_twin(wanted) if ahead else None
        """The formulas by the new names; ``None`` where they are read once the table has those."""
        if self.known is not None:
            self._views.drop()

    def forget(self) -> None:
        """Leave nothing behind."""
        if self.known is None:
            self._views.drop()

    @property
    def renaming(self) -> list[str]:
        """The statements that change the names."""
        return self._renaming(self._table)

    def behind(self, before: Sequence[str]) -> tuple[Expression, ...]:
        """Change the names, and return the formulas by the new ones, where they are not known.

        :param before: statements to be sent in front.
        """
        run_at_once(self._connection, [*before, *self.renaming])
        found = self._views.read_again(self._found, self._fixed)
        self._views.drop()
        return found

    def _on_twin(self, wanted: Sequence[Wanted]) -> tuple[Expression, ...] | None:
        """Return the formulas as they read behind a change of the twin's names.

        :returns: ``None`` where the twin cannot be made, or a formula does not read the same over it: one that takes the
            whole row names the table's own type, of which a field has the name of a column.
        """
        if self._views.select_fields:
            return None
        twin = replace(self._table, schema="pg_temp", name=TWIN)
        savepoint = self._connection.begin_nested()
        try:
            like = f"CREATE TEMPORARY TABLE {quoted(TWIN)} (LIKE {self._table.quoted})"
            run(self._connection, like)
            views = Views(self._connection, twin, wanted, first=self._views.count)
            views.make()
            if views.read_again(self._found, self._fixed) != self._found:
                return None
            run_at_once(self._connection, self._renaming(twin))
            return views.read_again(self._found, self._fixed)
        except Refused:
            return None
        except DBAPIError as error:
            if (sqlstate_of(error) or "08").startswith(_NOT_OF_THE_TWIN):
                raise
            return None
        finally:
            savepoint.rollback()
