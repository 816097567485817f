"""Which columns does a database keep equal to those of another table?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic_safe.database.statements import run
from alembic_safe.inspecting.syncs import SYNC_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg
    from sqlalchemy import Connection

    AnyConnection = Connection | psycopg.Connection[Any]

COMMENT_START = "alembic-safe tables in sync "
"""What the comment of the source's function begins with; a JSON object follows."""
FORMAT = 1

# The source is the table on which that function's triggers are, the target the one with those of the function beside it.
_SYNCS = """
SELECT left(p.proname, -2) AS name, obj_description(p.oid, 'pg_proc') AS comment,
  sn.nspname AS source_schema, s.relname AS source, tn.nspname AS schema, t.relname AS target
FROM pg_proc p JOIN pg_namespace own ON own.oid = p.pronamespace AND own.nspname = :own
JOIN pg_proc q ON q.pronamespace = own.oid AND q.proname = left(p.proname, -2) || '_t'
JOIN LATERAL (SELECT DISTINCT g.tgrelid FROM pg_trigger g WHERE g.tgfoid = p.oid) gs ON true
JOIN LATERAL (SELECT DISTINCT g.tgrelid FROM pg_trigger g WHERE g.tgfoid = q.oid) gt ON true
JOIN pg_class s ON s.oid = gs.tgrelid JOIN pg_namespace sn ON sn.oid = s.relnamespace
JOIN pg_class t ON t.oid = gt.tgrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE obj_description(p.oid, 'pg_proc') LIKE :start ORDER BY 5, 6, 1
"""


@dataclass(frozen=True)
class TableSync:
    """Columns of a table that are kept equal to those of another one.

    :param name: what the names of its functions begin with.
    :param columns: the source's column, and the target's; ``on``: what their rows find each other by, likewise.
    """

    name: str
    source_schema: str
    source: str
    schema: str
    target: str
    columns: tuple[tuple[str, str], ...]
    on: tuple[tuple[str, str], ...]

    @property
    def shown(self) -> str:
        """Both tables with the columns, as a message names them."""
        old, new = (", ".join(one[n] for one in self.columns) for n in (0, 1))
        return f"{self.source_schema}.{self.source} ({old}) -> {self.schema}.{self.target} ({new})"


def comment_of(columns: Mapping[str, str], on: Mapping[str, str]) -> str:
    """Return the comment that says what is in sync."""
    said = {"format": FORMAT, "columns": list(columns.items()), "on": list(on.items())}
    return COMMENT_START + json.dumps(said, ensure_ascii=False)


def read_table_syncs(connection: AnyConnection) -> tuple[TableSync, ...]:
    """Return what a database keeps equal between tables."""
    rows = run(connection, _SYNCS, {"own": SYNC_SCHEMA, "start": COMMENT_START + "%"})
    found = []
    for row in rows:
        said = json.loads(row["comment"].removeprefix(COMMENT_START))
        columns, on = (tuple((old, new) for old, new in said[word]) for word in ("columns", "on"))
        found.append(
            TableSync(
                row["name"], row["source_schema"], row["source"], row["schema"], row["target"], columns, on
            )
        )  # fmt: skip
    return tuple(found)
