"""What does a person ask of a push, and what does the push tell?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alembic_safe.errors import NextStep, WrongUsage
from alembic_safe.inspecting.catalog_records import ObjectId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from alembic_safe.authoring.push_finding import Finding
    from alembic_safe.authoring.push_plan import Plan
    from alembic_safe.authoring.renames import Question
    from alembic_safe.database.environment import Identity
    from alembic_safe.inspecting.catalog_records import Catalog


@dataclass(frozen=True)
class Asking:
    """How a person at a terminal is asked.

    :param rename: given a question, the name that went and sample values of it; returns the name that it has now, an
        empty text when it is really gone, ``None`` for no answer.
    :param consent: given a finding; returns whether the person typed its name.
    """

    rename: Callable[[Question, str, tuple[str, ...]], str | None]
    consent: Callable[[Finding], bool]


@dataclass(frozen=True)
class Request:
    """What was asked for.

    :param accept: consents by name, such as ``drop-column:users.nick``.
    :param renames: as ``--rename`` takes them.
    :param fills: as ``--fill`` takes them.
    :param drop_unknown: also what nobody of ours made goes.
    :param sql: try it, print the SQL, and take it back.
    :param asking: ``None`` where nobody can answer.
    """

    accept: frozenset[str] = frozenset()
    renames: tuple[str, ...] = ()
    fills: tuple[str, ...] = ()
    drop_unknown: bool = False
    dry_run: bool = False
    sql: bool = False
    asking: Asking | None = None


@dataclass(frozen=True)
class Seen:
    """The push knows which database it works on."""

    identity: Identity
    heads: tuple[str, ...]


@dataclass(frozen=True)
class Planned:
    """What is going to change, and what the rows say to it."""

    plan: Plan
    findings: tuple[Finding, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True)
class Noted:
    """A line worth telling."""

    label: str
    text: str


@dataclass(frozen=True)
class Unused:
    """A consent that was given by name fits nothing of the plan: one line."""

    text: str


@dataclass(frozen=True)
class Pushed:
    """The end of a push of one database.

    :param changes: how many changes; 0: it matched already.
    :param statements: the SQL that ran.
    :param tables: how many tables the models have.
    :param outcome: ``done``, ``nothing``, ``dry-run`` or ``tried``.
    """

    database: str
    outcome: str
    changes: int
    seconds: float
    tables: int
    statements: tuple[str, ...] = field(default=(), repr=False)


Tell = Any
"""A function that takes one of the records above."""


def read_fills(texts: Iterable[str], models: Catalog, default_schema: str) -> dict[ObjectId, str]:
    """Read what stands behind ``--fill``: ``table.column=expression``.

    :raises WrongUsage: when a text is something else, or names no column of the models.
    """
    found: dict[ObjectId, str] = {}
    for text in texts:
        name, equals, expression = text.partition("=")
        words = tuple(name.strip().split("."))
        schema, table, column = (
            words if len(words) == 3 else (default_schema, *words) if len(words) == 2 else ("", "", "")
        )
        id_ = ObjectId("column", schema, column, table)
        if not equals or not expression.strip() or id_ not in models.objects:
            why = "the models have no such column" if equals and column else "it is written table.column=expression"
            raise WrongUsage(
                f"--fill {text}: {why}.",
                next_steps=[NextStep("an example", 'alembic dev-push --fill "users.handle=lower(email)"')],
            )
        found[id_] = expression.strip()
    return found
