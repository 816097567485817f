"""Recipe: an enum loses a label, has one under another name, or in another place."""

# PostgreSQL only adds labels. So the enum is made anew beside the old one, and each of its columns with it; both types
# and all of their columns change names in one moment, since a statement may name the type as well as the column.
from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import ARRAY, CheckConstraint, Column, MetaData

from alembic_safe.authoring import enum_labels
from alembic_safe.authoring.change_operations import AddLabelOp, CheckOp, RenameColumnOp, SqlOp, plain_text
from alembic_safe.authoring.enum_changes import enum_of
from alembic_safe.authoring.enum_operations import ChangeLabelsOp, joined, statements_of
from alembic_safe.authoring.existing_types import existing_enum
from alembic_safe.authoring.keeping import taken_back_by
from alembic_safe.authoring.recipes.at_once import require_consent
from alembic_safe.authoring.recipes.defaults import defaults_of
from alembic_safe.authoring.recipes.free_names import columns_beside, enum_beside
from alembic_safe.authoring.recipes.left_to_a_person import leans
from alembic_safe.authoring.recipes.naming import quoted_if_needed
from alembic_safe.authoring.recipes.records import Phased, Step, Words, settle, two_revisions
from alembic_safe.authoring.recipes.replacing import Replacement, guarded_twice, replaced
from alembic_safe.authoring.recipes.standing_on import built_for, dropped_name, table_of, unbuildable
from alembic_safe.errors import NextStep, Refused
from alembic_safe.operations.enum_types import CreateEnumTypeOp, is_label
from alembic_safe.operations.retire_column import RetireColumnOp
from alembic_safe.operations.retire_table import RetireTableOp
from alembic_safe.operations.swap_counters import literal_of
from alembic_safe.operations.swap_names import beside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Table

    from alembic_safe.authoring.recipes.records import Facts
    from alembic_safe.inspecting.catalog_records import ObjectId
    from alembic_safe.inspecting.settles import Settle

    Operations = Sequence[ops.MigrateOperation]


def change_labels(op: ops.MigrateOperation, every: Operations, facts: Facts) -> Phased | None:
    """Put an enum with the labels of tomorrow beside the old one, and a column of it beside each column."""
    if not isinstance(op, ChangeLabelsOp):
        return None
    more = [one for one in every if isinstance(one, ChangeLabelsOp) and one.type_ == op.type_ and one is not op]
    for one in more:
        op = joined(op, one)
    shown = facts.shown(op.type_.name, op.type_.schema)
    title = f"{shown} gets other labels"
    _refuse_what_comes_with_it(op, every, facts, shown)
    columns = [id_ for id_ in op.columns if not _goes(id_, every, facts)]
    if not columns:
        _refuse_what_only_goes(op, facts, shown)
        return Phased(title, ordinary=tuple(statements_of(op)), consumed=tuple(more))
    for id_ in facts.leaning.keys() & {*columns}:
        named = facts.shown(id_.parent, id_.schema, id_.name)
        raise leans(f"{shown} gets other labels, and with them {named}", facts.leaning[id_])
    there = _what_becomes_of_them(op, shown)
    for id_ in columns:
        reason = unbuildable(facts, facts.tables[id_._replace(kind="table", name=id_.parent, parent="")], id_.name)
        reason = reason or _own_default(facts, id_)
        if reason:
            sentence = (
                f"{shown} gets other labels at once, with every row of its columns written under an exclusive lock, as"
                f" {reason}: an application that knows only the labels of before fails from then on."
            )
            require_consent(id_, sentence, facts)
            return Phased(title, tuple(statements_of(op)), words=Words(ordinary=(sentence,)), consumed=tuple(more))
    return _Split(op, there, facts, every, columns).phased(title, more)


