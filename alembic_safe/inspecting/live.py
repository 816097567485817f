"""What is known of the target that a plan is made for: sizes, dependants, who is at work there?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic_safe.inspecting.trace import Relation

SizeClass = Literal["new", "empty", "small", "medium", "large", "unknown"]

SMALL = 10 * 1000**2
"""Bytes: below it, a scan or a rewrite takes less than a tenth of a second on any disk."""
LARGE = 1000**3
"""Bytes: from here on, a scan takes a second, a rewrite several (measured: about 100 MB a second for a rewrite)."""


@dataclass(frozen=True)
class TableFacts:
    """A table as the target has it.

    :param rows: how many; ``exact`` tells whether they were counted or estimated by the planner.
    :param bytes: with its indexes and its TOAST table.
    :param writes: rows written in a second, on average since its statistics were begun.
    :param dependants: views, policies, functions that use it, in words.
    :param publications: that it is a part of.
    """

    rows: int = 0
    exact: bool = True
    bytes: int = 0
    heap: int = 0
    dead: int = 0
    writes: float = 0.0
    dependants: tuple[str, ...] = ()
    publications: tuple[str, ...] = ()
    filled: Mapping[str, int] = field(default_factory=dict)
    """For columns that are going to go: how many rows have a value there."""


@dataclass(frozen=True)
class DataFailure:
    """Rows of the target on which a statement is going to fail.

    :param kind: the id of the hazard: ``duplicate-rows``.
    :param rows: how many; ``None``: at least one.
    :param text: what is wrong with them.
    :param examples: up to three; empty on databases whose rows may be personal data.
    :param query: lists them.
    """

    kind: str
    revision: str
    statement: int
    object: str
    relation: Relation
    rows: int | None
    text: str
    examples: tuple[str, ...] = ()
    query: str = ""


@dataclass(frozen=True)
class Live:
    """Everything that judging needs to know of the target.

    :param known: ``False`` where no target was looked at: then every size is unknown.
    :param tables: by schema and name.
    :param oldest_transaction: seconds since the oldest transaction of another session began; 0: none.
    :param invalid_indexes: INVALID ones, by schema and name.
    :param mapped: the columns of each table that the models of the application have, by schema and name; empty where there
        are no models, or they are ahead of where the plan ends.
    """

    known: bool = False
    server_version: int = 0
    tables: Mapping[tuple[str, str], TableFacts] = field(default_factory=dict)
    failures: tuple[DataFailure, ...] = ()
    oldest_transaction: float = 0.0
    oldest_who: str = ""
    replicas: int = 0
    slots: int = 0
    invalid_indexes: frozenset[tuple[str, str]] = frozenset()
    small: int = SMALL
    large: int = LARGE
    not_counted: tuple[str, ...] = ()
    mapped: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)

    def facts(self, relation: Relation) -> TableFacts | None:
        """Return what is known of a table; ``None`` for one that the target does not have."""
        return None if relation.new else self.tables.get((relation.schema, relation.name))

    def size_class(self, relation: Relation) -> SizeClass:
        """Return the class that a table's size falls in; a plan's hash holds it, so growing within it changes nothing."""
        if relation.new:
            return "new"
        if not self.known:
            return "unknown"
        facts = self.facts(relation)
        if facts is None:
            return "unknown"
        if not facts.rows:
            return "empty"
        return "small" if facts.bytes < self.small else "medium" if facts.bytes < self.large else "large"

    def about(self, relation: Relation) -> str:
        """Return a table with its size: ``users (2,104,377 rows, 1.1 GB)``."""
        facts = self.facts(relation)
        if relation.new or facts is None:
            return str(relation)
        return f"{relation} ({shown_rows(facts)}, {shown_bytes(facts.bytes)})"


def shown_rows(facts: TableFacts) -> str:
    """Return a number of rows: exact as it is, an estimate with a tilde: ``~2.1 M rows``."""
    return f"{shown_number(facts.rows, exact=facts.exact)} row{'s' * (facts.rows != 1)}"


def shown_number(number: int, *, exact: bool = True) -> str:
    """Return a number as people read it; an estimate with a tilde."""
    if exact:
        return f"{number:,}"
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"~{number / size:.1f} {unit}"
    return f"~{number}"


def shown_bytes(size: float) -> str:
    """Return a size as people read it: ``1.1 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
