"""May a contract run: is every server certainly past the code that needs what it takes away?"""

# Pure: records in, a decision out. deploying/gate_evidence.py reads the records.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alembic_safe.deploying.plan import PlannedRevision
    from alembic_safe.inspecting.changes import Change


@dataclass(frozen=True)
class Release:
    """What a deployment carries.

    :param name: as somebody declared it, or the pipeline's commit.
    :param files_hash: of the heads in its files.
    """

    name: str | None
    files_hash: str | None

    def differs_from(self, other: Release) -> bool:
        """Whether the two are certainly not one release: by their names, or by their files where one has no name."""
        if self.name is not None and other.name is not None:
            return self.name != other.name
        return None not in (self.files_hash, other.files_hash) and self.files_hash != other.files_hash

    @property
    def shown(self) -> str:
        """How a message calls it."""
        return f"release {self.name}" if self.name is not None else "a release that nobody named"


@dataclass(frozen=True)
class Expanded:
    """What the journal knows of an applied expand.

    :param age: seconds since it was applied, or since the journal first saw it applied.
    """

    release: Release
    age: float


@dataclass(frozen=True)
class Terms:
    """Under which terms contracts run here and now.

    :param protected: whether the gate stands at all: on protected and undeclared databases.
    :param min_age: seconds for which the old code may still be running after an expand: ``contract_min_age``.
    :param this: the release that is being deployed.
    :param met_empty: whether the database had no applied revision when this release first met it.
    :param allowed: changes whose contract a person let through by name.
    :param downtime: whether a person says that no application is running.
    """

    protected: bool
    min_age: float
    this: Release
    met_empty: bool = False
    allowed: frozenset[str] = frozenset()
    downtime: bool = False


@dataclass(frozen=True)
class Held:
    """A contract that the gate holds back.

    :param why: as the end of a sentence: "its expand was applied by this same release".
    :param seconds: after how many seconds time alone would be no reason any more; ``None``: not known yet.
    :param next_release: whether another release is needed as well.
    :param other_heads: whether that one is told by the heads in its files only, as nobody named the one that expanded.
    :param by_name: whether no release can be told from the one that expanded, so that a person has to name the change.
    """

    revision: str
    change: str
    why: str
    seconds: float | None
    next_release: bool
    other_heads: bool = False
    by_name: bool = False


@dataclass(frozen=True)
class Gated:
    """What the gate lets through.

    :param waiting: the contracts that it holds back.
    :param behind: other revisions that cannot run without one of these.
    :param unseen: applied expands that the journal does not know, to be noted down now.
    """

    waiting: tuple[Held, ...] = ()
    behind: tuple[PlannedRevision, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def held(self) -> frozenset[str]:
        """The revisions that do not run."""
        return frozenset([*(one.revision for one in self.waiting), *(one.revision for one in self.behind)])


def judge(change: Change, expanded: Expanded | None, terms: Terms) -> Held | None:
    """Say whether the contract of a change may run: ``None``, or what it waits for.

    :param expanded: ``None``: the expand is not applied yet, or the journal has never seen it.
    """
    if not terms.protected or terms.downtime or terms.met_empty or change.id in terms.allowed:
        return None
    assert change.contract is not None  # noqa: S101 - it is pending, so the chain has it
    if expanded is None:
        why = f"its expand {change.expand} was not applied before this deployment, as far as the journal knows"
        unnamed = terms.this.name is None
        return Held(change.contract, change.id, why, terms.min_age, next_release=True, other_heads=unnamed)
    left = terms.min_age - expanded.age
    same = not terms.this.differs_from(expanded.release)
    if same:
        why = f"its expand {change.expand} was applied by this same release"
        if (terms.this.name is None) != (expanded.release.name is None):
            why = f"its expand {change.expand} was applied by {expanded.release.shown}, and this is {terms.this.shown}"
        unnamed, unknown = expanded.release.name is None, expanded.release.files_hash is None
        if unnamed and unknown:
            return Held(change.contract, change.id, why, None, next_release=False, by_name=True)
        return Held(change.contract, change.id, why, max(0.0, left), next_release=True, other_heads=unnamed)
    if left > 0:
        why = f"its expand {change.expand} was applied too short a while ago, by {expanded.release.shown}"
        return Held(change.contract, change.id, why, left, next_release=False)
    return None


def gate(
    planned: Sequence[PlannedRevision], changes: Iterable[Change], expanded: Mapping[str, Expanded],
    terms: Terms, unseen: Iterable[str] = (),
) -> Gated:  # fmt: skip
    """Go through pending revisions and tell those that run from those that wait.

    :param planned: in the order in which they would run.
    :param expanded: what is known of applied expands, by revision.
    :param unseen: the applied expands that the journal does not know.
    """
    by_contract = {change.contract: change for change in changes if change.contract is not None}
    waiting: list[Held] = []
    behind: list[PlannedRevision] = []
    held: set[str] = set()
    for revision in planned:
        if held.intersection(revision.parents):
            held.add(revision.revision)
            behind.append(revision)
            continue
        change = by_contract.get(revision.revision)
        found = judge(change, expanded.get(change.expand), terms) if change is not None else None
        if found is not None:
            held.add(found.revision)
            waiting.append(found)
    return Gated(tuple(waiting), tuple(behind), tuple(unseen))