def _what_becomes_of_them(op: ChangeLabelsOp, shown: str) -> dict[str, str]:
    """Return what becomes of each label that goes.

    :raises Refused: where nobody has said it, or where two become one that the old application does not know.
    """
    there = enum_labels.there(op.was, op.becomes, op.said)
    missing = [label for label in op.was if label not in op.becomes and label not in there]
    if missing:
        words = ", ".join(f"{label!r}" for label in missing)
        example = dict.fromkeys(missing, op.becomes[0] if op.becomes else "...")
        raise Refused(
            f"{shown} loses {words}, and nobody has said what becomes of the rows that hold"
            f" {'it' if len(missing) == 1 else 'them'}.",
            detail=[
                f"In the model, on a column of it, the label of {shown} that such a row gets, or that is only the new name:",
                f"  info={{'enum': {example!r}}}",
                f"It has {', '.join(map(repr, op.was))}; the models say {', '.join(map(repr, op.becomes))}.",
            ],
            next_steps=[NextStep("say it in the model; then", "alembic revision --autogenerate")],
        )
    for new in dict.fromkeys(there.values()):
        olds = [old for old, becomes in there.items() if becomes == new]
        if new not in op.was and len(olds) > 1:
            raise Refused(
                f"{shown}: {' and '.join(map(repr, olds))} become {new!r}, which is new, so that the application of today"
                " could not be told which of them a row holds.",
                next_steps=[
                    NextStep(f"add {new!r} in a revision of its own first; then", "alembic revision --autogenerate")
                ],
            )
    return there


def _refuse_what_comes_with_it(op: ChangeLabelsOp, every: Operations, facts: Facts, shown: str) -> None:
    """Stop where a column of the type comes, or changes its name, in the same revision."""
    for id_ in op.columns:
        if id_ not in facts.catalog.objects:
            raise _comes_with_it(shown, facts.shown(id_.parent, id_.schema, id_.name))
    for one in every:
        came: list[Column[Any]] = [one.column] if isinstance(one, ops.AddColumnOp) else []
        if isinstance(one, ops.CreateTableOp):
            came = [column for column in one.columns if isinstance(column, Column)]
        name = next((column.name for column in came if _is(enum_of(column.type), op, facts)), None)
        table = table_of(one, facts)
        if isinstance(one, ops.AlterColumnOp) and _is(enum_of(one.modify_type), op, facts):
            name = one.column_name  # of another type, or another dimension, so far
        if isinstance(one, RenameColumnOp) and facts.column(one.table_name, one.schema, one.column_name) in op.columns:
            name = one.new
        if name is not None:
            raise _comes_with_it(shown, facts.shown(table.name, table.schema, str(name)))


def _comes_with_it(shown: str, column: str) -> Refused:
    return two_revisions(
        f"{shown} gets other labels, and {column} of it comes in the same revision: of which labels should it be meanwhile?",
        "either of them first",
    )


def _refuse_what_only_goes(op: ChangeLabelsOp, facts: Facts, shown: str) -> None:
    """Stop where every column of the type goes: none of them may be written anew while the old application needs it."""
    if not op.columns:
        return
    names = [facts.shown(id_.parent, id_.schema, id_.name) for id_ in op.columns]
    raise two_revisions(
        f"{shown} gets other labels, and {' and '.join(names)} of it {'go' if len(names) > 1 else 'goes'} in the same"
        " revision: until then the application of today needs the labels of before.",
        "the labels behind that contract",
    )


def _is(enum: Any, op: ChangeLabelsOp, facts: Facts) -> bool:
    return enum is not None and (str(enum.schema or facts.default_schema), str(enum.name)) == op.type_[1:3]


def _goes(id_: ObjectId, every: Operations, facts: Facts) -> bool:
    """Tell whether a column of the type goes in the same revision, or becomes one of another type."""
    for one in every:
        table = table_of(one, facts)
        if isinstance(one, RetireTableOp):
            table = facts.id_of(one.create.table_name, one.create.schema)
        if (table.schema, table.name) != (id_.schema, id_.parent):
            continue
        if isinstance(one, RetireTableOp) or (isinstance(one, RetireColumnOp) and one.column.name == id_.name):
            return True
        if isinstance(one, ops.AlterColumnOp) and one.column_name == id_.name and one.modify_type is not None:
            return True
    return False


def _own_default(facts: Facts, id_: ObjectId) -> str:
    default = facts.catalog.objects.get(id_, {}).get("default")
    if default is None or is_label(str(default)):
        return ""
    return f"the default of {id_.parent}.{id_.name} is no label: {default}"


def _value(default: str) -> str:
    return literal_of(default) or default


