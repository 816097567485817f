"""What is said of a column's default in the course of one revision?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import Computed, Enum, Identity, Integer, Numeric, String

from alembic_safe.authoring.change_operations import DefaultOp
from alembic_safe.authoring.recipes.records import settle
from alembic_safe.authoring.written_sql import default_sql
from alembic_safe.errors import NextStep, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.types import TypeEngine

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.catalog_records import ObjectId
    from alembic_safe.inspecting.settles import Settle

_LITERAL = re.compile(r"'?(?P<said>[^']*)'?(::[\w .()]+)?")
_COMPUTED = (Computed, Identity)
_COUNTS = "nextval("
_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d*)?\s*")


@dataclass(frozen=True)
class SaidDefault:
    """One operation, Alembic's or ours, that says a column's default.

    :param to: SQL; ``None``: none from then on. ``was``: what stood there, where that is known.
    """

    op: ops.MigrateOperation
    to: str | None
    was: str | None = None


def defaults_of(id_: ObjectId, every: Sequence[ops.MigrateOperation], facts: Facts) -> list[SaidDefault]:
    """Return what is said of a column's default, in order.

    :param every: of single changes: see ``phases.decomposed``.
    """
    found = []
    for op in every:
        if isinstance(op, DefaultOp) and op.column == id_:
            found.append(SaidDefault(op, op.to, op.was))
        elif isinstance(op, ops.AlterColumnOp) and facts.column(op.table_name, op.schema, op.column_name) == id_:
            said = op.modify_server_default
            counts = isinstance(said, _COMPUTED) or isinstance(op.existing_server_default, _COMPUTED)
            if said is not False and not counts:
                was = facts.catalog.objects.get(id_, {}).get("default")
                to = None if said is None else default_sql(said)
                found.append(SaidDefault(op, to, None if was is None else str(was)))
    return found


def fits(sql: str, old: TypeEngine[Any], new: TypeEngine[Any]) -> bool:
    """Tell whether a column of one type takes a default, and takes it along to another type, as far as can be told here.

    :param sql: a literal, or anything else.
    """
    if all(isinstance(one, String) and not isinstance(one, Enum) for one in (old, new)):
        return True
    if not all(isinstance(one, (Numeric, Integer)) for one in (old, new)):
        return False
    literal = _LITERAL.fullmatch(sql)
    return literal is not None and _NUMBER.fullmatch(literal["said"]) is not None


def default_of(
    id_: ObjectId, waiting: Sequence[SaidDefault], every: Sequence[ops.MigrateOperation], facts: Facts, what: str
) -> tuple[tuple[Settle, ...], str | None]:
    """Return what becomes of the default of a column that another one takes the place of, in the moment in which it does.

    Where operations say nothing of it, the models do: autogenerate compares no defaults unless it is told to.

    :param waiting: what is said of it for that moment.
    :param what: what becomes of what, for the message.
    :returns: and the default that the column has back when that is taken back; ``None``: the one that comes back with it.
    :raises Refused: where the type does not take the default, and nobody says another one.
    """
    was = facts.catalog.objects.get(id_, {}).get("default")
    if waiting:
        verb = "set_default" if waiting[-1].to else "drop_default"
        return (settle(verb, id_, to=waiting[-1].to, was=waiting[0].was),), None
    said = defaults_of(id_, every, facts)
    if said:
        return (), said[-1].to  # it is set at once, or goes as any other
    if facts.catalog.objects.get(id_, {}).get("identity") or (
        was is not None and _COUNTS in str(was) and id_ not in facts.unfit
    ):
        return (), None  # the sequence goes along
    if id_ in facts.defaults:
        return (settle("set_default", id_, to=facts.defaults[id_], was=was),), None
    if id_ in facts.unfit:
        raise _of_no_use(what, str(was))
    return (), None if was is None else str(was)


def _of_no_use(what: str, was: str) -> Refused:
    return Refused(
        f"{what}, which does not take its default, {was}, and nobody has said another one.",
        next_steps=[
            NextStep("say in the model what the column gets where it is left out", "server_default=..."),
            NextStep("or let autogenerate see that it has none: in env.py", "compare_server_default=True"),
        ],
    )
