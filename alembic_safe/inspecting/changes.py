"""Which changes do the revision files hold, and which of them are still open?"""

# A change is what one autogenerate was split into: expand, copy and contract. Everything here is read from files: the
# chain through Alembic's ScriptDirectory, parked contracts as text, which is never run.
from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic_safe.database.revision_files import shown
from alembic_safe.errors import Findings, NextStep
from alembic_safe.inspecting.settles import Settle, parse_settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alembic.script import Script, ScriptDirectory

PHASES = ("expand", "copy", "contract")

FOLDER = "contracts"
"""Where parked contracts are, below ``script_location``."""


@dataclass(frozen=True)
class Change:
    """The revisions that one autogenerate was split into.

    :param message: the expand's message.
    :param expand: the expand's id; ``copy`` and ``contract`` likewise, ``None`` where the chain has none.
    :param settles: what its contract does; empty for a change that needs none.
    :param parked: the file of its parked contract, if there is one.
    :param joins: the open change whose contract this one takes over: one contract settles both.
    :param joined: the change that took over this one's contract, where that is in the chain.
    :param abandoned: the revision that gave the change up: what its contract was to take away stays.
    """

    id: str
    message: str
    expand: str
    copy: str | None = None
    contract: str | None = None
    settles: tuple[Settle, ...] = ()
    parked: Path | None = None
    joins: str | None = None
    joined: str | None = None
    abandoned: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether its contract is still to come into the chain."""
        return (self.contract, self.joined, self.abandoned) == (None, None, None) and bool(self.settles)

    @property
    def revisions(self) -> tuple[str, ...]:
        """Its revisions that are in the chain, in their order."""
        return tuple(revision for revision in (self.expand, self.copy, self.contract) if revision is not None)


@dataclass(frozen=True)
class Parked:
    """What the text of a parked contract says of itself.

    :param down: its ``down_revision`` as it was parked; whoever appends it writes the real one.
    """

    path: Path
    change: str
    revision: str
    message: str
    down: tuple[str, ...] = ()


@dataclass
class _Found:
    """The revisions of one change, while they are collected."""

    phases: dict[str, Script] = field(default_factory=dict)


def phase_of(script: Script) -> str | None:
    """Return the phase that a revision file says it is: ``expand``, ``copy``, ``contract``; ``None``: an ordinary one.

    :raises Findings: for any other word.
    """
    phase = getattr(script.module, "phase", None)
    if phase is None or phase in PHASES:
        return phase
    raise Findings(
        f"{shown(script.path)} says phase = {phase!r}; a phase is {', '.join(PHASES[:-1])} or {PHASES[-1]}.",
        next_steps=[NextStep("correct the word, or take the line out: a revision without a phase is an ordinary one")],
    )


def change_of(script: Script) -> str | None:
    """Return the id of the change that a revision is a part of, if it has a phase.

    :raises Findings: where a file says only one of ``phase`` and ``change``.
    """
    phase, change = phase_of(script), getattr(script.module, "change", None)
    if phase is None:
        return None
    if not isinstance(change, str) or not change.strip():
        raise Findings(
            f'{shown(script.path)} says phase = {phase!r} and not of which change: its line change = "..." is missing.',
            next_steps=[NextStep("write the same change into all of its revisions"), *_ordinary()],
        )
    return change


def changes(script: ScriptDirectory) -> tuple[Change, ...]:
    """Return every change of the revision files, in the order of their expands.

    :raises Findings: where files contradict each other; the message names them.
    """
    found: dict[str, _Found] = {}
    abandoned: dict[str, str] = {}
    for revision in _in_chain_order(script):
        id_ = change_of(revision)
        if id_ is not None:
            _add(found.setdefault(id_, _Found()), id_, revision)
        given_up = getattr(revision.module, "abandons", None)
        if given_up is not None:
            abandoned[given_up] = revision.revision
    parked = _parked_by_change(script)
    ordered = tuple(_change(script, id_, one, parked.pop(id_, None)) for id_, one in found.items())
    _require_expands(parked.values())
    return tuple(replace(one, abandoned=abandoned.get(one.id)) for one in _with_joined(ordered))


def open_changes(script: ScriptDirectory) -> tuple[Change, ...]:
    """Return the changes whose contract is not in the chain yet, in the order of their expands."""
    return tuple(change for change in changes(script) if change.is_open)


def contracts_folder(script: ScriptDirectory) -> Path:
    """Return where the project's parked contracts are; it need not exist."""
    return Path(script.dir) / FOLDER


def parked_contracts(script: ScriptDirectory) -> tuple[Parked, ...]:
    """Return the parked contracts, by file name; their text is read and not run.

    :raises Findings: for a file there that is no parked contract.
    """
    folder = contracts_folder(script)
    if not folder.is_dir():
        return ()
    return tuple(read_parked(path) for path in sorted(folder.glob("*.py")) if path.name != "__init__.py")


