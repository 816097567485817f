"""Would the phases give an index or a constraint a name that another one has?"""

# What is built beside something that goes has that one's name with an ending, by which the contract finds it again: no
# other name can be chosen, and operations that run again without harm would take somebody else's for what they made.
from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.authoring.change_operations import RenamedPartOp
from alembic_safe.authoring.recipes.standing_on import dropped_name, table_of
from alembic_safe.errors import NextStep, Refused
from alembic_safe.inspecting.catalog_records import RELATIONS, ObjectId
from alembic_safe.operations.concurrent_indexes import CreateIndexConcurrentlyOp
from alembic_safe.operations.constraint_using_index import AddConstraintUsingIndexOp
from alembic_safe.operations.constraints_not_valid import CreateCheckNotValidOp, CreateForeignKeyNotValidOp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from alembic.operations.ops import MigrateOperation

    from alembic_safe.authoring.recipes.records import Facts, Step
    from alembic_safe.inspecting.catalog_records import Value

    Named = tuple[str, str, str, str]

_CONSTRAINTS = (CreateCheckNotValidOp, CreateForeignKeyNotValidOp, AddConstraintUsingIndexOp)
_WITH_AN_INDEX = frozenset({"u", "p", "x"})


def require_free_names(steps: Iterable[Step], before: Sequence[MigrateOperation], facts: Facts) -> None:
    """Stop where what is built in some steps would have the name of something that is there, or be built twice.

    :param before: the operations that run in front of them: what those take away is not there any more.
    :raises Refused: naming both.
    """
    gone = {one for op in before for one in _away(op, facts)}
    taken: dict[Named, str] = {}
    for id_, said in facts.catalog.objects.items():
        if (id_.schema, id_.parent, id_.name) not in gone:
            taken |= dict.fromkeys(_names_of(id_, said), f"is there already, the name of {id_}")
    for step in steps:
        for op in step.operations:
            for away in _away(op, facts):
                taken.pop(("constraint", *away), None)  # a check that comes again under the new type
            name = _made(op, facts)
            if name is None:
                continue
            if name in taken:
                raise _taken(name, taken[name], facts)
            taken[name] = "comes in the same revision"


def _away(op: MigrateOperation, facts: Facts) -> Iterator[tuple[str, str, str]]:
    name = op.part.name if isinstance(op, RenamedPartOp) else dropped_name(op)
    if name is not None:
        table = table_of(op, facts)
        yield table.schema, table.name, name


def _names_of(id_: ObjectId, said: Mapping[str, Value]) -> Iterator[Named]:
    """Yield the names that an object has: among the relations of its schema, or the constraints of its table."""
    if id_.kind in {*RELATIONS, "index", "sequence"} or said.get("sort") in _WITH_AN_INDEX:
        yield "index", id_.schema, "", id_.name
    if id_.kind == "constraint":
        yield "constraint", id_.schema, id_.parent, id_.name


def _made(op: MigrateOperation, facts: Facts) -> Named | None:
    if isinstance(op, CreateIndexConcurrentlyOp):
        return "index", table_of(op, facts).schema, "", str(op.index_name)
    if isinstance(op, _CONSTRAINTS) and not getattr(op, "replace", False):
        table = table_of(op, facts)
        return "constraint", table.schema, table.name, str(op.constraint_name)
    return None


def _taken(name: Named, by: str, facts: Facts) -> Refused:
    kind, schema, table, shown = name
    where = f" on {facts.shown(table, schema)}" if table else ""
    return Refused(
        f"{kind} {shown}{where} would be built beside one that it takes the place of, and {shown} {by}.",
        next_steps=[
            NextStep("give that another name in the models, in a revision before; then", "alembic revision --autogenerate")
        ],
    )  # fmt: skip
