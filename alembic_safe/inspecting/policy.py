"""What does a project make of a hazard: refuse, ask, warn, or let it pass?"""

# One setting, `policy`, read into one record: "drop-index=warn, loses=refuse, ci:danger=warn, large=5GB, since=3f2a".
from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from alembic_safe.errors import NextStep, WrongUsage
from alembic_safe.inspecting.hazard import FAMILIES, SEVERITIES
from alembic_safe.inspecting.hazards import BY_ID
from alembic_safe.inspecting.live import LARGE, SMALL
from alembic_safe.settings import size

if TYPE_CHECKING:
    from alembic_safe.inspecting.hazard import Found

Level = Literal["refuse", "ask", "warn", "allow"]
LEVELS: tuple[Level, ...] = ("refuse", "ask", "warn", "allow")
"""What happens, the strictest first. ``refuse``: only with consent by name. ``ask``: a person at a terminal may also answer
yes. ``warn``: it is told. ``allow``: it is told as a fact."""

_PROTECTED: tuple[tuple[str, Level], ...] = (
    ("danger", "refuse"),
    ("warning", "warn"),
    ("info", "allow"),
    ("advice", "allow"),
)
_OPEN: tuple[tuple[str, Level], ...] = (
    ("danger", "warn"), ("warning", "warn"), ("info", "allow"), ("advice", "allow"), ("fails/danger", "refuse"),
    ("loses/danger", "ask"),
)  # fmt: skip
"""On a database that is not protected: what would fail anyway stops before it begins, what loses rows is asked for."""


@dataclass(frozen=True)
class Rule:
    """One part of the setting.

    :param environment: where it holds; empty: everywhere.
    :param what: a hazard's id, a severity, a family, or ``family/severity``.
    """

    environment: str
    what: str
    level: Level


@dataclass(frozen=True)
class Policy:
    """What the setting says, over what holds without it.

    :param since: revisions up to this one are history that nobody judges.
    :param advice: whether matters of style are told.
    :param downgrades: whether ``downgrade()`` is tried and judged, too.
    """

    rules: tuple[Rule, ...] = ()
    small: int = SMALL
    large: int = LARGE
    since: str = ""
    advice: bool = False
    rehearsed: bool = False
    downgrades: bool = False

    def level(self, found: Found, *, environment: str, protected: bool) -> Level:
        """Return what happens on a hazard; the last rule that fits decides."""
        family, severity = found.hazard.family, found.severity
        fits = {severity, family, f"{family}/{severity}", found.hazard.id, found.id}
        level: Level = "warn"
        for what, given in _PROTECTED if protected else _OPEN:
            level = given if what in fits else level
        for rule in self.rules:
            if rule.environment in {"", environment} and rule.what in fits:
                level = rule.level
        return level

    @property
    def digest(self) -> str:
        """A short text that is another one when the policy is."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


def read_policy(text: str) -> Policy:
    """Read the setting.

    :raises WrongUsage: naming the part that is none, and the nearest that is one.
    """
    rules: list[Rule] = []
    given: dict[str, object] = {}
    for part in (one.strip() for one in text.replace("\n", ",").split(",")):
        if not part:
            continue
        what, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            if what not in {"advice", "rehearsed", "downgrades"}:
                raise _wrong(part, "it is neither WHAT=LEVEL nor advice, rehearsed or downgrades")
            given[what] = True
        elif what in {"small", "large"}:
            try:
                given[what] = int(size(value))
            except ValueError as error:
                raise _wrong(part, str(error)) from error
        elif what == "since":
            given["since"] = value
        else:
            rules.append(_rule(part, what, value))
    return Policy(tuple(rules), **given)  # type: ignore[arg-type]


def _rule(part: str, what: str, value: str) -> Rule:
    first, colon, rest = what.partition(":")
    environment = ""
    if colon and first not in BY_ID:
        environment, what = first, rest
    if value not in LEVELS:
        raise _wrong(part, f"{value} is none of {', '.join(LEVELS)}")
    id_ = what.partition(":")[0]
    family, _, severity = what.partition("/")
    known = id_ in BY_ID or what in SEVERITIES or (family in FAMILIES and (not severity or severity in SEVERITIES))
    if not known:
        near = difflib.get_close_matches(id_, [*BY_ID, *SEVERITIES, *FAMILIES], n=1, cutoff=0.4)
        raise _wrong(part, f"there is no hazard {id_}" + (f"; the nearest is {near[0]}" if near else ""))
    return Rule(environment, what, value)


def _wrong(part: str, why: str) -> WrongUsage:
    return WrongUsage(
        f"policy: {part}: {why}.",
        detail=[
            "It looks like this: policy = danger=refuse, create-index=ask, ci:loses=warn, large=5GB, since=REVISION"
        ],
        next_steps=[NextStep("see what hazards there are", "alembic safe-explain")],
    )
