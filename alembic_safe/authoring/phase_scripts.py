"""How do phases become the directives of one autogenerate: a revision for each, and a contract to be parked?"""

# The first directive stays Alembic's own object and is never empty where there is anything at all: the well-known hook
# that throws empty migrations away looks at it. `alembic check` looks at the last one: it prints what differs, not the
# operations of the last phase.
from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from alembic import util
from alembic.operations import ops

from alembic_safe.authoring.keeping import reverses
from alembic_safe.authoring.phase_words import body_of, identifiers, message_of, slug_of
from alembic_safe.authoring.recipes.records import Words
from alembic_safe.authoring.steps import StepOp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from alembic_safe.authoring.phases import Plan
    from alembic_safe.authoring.recipes.records import Step
    from alembic_safe.inspecting.settles import Settle


@dataclass(frozen=True)
class PlannedRun:
    """What one of the contexts of ``env.py`` needs.

    :param naive: the operations before they were split.
    """

    plan: Plan
    naive: tuple[ops.MigrateOperation, ...]
    upgrade_token: str
    downgrade_token: str


@dataclass
class Arranged:
    """What hangs on the first directive, so that a further context of the same ``env.py`` finds it.

    :param message: as the person gave it.
    :param imports: lines that somebody else wanted in the file.
    """

    message: str | None
    imports: frozenset[str] = frozenset()
    runs: list[PlannedRun] = field(default_factory=list)
    contract: ops.MigrationScript | None = None
    change: str = ""


KEY = "_alembic_safe"
"""The attribute of a directive of ours: of the first an ``Arranged``, of the others the first one."""
BODY = "_alembic_safe_body"
"""The attribute of a directive under which its docstring stands, behind the message."""


class DifferingOps(ops.UpgradeOps):
    """The operations of a directive that is a part of something, and therefore never an empty revision.

    Those of the last one, asked what differs, say it of the whole.
    """

    differing: Sequence[ops.MigrateOperation] = ()

    def is_empty(self) -> bool:
        """Return that there is a reason for this revision, also where it does nothing yet."""
        return False

    def as_diffs(self) -> Any:
        """Return what ``alembic check`` prints."""
        return list(ops.OpContainer._ops_as_diffs(ops.UpgradeOps(list(self.differing))))  # noqa: SLF001


def arrange(
    first: ops.MigrationScript, arranged: Arranged, taken: Collection[str], *, in_chain: bool = False
) -> list[ops.MigrationScript]:
    """Return the directives in their order; the contract hangs on the first, to be parked.

    :param taken: names that other changes have.
    :param in_chain: whether the contract is one of the directives instead.
    """
    runs = arranged.runs
    settles = tuple(dict.fromkeys(line for run in runs for line in run.plan.settles))
    titles = tuple(dict.fromkeys(title for run in runs for title in run.plan.titles))
    message = arranged.message or _joined(titles)
    arranged.change = arranged.change or slug_of(message, taken)
    has_copy = any(run.plan.copy for run in runs)
    only_adds = all(run.plan.only_adds for run in runs if run.plan.ordinary)
    is_alone = {"": only_adds, "expand": not has_copy and not settles}
    phases = [
        phase for phase, is_there in (
            ("", any(run.plan.ordinary for run in runs)), ("expand", True), ("copy", has_copy),
        ) if is_there
    ]  # fmt: skip
    scripts: list[ops.MigrationScript] = []
    first.imports = set(arranged.imports)  # a context of env.py before this one may have made it another phase
    for phase in phases:
        script = first if not scripts else _behind(scripts[-1], first)
        _fill(script, phase, runs)
        _name(script, phase, message, arranged.change, settles, _words(runs), is_alone=is_alone.get(phase, False))
        scripts.append(script)
    arranged.contract = None
    if settles:
        contract = _behind(scripts[-1], first)
        _fill(contract, "contract", runs)
        _name(contract, "contract", message, arranged.change, settles, _words(runs), is_alone=False)
        if in_chain:
            scripts.append(contract)
        else:
            arranged.contract = contract
    for script in scripts:
        _tell_what_differs(script, runs if script is scripts[-1] else ())
    setattr(first, KEY, arranged)
    return scripts


def contract_script(message: str, change: str, settles: Sequence[Settle], run: PlannedRun, head: str) -> Any:
    """Return the directive of a contract that is written by itself.

    :param message: the change's, without the word for its phase.
    :param head: the change's last revision in the chain.
    """
    script = ops.MigrationScript(
        rev_id=util.rev_id(), upgrade_ops=ops.UpgradeOps([]), downgrade_ops=ops.DowngradeOps([]), message=None,
        imports=set(), head=head, splice=True,
    )  # fmt: skip
    _fill(script, "contract", [run])
    _name(script, "contract", message, change, settles, run.plan.words, is_alone=False)
    return script


