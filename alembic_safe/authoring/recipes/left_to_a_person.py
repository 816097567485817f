"""What is said where something names a column whose type it does not let change?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.errors import NextStep, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.inspecting.leaning import Leaning


def leans(what: str, leaning: Sequence[Leaning]) -> Refused:
    """Return what is said where something names a column that nothing here makes again for another one.

    :param what: what the column becomes.
    """
    these = "These are" if len(leaning) > 1 else "This is"
    return _left_to_a_person(
        what, leaning,
        "Views, policies, triggers and statistics are made again when the columns change names.",
        f"{these} left to a person.",
    )  # fmt: skip


def pins(what: str, pinned: Sequence[Leaning]) -> Refused:
    """Return what is said where something names a column that changes at once, and no columns change names."""
    return _left_to_a_person(what, pinned)


def _left_to_a_person(what: str, named: Sequence[Leaning], *detail: str) -> Refused:
    them = "them" if len(named) > 1 else "it"
    return Refused(
        f"{what}, and PostgreSQL changes no type under what names the column: {', '.join(one.shown for one in named)}.",
        detail=detail,
        next_steps=[
            NextStep(f"take {them} away in a revision before; then", "alembic revision --autogenerate"),
            NextStep(f"make {them} again in a revision behind the contract"),
        ],
    )
