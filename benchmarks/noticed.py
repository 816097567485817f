"""What did live writers notice of a change, and is what is claimed of it true?"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST, LONGEST = 2, 1.5
"""How many times the p99.9, and the longest write, of its control a change may have."""
NAIVE = 50
"""Which part of the naive one's longest write it may have in any case."""


@dataclass(frozen=True)
class Noticed:
    """What the writers noticed in one stretch of time, in seconds.

    :param holds: how long each ACCESS EXCLUSIVE lock on the table was held.
    :param heap: the table's size behind it, as a multiple of that before it.
    :param elsewhere: the writes while the naive statement ran on another table.
    """

    took: float
    writes: tuple[float, ...]
    failures: int
    holds: tuple[float, ...] = ()
    heap: float = 1.0
    elsewhere: tuple[float, ...] = ()

    @property
    def longest(self) -> float:
        """The longest stall of a write."""
        return max(self.writes)


def high(writes: Sequence[float]) -> float:
    """Return the 99.9th percentile."""
    return sorted(writes)[int(len(writes) * 0.999)]


@dataclass(frozen=True)
class Round:
    """What was noticed of nothing, of the naive statement, of the phases, and of the statements by hand."""

    idle: Noticed
    naive: Noticed
    phased: Noticed
    by_hand: Noticed | None = None


def said(values: list[float], unit: float = 1000) -> str:
    """Return the median, and what it is the median of."""
    return f"{statistics.median(values) * unit:.0f} ({' '.join(f'{value * unit:.0f}' for value in values)})"


def together(*rounds: Sequence[float]) -> float:
    """Return the 99.9th percentile of all rounds' writes."""
    return high([seconds for one in rounds for seconds in one])


def said_of(rounds: Sequence[Sequence[float]]) -> str:
    """Return the 99.9th percentile of all rounds' writes together, and that of each."""
    return f"{together(*rounds) * 1000:.1f} ({' '.join(f'{high(one) * 1000:.1f}' for one in rounds)})"


def high_claim(rounds: Sequence[Round]) -> tuple[str, bool]:
    """Return what is claimed of the 99.9th percentile, and whether it is true.

    Each round is compared with its own controls, and the middle one counts: what disturbs one of them, in a control or
    behind it, says nothing of the change. Of several controls that are above the claim themselves, the strictest counts.
    """

    def share(found: Callable[[Round], Sequence[float] | None], of: Callable[[Round], Sequence[float]]) -> float:
        return statistics.median([high(writes) / high(of(one)) for one in rounds if (writes := found(one))] or [0.0])

    def phased(one: Round) -> Sequence[float]:
        return one.phased.writes

    controls: dict[str, Callable[[Round], Sequence[float]]] = {
        "the naive statement on a table that nobody uses": lambda one: one.idle.elsewhere,
        "the statements by hand": lambda one: one.by_hand.writes if one.by_hand else (),
    }
    quiet = share(phased, lambda one: one.idle.writes)
    noisy = {name: alone for name, of in controls.items() if (alone := share(of, lambda one: one.idle.writes)) > MOST}
    if quiet <= MOST or not noisy:
        return f"p99.9 at most {MOST} times the idle one's ({quiet:.2f})", quiet <= MOST
    beside = max(noisy, key=lambda name: share(phased, controls[name]))
    found = share(phased, controls[beside])
    said = f"which alone takes it to {noisy[beside]:.1f} times the idle one's; the change does to {quiet:.1f} times"
    return f"p99.9 at most {MOST} times that beside {beside} ({found:.2f}), {said}", found <= MOST


def longest_claim(rounds: Sequence[Round]) -> tuple[str, bool]:
    """Return what is claimed of the longest write, and whether it is true."""

    def share(found: Callable[[Round], Noticed]) -> float:
        return statistics.median(
            found(one).longest / max(LONGEST * one.idle.longest, one.naive.longest / NAIVE) for one in rounds
        )

    claim = f"longest write at most {LONGEST} times the idle one's, or 1/{NAIVE} of the naive one's"
    alone = share(lambda one: one.by_hand or one.idle)
    if alone <= 1:
        return claim, share(lambda one: one.phased) <= 1
    beside = statistics.median(one.phased.longest / one.by_hand.longest for one in rounds if one.by_hand)
    by_hand = f"longest write at most {LONGEST} times that of the statements by hand ({beside:.2f})"
    return f"{by_hand}, which alone is {alone:.1f} times that limit", beside <= LONGEST


def show(name: str, rounds: list[Round]) -> bool:
    """Print what was noticed of a case, and which claims hold."""
    idle, naive, phased = ([getattr(one, kind) for one in rounds] for kind in ("idle", "naive", "phased"))
    others = [one.by_hand for one in rounds if one.by_hand]
    print(
        f"{name}: naive {said([one.took for one in naive], 1)} s, in phases {said([one.took for one in phased], 1)} s"
    )
    by_hand = f" by hand {said_of([one.writes for one in others])}," if others else ""
    print(
        f"  write p99.9 ms    idle {said_of([one.writes for one in idle])},"
        f" naive elsewhere {said_of([one.elsewhere for one in idle])},"
        f" naive {said_of([one.writes for one in naive])},{by_hand}"
        f" in phases {said_of([one.writes for one in phased])}"
        f" of {sum(len(one.writes) for one in phased)} writes"
    )
    longest = [said([one.longest for one in kind]) for kind in (idle, naive, phased)]
    by_hand = f", by hand {said([one.longest for one in others])}" if others else ""
    print("  longest write ms  idle {}, naive {}, in phases {}".format(*longest) + by_hand)
    holds = [hold for one in phased for hold in one.holds]
    if holds:
        middle, most = statistics.median(holds) * 1000, max(holds) * 1000
        print(f"  ACCESS EXCLUSIVE  {len(holds)} holds, median {middle:.0f} ms, max {most:.0f} ms")
    print(f"  heap x {max(one.heap for one in phased):.2f}, naive x {max(one.heap for one in naive):.2f}")
    claims = (
        high_claim(rounds),
        longest_claim(rounds),
        ("holds: median at most 20 ms, none over 100 ms",
         not holds or (statistics.median(holds) <= 0.02 and max(holds) <= 0.1)),
        ("heap at most 1.35 times", max(one.heap for one in phased) <= 1.35),
        ("no statement failed", not any(one.failures for one in phased)),
    )  # fmt: skip
    for claim, holds_true in claims:
        print(f"  {'holds' if holds_true else 'FAILS'}  {claim}", flush=True)
    return all(holds_true for _, holds_true in claims)
