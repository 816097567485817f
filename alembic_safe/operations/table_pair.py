"""Which two tables does a column move between, and when do two rows of them belong to each other, or differ?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.syncs import SYNC_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Pair:
    """Two tables whose rows belong to each other one to one, and the columns that move from one to the other.

    :param name: what the names of the functions begin with, and the name of the table of the notes.
    :param source: quoted and qualified; ``target`` likewise.
    :param keys: what rows find each other by: the source's column, the target's, and the type of the source's.
    :param columns: the source's column, and the target's.
    :param defaulted: the columns of the source that have a default.
    """

    name: str
    source: str
    target: str
    keys: tuple[tuple[str, str, str], ...]
    columns: tuple[tuple[str, str], ...]
    defaulted: frozenset[str] = frozenset()

    def function(self, ending: str) -> str:
        """Return one of its functions, quoted."""
        return quoted(SYNC_SCHEMA, self.name + ending)

    @property
    def notes(self) -> str:
        """The table of what has given way, quoted."""
        return quoted(SYNC_SCHEMA, self.name)

    @property
    def key_names(self) -> list[str]:
        """What the notes call the keys."""
        return [f"k{n}" for n in range(1, len(self.keys) + 1)]

    @property
    def parameters(self) -> list[str]:
        """The keys as a function is given them."""
        return [f"${n}" for n in range(1, len(self.keys) + 1)]


def equal(left: Iterable[str], right: Iterable[str]) -> str:
    """Return the condition that each of these is the other."""
    return " AND ".join(f"{one} OPERATOR(pg_catalog.=) {other}" for one, other in zip(left, right, strict=True))


def of_source(pair: Pair, row: str) -> list[str]:
    """Return the keys of a row of the source."""
    return [f"{row}.{quoted(name)}" for name, _, _ in pair.keys]


def of_target(pair: Pair, row: str) -> list[str]:
    """Return the keys of a row of the target."""
    return [f"{row}.{quoted(name)}" for _, name, _ in pair.keys]


def matching(pair: Pair, source: str = "s", target: str = "t") -> str:
    """Return the condition that two rows belong to each other."""
    return equal(of_source(pair, source), of_target(pair, target))


def differing(pair: Pair, source: str = "s", target: str = "t") -> str:
    """Return the condition that their values are not the same to the last bit."""
    return unlike((f"{source}.{quoted(c)}", f"{target}.{quoted(d)}") for c, d in pair.columns)


def unlike(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the condition that one of these values is not the other to the last bit."""
    every = list(pairs)
    left, right = (", ".join(one[n] for one in every) for n in (0, 1))
    return f"pg_catalog.record_image_ne(ROW({left}), ROW({right}))"


def is_null(expression: str) -> str:
    """Return the condition that a value is NULL."""
    # IS NULL is also true for a composite value of NULLs
    return f"{expression} IS NOT DISTINCT FROM NULL"


def still_differing(pair: Pair, target: str) -> str:
    """Return the condition on a row of the target that it is not what its partner is, and no note says why.

    :param target: what the row is called.
    """
    return (
        f"EXISTS (SELECT 1 FROM {pair.source} AS s WHERE {matching(pair, 's', target)} AND {differing(pair, 's', target)})"
        f" AND NOT {is_noted(pair, target)}"
    )


def is_noted(pair: Pair, target: str) -> str:
    """Return the condition on a row of the target that there is a note about it."""
    noted = equal([f"n.{name}" for name in pair.key_names], of_target(pair, target))
    return f"EXISTS (SELECT 1 FROM {pair.notes} AS n WHERE {noted})"


def not_copied(pair: Pair, target: str) -> str:
    """Return the condition on a row of the target that it has no value where its partner has one."""
    return (
        f"EXISTS (SELECT 1 FROM {pair.source} AS s WHERE {matching(pair, 's', target)} AND ({wanting(pair, target)}))"
    )


def wanting(pair: Pair, target: str) -> str:
    """Return the condition that a row of the target has no value where its partner, called ``s``, has one."""
    return " OR ".join(
        f"({is_null(f'{target}.{quoted(d)}')} AND NOT ({is_null(f's.{quoted(c)}')}))" for c, d in pair.columns
    )
