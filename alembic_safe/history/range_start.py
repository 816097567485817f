"""What is a database at the start of a range, and what tells that one is not there?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.database.replay import replay
from alembic_safe.database.statements import run
from alembic_safe.history.operation_touch import Ties

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alembic_safe.database.shadow import Shadow
    from alembic_safe.history.extent import Extent
    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId

_LISTED = 40
_LINKS = """
SELECT DISTINCT n.nspname AS schema, c.relname AS name, m.nspname AS other_schema, o.relname AS other_name,
  pg_table_is_visible(c.oid) AS is_visible, pg_table_is_visible(o.oid) AS other_is_visible
FROM (
  SELECT conrelid AS one, confrelid AS other FROM pg_constraint WHERE confrelid <> 0
  UNION ALL SELECT inhrelid, inhparent FROM pg_inherits
) t JOIN pg_class c ON c.oid = t.one JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class o ON o.oid = t.other JOIN pg_namespace m ON m.oid = o.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.oid <> o.oid
"""
_INDEXES = """
SELECT n.nspname AS schema, i.relname AS name, tn.nspname AS table_schema, t.relname AS table_name,
  pg_table_is_visible(i.oid) AS is_visible, pg_table_is_visible(t.oid) AS table_is_visible
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace
JOIN pg_class t ON t.oid = x.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE n.nspname NOT LIKE 'pg\\_%'
"""


def brought_to_start(config: Config, script: Callable[[], ScriptDirectory], extent: Extent, fresh: Shadow) -> Shadow:
    """Run the files on an empty shadow up to where a range begins, and what it depends on beside that.

    :raises ReplayFailed: when one does not run through.
    """
    if not extent.depends_on:
        replay(config, script(), fresh, to=str(extent.start))
        return fresh
    inside = {one.revision for one in extent.revisions}
    steps = script()._upgrade_revs(extent.end.revision, ())  # type: ignore[arg-type]  # noqa: SLF001
    only = [step.revision.revision for step in steps if step.revision.revision not in inside]
    replay(config, script(), fresh, to=str(extent.start), only=only)
    return fresh


def ties_at(*shadows: Shadow) -> Ties:
    """Return which tables are tied to each other in databases: at the start of a range, and at its end.

    A table that needs no schema to be found is known without one, as operations speak of it, and with it.
    """
    links: set[frozenset[tuple[str, str]]] = set()
    indexes: dict[tuple[str, str], tuple[str, str]] = {}
    for shadow in shadows:
        with shadow.endpoint.connect() as connection:
            for row in run(connection, _LINKS):
                for one in _called(row["schema"], row["name"], is_visible=row["is_visible"]):
                    for other in _called(row["other_schema"], row["other_name"], is_visible=row["other_is_visible"]):
                        links.add(frozenset({one, other}))
            for row in run(connection, _INDEXES):
                table = _called(row["table_schema"], row["table_name"], is_visible=row["table_is_visible"])
                for name in _called(row["schema"], row["name"], is_visible=row["is_visible"]):
                    indexes[name] = table[0]
    return Ties(frozenset(links), indexes)


def _called(schema: str, name: str, *, is_visible: bool) -> list[tuple[str, str]]:
    return [("", name), (schema, name)] if is_visible else [(schema, name)]


Place = tuple["str | None", str, "str | None"]
"""Schema, table and column; no schema: that of ``search_path``; no column: the table itself."""


def made_and_taken(before: Catalog, after: Catalog, default_schema: str) -> tuple[list[Place], list[Place]]:
    """Return which tables and columns a range makes, and which it takes away: the first ones, where they are many."""
    made, taken = set(after.objects) - set(before.objects), set(before.objects) - set(after.objects)
    return list(_places(made, default_schema))[:_LISTED], list(_places(taken, default_schema))[:_LISTED]


def _places(ids: set[ObjectId], default_schema: str) -> Iterator[Place]:
    tables = {id_ for id_ in ids if id_.kind == "table"}
    named: Any = sorted(id_ for id_ in ids if id_.kind in {"table", "column"})
    for id_ in sorted(named, key=lambda one: one.kind != "table"):
        schema = None if id_.schema == default_schema else id_.schema
        if id_.kind == "table":
            yield schema, id_.name, None
        elif id_._replace(kind="table", name=id_.parent, parent="") not in tables:
            yield schema, id_.parent, id_.name
