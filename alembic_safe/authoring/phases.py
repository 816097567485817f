"""Which operations stand in which phase: what do the recipes make of everything that an autogenerate found?"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alembic.operations import ops

from alembic_safe.authoring.change_operations import DropTypeOp, PartCommentOp, SqlOp, is_known
from alembic_safe.authoring.contracts import contract_steps
from alembic_safe.authoring.fills import filled_from_what_goes, fills_behind
from alembic_safe.authoring.held_columns import require_nothing_holds
from alembic_safe.authoring.keeping import UNDO
from alembic_safe.authoring.ordinary_words import only_add, what_they_do
from alembic_safe.authoring.phase_words import contract_words
from alembic_safe.authoring.recipes.add_column import add_column
from alembic_safe.authoring.recipes.add_constraint import add_constraint
from alembic_safe.authoring.recipes.at_once import at_once
from alembic_safe.authoring.recipes.change_default import change_default
from alembic_safe.authoring.recipes.change_in_place import change_in_place
from alembic_safe.authoring.recipes.change_labels import change_labels
from alembic_safe.authoring.recipes.change_type import change_type
from alembic_safe.authoring.recipes.drop_column import drop_column
from alembic_safe.authoring.recipes.drop_constraint import drop_constraint
from alembic_safe.authoring.recipes.drop_enum import drop_enum
from alembic_safe.authoring.recipes.drop_table import drop_table
from alembic_safe.authoring.recipes.indexes import create_index, drop_index
from alembic_safe.authoring.recipes.move_column import move_column
from alembic_safe.authoring.recipes.naming import named_in
from alembic_safe.authoring.recipes.records import Step, Words
from alembic_safe.authoring.recipes.rename_column import rename_column
from alembic_safe.authoring.recipes.reshape import reshape
from alembic_safe.authoring.recipes.set_not_null import set_not_null
from alembic_safe.authoring.recipes.shared import require_one_way
from alembic_safe.authoring.recipes.standing_on import table_of
from alembic_safe.authoring.renamed_facts import after_renames
from alembic_safe.authoring.taken_names import require_free_names
from alembic_safe.inspecting.settles import Settle
from alembic_safe.operations.retire_column import RetireColumnOp
from alembic_safe.operations.retire_table import RetireTableOp
from alembic_safe.operations.sync_columns import SyncColumnsOp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from alembic_safe.authoring.recipes.records import Facts, Phased
    from alembic_safe.inspecting.catalog_records import ObjectId

    Recipe = Callable[[ops.MigrateOperation, Sequence[ops.MigrateOperation], Facts], Phased | None]

FIRST: tuple[Recipe, ...] = (change_labels, rename_column, reshape, move_column, drop_column, drop_table, change_type)
"""These take care of other operations as well: of what goes with a column, and of what else changes about it."""
RECIPES: tuple[Recipe, ...] = (
    at_once, add_column, set_not_null, change_default, add_constraint, drop_constraint, create_index, drop_index, drop_enum,
)  # fmt: skip
"""Asked in this order, each of every operation; the first that knows one has it."""
_LONGEST = 60
_WAITED_FOR, _OTHERS, _OF_FINAL_NAMES = "what others wait for", "all others", "what is true of a column's final name"
_ORDER = (
    _WAITED_FOR, "drop_column", _OTHERS, "rename_index", "rename_constraint", "retire_table", "swap_enum", _OF_FINAL_NAMES,
    "drop_type", "finish",
)  # fmt: skip
"""In which order a contract does what it does: verbs, and what those have in common that have no place as a verb."""


@dataclass(frozen=True)
class Plan:
    """Everything that one autogenerate found, in phases.

    :param titles: what it is, in a few words for each operation that was split.
    :param settles: what the contract does.
    :param only_adds: whether the ordinary operations make nothing that the application of today has to know of.
    """

    titles: tuple[str, ...]
    ordinary: tuple[ops.MigrateOperation, ...]
    expand: tuple[Step, ...]
    copy: tuple[Step, ...]
    contract: tuple[Step, ...]
    settles: tuple[Settle, ...]
    words: Words
    only_adds: bool = False

    @property
    def is_split(self) -> bool:
        """Whether there is more to it than ordinary operations."""
        return bool(self.expand or self.copy or self.contract)


def ordinary(operations: Sequence[ops.MigrateOperation]) -> Plan:
    """Return a plan in which nothing is split."""
    return Plan((), tuple(operations), (), (), (), (), Words())


def split(operations: Sequence[ops.MigrateOperation], facts: Facts) -> Plan:
    """Split operations into phases.

    :param operations: flattened, in an order that runs.
    """
    facts = after_renames(facts, operations)
    made = {facts.id_of(op.table_name, op.schema) for op in operations if isinstance(op, ops.CreateTableOp)}
    decompositions = {id(op): decomposed(op) for op in operations}
    every = [one for op in operations for one in decompositions[id(op)]]
    ends = _ends(every)
    others = [op for op in every if op not in ends and table_of(op, facts) not in made]
    # what is said of a table that comes is the table's own affair, but a recipe has to know that it comes
    said = [*(op for op in every if isinstance(op, ops.CreateTableOp)), *others]
    require_one_way(said, facts)
    taken: dict[int, Phased] = {}
    consumed: set[int] = set()
    _ask(FIRST, others, said, facts, taken, consumed)
    rest = [op for op in said if id(op) not in taken and id(op) not in consumed]
    _ask((change_in_place,), others, rest, facts, taken, consumed)
    renamed = [op for one in taken.values() for op in one.ordinary] + [op for op in others if id(op) not in taken]
    _ask(RECIPES, others, said, fills_behind(_with_syncs(facts, taken.values()), renamed), taken, consumed)
    first: list[ops.MigrateOperation] = []
    for op in operations:
        parts = [one for one in decompositions[id(op)] if id(one) not in consumed]
        kept = [one for one in parts if id(one) not in taken]
        # what nothing was taken from stays one operation
        first += [op] if len(kept) == len(decompositions[id(op)]) else kept
        first += [one for part in parts if id(part) in taken for one in taken[id(part)].ordinary]
    first = [op for op in first if op not in ends]
    found = [taken[id(op)] for op in _types_first(every, facts) if id(op) in taken]
    require_nothing_holds([line for one in found for line in one.settles], every, facts)
    return _plan(found, first, _waiting(first, every, taken), ends, facts)


def _types_first(every: Sequence[ops.MigrateOperation], facts: Facts) -> list[ops.MigrateOperation]:
    """Return the operations with NOT NULL behind another type of the same column, which has to have its name by then."""

    def column(op: ops.MigrateOperation) -> ObjectId | None:
        return facts.column(op.table_name, op.schema, op.column_name) if isinstance(op, ops.AlterColumnOp) else None

    typed = {column(op): n for n, op in enumerate(every) if getattr(op, "modify_type", None) is not None}

    def place(numbered: tuple[int, ops.MigrateOperation]) -> tuple[int, bool]:
        n, op = numbered
        waits = getattr(op, "modify_nullable", None) is not None and n < typed.get(column(op), n)
        return (typed[column(op)] if waits else n, waits)

    return [op for _, op in sorted(enumerate(every), key=place)]


def _waiting(
    first: Sequence[ops.MigrateOperation], every: Sequence[ops.MigrateOperation], taken: Mapping[int, Phased]
) -> list[SqlOp]:
    """Return the SQL that has to wait for a column which is being filled: it names one, and stands behind it.

    What stands before it names something else that is called like it: a type, a sequence, a function. The comment of a
    constraint waits for every phase: one that comes again in any of them would come without it.
    """
    is_split = any(one.expand or one.copy for one in taken.values())
    place = {id(op): n for n, op in enumerate(every)}
    came: dict[str, int] = {}
    for op, phased in ((op, taken[id(op)]) for op in every if id(op) in taken):
        for one in phased.ordinary:
            place.setdefault(id(one), place[id(op)])
        begins = min(place[id(one)] for one in (op, *phased.consumed) if id(one) in place)
        for id_ in phased.fresh:
            came[id_.name] = min(begins, came.get(id_.name, begins))
    return [
        op for op in first if isinstance(op, SqlOp) and (
            (is_split and isinstance(op, PartCommentOp))
            or any(place[id(op)] > n and named_in(op.sql, name) for name, n in came.items())
        )
    ]  # fmt: skip


def _ask(
    recipes: Sequence[Recipe],
    operations: Sequence[ops.MigrateOperation],
    every: Sequence[ops.MigrateOperation],
    facts: Facts,
    taken: dict[int, Phased],
    consumed: set[int],
) -> None:
    """Ask each recipe of every operation that none before it has, or takes care of."""
    for recipe in recipes:
        for op in operations:
            if id(op) in taken or id(op) in consumed:
                continue
            phased = recipe(op, every, facts)
            if phased is not None:
                taken[id(op)] = phased
                consumed |= {id(one) for one in phased.consumed}


def _with_syncs(facts: Facts, found: Iterable[Phased]) -> Facts:
    """Return what is known, with the columns that this very change is about to put into a sync."""
    syncs = [op for one in found for step in one.expand for op in step.operations if isinstance(op, SyncColumnsOp)]
    columns = {facts.column(op.table_name, op.schema, name) for op in syncs for name in (*op.old, *op.new)}
    return replace(facts, synced=facts.synced | columns)


def decomposed(op: ops.MigrateOperation) -> tuple[ops.MigrateOperation, ...]:
    """Return an operation's single changes: Alembic puts type, NOT NULL, default and comment of a column into one."""
    if type(op) is not ops.AlterColumnOp:
        return (op,)
    said = ("modify_type", "modify_nullable", "modify_server_default", "modify_comment")
    nothing = {"modify_type": None, "modify_nullable": None, "modify_server_default": False, "modify_comment": False}
    changed = [name for name in said if getattr(op, name) is not nothing[name]]
    if len(changed) < 2 or op.modify_name is not None:
        return (op,)
    found = []
    for name in changed:
        one = copy.copy(op)
        vars(one).pop(UNDO, None)
        for other in changed:
            if other != name:
                setattr(one, other, nothing[other])
        if "modify_type" in changed and name != "modify_type":
            one.existing_type = op.modify_type
        found.append(one)
    return tuple(found)


