"""Which consents by name fit nothing that was found, and what may have been meant?"""

# Nobody is stopped by one: a pipeline keeps its options after the deploy that needed them. But who has mistyped a name, and
# is refused or asked all the same, should not have to find the letter.
from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

NO_HAZARD = "the plan has no such hazard"
NO_FINDING = "nothing of that name is found"

_ELSEWHERE = ("edited:", "elsewhere:", "unknown:", "heads:", "publication:", "retire-", "restore-")
"""What a consent begins with that no plan asks for: the history does, the first contact, or an operation when it runs."""
_NEAR, _NEAR_OBJECT = 0.8, 0.72
"""How alike two names have to be; of one kind, what is behind the kind: that alone would make most of them alike."""


def unused_consents(
    given: Collection[str], known: Collection[str], lack: str, meant: Collection[str] | None = None
) -> tuple[str, ...]:
    """Return one line for each consent that fits nothing; pure.

    :param known: the names of everything that was found.
    :param lack: what is said of the others.
    :param meant: those of them that a consent helps; ``None``: all.
    """
    others = sorted({*(known if meant is None else meant)} - {*given})
    kinds = {_kind(name) for name in known}

    def near(name: str) -> list[str]:
        kind, _, of = name.partition(":")
        if kind not in kinds:
            return get_close_matches(name, others, 1, _NEAR)
        # another kind is another deed: who mistypes what to keep is not led to what goes
        alike = [one.partition(":")[2] for one in others if _kind(one) == kind]
        return [f"{kind}:{one}" for one in get_close_matches(of, alike, 1, _NEAR_OBJECT)]

    return tuple(
        f"--accept {name}: {lack}." + "".join(f" Did you mean {one}?" for one in near(name))
        for name in sorted({*given} - {*known})
        if not name.startswith(_ELSEWHERE)
    )


def _kind(name: str) -> str:
    return name.partition(":")[0]
