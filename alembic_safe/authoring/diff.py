"""In what do two schemas differ, and what would it take to turn one into the other?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from alembic_safe.authoring.diff_ahead import begun
from alembic_safe.authoring.diff_sides import Looking, Project, Seen, read_project
from alembic_safe.authoring.diff_words import Side, kind_of, read_side
from alembic_safe.authoring.expressible import differences as expressible
from alembic_safe.database.envpy import unread_script_of
from alembic_safe.database.revision_files import require_one_history
from alembic_safe.inspecting.comparison import EXISTS, Difference, compare
from alembic_safe.inspecting.owners import owned_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from alembic.config import Config

    from alembic_safe.database.shadow import ShadowNote
    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId
    from alembic_safe.inspecting.difference_sql import Undo
    from alembic_safe.settings import Settings

_WITH_ROWS = frozenset({"table", "column", "constraint", "index", "materialized view"})


@dataclass(frozen=True)
class Change:
    """One thing that is different between the two sides.

    :param step: the difference, with the SQL that makes ``from`` into ``to``.
    :param risk: what that SQL may do to rows or to those who use the table; empty where it is harmless.
    :param rows: how many rows the table has on the side that is a live database.
    """

    step: Undo
    risk: str = ""
    rows: int | None = None

    @property
    def sign(self) -> str:
        """``+`` where it comes, ``-`` where it goes, ``~`` where it changes."""
        if self.step.difference.what != EXISTS:
            return "~"
        return "+" if self.step.difference.is_missing else "-"


@dataclass(frozen=True)
class Diff:
    """Everything that is different, in the order in which SQL would change it.

    :param from_: where it starts.
    :param to: where it leads.
    """

    from_: Seen
    to: Seen
    changes: tuple[Change, ...]
    project: Project = field(repr=False)

    @property
    def statements(self) -> tuple[str, ...]:
        """The SQL that makes ``from`` into ``to``, in order, without semicolons."""
        return tuple(statement for change in self.changes for statement in change.step.statements)


def diff(
    config: Config,
    settings: Settings,
    from_: str,
    to: str,
    *,
    tell: Callable[[ShadowNote], None] | None = None,
) -> Diff:
    """Compare two sides; nobody's database is written to.

    :param from_: ``empty``, ``models``, ``head``, a revision, ``database``, a URL, or a file of pg_dump.
    :param to: the same.
    :raises SafeError: when a side cannot be had.
    """
    script = unread_script_of(config)
    kinds = {kind_of(from_), kind_of(to)}
    project = read_project(config, script, settings)
    wish = project.wish(settings, tell)
    with begun(project, wish, of_database="database" in kinds, of_files="files" in kinds) as ahead:
        require_one_history(script)
        sides: tuple[Side, Side] = (read_side(from_, script), read_side(to, script))
        looking = Looking(config, script, project, replace(wish, opened=ahead.shadow), ahead.catalog)
        # the database last: it is being read while what is made on a shadow is made
        seen = {side: looking.at(side) for side in sorted(sides, key=lambda side: side.kind == "database")}
    start, end = (seen[side] for side in sides)
    start, end = _owned_alike(start, end)
    steps = _steps(_differences(start, end, project), start, end)
    rows = _rows(steps, start, end)
    return Diff(
        start, end,
        tuple(
            Change(step, risk_of(step.difference, start.catalog, end.catalog), rows.get(_table(step.difference.object)))
            for step in steps
        ),
        project,
    )  # fmt: skip


def _steps(differences: tuple[Difference, ...], start: Seen, end: Seen) -> tuple[Undo, ...]:
    if not differences:
        return ()
    # what writes the SQL is a fifth of all that there is to import; most looks find nothing to write
    from alembic_safe.inspecting.difference_sql import undo_sql

    return undo_sql(differences, end.catalog, start.catalog)


def _owned_alike(start: Seen, end: Seen) -> tuple[Seen, Seen]:
    """Give what was made on a shadow the owners of the database beside it: files and dumps say nothing of them."""
    if start.role:
        start = replace(start, catalog=owned_as(start.catalog, end.catalog, made_by=start.role))
    if end.role:
        end = replace(end, catalog=owned_as(end.catalog, start.catalog, made_by=end.role))
    return start, end


def _differences(start: Seen, end: Seen, project: Project) -> tuple[Difference, ...]:
    """Compare with the wanted side at the left; where one is the models, in what models can say and autogenerate sees."""
    if end.side.kind == "models" and start.side.kind != "models":
        return expressible(end.catalog, start.catalog, without=project.ignored(start.catalog))
    if start.side.kind == "models" and end.side.kind != "models":
        found = expressible(start.catalog, end.catalog, without=project.ignored(end.catalog))
        return tuple(Difference(one.object, one.what, one.right, one.left) for one in found)
    rights = start.knows_rights and end.knows_rights
    return compare(end.catalog, start.catalog, owners=rights, grants=rights)


def _rows(steps: Iterable[Undo], start: Seen, end: Seen) -> Mapping[tuple[str, str], int]:
    tables = sorted({_table(step.difference.object) for step in steps if step.difference.object.kind in _WITH_ROWS})
    for seen in (start, end):
        if seen.live is not None:
            return seen.live(tables)
    return {}


def _table(id_: ObjectId) -> tuple[str, str]:
    return (id_.schema, id_.parent or id_.name)


def risk_of(difference: Difference, start: Catalog, end: Catalog) -> str:
    """Return what a change may do to rows, or to those who use the table meanwhile; pure.

    The facts are PostgreSQL's: https://www.postgresql.org/docs/current/sql-altertable.html, "Notes".
    """
    id_, what = difference.object, difference.what
    wanted = end.objects.get(id_, {})
    if difference.is_extra:
        return {"table": "its rows go", "column": "its values go", "sequence": "its value goes",
                "materialized view": "its rows are computed"}.get(id_.kind, "")  # fmt: skip
    if difference.is_missing:
        if (id_.schema, id_.parent) and not _has_table(id_, start):
            return ""
        if id_.kind == "column" and wanted.get("not_null") and "default" not in wanted and "identity" not in wanted:
            return "fails where there are rows: NOT NULL without a default"
        if id_.kind == "index":
            return "writes wait while it is built"
        if id_.kind == "constraint":
            return "fails on rows that break it, and everybody waits while they are read"
        return ""
    return _risk_of_attribute(id_, what, wanted)


def _risk_of_attribute(id_: ObjectId, what: str, wanted: Mapping[str, object]) -> str:
    if id_.kind == "column":
        if what in ("type", "generated", "expression"):
            return "may rewrite the table, and fail on values that do not convert"
        if what == "not_null" and wanted.get("not_null"):
            return "fails where there are NULLs, and everybody waits while rows are read"
    if id_.kind == "constraint" and what == "definition":
        return "fails on rows that break it, and everybody waits while they are read"
    if id_.kind == "index" and what == "definition":
        return "built anew: writes wait, and queries lack it meanwhile"
    if id_.kind == "enum" and what == "labels":
        return "labels can be added only; values that are in use stay"
    return ""


def _has_table(id_: ObjectId, catalog: Catalog) -> bool:
    table = id_.parent or id_.name
    return any(
        id_._replace(kind=kind, name=table, parent="") in catalog.objects for kind in ("table", "materialized view")
    )