def _plan(
    found: Sequence[Phased], first: Sequence[ops.MigrateOperation], waiting: Sequence[SqlOp], ends: Sequence[SqlOp],
    facts: Facts,
) -> Plan:  # fmt: skip
    fresh = frozenset(id_ for one in found for id_ in one.fresh)
    first = [op for op in first if op not in waiting]
    behind = [one for one in found if not one.fresh and any(_is_about(step, fresh, facts) for step in one.expand)]
    early = sorted((one for one in found if one not in behind), key=lambda one: not one.is_first)
    expand = [step for one in early for step in one.expand]
    late = [step for one in behind for step in one.expand]
    lines = dict.fromkeys(line for one in found for line in one.settles)
    lines |= dict.fromkeys(_finish(op, facts) for op in ends)
    # what takes a name over, and a table as a whole, comes when everything else has gone
    settles = tuple(sorted(lines, key=_place(tuple(lines))))
    others = tuple(dict.fromkeys(f"{type(op).__module__}.{type(op).__name__}" for op in first if not is_known(op)))
    after = [Step(op.sql if len(op.sql) < _LONGEST else f"{op.sql[:_LONGEST]}...", (op,)) for op in waiting]
    copy_steps = (*(step for one in found for step in one.copy), *late, *after)
    require_free_names((*expand, *copy_steps), first, facts)
    words = replace(_words(found, settles, facts, others), done=what_they_do(first, facts))
    return Plan(
        tuple(one.title for one in found if one.expand or one.copy or one.settles), tuple(first), tuple(expand),
        copy_steps, contract_steps(settles, facts, first), settles, words, not words.ordinary and only_add(first, facts),
    )  # fmt: skip


