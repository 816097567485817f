"""What takes everything back that a squash has made?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.history.expressions import unquoted
from alembic_safe.history.piece import LATE_KEYS, ROWS, SECURITY
from alembic_safe.history.python_text import execute, string
from alembic_safe.inspecting.comparison import Difference, compare
from alembic_safe.inspecting.difference_sql import undo_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic_safe.history.piece import Wanted
    from alembic_safe.history.trial import Settled
    from alembic_safe.inspecting.catalog_records import ObjectId

_WITH_THEIR_TABLE = frozenset({"index", "constraint", "trigger", "rule", "policy", "partition trigger"})
_TABLES = frozenset({"table", "foreign table"})


def way_back(settled: Sequence[Settled], wanted: Wanted) -> str:
    """Return the lines of a ``downgrade()``: what was made last goes first.

    :raises CannotSay: when there is no statement for an object.
    """
    return "\n".join(line for one in reversed(settled) for line in _back(one, wanted))


def _back(one: Settled, wanted: Wanted) -> Iterator[str]:
    id_ = one.piece.objects[0]
    if one.piece.section in {ROWS, SECURITY}:
        return
    if one.piece.section == LATE_KEYS:
        schema = _schema(id_, wanted)
        yield f'op.drop_constraint(op.f({string(id_.name)}), {string(id_.parent)}{schema}, type_="foreignkey")'
    elif id_ not in wanted.empty.objects and not _has_own_statement(one, wanted):
        return
    elif id_.kind == "table" and id_ not in wanted.empty.objects:
        yield f"op.drop_table({string(id_.name)}{_schema(id_, wanted)})"
    elif id_ not in wanted.empty.objects:
        yield from (execute(unquoted(statement)) for statement in _dropped(id_, wanted))
    else:
        found = [d for d in compare(wanted.empty, wanted.catalog, owners=False) if d.object == id_]
        for undo in undo_sql(found, wanted.empty, wanted.catalog):
            yield from (execute(unquoted(statement)) for statement in undo.statements)


def _has_own_statement(one: Settled, wanted: Wanted) -> bool:
    """Whether it does not go with something else: a trigger with its table, a grant with what it is on."""
    id_ = one.piece.objects[0]
    if id_.parent and id_._replace(kind="table", name=id_.parent, parent="") in wanted.empty.objects:
        return True
    return one.piece.section != "Rights" and id_.kind not in _WITH_THEIR_TABLE


def _dropped(id_: ObjectId, wanted: Wanted) -> Iterator[str]:
    missing = Difference(id_, "exists", None, True)  # noqa: FBT003 - the attribute's value
    for undo in undo_sql([missing], wanted.empty, wanted.catalog):
        yield from undo.statements


def _schema(id_: ObjectId, wanted: Wanted) -> str:
    return "" if id_.schema == wanted.default_schema else f", schema={string(id_.schema)}"
