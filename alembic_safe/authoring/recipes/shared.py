"""Which index or constraint needs columns that change in ways that do not go together?"""

# Each of those recipes would build it for its own column alone: two indexes of one name, or a check that goes with the
# first of the columns. Columns that all get another type go together, and so do those that are all renamed.
from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alembic.operations import ops
from sqlalchemy import ForeignKeyConstraint

from alembic_safe.authoring.change_operations import DropPartOp, RenameColumnOp, SqlOp
from alembic_safe.authoring.enum_operations import ChangeLabelsOp
from alembic_safe.authoring.recipes.change_type import moves_of
from alembic_safe.authoring.recipes.records import two_revisions
from alembic_safe.authoring.recipes.standing_on import dropped_name, parts_on, table_of, unbuildable
from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.catalog_records import ObjectId
from alembic_safe.inspecting.created_names import name_of_created

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Table

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.errors import Refused

_FIRST = ("name", "type", "labels")


class _Way(NamedTuple):
    """How a column changes.

    :param what: what it gets another one of.
    :param of: what tells ways apart that do not go together.
    """

    what: str
    of: str = ""


def require_one_way(every: Sequence[ops.MigrateOperation], facts: Facts) -> None:
    """Stop where an index or a constraint needs several columns that do not change together.

    :raises Refused: naming it, and two of the columns.
    """
    ways = _ways(every, facts)
    if len(set(ways.values())) < 2:
        return
    for id_, table in sorted(facts.tables.items()):
        own = [one for one in every if table_of(one, facts) == id_]
        for part, columns in _parts(table):
            needed = {way: column for column in _needed(part, columns, id_, facts) if (way := ways.get(column))}
            if len(needed) > 1 and not _only_goes(part, own, id_):
                raise _cannot_follow(str(part.name), needed, facts)


def _ways(every: Sequence[ops.MigrateOperation], facts: Facts) -> dict[ObjectId, _Way]:
    """Return every column that changes so that what stands on it does, too."""
    found = dict.fromkeys(moves_of(every, facts).types, _Way("type"))
    for op in every:
        if isinstance(op, ChangeLabelsOp):
            for id_ in op.columns:
                table = facts.tables.get(ObjectId("table", id_.schema, id_.parent))
                if table is not None and id_.name in table.columns and not unbuildable(facts, table, id_.name):
                    found.setdefault(id_, _Way("labels", str(op.type_)))
        elif isinstance(op, RenameColumnOp):
            id_ = facts.column(op.table_name, op.schema, op.column_name)
            table = facts.tables.get(facts.id_of(op.table_name, op.schema))
            if table is not None and op.column_name in table.columns:
                is_split = not unbuildable(facts, table, op.column_name)
                found[id_] = _Way("name", "in phases" if is_split else "at once")
    return found


def _parts(table: Table) -> Iterator[tuple[Any, list[str]]]:
    """Yield every index and constraint with the columns that it names."""
    found: dict[int, tuple[Any, list[str]]] = {}
    for column in table.columns:
        for part in parts_on(table, column.name):
            found.setdefault(id(part), (part, []))[1].append(column.name)
    yield from found.values()
    yield table.primary_key, [column.name for column in table.primary_key.columns]


def _needed(part: Any, columns: Sequence[str], id_: ObjectId, facts: Facts) -> Iterator[ObjectId]:
    """Yield the columns that a part needs; a foreign key needs those that it refers to as well."""
    yield from (ObjectId("column", id_.schema, name, id_.name) for name in columns)
    if isinstance(part, ForeignKeyConstraint):
        for element in part.elements:
            other = element.column.table
            yield facts.column(other.name, other.schema, element.column.name)


def _only_goes(part: Any, own: Sequence[ops.MigrateOperation], table: ObjectId) -> bool:
    """Tell whether a part goes, and none comes in its place: then there is nothing to build."""
    gone = any(dropped_name(one) == part.name for one in own)
    return gone and not any(_comes_again(one, part, table) for one in own)


def _comes_again(op: ops.MigrateOperation, part: Any, table: ObjectId) -> bool:
    name = str(part.name)
    if isinstance(op, SqlOp):
        return not isinstance(op, DropPartOp) and quoted(name) in op.sql
    if isinstance(op, ops.CreateForeignKeyOp):
        # one that makes room for another type comes back under the name that the models say
        return isinstance(part, ForeignKeyConstraint)
    made = (ops.CreateIndexOp, ops.CreateUniqueConstraintOp)
    return isinstance(op, made) and name_of_created(op, table.name) == name


def _cannot_follow(name: str, needed: Mapping[_Way, ObjectId], facts: Facts) -> Refused:
    ways = sorted(needed, key=lambda way: _FIRST.index(way.what))[:2]
    said = [
        f"{facts.shown(needed[way].parent, needed[way].schema, needed[way].name)}, which gets"
        f" {'other labels' if way.what == 'labels' else f'another {way.what}'}"
        for way in ways
    ]
    what = ways[0].what
    first = f"the {what}" if ways[1].what != what else "one of the columns"
    return two_revisions(
        f"{name} needs {', and '.join(said)}, in the same revision, and can only follow one of the two.",
        f"{first} first",
    )