def _place(lines: Sequence[Settle]) -> Callable[[Settle], int]:
    """Return where a line stands among the others.

    Foreign keys go before the keys that they refer to, a generated column before those that it is computed from, a new
    column is NOT NULL before it takes another one's name, and is filled before a column goes that its fill reads.
    """
    fresh = frozenset(line.facts.get("new", "") for line in lines)
    filled = filled_from_what_goes(lines)
    swapped = {(one.schema, one.table, one.name) for one in lines if one.verb == "swap_columns" and "enum" in one.facts}

    def sort(line: Settle) -> str:
        is_last = line.verb in _ORDER[_ORDER.index(_OTHERS) :]
        if not is_last and line.verb != "swap_columns" and (line.schema, line.table, line.name) in swapped:
            return _OF_FINAL_NAMES
        is_waited_for = (
            line in filled
            or (line.verb == "set_not_null" and line.name in fresh)
            or (line.verb == "drop_constraint" and line.facts.get("type") == "foreignkey")
        )
        return _WAITED_FOR if is_waited_for else line.verb if line.verb in _ORDER else _OTHERS

    return lambda line: _ORDER.index(sort(line))


def _ends(every: Sequence[ops.MigrateOperation]) -> list[SqlOp]:
    """Return the SQL that waits until the columns and tables that go are gone: a type, and what is made anew on it."""
    if not any(isinstance(op, (RetireColumnOp, RetireTableOp, ops.DropColumnOp)) for op in every):
        # a column that changes its type is of the old one until then
        changes = any(isinstance(op, ops.AlterColumnOp) and op.modify_type is not None for op in every)
        return [op for op in every if changes and isinstance(op, DropTypeOp)]
    begin = next((n for n, op in enumerate(every) if isinstance(op, SqlOp) and op.about is not None), len(every))
    return [op for op in every[begin:] if isinstance(op, SqlOp)]


