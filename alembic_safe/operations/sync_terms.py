"""Who may read and write a column that another one takes the place of, and how is it kept? So is the other one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from alembic_safe.database.reads import Reads
from alembic_safe.operations.dependants import OF_THE_NAME, make_again, said_of_column
from alembic_safe.operations.kept import fixed_text
from alembic_safe.operations.sync_refused import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from alembic_safe.operations.living import LivingTable
    from alembic_safe.operations.sync_columns import _SyncOp

log = logging.getLogger("alembic.safe.sync")


def give_terms(connection: Connection, reads: Reads, table: LivingTable, op: _SyncOp) -> None:
    """Give the new column the rights of the old one, and how its values are kept, where it has nothing of that kind.

    One column for one: what becomes of the rights on several is nothing that can be told.

    :param reads: in which the columns were asked for.
    """
    if op.swapped or len(op.old) != 1 or len(op.new) != 1:
        return
    old, new = op.old[0], op.new[0]
    found: Mapping[str, bool] = {
        row["name"]: row["has_terms"] for row in reads.rows(COLUMNS, {"oid": table.oid, "names": [old, new]})
    }
    if not found[old]:
        return  # nothing more is asked: who writes waits for a column that was added a moment ago
    with fixed_text(connection, search_path=""):
        ask = Reads(connection)
        own = {one.kind for one in said_of_column(ask, table.quoted, new)} if found[new] else set()
        terms = [
            one for one in said_of_column(ask, table.quoted, old, called=new)
            if one.kind in OF_THE_NAME - own - {"comment"}
        ]  # fmt: skip
        # those that keep readers out come last
        terms.sort(key=lambda one: one.kind in ("storage", "compression"))
        _, without = make_again(connection, terms)
    for line in without:
        log.warning("%s.%s is without what %s has: %s", table.shown, new, old, line)
