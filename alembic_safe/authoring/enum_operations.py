"""Which operation gives an enum other labels, and what does it do where nothing is split?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.autogenerate.render import renderers
from alembic.operations import Operations, ops

from alembic_safe.authoring.change_operations import SqlOp
from alembic_safe.authoring.keeping import UNDO
from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.autogenerate.api import AutogenContext

    from alembic_safe.authoring.enum_labels import Step


class ChangeLabelsOp(ops.MigrateOperation):
    """An enum that gets labels which PostgreSQL cannot just add: one is renamed, goes, or stands elsewhere.

    :param was: the labels before; ``becomes``: behind it.
    :param said: what becomes of labels that go, by label, as far as somebody said it.
    :param steps: the statements that do it at once, with those that take each back.
    :param columns: the columns of the type, and whether each holds arrays of it.
    :param without_added: the statements that take back labels which are only added.
    """

    def __init__(
        self, type_: ObjectId, was: Sequence[str], becomes: Sequence[str], said: Mapping[str, str], steps: Sequence[Step],
        columns: Mapping[ObjectId, bool], without_added: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.type_ = type_
        self.was = tuple(was)
        self.becomes = tuple(becomes)
        self.said = dict(said)
        self.steps = tuple(steps)
        self.columns = dict(columns)
        self.without_added = tuple(without_added)

    @property
    def tables(self) -> tuple[ObjectId, ...]:
        """The tables that have columns of the type."""
        return tuple(dict.fromkeys(ObjectId("table", id_.schema, id_.parent) for id_ in self.columns))

    @property
    def turned(self) -> tuple[str, ...]:
        """The statements that take it back, in their order."""
        return tuple(step.backward for step in reversed(self.steps))

    def reverse(self) -> TakeBackLabelsOp:
        """Return what gives the enum its labels back."""
        return TakeBackLabelsOp(self)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        return ("modify_enum_labels", self.type_.schema, self.type_.name, self.was, self.becomes)


class TakeBackLabelsOp(ops.MigrateOperation):
    """The labels that an enum had."""

    def __init__(self, change: ChangeLabelsOp) -> None:
        self.change = change

    def reverse(self) -> ChangeLabelsOp:
        """Return the change itself."""
        return self.change

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` prints."""
        one = self.change
        return ("modify_enum_labels", one.type_.schema, one.type_.name, one.becomes, one.was)


def joined(first: ChangeLabelsOp, then: ChangeLabelsOp) -> ChangeLabelsOp:
    """Return two changes of one enum as one."""
    said = {label: then.said.get(becomes, becomes) for label, becomes in first.said.items()}
    said |= {label: becomes for label, becomes in then.said.items() if label in first.was and label not in first.said}
    return ChangeLabelsOp(
        first.type_, first.was, then.becomes, said, (*first.steps, *then.steps), {**first.columns, **then.columns},
        then.without_added,
    )  # fmt: skip


def statements_of(op: ChangeLabelsOp | TakeBackLabelsOp) -> list[SqlOp]:
    """Return the SQL that an operation is where it happens at once."""
    if isinstance(op, TakeBackLabelsOp):
        return [SqlOp(sql) for sql in op.change.turned]
    found = [SqlOp(step.forward, step.backward) for step in op.steps]
    for one in found:
        setattr(one, UNDO, ())
    if found:
        setattr(found[-1], UNDO, tuple(SqlOp(sql) for sql in op.turned))
    return found


@Operations.implementation_for(ChangeLabelsOp)
@Operations.implementation_for(TakeBackLabelsOp)
def _run(operations: Operations, op: ChangeLabelsOp | TakeBackLabelsOp) -> None:
    for statement in statements_of(op):
        operations.invoke(statement)


@renderers.dispatch_for(ChangeLabelsOp)
@renderers.dispatch_for(TakeBackLabelsOp)
def _render(context: AutogenContext, op: ChangeLabelsOp | TakeBackLabelsOp) -> list[str]:
    return [str(renderers.dispatch(one)(context, one)) for one in statements_of(op)]