def _finish(op: SqlOp, facts: Facts) -> Settle:
    """Return the line for SQL that waits, with what takes it back."""
    about = op.about or table_of(op, facts)
    noted = getattr(op, UNDO, None)
    back = [op.undo] if noted is None and op.undo else [one.sql for one in noted or () if isinstance(one, SqlOp)]
    rest = {"back": back, "sql": op.sql}
    return Settle(
        "finish", about.schema, about.name or "database", "", json.dumps(rest, sort_keys=True, ensure_ascii=False)
    )


def _is_about(step: Step, columns: frozenset[ObjectId], facts: Facts) -> bool:
    """Tell whether a step builds something on one of these columns."""
    for op in step.operations:
        table = table_of(op, facts)
        names = {
            str(getattr(one, "name", one)) for one in (*getattr(op, "columns", ()), *getattr(op, "local_cols", ()))
        }
        names.add(str(getattr(op, "column_name", "")))
        condition = str(getattr(op, "condition", ""))
        for id_ in columns:
            here = (id_.schema, id_.parent) == (table.schema, table.name)
            if here and (id_.name in names or named_in(condition, id_.name)):
                return True
    return False


def _words(found: Sequence[Phased], settles: Sequence[Settle], facts: Facts, others: Sequence[str]) -> Words:
    def every(phase: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(sentence for one in found for sentence in getattr(one.words, phase)))

    contract = contract_words(settles, facts.default_schema)
    untouched = tuple(f"{name} is another package's operation, and stands as that package wrote it." for name in others)
    return Words((*every("ordinary"), *untouched), every("expand"), every("copy"), contract)