class _Split:
    """One enum that is split.

    :param there: what becomes of each label that goes.
    """

    def __init__(
        self, op: ChangeLabelsOp, there: Mapping[str, str], facts: Facts, every: Operations, columns: Sequence[ObjectId]
    ) -> None:
        self.op = op
        self.columns = tuple(columns)
        self.there = there
        self.back = enum_labels.back(op.was, op.becomes, there)
        self.facts = facts
        self.every = every
        self.new = enum_beside(op.type_, every, facts)
        added = [label for label in op.becomes if label not in op.was and label not in self.back]
        self.meanwhile = enum_labels.after_additions([*op.was, *added], op.was)
        self.schema = None if op.type_.schema == facts.default_schema else op.type_.schema

    def phased(self, title: str, more: Operations) -> Phased:
        """Return the phases."""
        op, columns = self.op, self.columns
        made = CreateEnumTypeOp(self.new, op.becomes, schema=self.schema)
        expand = [Step(f"make {self.new}, with the labels of tomorrow", (made,))]
        found = [self._column(id_) for id_ in columns]
        shown = self.facts.shown(op.type_.name, op.type_.schema)
        new_shown = self.facts.shown(self.new, op.type_.schema)
        swap = settle("swap_enum", op.type_, new=self.new)
        drop = settle("drop_type", op.type_._replace(name=self.new), labels=list(self.meanwhile))
        listed = ", ".join(self.facts.shown(id_.parent, id_.schema, id_.name) for id_ in columns)
        return Phased(
            title, ordinary=self._added(), expand=(*expand, *(step for one in found for step in one.expand)),
            copy=tuple(step for one in found for step in one.copy),
            settles=(swap, *(line for one in found for line in one.settles), drop),
            fresh=tuple(id_ for one in found for id_ in one.fresh),
            consumed=(*more, *(each for one in found for each in one.consumed)),
            words=Words(
                expand=(f"Makes {new_shown} beside {shown}, and a column of it beside {listed}; keeps each pair equal.",),
                copy=tuple(sentence for one in found for sentence in one.words.copy) + self._who(columns),
            ),
        )  # fmt: skip

    def _added(self) -> tuple[AddLabelOp, ...]:
        """Return what gives the old enum the labels that only come: the old columns have to hold them."""
        found = [
            AddLabelOp(sql, self.op.type_) for sql in enum_labels.additions(self.op.type_, self.meanwhile, self.op.was)
        ]
        taken_back_by(found, [SqlOp(sql) for sql in self.op.without_added])
        return tuple(found)

    def _who(self, columns: Sequence[ObjectId]) -> tuple[str, ...]:
        if not self.there:
            return ()
        pairs = ", ".join(f"{old!r} where the models say {new!r}" for old, new in self.there.items())
        names = ", ".join(self.facts.shown(id_.parent, id_.schema, id_.name) for id_ in columns)
        sentence = (
            f"Until the contract {names} {'hold' if len(columns) > 1 else 'holds'} {pairs}: an application that runs before"
            " and behind it has to understand both."
        )
        return (sentence,)

    def _column(self, id_: ObjectId) -> Phased:
        facts = self.facts
        table_id = id_._replace(kind="table", name=id_.parent, parent="")
        table = facts.tables[table_id]
        own_columns = [one.name for one in self.columns if (one.schema, one.parent) == (id_.schema, id_.parent)]
        mine = columns_beside(table_id, own_columns, self.every, facts)
        old, is_array = table.columns[id_.name], self.op.columns[id_]
        new = mine[id_.name]
        own = [one for one in self.every if table_of(one, facts) == facts.id_of(id_.parent, id_.schema)]
        column = Column(new, self._type(old.type), nullable=old.nullable, comment=old.comment)
        for one in own:
            if isinstance(one, ops.AlterColumnOp) and one.column_name == id_.name:
                column.nullable = column.nullable or one.modify_nullable is True
                if one.modify_comment is not False:
                    column.comment = one.modify_comment or None
        up = enum_labels.translated(quoted_if_needed(id_.name), self.there, is_array=is_array)
        down = enum_labels.translated(quoted_if_needed(new), self.back, is_array=is_array)
        coming = [
            (one, made) for one in own if (made := built_for(self._retyped(one), facts, id_.name, mine)) is not None
        ]
        dropped = frozenset(
            [*(str(dropped_name(one)) for one in own if dropped_name(one)), *(m[0].name for _, m in coming)]
        )
        split = replaced(
            facts,
            Replacement(self._relabelled(table), id_.name, column, up, down, dropped=dropped, swaps=True, moves=mine),
        )
        gone = [one for one in own if dropped_name(one) in split.parts]
        defaults = defaults_of(id_, self.every, facts)
        then = () if defaults else self._default_back(id_)
        if defaults and defaults[-1].to is None:
            defaults = []  # it goes in the contract, as any other
        swap = settle("swap_columns", id_, new=new, up=up, down=down, enum=[self.op.type_.schema, self.op.type_.name])
        then += tuple(settle("set_default", id_, to=one.to, was=defaults[0].was) for one in defaults[-1:])
        names: tuple[Settle, ...] = tuple(
            settle(f"rename_{part.kind}", part._replace(name=beside(part.name)), to=part.name)
            for _, (part, _) in coming if part.name not in split.parts
        )  # fmt: skip
        shown = facts.shown(id_.parent, id_.schema, new)
        return Phased(
            "", expand=split.expand, copy=(*split.copy, *(step for _, (_, steps) in coming for step in steps)),
            settles=(*split.settles, swap, *then, *names), fresh=(id_._replace(name=new),),
            consumed=(*(one.op for one in defaults), *gone, *(one for one, _ in coming)),
            words=Words(
                copy=(f"Fills {shown}, then builds for it what stands on {id_.name}.", *guarded_twice(split.unique)),
            ),
        )  # fmt: skip

    def _default_back(self, id_: ObjectId) -> tuple[Settle, ...]:
        """Return what says a column's default that follows its labels, where they do not lead back to it.

        Autogenerate compares no defaults unless it is told to: another one of the models is said here, too.
        """
        default = self.facts.catalog.objects.get(id_, {}).get("default")
        wanted = self.facts.defaults.get(id_)
        follows = None if default is None else enum_labels.in_other_labels(str(default), self.op.type_, self.there)
        if wanted is not None and (follows is None or _value(wanted) != _value(follows)):
            return (settle("set_default", id_, to=wanted, was=default),)
        said = enum_labels.labels_in(str(default), self.op.type_) & self.there.keys()
        if all(self.back.get(self.there[label]) == label for label in said):
            return ()
        return (settle("set_default", id_, to=follows, was=str(default)),)

    def _type(self, type_: Any) -> Any:
        """Return a column's type with the new enum in the place of the old one."""
        if isinstance(type_, ARRAY):
            array = copy.copy(type_)
            array.item_type = self._type(type_.item_type)
            return array
        return existing_enum(self.op.becomes, self.new, self.schema)

    def _in_new_labels(self, sql: str, labels: Mapping[str, str]) -> str:
        """Return SQL of the server's about the enum as SQL about the new one, as that is called meanwhile."""
        return enum_labels.in_other_labels(sql, self.op.type_, labels, self.new)

    def _relabelled(self, table: Table) -> Table:
        """Return a reflected table whose checks and indexes say the new labels: they are built for the new column."""
        found = table.to_metadata(MetaData())
        for constraint in found.constraints:
            if isinstance(constraint, CheckConstraint):
                constraint.sqltext = plain_text(self._in_new_labels(str(constraint.sqltext), self.there))
        for index in found.indexes:
            where = index.dialect_kwargs.get("postgresql_where")
            if where is not None:
                index.dialect_kwargs["postgresql_where"] = plain_text(self._in_new_labels(str(where), self.there))
            said: list[Any] = [
                one if isinstance(one, Column) else plain_text(self._in_new_labels(str(one), self.there))
                for one in index.expressions
            ]
            index.expressions = said
        return found

    def _retyped(self, op: ops.MigrateOperation) -> ops.MigrateOperation:
        """Return an operation that builds something of the models for the enum as it is called meanwhile."""
        if isinstance(op, CheckOp):
            return CheckOp(op.part, self._in_new_labels(op.condition, {}))
        if isinstance(op, ops.CreateIndexOp):
            made = copy.copy(op)
            columns: list[Any] = [
                one if isinstance(one, (str, Column)) else plain_text(self._in_new_labels(str(one), {}))
                for one in op.columns
            ]
            made.columns = columns
            if op.kw.get("postgresql_where") is not None:
                made.kw = {
                    **op.kw,
                    "postgresql_where": plain_text(self._in_new_labels(str(op.kw["postgresql_where"]), {})),
                }
            return made
        return op