def is_split(directive: ops.MigrationScript) -> bool:
    """Tell whether a directive is a file of a change."""
    arranged = getattr(directive, KEY, None)
    return isinstance(arranged, ops.MigrationScript) or (isinstance(arranged, Arranged) and bool(arranged.change))


def say_more(directive: ops.MigrationScript, arranged: Arranged) -> None:
    """Let the docstring of an ordinary revision say what a reviewer must know of it, if there is anything."""
    body = body_of("", replace(_words(arranged.runs), done=()), is_alone=False, is_empty=False)
    if body:
        setattr(directive, BODY, body)


def _behind(previous: ops.MigrationScript, first: ops.MigrationScript) -> ops.MigrationScript:
    made = ops.MigrationScript(
        rev_id=util.rev_id(), upgrade_ops=ops.UpgradeOps([]), downgrade_ops=ops.DowngradeOps([]), message=None,
        imports=set(), head=previous.rev_id, version_path=first.version_path,
    )  # fmt: skip
    setattr(made, KEY, first)
    return made


def _fill(script: ops.MigrationScript, phase: str, runs: Sequence[PlannedRun]) -> None:
    upgrades: list[ops.UpgradeOps] = []
    downgrades: list[ops.DowngradeOps] = []
    for run in runs:
        if phase:
            steps: tuple[Step, ...] = getattr(run.plan, phase)
            up, down = upgrade_of(steps), downgrade_of(steps)
        else:
            up = list(run.plan.ordinary)
            down = reverses(run.plan.ordinary)
        upgrades.append(ops.UpgradeOps(up, upgrade_token=run.upgrade_token))
        downgrades.append(ops.DowngradeOps(down, downgrade_token=run.downgrade_token))
    script._upgrade_ops, script._downgrade_ops = upgrades, downgrades  # noqa: SLF001 - as RevisionContext itself does
    script._needs_render = True  # noqa: SLF001


def upgrade_of(steps: Sequence[Step]) -> list[ops.MigrateOperation]:
    """Return what ``upgrade()`` of a phase holds; a single step needs no name."""
    if len(steps) == 1:
        return list(steps[0].operations)
    return [StepOp(step.name, step.operations) for step in steps]


def downgrade_of(steps: Sequence[Step]) -> list[ops.MigrateOperation]:
    """Return what ``downgrade()`` of a phase holds, in its order."""
    undone = [(step.name, _undo(step)) for step in reversed(steps)]
    undone = [(name, operations) for name, operations in undone if operations]
    if len(undone) == 1:
        return undone[0][1]
    return [StepOp(f"undo: {name}", operations) for name, operations in undone]


def _undo(step: Step) -> list[ops.MigrateOperation]:
    return reverses(step.operations) if step.undo is None else list(step.undo)


def _name(
    script: ops.MigrationScript, phase: str, message: str, change: str, settles: Iterable[Settle], words: Words, *,
    is_alone: bool,
) -> None:  # fmt: skip
    is_empty = all(upgrade.is_empty() for upgrade in script.upgrade_ops_list)
    first_line = message_of(phase, message, is_alone=is_alone)
    body = body_of(phase, words, is_alone=is_alone, is_empty=is_empty)
    script.message = first_line
    setattr(script, BODY, body)
    if phase:
        # not added to: Alembic's default for it is one set, shared by every script of the process
        script.imports = {*script.imports, identifiers(phase, change, settles)}


def _tell_what_differs(script: ops.MigrationScript, runs: Sequence[PlannedRun]) -> None:
    told: list[ops.UpgradeOps] = []
    for n, upgrade in enumerate(script.upgrade_ops_list):
        differing = DifferingOps(upgrade.ops, upgrade_token=upgrade.upgrade_token)
        differing.differing = runs[n].naive if runs else ()
        told.append(differing)
    script._upgrade_ops = told  # noqa: SLF001


def _words(runs: Sequence[PlannedRun]) -> Words:
    def every(phase: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word for run in runs for word in getattr(run.plan.words, phase)))

    return Words(every("ordinary"), every("expand"), every("copy"), every("contract"), every("done"))


def _joined(titles: Sequence[str]) -> str:
    return titles[0] if len(titles) == 1 else f"{titles[0]}, and {len(titles) - 1} more" if titles else "changes"
