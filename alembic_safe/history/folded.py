"""What becomes of the operations of a range: which are folded, which revisions are carried, and what is written of it?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.operations import ops

from alembic_safe.errors import Findings, NextStep
from alembic_safe.history.carried import Carrier
from alembic_safe.history.constant_calls import why_not_constant
from alembic_safe.history.module_parts import CannotCarry
from alembic_safe.history.operation_text import OperationText
from alembic_safe.history.python_text import INDENT, string
from alembic_safe.history.reducer import Operation, Verbatim, reduce

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alembic.runtime.migration import MigrationContext
    from alembic.script import Script

    from alembic_safe.history.operation_touch import Ties
    from alembic_safe.history.recording import Invoked
    from alembic_safe.history.reducer import Item

LEVELS = 3
"""How much is tried: as few operations as possible, the same operations, every revision as it is written."""
GUARD = "_require_start"


@dataclass(frozen=True)
class Way:
    """One direction of a range, as it ran.

    :param function: ``upgrade`` or ``downgrade``.
    :param revisions: in the order in which they ran.
    """

    function: str
    revisions: tuple[Script, ...]
    invoked: Mapping[str, Invoked]


@dataclass(frozen=True)
class Folded:
    """What is written of a range.

    :param before: how many operations the files invoke on the way up; :param after: how many the squash has.
    :param carried: which revisions are carried as they are written, and why.
    :param elided: which were marked as no longer needed.
    :param level: how far it was reduced, as in :class:`How`.
    """

    before: int
    after: int
    carried: tuple[tuple[str, str], ...]
    elided: tuple[str, ...]
    upgrade: str = field(repr=False)
    downgrade: str = field(repr=False)
    imports: tuple[str, ...] = field(repr=False)
    parts: tuple[str, ...] = field(repr=False)
    level: int = 0


@dataclass(frozen=True)
class How:
    """How the operations of a range are folded.

    :param level: 0: as few operations as possible; 1: the same operations; 2: every revision as it is written.
    :param keep: revisions that are carried as they are written in any case, and why.
    :param elides: whether what marked revisions do beside operations is left out.
    """

    level: int = 0
    keep: Mapping[str, str] = field(default_factory=dict)
    elides: bool = True


def is_elidable(script: Script) -> bool:
    """Whether a revision says that what it does beside operations is no longer needed: ``elidable = True``."""
    return getattr(script.module, "elidable", False) is True


def fold(context: MigrationContext, ways: Sequence[Way], ties: Ties, how: How, guard: str) -> Folded:
    """Make one revision of a range.

    :param ways: up, and down where that is possible.
    :param guard: the function that looks whether a database is at the start; empty: none does.
    :raises Findings: when a revision can neither be folded nor carried.
    """
    text = OperationText(context)
    bodies: dict[str, list[Item]] = {}
    why: dict[str, str] = {}
    for way in ways:
        items, reasons = _items(way, text, how)
        bodies[way.function] = reduce(items, ties, text.same_as_written) if how.level == 0 else items
        if way.function == "upgrade":
            why = reasons
    carried = _Carried(ways)
    written = {name: carried.body(items, text, name) for name, items in bodies.items()}
    operations = [one.op for items in bodies.values() for one in items if isinstance(one, Operation)]
    up = ways[0]
    return Folded(
        sum(invoked.number for invoked in up.invoked.values()),
        sum(isinstance(one, Operation) for one in bodies["upgrade"])
        + sum(up.invoked[one.revision].number for one in bodies["upgrade"] if isinstance(one, Verbatim)),
        tuple(why.items()),
        tuple(one.revision for one in up.revisions if _is_elided(one, how)),
        "\n\n".join(part for part in (f"{GUARD}()" if guard else "", written["upgrade"]) if part),
        written.get("downgrade", ""),
        tuple(dict.fromkeys([*text.imports(operations), *carried.imports])),
        (*([guard] if guard else []), *carried.parts),
        how.level,
    )


def _items(way: Way, text: OperationText, how: How) -> tuple[list[Item], dict[str, str]]:
    items: list[Item] = []
    reasons: dict[str, str] = {}
    for one in way.revisions:
        invoked = way.invoked[one.revision]
        operations = invoked.operations
        if one.revision in how.keep:
            why = how.keep[one.revision]
        elif _is_elided(one, how):
            operations = tuple(op for op in operations if not isinstance(op, ops.ExecuteSQLOp))
            why = text.why_not_written(operations)
        elif how.level == LEVELS - 1:
            why = "folded, it did not do the same"
        else:
            why = (
                invoked.unknown
                or why_not_constant(one.module, way.function)
                or text.why_not_same(operations, invoked.sql)
            )
        if not why:
            items += [Operation(op, (one.revision,)) for op in operations]
        elif invoked.number or one.revision in how.keep or not _does_nothing(one, way.function):
            items.append(Verbatim(one.revision))
            reasons[one.revision] = why
    return items, reasons


def _is_elided(script: Script, how: How) -> bool:
    return how.elides and is_elidable(script) and script.revision not in how.keep


def _does_nothing(script: Script, function: str) -> bool:
    return getattr(script.module, function, None) is None or not why_not_constant(script.module, function)


class _Carried:
    """The functions of the revisions that are carried, and what they use."""

    def __init__(self, ways: Iterable[Way]) -> None:
        self.scripts = {one.revision: one for way in ways for one in way.revisions}
        self.carrier = Carrier()
        self.imports: list[str] = []
        self.parts: list[str] = []

    def body(self, items: Sequence[Item], text: OperationText, function: str) -> str:
        blocks: list[list[str]] = []
        said: tuple[str, ...] = ()
        for item in items:
            if isinstance(item, Verbatim):
                blocks.append([self.comment([item.revision]), f"{self.carried(item.revision, function)}()"])
                said = ()
                continue
            if item.revisions != said:
                blocks.append([self.comment(item.revisions)])
                said = item.revisions
            blocks[-1].append(text.text(item.op))
        return "\n\n".join("\n".join(block) for block in blocks)

    def comment(self, revisions: Sequence[str]) -> str:
        return "\n".join(f"# {one}: {_said(self.scripts[one])}" for one in revisions)

    def carried(self, revision: str, function: str) -> str:
        """Carry a revision, and return what its function is called."""
        script = self.scripts[revision]
        try:
            source = Path(script.path).read_text(encoding="utf-8")
            found = self.carrier.carry(
                revision, source, [function], f"{_said(script)} ({revision}, as it was written)."
            )
        except (CannotCarry, UnicodeDecodeError) as error:
            raise Findings(
                f"{Path(script.path).name} can neither be folded nor carried into another file: {error}.",
                next_steps=[
                    NextStep("end the range before it, and begin another behind it", "alembic history"),
                    NextStep(f"or put what it uses into {Path(script.path).name} itself, under a name of its own"),
                ],
            ) from error
        self.imports += [line for line in found.imports if line not in self.imports]
        self.parts += found.parts
        return found.functions[function]


def _said(script: Script) -> str:
    return " ".join((script.doc or "no message").split())


def guard_of(start: str, absent: Sequence[Sequence[str | None]], present: Sequence[Sequence[str | None]]) -> str:
    """Return the function that stops on a database that is not at the start of the range; empty: nothing tells that.

    :param absent: schema, table and column of what the range makes; no schema: that of ``search_path``; no column: the table.
    :param present: of what it takes away.
    """
    rows = [(one, "false") for one in absent] + [(one, "true") for one in present]
    if not rows:
        return ""
    values = ",\n".join("(" + ", ".join([*map(_value, one), there]) + ")" for one, there in rows)
    asked = _NOT_THERE.format(values=values)
    quotes = '"""' if '"""' not in asked and not asked.endswith('"') else "'''"
    plain = start.replace("\\", "").replace('"', "")
    message = string(f"This revision goes on from {start}, and this database is not there: ")
    return (
        f"def {GUARD}() -> None:\n"
        f'{INDENT}"""Stop on a database that is not at {plain}: what is made may not be there yet, what goes has to be."""\n'
        f"{INDENT}if op.get_context().as_sql:\n{INDENT * 2}return\n"
        f"{INDENT}wrong = op.get_bind().scalar(\n{INDENT * 2}sa.text(\n{INDENT * 3}r{quotes}{asked}{quotes}\n{INDENT * 2})\n"
        f"{INDENT})\n"
        f"{INDENT}if wrong is not None:\n{INDENT * 2}raise RuntimeError({message} + wrong)"
    )


_NOT_THERE = """
SELECT min(concat_ws('.', v.s, v.t, v.c) || CASE WHEN v.there THEN ' is missing' ELSE ' is there already' END)
FROM (VALUES
{values}
) v (s, t, c, there)
WHERE v.there <> EXISTS (
  SELECT FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
  WHERE r.relname = v.t AND r.relkind IN ('r', 'p', 'f')
  AND (n.nspname = v.s OR v.s IS NULL AND pg_table_is_visible(r.oid))
  AND (v.c IS NULL OR EXISTS (
    SELECT FROM pg_attribute a WHERE a.attrelid = r.oid AND a.attname = v.c AND a.attnum > 0 AND NOT a.attisdropped)))"""


def _value(value: Any) -> str:
    from alembic_safe.inspecting.difference_sql_names import literal
    from alembic_safe.operations.statement_text import for_text

    return "NULL::text" if value is None else for_text(literal(str(value))) + "::text"
