"""What names a column, and stands aside while its type changes at once?"""

# PostgreSQL changes no type under a view, a policy or a trigger. In a contract the swap takes them away and makes them again;
# where a database is brought to the models at once, this does.
from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from alembic_safe.authoring.recipes.left_to_a_person import leans
from alembic_safe.database.failures import sqlstate_of
from alembic_safe.database.reads import Reads
from alembic_safe.database.statements import run_at_once
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.leaning import leaning_on, pinning
from alembic_safe.operations.dependants import server_words
from alembic_safe.operations.kept import fixed_text
from alembic_safe.operations.living import find_table
from alembic_safe.operations.swap_standing import make, standing_on, taking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from alembic_safe.inspecting.catalog_records import ObjectId

_BY_ITSELF = frozenset({"statistics", "replica identity"})
"""What the server takes along."""
_READS_OTHERWISE = ("0A", "42")
"""Classes of SQLSTATE: what was made of the old type is no SQL over the new one."""
_MAY_NOT = "42501"


@contextmanager
def standing_aside(connection: Connection, column: ObjectId, change: str) -> Iterator[None]:
    """Take away what names a column, and make it again as it reads, with owner, comments and the rights of others.

    :param change: what becomes of the column, for the messages.
    :raises Refused: where something names it that nothing here makes again, or that reads no column of the new type.
    """
    leaning = leaning_on(connection, [column]).get(column, ())
    if leaning:
        raise leans(change, leaning)
    if not pinning(connection, [column]):
        yield
        return
    reads, fixed = Reads(connection), fixed_text(connection, search_path="")
    with fixed:
        table = find_table(reads, column.parent, column.schema)
        found = [] if table is None else standing_on(reads, [(table, column.name)])
    named = [one for one in found if one.kind not in _BY_ITSELF]
    run_at_once(connection, taking(named))
    yield
    try:
        make(connection, named, fixed)
    except DBAPIError as error:
        state = sqlstate_of(error)
        if not state.startswith(_READS_OTHERWISE) or state == _MAY_NOT:
            raise
        raise Refused(
            f"{change}, and what names it cannot be made again: {server_words(error)}",
            next_steps=[NextStep("take that away in a revision before, and make it again in one behind the change")],
        ) from error