def read_parked(path: Path) -> Parked:
    """Read what one parked contract says of itself.

    :raises Findings: for a file that is none.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise _no_contract(path, f"it cannot be read: {error}") from error
    said = assignments(tree)
    revision, change, phase = (said.get(name) for name in ("revision", "change", "phase"))
    if phase != "contract":
        raise _no_contract(path, 'it does not say phase = "contract"')
    for name, value in (("revision", revision), ("change", change)):
        if not isinstance(value, str) or not value:
            raise _no_contract(path, f"it does not say its {name}")
    down = said.get("down_revision")
    message = (ast.get_docstring(tree) or "").split("\n\n")[0].strip()
    return Parked(path, str(change), str(revision), message, (down,) if isinstance(down, str) else tuple(down or ()))


def assignments(tree: ast.Module) -> dict[str, Any]:
    """Return the constants that a file assigns at its outermost level, by name; nothing is run."""
    found: dict[str, Any] = {}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if (
                isinstance(target, ast.Name)
                and isinstance(node, (ast.Assign, ast.AnnAssign))
                and node.value is not None
            ):
                try:
                    found[target.id] = ast.literal_eval(node.value)
                except ValueError:
                    continue
    return found


def _in_chain_order(script: ScriptDirectory) -> Iterable[Script]:
    return reversed(list(script.walk_revisions()))


def _add(found: _Found, id_: str, revision: Script) -> None:
    phase = phase_of(revision)
    assert phase is not None  # noqa: S101 - whoever calls has asked for the change already
    first = found.phases.get(phase)
    if first is not None:
        raise Findings(
            f"Two revisions say that they are the {phase} of the change {id_!r}: {shown(first.path)} and"
            f" {shown(revision.path)}.",
            next_steps=[NextStep("give the revisions of the later change a change of their own")],
        )
    found.phases[phase] = revision


def _change(script: ScriptDirectory, id_: str, found: _Found, parked: Parked | None) -> Change:
    phases = found.phases
    expand = phases.get("expand")
    if expand is None:
        phase, alone = next(iter(phases.items()))
        raise Findings(
            f"{shown(alone.path)} is the {phase} of the change {id_!r}, and no revision is its expand.",
            next_steps=[NextStep("bring the expand's file here from the branch that has it"), *_ordinary()],
        )
    for phase, before in (("copy", ("expand",)), ("contract", ("expand", "copy"))):
        for earlier in before:
            if phase in phases and earlier in phases and not _is_behind(script, phases[phase], phases[earlier]):
                raise Findings(
                    f"{shown(phases[phase].path)}, the {phase} of the change {id_!r}, does not stand behind its {earlier},"
                    f" {shown(phases[earlier].path)}.",
                    next_steps=[NextStep("correct the down_revision of one of them, then look", "alembic history")],
                )
    contract = phases.get("contract")
    return Change(
        id_, expand.doc, expand.revision, _id(phases.get("copy")), _id(contract), _settles(expand),
        parked.path if parked is not None else None, getattr(expand.module, "joins", None),
    )  # fmt: skip


def _with_joined(ordered: tuple[Change, ...]) -> tuple[Change, ...]:
    """Say of every change whose contract was taken over by a later one that is in the chain."""
    known = {change.id for change in ordered}
    closed: dict[str, str] = {}
    for change in reversed(ordered):
        if change.joins is not None and change.joins not in known:
            raise Findings(
                f"The change {change.id!r} (expand {change.expand}) joins {change.joins!r}, which no revision here is of.",
                next_steps=[NextStep("bring that change's revisions here from the branch that has them")],
            )
        if change.joins is not None and (change.contract is not None or change.id in closed):
            closed[change.joins] = change.id
    return tuple(replace(change, joined=closed.get(change.id)) for change in ordered)


def _id(revision: Script | None) -> str | None:
    return revision.revision if revision is not None else None


def _is_behind(script: ScriptDirectory, later: Script, earlier: Script) -> bool:
    return any(revision.revision == earlier.revision for revision in script.iterate_revisions(later.revision, "base"))


def _settles(expand: Script) -> tuple[Settle, ...]:
    said = getattr(expand.module, "settles", None)
    where = shown(expand.path)
    if said is None:
        raise Findings(
            f"{where} is an expand and does not say what its contract will do: its line settles = (...) is missing.",
            next_steps=[
                NextStep("say it", 'settles = ("retire_column public.users.fullname",)'),
                NextStep("or that no contract is needed", "settles = ()"),
            ],
        )
    if isinstance(said, str) or not all(isinstance(line, str) for line in said):
        raise Findings(
            f"{where}: settles is a tuple of lines, and it says {said!r}.",
            next_steps=[NextStep("write it like this", 'settles = ("retire_column public.users.fullname",)')],
        )
    return tuple(parse_settle(line, where=where) for line in said)


def _parked_by_change(script: ScriptDirectory) -> dict[str, Parked]:
    found: dict[str, Parked] = {}
    for parked in parked_contracts(script):
        if parked.change in found:
            raise Findings(
                f"Two parked contracts are of the change {parked.change!r}: {shown(found[parked.change].path)} and"
                f" {shown(parked.path)}.",
                next_steps=[NextStep("keep the one that does what the expand's settles says")],
            )
        found[parked.change] = parked
    return found


def _require_expands(left: Iterable[Parked]) -> None:
    lone: Sequence[Parked] = list(left)
    if lone:
        raise Findings(
            f"{shown(lone[0].path)} is a parked contract of the change {lone[0].change!r}, and no revision is its expand.",
            detail=[f"Also: {shown(parked.path)} ({parked.change})." for parked in lone[1:]],
            next_steps=[
                NextStep(
                    "bring the expand's file here from the branch that has it, or take the parked file away with it"
                )
            ],
        )


def _no_contract(path: Path, why: str) -> Findings:
    return Findings(
        f"{shown(path)} stands among the parked contracts, and is none: {why}.",
        next_steps=[NextStep("mend it, or take it out of the folder")],
    )


def _ordinary() -> list[NextStep]:
    return [NextStep("or take the line phase = ... out: a revision without a phase is an ordinary one")]
